"""Labels of ours that stand where they have no effect: on a service's containers, or on a job. Pure.

In: a service's specification as the engine has it. Out: problems; of such a service nothing else may be known.
"""

from collections.abc import Mapping
from typing import Any

from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.sources.docker.fields import mapping
from swarm_xds.swarm.marks import ROUTED_PREFIXES

#: Modes of a service that runs to its end.
_JOBS = {"ReplicatedJob", "GlobalJob"}


def is_job(spec: Mapping[str, Any]) -> bool:
    """Return whether a service's tasks are meant to end, so that none takes requests (Engine API, ``ServiceSpec``)."""
    return bool(mapping(spec, "Mode").keys() & _JOBS)


def misplaced(spec: Mapping[str, Any], service: str) -> list[Problem]:
    """Return a problem for each label of ours that its containers have and the service itself has not, or for a job."""
    own = mapping(spec, "Labels")
    found = [
        Problem(
            severity=Severity.ERROR,
            kind=Kind.MISPLACED_LABEL,
            service=service,
            label=shown(key),
            value=shown(str(value)),
            reason="it stands on the container, where it has no effect",
            cure="move it under deploy: labels:, or give it with docker service update --label-add",
        )
        for key, value in mapping(mapping(mapping(spec, "TaskTemplate"), "ContainerSpec"), "Labels").items()
        if key.startswith(ROUTED_PREFIXES) and key not in own
    ]
    ours = sorted(key for key in own if key.startswith(ROUTED_PREFIXES))
    if ours and is_job(spec):
        found.append(
            Problem(
                severity=Severity.ERROR,
                kind=Kind.MISPLACED_LABEL,
                service=service,
                label=shown(ours[0]),
                value=shown(str(own[ours[0]])),
                reason="it stands on a job, whose tasks are to end: none of them takes requests",
                cure="create the service in mode replicated or global",
            )
        )
    return found
