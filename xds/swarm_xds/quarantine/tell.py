"""What is told of services that are held back, and of rejections that no service explains. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.quarantine.trace import Rejection
from swarm_xds.snapshot import SECRET, Broken, Resource
from swarm_xds.swarm import Service

#: Shortest value of a label that is looked for in Envoy's words.
_TELLING = 4
#: How the label ends that names what is in a secret, by what the secret's name begins with.
_NAMING = {"certificate": ".ssl_cert", "client-ca": ".tls.client_ca", "backend-ca": ".ssl_backend_ca"}
#: Characters of a long message that are repeated of its beginning and of its end.
_BEGIN, _END = 40, 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Conviction:
    """A service that is held back.

    Attributes:
        rejected: The form that is, as it was read.
        instead: What is served; None to leave it out.
        whole: Whether another set of tasks makes it another form.
    """

    rejected: Service
    instead: Service | None
    whole: bool
    rejection: Rejection


@dataclass(frozen=True, slots=True)
class Refused:
    """A secret that is not served as it is.

    Attributes:
        version: The one that was rejected.
        instead: What is served.
        services: Whose it is.
    """

    rejection: Rejection
    version: str
    instead: Resource
    services: tuple[Service, ...]


def refused(secret: Refused) -> Iterator[Problem]:
    """Yield what is told to each service of a secret."""
    rejection = secret.rejection
    for service in secret.services:
        label, value = _label(service, None, rejection)
        yield Problem(
            severity=Severity.ERROR,
            kind=Kind.REJECTED,
            service=service.name,
            label=label,
            value=shown(value),
            reason=f"{_who(rejection)}: {_words(rejection)}; what was accepted before it is still served",
            cure="put another certificate in its place",
            source=service.source,
        )


def convicted(conviction: Conviction) -> Problem:
    """Return what is told of a service that is held back."""
    rejection, service = conviction.rejection, conviction.rejected
    label, value = _label(service, conviction.instead, rejection)
    what = "is left out" if conviction.instead is None else "is still served in its last accepted form"
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.REJECTED,
        service=service.name,
        label=label,
        value=shown(value),
        reason=f"{_who(rejection)}: {_words(rejection)}; the service {what}",
        cure="mend the label, or report it: what Envoy rejects should have been told before",
        source=service.source,
    )


def unexplained(rejection: Rejection) -> Problem:
    """Return what is told of a rejection that no service is to blame for."""
    return Problem(
        severity=Severity.ERROR,
        kind=Kind.REJECTED,
        reason=f"{_who(rejection)}, and no service is to blame: {_words(rejection)}",
        cure="look at the settings of this proxy and of the control plane",
    )


def by_rule(broken: Broken) -> Rejection:
    """Return what is broken as what every Envoy would say of it."""
    found = broken.violation
    where = f"{broken.name}, {broken.part}" if broken.part else broken.name
    what = " is missing" if found.rule == "required" else f'="{found.value}" is against {found.rule}'
    message = f"{where}: {found.path}{what}"
    return Rejection(node="", fleet=broken.fleet, type_url=broken.type_url, message=message, suspects=())


def _who(rejection: Rejection) -> str:
    resource = rejection.type_url.rpartition(".")[2]
    if not rejection.node:
        return f'the {resource} for fleet "{rejection.fleet}" breaks a rule of Envoy\'s API'
    return f'proxy "{rejection.node}" of fleet "{rejection.fleet}" rejects the {resource}'


def _words(rejection: Rejection) -> str:
    message = rejection.message
    if rejection.node and len(message) > _BEGIN + _END:
        # Envoy often repeats the resource first, and says what it minds at the end.
        return f"{shown(message[:_BEGIN])} … {shown(message[-_END:])}"
    return shown(message) if rejection.node else message


def _label(service: Service, instead: Service | None, rejection: Rejection) -> tuple[str, str]:
    """Return the label that is most likely to blame, and its value.

    That is one that names the secret, or that changed, or that Envoy's words repeat.
    """
    if rejection.type_url == SECRET and rejection.suspects:
        keys = _NAMING[rejection.suspects[0].name.partition("/")[0]]
        return next(((key, value) for key, value in service.labels if key.endswith(keys)), ("", ""))
    before = dict(instead.labels) if instead is not None else {}
    changed = [(key, value) for key, value in service.labels if before.get(key) != value]
    for labels in (changed, service.labels):
        telling = [(key, value) for key, value in labels if len(value) >= _TELLING and value in rejection.message]
        if telling:
            return max(telling, key=lambda label: len(label[1]))
    return changed[0] if instead is not None and len(changed) == 1 else ("", "")
