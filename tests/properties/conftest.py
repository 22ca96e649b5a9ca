"""What swarms and labels the properties are tried with."""

from hypothesis import HealthCheck, settings

# The same examples each time: what a test finds must not depend on the day.
settings.register_profile(
    "repeatable", derandomize=True, deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("repeatable")
