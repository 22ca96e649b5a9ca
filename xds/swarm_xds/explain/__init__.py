"""Why a request reaches what it reaches, or why it does not, and what to change. Pure.

In: a ``Question`` and the ``Facts``: the swarm's state, the last build, the fleets' members. Out: an ``Explanation``,
step by step in the order that a request takes. It asks nobody: what only a proxy or a task can know, it says so.
"""

from swarm_xds.explain.explain import explain
from swarm_xds.explain.values import Explanation, Facts, Outcome, Question, Step, Subject, Verdict

__all__ = ["Explanation", "Facts", "Outcome", "Question", "Step", "Subject", "Verdict", "explain"]
