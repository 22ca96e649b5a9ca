"""A filter chain or a certificate that passes our checks and Envoy rejects: its host alone goes back.

The translator is made to spoil what has a certain host, since no certificate is known that only Envoy refuses.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2
from google.protobuf import struct_pb2
from google.protobuf.message import Message

from support.certificates import authority
from support.tls_tasks import Task
from support.tls_world import TlsWorld, tls_world, write
from swarm_xds.memo import Memo
from swarm_xds.model import EdgeOptions, Fleet
from swarm_xds.problem import Kind, Problem
from swarm_xds.snapshot import SECRET
from swarm_xds.translate import FleetMessages, translate

pytestmark = pytest.mark.envoy

CA = authority()
SPOILT, SHOP, OTHER, MENDED = (f"{name}.example.org" for name in ("spoilt", "shop", "other", "mended"))


def spoil_chain(message: listener_pb2.Listener) -> None:
    """Name a filter that there is not, which no rule of the API forbids."""
    for chain in message.filter_chains:
        if chain.name == SPOILT:
            chain.filters[0].typed_config.Pack(struct_pb2.Struct())


def spoil_socket(message: listener_pb2.Listener) -> None:
    """Name a cipher that there is not, which Envoy sees when it has the certificate."""
    for chain in message.filter_chains:
        context = tls_pb2.DownstreamTlsContext()
        if chain.name == SPOILT and chain.transport_socket.typed_config.Unpack(context):
            context.common_tls_context.tls_params.cipher_suites.append("NONE-SUCH")
            chain.transport_socket.typed_config.Pack(context)


def spoil_secret(message: secret_pb2.Secret) -> None:
    """Give it a key that is not its certificate's."""
    if message.name == f"certificate/{SPOILT}":
        message.tls_certificate.private_key.inline_bytes = CA.key


def spoiling(type_name: str, spoil: Callable[..., None]) -> Callable[[Fleet, EdgeOptions, Memo], FleetMessages]:
    """Return a translator that spoils the resources of one type."""

    def spoilt(message: Message) -> Any:
        copy = type(message)()
        copy.CopyFrom(message)
        spoil(copy)
        return copy

    def translator(fleet: Fleet, options: EdgeOptions, memo: Memo) -> FleetMessages:
        messages = translate(fleet, options, memo)
        return replace(messages, **{type_name: tuple(spoilt(each) for each in getattr(messages, type_name))})

    return translator


def stack(task: Task, **hosts: str) -> str:
    """Return a stack file: hosts by service, each with a certificate of its host's name."""
    lines = ["services:"]
    for name, host in hosts.items():
        labels = f"xds.port: 80, xds.hosts: {host}, xds.ssl_cert: {host}.pem"
        lines += [
            f"  {name}:",
            "    image: app",
            f'    x-tasks: ["{task.address}"]',
            f"    deploy: {{labels: {{{labels}}}}}",
        ]
    return "\n".join(lines) + "\n"


def problems(place: TlsWorld) -> list[Problem]:
    """Return what is told of rejections now."""
    return [each for each in place.published[-1].build.problems if each.kind is Kind.REJECTED]


async def until_told(place: TlsWorld) -> None:
    """Wait until a rejection is told of, and what follows from it answered."""
    async with asyncio.timeout(10):
        while not problems(place):
            await asyncio.sleep(0.005)
    await place.app.publisher.answered()


async def answered(place: TlsWorld, host: str) -> None:
    """Wait until a host answers over TLS, with its own certificate."""
    client = place.client()
    async with asyncio.timeout(20):
        while True:
            try:
                assert (await asyncio.to_thread(client.ask, host)).status == 200
            except OSError:
                await asyncio.sleep(0.02)
            else:
                return


WAYS = {
    "listener": ("listeners", spoil_chain, "Listener", "", ""),
    "socket": ("listeners", spoil_socket, "Secret", "xds.ssl_cert", f"{SPOILT}.pem"),
    "secret": ("secrets", spoil_secret, "Secret", "xds.ssl_cert", f"{SPOILT}.pem"),
}


@pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])
@pytest.mark.parametrize("way", WAYS)
async def test_a_host_that_envoy_rejects_goes_back_alone(
    envoy_binary: Path, tmp_path: Path, way: str, incremental: bool
) -> None:
    """Others that come with it are served, the problem names the label, and a mended label is served."""
    type_name, spoil, what, label, value = WAYS[way]
    names = (SPOILT, SHOP, OTHER, MENDED, "fresh.example.org")
    certs = {f"{host}.pem": CA.issue(host).pair for host in names}
    with Task("app", tmp_path) as task:
        async with tls_world(
            envoy_binary,
            tmp_path,
            CA,
            stack(task, shop=SHOP, other=OTHER),
            certs,
            incremental=incremental,
            translator=spoiling(type_name, spoil),
        ) as place:
            await answered(place, SHOP)
            write(place.stack, stack(task, shop=SPOILT, other=OTHER, fresh="fresh.example.org").encode())
            for host in ("fresh.example.org", SHOP, OTHER):
                await answered(place, host)
            await place.app.publisher.answered()
            (problem,) = problems(place)
            assert (problem.service, problem.label, problem.value) == ("stack_shop", label, value)
            assert problem.reason.startswith(f'proxy "envoy-1" of fleet "default" rejects the {what}')
            assert problem.reason.endswith("; the service is still served in its last accepted form")
            write(place.stack, stack(task, shop=MENDED, other=OTHER, fresh="fresh.example.org").encode())
            await answered(place, MENDED)
            await place.app.publisher.answered()
            assert problems(place) == []


@pytest.mark.parametrize("incremental", [True, False], ids=["delta", "sotw"])
async def test_a_certificate_that_envoy_rejects_when_it_is_rotated_stays_what_it_was(
    envoy_binary: Path, tmp_path: Path, incremental: bool
) -> None:
    """No label has changed, so no service goes back; one that is mended is served at once."""
    rotated = []

    def spoil(message: secret_pb2.Secret) -> None:
        if rotated:
            spoil_secret(message)

    certs = {f"{host}.pem": CA.issue(host).pair for host in (SPOILT, OTHER)}
    with Task("app", tmp_path) as task:
        async with tls_world(
            envoy_binary,
            tmp_path,
            CA,
            stack(task, s0=SPOILT, s1=OTHER),
            certs,
            incremental=incremental,
            translator=spoiling("secrets", spoil),
        ) as place:
            await answered(place, SPOILT)
            before = place.published[-1].build.snapshots.of("").of(SECRET)
            rotated.append(SPOILT)
            fresh = CA.issue(OTHER).pair
            await place.change(lambda: write(place.certs / f"{SPOILT}.pem", CA.issue(SPOILT).pair))
            await until_told(place)
            await place.change(lambda: write(place.certs / f"{OTHER}.pem", fresh))
            after = place.published[-1].build.snapshots.of("").of(SECRET)
            assert after[f"certificate/{SPOILT}"] == before[f"certificate/{SPOILT}"]
            assert after[f"certificate/{OTHER}"] != before[f"certificate/{OTHER}"]
            (problem,) = problems(place)
            assert (problem.service, problem.label, problem.value) == (
                "stack_s0",
                "xds.ssl_cert",
                f"{SPOILT}.pem",
            )
            assert problem.reason.endswith("; what was accepted before it is still served")
            for host in (SPOILT, OTHER):
                await answered(place, host)
            rotated.clear()
            await place.change(lambda: write(place.certs / f"{SPOILT}.pem", CA.issue(SPOILT).pair))
            assert problems(place) == []
            mended = place.published[-1].build.snapshots.of("").of(SECRET)
            assert mended[f"certificate/{SPOILT}"] != before[f"certificate/{SPOILT}"]
