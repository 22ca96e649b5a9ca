"""Certificates over time: what a host is served with while secrets come, go and turn bad."""

import time
from collections.abc import Mapping
from dataclasses import replace

import pytest

from support.certificates import authority
from swarm_xds.certs.check import at, read
from swarm_xds.certs.hold import Held, hold
from swarm_xds.certs.values import Certificates
from swarm_xds.model import EdgeOptions, Fleet, Forward
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Kind
from swarm_xds.swarm import Network, Service, SwarmState, Task

HOST = "app.example.org"
CA = authority()
OLD, NEW = CA.issue(HOST, days=(-9, 90)).pair, CA.issue(HOST, days=(-1, 90)).pair
ANY = CA.issue("*.example.org").pair
EXPIRED, WRONG = CA.issue(HOST, days=(-9, -1)).pair, CA.issue("else.example.org").pair


def certificates(secrets: Mapping[str, bytes], directory: Mapping[str, bytes] | None = None) -> Certificates:
    """Return what labels may name, and what is there for any host."""

    def held(files: Mapping[str, bytes]) -> Certificates:
        return hold(Held(), {name: read(name, content) for name, content in files.items()}, time.time()).certificates

    return Certificates(materials=held(secrets).materials).with_more(held(directory or {}))


def service(name: str = "web", created: int = 0, stack: str = "", **labels: str) -> Service:
    """Return a service for the host, with more labels."""
    given = {"xds.hosts": HOST, "xds.port": "80"} | {
        f"xds.{key.replace('__', '.')}": text for key, text in labels.items()
    }
    return Service(
        id=name,
        name=name,
        stack=stack,
        created=created,
        labels=tuple(sorted(given.items())),
        network_ids=("n",),
        tasks=(Task(id=name, addresses=(("n", "10.0.0.1"),)),),
    )


class Story:
    """One pipeline, and what it comes to for one state after the other."""

    def __init__(self) -> None:
        self._pipeline = Pipeline(EdgeOptions(), "default")
        self.build: Build

    def now(self, known: Certificates, *services: Service) -> str | None:
        """Return the name of the host's certificate; ``refused``, or None where it is in plain only."""
        state = SwarmState(services=services, networks=(Network(id="n", name="net"),))
        self.build = self._pipeline.build(state, (), known)
        assert Kind.NOT_TRANSLATED not in {problem.kind for problem in self.build.problems}
        found = [each for each in self.fleet.secure_hosts if each.host == HOST]
        if not found:
            return None
        certificate = found[0].tls.certificate
        return "refused" if certificate is None else certificate.name

    @property
    def fleet(self) -> Fleet:
        """The default fleet."""
        return next(fleet for fleet in self.build.model.fleets if fleet.name == "default")

    @property
    def told(self) -> list[Kind]:
        """The kinds of the problems."""
        return [problem.kind for problem in self.build.problems]


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param({"site.pem": EXPIRED}, id="expired"),
        pytest.param({"site.pem": WRONG}, id="another name"),
        pytest.param({"site.pem": b"nonsense"}, id="garbage"),
        pytest.param({}, id="gone"),
    ],
)
def test_the_last_good_certificate_stays(bad: dict[str, bytes]) -> None:
    """Whatever becomes of the secret; and a control plane that starts then refuses."""
    story, late = Story(), Story()
    web = service(ssl_cert="site.pem", ssl_only="true")
    assert story.now(certificates({"site.pem": OLD}), web) == "site.pem"
    assert story.told == []
    for each in (story, late):
        outcome = each.now(certificates(bad), web)
        assert outcome == ("site.pem" if each is story else "refused")
        assert each.told == [Kind.BAD_CERTIFICATE]
    assert story.now(certificates({"site.pem": NEW}), web) == "site.pem"
    assert story.told == []


def test_the_last_good_one_goes_before_one_that_is_there_for_any_host() -> None:
    """It is what was served; without it, the other one is."""
    story = Story()
    web = service(ssl_cert="site.pem")
    assert story.now(certificates({}, {"any.pem": ANY}), web) == "any.pem"
    assert story.now(certificates({"site.pem": OLD}, {"any.pem": ANY}), web) == "site.pem"
    assert story.now(certificates({}, {"any.pem": ANY}), web) == "site.pem"
    assert story.told == [Kind.BAD_CERTIFICATE]


def test_a_host_that_nobody_asks_tls_for_forgets_its_certificate() -> None:
    """One that a label asks it for does not; the memory is each host's, and ends with it."""
    story = Story()
    plain, only = service(), service(ssl_only="true")
    there, gone = certificates({}, {"any.pem": ANY}), certificates({})
    assert story.now(there, plain) == "any.pem"
    assert story.now(gone, plain) is None
    assert story.told == []
    assert story.now(there, only) == "any.pem"
    assert story.now(gone, only) == "any.pem"
    assert story.told == [Kind.NO_CERTIFICATE]
    assert story.now(gone) is None
    assert story.now(gone, only) == "refused"


def test_the_newest_of_two_services() -> None:
    """A certificate is the host's: the newest that names it, whichever service is older."""
    story = Story()
    known = certificates({"old.pem": OLD, "new.pem": NEW})
    a, b = service("a", 1, ssl_cert="old.pem"), service("b", 2, ssl_cert="new.pem")
    assert story.now(known, a, b) == "new.pem"
    assert story.told == [Kind.CONFLICT]
    assert story.now(certificates({"old.pem": OLD, "new.pem": EXPIRED}), a, b) == "old.pem"
    assert story.told == [Kind.BAD_CERTIFICATE]


def test_a_name_in_a_stack_is_the_stacks_own_first() -> None:
    """Then the secret of that very name."""
    story = Story()
    web = service(stack="shop", ssl_cert="site.pem")
    assert story.now(certificates({"site.pem": OLD}), web) == "site.pem"
    assert story.now(certificates({"site.pem": OLD, "shop_site.pem": NEW}), web) == "shop_site.pem"


def test_the_last_good_authorities_of_clients_stay() -> None:
    """Without any, nobody gets in, also with a good certificate of the host."""
    story, late = Story(), Story()
    web = service(tls__client_ca="clients.pem")
    assert story.now(certificates({"clients.pem": CA.cert}, {"any.pem": ANY}), web) == "any.pem"
    for each, outcome in ((story, "any.pem"), (late, "refused")):
        assert each.now(certificates({}, {"any.pem": ANY}), web) == outcome
        assert each.told == [Kind.BAD_CERTIFICATE]
    (host,) = story.fleet.secure_hosts
    assert host.tls.client_ca is not None


def test_the_last_good_authorities_of_tasks_stay() -> None:
    """Without any, no task is asked rather than one that is not verified."""
    story, late = Story(), Story()
    web = service(ssl_backend="true", ssl_backend_ca="internal.pem")
    story.now(certificates({"internal.pem": CA.cert}), web)
    for each, tasks in ((story, 1), (late, 0)):
        each.now(certificates({}), web)
        (backend,) = each.fleet.backends
        assert len(backend.endpoints) == tasks
        assert backend.tls is not None
        assert backend.tls.verify
        assert each.told == [Kind.BAD_CERTIFICATE]


def test_a_younger_service_neither_closes_a_host_nor_opens_its_own_route() -> None:
    """A host without client certificates stays as it is, and the claim that asks for them is nowhere."""
    story = Story()
    known = certificates({"clients.pem": CA.cert, "other.pem": authority("Other").cert}, {"any.pem": ANY})
    a, b = service("a", 1), service("b", 2, tls__client_ca="clients.pem", path="/private")
    assert story.now(known, a, b) == "any.pem"
    assert story.told == [Kind.CONFLICT]
    (host,) = story.fleet.secure_hosts
    assert host.tls.client_ca is None
    assert [route.path for route in host.virtual_host.routes] == ["/"]
    assert [backend.name for backend in story.fleet.backends] == ["a"]
    older = service("c", 0, tls__client_ca="other.pem")
    story.now(known, b, older)
    (host,) = story.fleet.secure_hosts
    assert [route.path for route in host.virtual_host.routes] == ["/"], "another authority lets in others"


ADMIN = {f"route__admin__{key}": text for key, text in {"hosts": HOST, "port": "80", "path": "/admin"}.items()}


@pytest.mark.parametrize(
    ("labels", "older", "secure", "plain", "closed"),
    [
        pytest.param({"tls__client_ca": "clients.pem"}, {}, ["/admin", "/"], [], True, id="the whole service"),
        pytest.param(
            {"route__admin__tls__client_ca": "clients.pem"}, {}, ["/admin", "/"], [], True, id="one of its routes"
        ),
        pytest.param(
            {"route__admin__tls__client_ca": "clients.pem"}, {"path": "/a"}, ["/a"], ["/a"], False, id="an open host"
        ),
        pytest.param(
            {"route__admin__tls__client_ca": "clients.pem"},
            {"path": "/a", "tls__client_ca": "other.pem"},
            ["/a"],
            [],
            True,
            id="a host of another authority's clients",
        ),
        pytest.param(
            {"tls__client_ca": "other.pem", "route__admin__tls__client_ca": "clients.pem"},
            {},
            [],
            [],
            True,
            id="routes of two authorities' clients",
        ),
    ],
)
def test_no_route_of_a_service_leads_around_the_certificates_that_another_asks_for(
    labels: dict[str, str],
    older: dict[str, str],
    secure: list[str],
    plain: list[str],
    closed: bool,
) -> None:
    """A path that is left out would be answered by the next shorter one, with the same tasks behind it."""
    story = Story()
    known = certificates({"clients.pem": CA.cert, "other.pem": authority("Other").cert}, {"any.pem": ANY})
    services = [service("web", 2, **ADMIN, **labels), *([service("older", 1, **older)] if older else [])]
    story.now(known, *services)
    (host,) = story.fleet.secure_hosts
    assert [route.path for route in host.virtual_host.routes] == secure
    assert (host.tls.client_ca is not None) is closed
    (host_in_plain,) = story.fleet.virtual_hosts
    assert [each.path for each in host_in_plain.routes if isinstance(each.action, Forward)] == plain


def test_authorities_of_another_services_clients_are_no_last_good_ones() -> None:
    """Who takes over a host has named other authorities, or has those of the one before let in nobody."""
    story = Story()
    a, b = service("a", 1, tls__client_ca="a.pem"), service("b", 2, tls__client_ca="b.pem")
    assert story.now(certificates({"a.pem": CA.cert}, {"any.pem": ANY}), a) == "any.pem"
    assert story.now(certificates({}, {"any.pem": ANY}), b) == "refused"
    assert story.told == [Kind.BAD_CERTIFICATE]


def test_authorities_that_have_expired_are_no_last_good_ones() -> None:
    """They are of no use to clients anyway; replicas that have just started refuse, and so do all."""
    good, ended = CA.cert, authority("Old", days=(-9, -1)).cert
    web = service(ssl_cert="site.pem", tls__client_ca="clients.pem")
    secrets = {"site.pem": NEW, "clients.pem": good}
    story = Story()
    before = certificates(secrets)
    assert story.now(before, web) == "site.pem"
    later = time.time() + 91 * 86_400
    after = replace(before, materials=tuple(at(each, later) for each in before.materials if each.name == "clients.pem"))
    assert story.now(replace(after, materials=(*after.materials, before.materials[1])), web) == "refused"
    assert story.told == [Kind.BAD_CERTIFICATE]
    late = Story()
    assert late.now(certificates({**secrets, "clients.pem": ended}), web) == "refused"
    assert late.now(certificates({**secrets, "clients.pem": ended + good}), web) == "site.pem"
    assert [(str(each.severity), each.label) for each in late.build.problems] == [("warning", "xds.tls.client_ca")]
