"""Whatever happens to files, in whatever order: a host that was served once is, and with a key that fits.

But for one thing: a file that now holds a good certificate of other hosts is taken at its word. What a host had last is
then the plan's to remember.
"""

from datetime import UTC, datetime
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from support.certificates import authority
from swarm_xds.certs import choose
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold

HOST = "a.example.org"
NOW = datetime.now(UTC).timestamp()
CA = authority()
PAIRS = [CA.issue(HOST, days=(-each, 90)) for each in (3, 2, 1)]
CONTENTS = [
    None,
    b"",
    PAIRS[0].key[:60],
    CA.cert,
    CA.issue(HOST, days=(-9, -1)).pair,
    CA.issue(HOST, days=(1, 9)).pair,
    *(content for pair in PAIRS for content in (pair.cert, pair.key, pair.pair)),
]
NAMES = ("site.crt", "site.key", "site.crt.v2", "other.pem")
CHECKED = {
    (name, index): read(name, content)
    for name, (index, content) in product(NAMES, enumerate(CONTENTS))
    if content is not None
}
STEP = st.fixed_dictionaries({name: st.sampled_from(range(len(CONTENTS))) for name in NAMES})


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=8))
def test_a_host_that_was_served_is_served(steps: list[dict[str, int]]) -> None:
    """Until its certificate ends; and the same steps lead to the same on every replica."""
    held, again, served = Held(), Held(), False
    for step in steps:
        files = {name: CHECKED[name, index] for name, index in step.items() if CONTENTS[index] is not None}
        held, again = hold(held, files, NOW), hold(again, dict(reversed(files.items())), NOW)
        assert (held.certificates, held.problems) == (again.certificates, again.problems)
        found = choose.for_host(held.certificates, HOST)
        assert found is not None or not served
        served = served or found is not None
        for each in held.certificates.certificates:
            assert each.chain.spki == each.key.spki
            assert each.chain.not_before <= NOW < each.chain.not_after
        there = [checked.material for checked in files.values()]
        pairs = [
            chain
            for chain, key in product(there, there)
            if chain.chain and key.key and chain.chain.spki == key.key.spki
        ]
        current = [
            each
            for each in pairs
            if each.chain and HOST in each.chain.names and each.chain.not_after > NOW >= each.chain.not_before
        ]
        assert found is not None or not current, "a whole pair is there"
