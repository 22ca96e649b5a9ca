"""What swarms and labels the properties are tried with."""

import os

from hypothesis import HealthCheck, settings

EXAMPLES = os.environ.get("FUZZ_EXAMPLES")
# The same examples each time: what a test finds must not depend on the day. Not so where `make fuzz` looks for more.
settings.register_profile(
    "repeatable",
    derandomize=EXAMPLES is None,
    deadline=None,
    max_examples=int(EXAMPLES or 120),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("repeatable")
