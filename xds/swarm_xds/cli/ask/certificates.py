"""Certificates as a table for people, and which of them are a matter of concern. Pure."""

from collections.abc import Iterable

from swarm_xds.cli.ask.tables import Table, Tone
from swarm_xds.debug.v1 import debug_pb2 as pb
from swarm_xds.problem import shown

_STATES = {
    pb.Certificate.STATE_SERVED: ("served", Tone.GOOD),
    pb.Certificate.STATE_HELD: ("held", Tone.DOUBTFUL),
    pb.Certificate.STATE_UNUSED: ("unused", Tone.NONE),
    pb.Certificate.STATE_UNUSABLE: ("unusable", Tone.DOUBTFUL),
    pb.Certificate.STATE_MISSING: ("missing", Tone.BAD),
}


def table(found: Iterable[pb.Certificate], now: float) -> Table:
    """One row a certificate, or a lack of one."""
    rows = []
    for each in found:
        word, tone = _STATES[each.state]
        ends, left = "", ""
        if each.HasField("not_after"):
            ends = each.not_after.ToDatetime().strftime("%Y-%m-%d")
            days = _days_left(each, now)
            left = f"{days:.0f} d" if days >= 0 else "expired"
            tone = Tone.BAD if days < 0 and each.uses else tone
        where = f"{each.source} {each.stack}".strip()
        what = f"authority {each.subject}" if each.role == pb.Certificate.ROLE_AUTHORITY else ", ".join(each.names)
        uses = ", ".join(_use(use) for use in each.uses)
        rows.append(
            (
                tone,
                (
                    word,
                    shown(each.name),
                    where,
                    what,
                    uses,
                    ends,
                    left,
                    each.key_type,
                    each.fingerprint[:16],
                    each.reason,
                ),
            )
        )
    columns = ("STATE", "NAME", "FROM", "FOR", "USED BY", "ENDS", "LEFT", "KEY", "SHA-256", "WHY")
    return Table(columns=columns, rows=tuple(rows), empty="there is no certificate")


def needed(found: Iterable[pb.Certificate]) -> list[pb.Certificate]:
    """Return what is in use, or waited for."""
    states = {pb.Certificate.STATE_SERVED, pb.Certificate.STATE_HELD, pb.Certificate.STATE_MISSING}
    return [each for each in found if each.state in states]


def ends_within(certificate: pb.Certificate, days: float, now: float) -> bool:
    """Return whether a certificate has expired, will within so many days, or is not there at all."""
    if certificate.HasField("not_after"):
        return _days_left(certificate, now) <= days
    return certificate.state == pb.Certificate.STATE_MISSING


def _days_left(certificate: pb.Certificate, now: float) -> float:
    """Return how many days a certificate has left; negative if it has expired."""
    return (certificate.not_after.ToMicroseconds() / 1e6 - now) / 86_400


def _use(use: pb.CertificateUse) -> str:
    return f"{use.fleet}: {use.host or 'tasks of ' + ' '.join(use.services)}"
