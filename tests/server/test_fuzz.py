"""Anything at all on the request path: it is answered or refused, costs a bounded memory, and never raises.

``make fuzz`` runs this for longer.
"""

import asyncio
import os
from collections.abc import Iterable

from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from support.xds_client import Recorder, cluster, endpoints, listener, routes, snapshot, snapshots
from swarm_xds.server import Limits, Publisher
from swarm_xds.server.sequence import merge
from swarm_xds.server.stream import RefusedError, Setting, Stream
from swarm_xds.server.wire import Encoder, Request, Variant, delta_request, sotw_request
from swarm_xds.snapshot import ADS_ORDER, CLUSTER, Resource

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "100"))
LIMITS = Limits(additions=0, removals=0, names_per_stream=20, name_length=50, types_per_stream=3)
WORLDS = [
    snapshots(
        snapshot(
            clusters=[cluster("a", connect_timeout=number), *([cluster("b")] if number % 2 else [])],
            endpoints=[endpoints("a", number), *([endpoints("b", 1)] if number % 2 else [])],
            listeners=[Resource.of("edge", listener("edge", number, "table").value, 60)],
            routes=[routes("table", {"/": "ab"[number % 2]})],
        )
    )
    for number in range(1, 4)
]
NAMES = st.lists(
    st.sampled_from(["a", "b", "*", "edge", "table", "none", "", "x" * 60]) | st.text(max_size=5), max_size=5
)
REQUESTS = st.builds(
    Request,
    type_url=st.sampled_from([*ADS_ORDER, "", "type.example/Other"]) | st.text(max_size=8),
    node=st.text(max_size=5),
    fleet=st.sampled_from(["", "other"]),
    takes_ttl=st.booleans(),
    version=st.sampled_from(["", "v", *(world.of("").of(CLUSTER).version for world in WORLDS)]),
    nonce=st.sampled_from(["", "t-0-1", "t-0-2", "t-1-1", "t-1-2", "t-2-1", "stale"]),
    error=st.none() | st.text(max_size=5),
    names=NAMES.map(tuple),
    subscribe=NAMES.map(tuple),
    unsubscribe=NAMES.map(tuple),
    initial=st.dictionaries(st.sampled_from("ab"), st.text(max_size=5), max_size=2),
)


class Wire:
    """A transport on which what the test wants comes, and between requests what is published changes."""

    def __init__(self, steps: Iterable[Request | int], publisher: Publisher) -> None:
        self.address = "test"
        self.certified = False
        self.fleet = None
        self.expires = None
        self.written = 0
        self._steps = iter(steps)
        self._publisher = publisher

    async def read(self) -> Request | None:
        """Return the next request, or the end."""
        await asyncio.sleep(0)
        for step in self._steps:
            if isinstance(step, Request):
                return step
            self._publisher.publish(WORLDS[step])
            await asyncio.sleep(0)
        return None

    async def write(self, data: bytes) -> None:
        """Take a response that each client can read."""
        self.written += 1
        assert data


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    variant=st.sampled_from(list(Variant)),
    only=st.sampled_from([None, *ADS_ORDER]),
    steps=st.lists(REQUESTS | st.integers(0, 2), max_size=30),
)
def test_any_requests_are_answered_or_refused(variant: Variant, only: str | None, steps: list[Request | int]) -> None:
    """In any order, with whatever in them, while what is served changes."""

    async def run() -> None:
        publisher, recorder = Publisher(), Recorder()
        setting = Setting(
            publisher=publisher,
            observer=recorder,
            encoder=Encoder("test"),
            limits=LIMITS,
            join=merge,
            clock=asyncio.get_running_loop().time,
        )
        stream = Stream(setting, number=1, variant=variant, type_url=only, token="t-")  # noqa: S106 - not a secret
        wire = Wire(steps, publisher)
        refused = False
        try:
            async with asyncio.timeout(20):
                await stream.run(wire)
        except RefusedError:
            refused = True
        assert len(recorder.refusals) == int(refused)
        assert len(recorder.peers) == len(recorder.closures)
        assert len(recorder.responses) == wire.written
        # At most one response for each type, request and change.
        assert wire.written <= len(ADS_ORDER) * (len(steps) + 1) * 3
        assert publisher.streams == 0

    asyncio.run(run())


@settings(max_examples=EXAMPLES, deadline=None)
@given(data=st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error(data: bytes) -> None:
    """And only the one error."""
    for parse in (sotw_request, delta_request):
        try:
            request = parse(data)
        except DecodeError:
            continue
        assert request.longest <= len(data) * 4
