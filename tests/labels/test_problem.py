"""Problems as values: how they read, and in which order."""

import itertools

from swarm_xds.problem import SHOWN_VALUE, Kind, Problem, Severity, ordered, shown


def problem(severity: Severity = Severity.ERROR, **fields: str) -> Problem:
    """Return a problem."""
    return Problem(severity=severity, kind=Kind.BAD_VALUE, **{"reason": "why", **fields})


def test_a_problem_reads_as_one_line() -> None:
    """With what it has: file, service, label, value, reason and cure."""
    whole = problem(source="a.yml", service="web", label="xds.port", value="x", reason="not a port", cure="write 80")
    assert str(whole) == 'error: a.yml: service "web": label "xds.port"="x": not a port (write 80)'
    assert str(problem(Severity.INFO, label="xds.port")) == 'info: label "xds.port": why'


def test_the_worst_comes_first_and_each_once() -> None:
    """Then by file, service and label; every field counts, so that the order is the same everywhere."""
    listed = [
        problem(service="b"),
        problem(service="c", label="a"),
        problem(service="c", label="b"),
        *(problem(service="d", cure=f"{number:02}") for number in range(20)),
        problem(Severity.WARNING, service="a"),
    ]
    assert ordered([*reversed(listed), *listed]) == tuple(listed)
    assert all(ordered(order) == tuple(listed[:4]) for order in itertools.permutations(listed[:4]))


def test_a_value_is_shown_short_and_printable() -> None:
    """No control character reaches a terminal, and 100 KB are no message."""
    assert shown("a\x1b[31m\nb\ud800é") == "a\ufffd[31m\ufffdb\ufffdé"
    assert shown("x" * SHOWN_VALUE) == "x" * SHOWN_VALUE
    assert shown("x" * 100_000) == "x" * SHOWN_VALUE + "… (100000 characters)"
