"""Labels of ours that stand on a service's containers, where they have no effect. Pure.

In: a service's specification as the engine has it. Out: problems; of such a service nothing else may be known.
"""

from collections.abc import Mapping
from typing import Any

from swarm_xds.problem import Kind, Problem, Severity, shown
from swarm_xds.sources.docker.fields import mapping
from swarm_xds.swarm.marks import ROUTED_PREFIXES


def misplaced(spec: Mapping[str, Any], service: str) -> list[Problem]:
    """Return a problem for each label of ours that its containers have and the service itself has not."""
    own = mapping(spec, "Labels")
    return [
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
