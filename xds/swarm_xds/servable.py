"""The arrow and its way back in one: what is built of a swarm without what breaks a rule of Envoy's API.

In: a state, and who builds and who judges. Out: the state as it was built, and its ``Build``. It has no I/O, clock or
logger. It must not know who is served, nor what proxies say.
"""

from collections.abc import Iterable
from dataclasses import replace

from swarm_xds.certs.values import Certificates
from swarm_xds.pipeline import Build, Pipeline
from swarm_xds.problem import Problem, ordered
from swarm_xds.quarantine import Quarantine
from swarm_xds.swarm import SwarmState

_NO_CERTIFICATES = Certificates()


def servable(
    pipeline: Pipeline,
    quarantine: Quarantine,
    state: SwarmState,
    problems: Iterable[Problem] = (),
    certificates: Certificates = _NO_CERTIFICATES,
) -> tuple[SwarmState, Build]:
    """Build without what is held back, and hold back what breaks a rule, until nothing does that is a service's.

    Args:
        pipeline: Builds.
        quarantine: Holds back.
        state: The swarm as it was read.
        problems: The sources' own, which are among the build's then.
        certificates: Those that there are.
    """
    given = tuple(problems)
    while True:
        held = quarantine.apply(state)
        build = pipeline.build(held, given, certificates)
        if not quarantine.broken(build.broken, build.model):
            # First, since it forgets what was rejected and is there no more.
            snapshots = quarantine.amended(build.snapshots)
            told = ordered((*build.problems, *quarantine.problems()))
            return held, replace(build, snapshots=snapshots, problems=told)
