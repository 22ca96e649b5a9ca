"""What is held while files change: by tables of steps, each of which says what the files hold then."""

import itertools
from datetime import UTC, datetime

import pytest

from support.certificates import Issued, authority, issue
from swarm_xds.certs import choose
from swarm_xds.certs.check import read
from swarm_xds.certs.hold import Held, hold

HOST = "a.example.org"
NOW = datetime.now(UTC).timestamp()
DAY = 86_400
CA = authority()
OLD = CA.issue(HOST, days=(-30, 60))
NEW = CA.issue(HOST, days=(-1, 90))
OTHER = CA.issue("b.example.org")
EXPIRED = CA.issue(HOST, days=(-90, -1))
FUTURE = CA.issue(HOST, days=(1, 90))
BUNDLE = CA.cert + authority("Another").cert

Files = dict[str, bytes]
PAIR = {"site.crt": OLD.cert, "site.key": OLD.key}


def step(before: Held, files: Files, now: float = NOW) -> Held:
    """Return what is held after the files hold this."""
    return hold(before, {name: read(name, content) for name, content in sorted(files.items())}, now)


def steps(*each: Files, now: float = NOW) -> Held:
    """Return what is held after several steps, in order."""
    held = Held()
    for files in each:
        held = step(held, files, now)
    return held


def by_host(held: Held, host: str = HOST) -> str:
    """Return which certificate a host is served with, and check that the key fits it."""
    found = choose.for_host(held.certificates, host)
    assert found is None or found.key.spki == found.chain.spki
    return _called(found.chain.pem) if found else ""


def by_label(held: Held, cert: str = "site.crt", key: str = "site.key") -> str:
    """Return which certificate labels get that name the two files."""
    found = choose.named(held.certificates, cert, key, [HOST]).certificate
    assert found is None or found.key.spki == found.chain.spki
    return _called(found.chain.pem) if found else ""


def _called(pem: bytes) -> str:
    known = {OLD.cert: "old", NEW.cert: "new", OTHER.cert: "other", FUTURE.cert: "future"}
    return known[pem.partition(b"-----END CERTIFICATE-----\n")[0] + b"-----END CERTIFICATE-----\n"]


def reasons(held: Held) -> list[str]:
    """Return what is wrong, each with its file."""
    return [f"{problem.severity} {problem.source}: {problem.reason}" for problem in held.problems]


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(PAIR, id="a pair"),
        pytest.param({"site.pem": OLD.pair}, id="combined"),
        pytest.param({"a/fullchain.pem": OLD.cert, "a/privkey.pem": OLD.key}, id="a folder"),
        pytest.param({"cert": OLD.cert, "secret": OLD.key}, id="any names"),
        pytest.param({"x.key": OTHER.key, "site.crt": OLD.cert, "y.key": OLD.key}, id="the key that fits"),
    ],
)
def test_a_host_is_served_from_any_layout(files: Files) -> None:
    """The key is found by what it fits, not by its name."""
    held = steps(files)
    assert (by_host(held), reasons(held)) == ("old", [])


KEY_LATE = "warning site.crt: the private key of its new certificate is not there yet"
CERT_LATE = "warning site.key: the certificate of its new private key is not there yet"


@pytest.mark.parametrize(
    ("later", "expected", "told"),
    [
        pytest.param([{"site.crt": NEW.cert}], "old", [KEY_LATE], id="certificate first"),
        pytest.param([{"site.key": NEW.key}], "old", [CERT_LATE], id="key first"),
        pytest.param([{"site.crt": NEW.cert}, {"site.key": NEW.key}], "new", [], id="certificate, then key"),
        pytest.param([{"site.key": NEW.key}, {"site.crt": NEW.cert}], "new", [], id="key, then certificate"),
        pytest.param([{"site.key": NEW.key, "site.crt": NEW.cert}], "new", [], id="both at once"),
        pytest.param([{"site.crt": NEW.cert}, {"site.crt": OLD.cert}], "old", [], id="taken back"),
        pytest.param(
            [{"site.crt": NEW.cert, "site.key": NEW.key[:99]}],
            "old",
            [
                "error site.key: a block that begins in it does not end: half written, or cut off",
                KEY_LATE,
            ],
            id="half written",
        ),
        pytest.param([{"site.crt": b""}], "old", ["error site.crt: it is empty"], id="empty"),
        pytest.param(
            [{"site.crt": EXPIRED.cert, "site.key": EXPIRED.key}],
            "old",
            ["error site.crt: it has expired on", CERT_LATE],
            id="expired",
        ),
        pytest.param(
            [{"site.crt": FUTURE.cert, "site.key": FUTURE.key}],
            "old",
            ["warning site.crt: it is not valid before", CERT_LATE],
            id="not yet valid",
        ),
        pytest.param(
            [{"site.crt": BUNDLE}],
            "old",
            ["error site.crt: it holds no certificate of a server any more"],
            id="a bundle",
        ),
        pytest.param(
            [{"site.key": OLD.cert}], "old", ["error site.key: it holds no private key any more"], id="no key any more"
        ),
    ],
)
def test_a_bad_new_one_never_replaces_a_good_old_one(later: list[Files], expected: str, told: list[str]) -> None:
    """Neither for hosts nor for labels, in whichever order the halves come."""
    contents: list[Files] = [PAIR]
    for change in later:
        contents.append(contents[-1] | change)
    held = steps(*contents)
    assert (by_host(held), by_label(held)) == (expected, expected)
    assert len(reasons(held)) == len(told)
    assert all(reason.startswith(start) for reason, start in zip(reasons(held), told, strict=True)), reasons(held)
    # What was bad is forgotten when it is mended.
    mended = step(held, {"site.crt": NEW.cert, "site.key": NEW.key})
    assert (by_host(mended), by_label(mended), reasons(mended)) == ("new", "new", [])


def test_a_new_pair_waits_until_it_is_valid() -> None:
    """And takes over then, although no file changes."""
    files = {"site.crt": FUTURE.cert, "site.key": FUTURE.key}
    held = steps(PAIR, files)
    assert held.next_change is not None
    assert NOW < held.next_change <= NOW + DAY + 1
    assert by_label(held) == "old"
    assert by_label(step(held, files, held.next_change)) == "future"


def test_what_expires_is_not_served_any_more() -> None:
    """It is spoken of before, and its reason is with the material."""
    held = steps(PAIR)
    assert held.next_change is not None
    soon = step(held, PAIR, held.next_change)
    assert (by_host(soon), reasons(soon)[0].startswith("warning site.crt: it expires on")) == ("old", True)
    assert soon.next_change is not None
    ended = step(soon, PAIR, soon.next_change)
    assert (by_host(ended), by_label(ended)) == ("", "")
    assert reasons(ended)[0].startswith("error site.crt: it has expired on")
    assert ended.next_change is None
    mended = step(ended, PAIR | {"site.crt": NEW.cert}, NOW)
    assert reasons(mended)[0].startswith("warning site.crt: the private key")


def test_an_old_version_beside_a_new_one_may_expire() -> None:
    """Nobody needs to hear of it."""
    held = steps({"site.pem.v1": EXPIRED.pair, "site.pem.v2": NEW.pair})
    assert (by_host(held), reasons(held)) == ("new", [])
    alone = steps({"site.pem.v1": EXPIRED.pair})
    assert reasons(alone)[0].startswith("error site.pem.v1: it has expired on")


GONE = "it is gone, and nothing else does what it did"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        pytest.param(PAIR, {"site.key": OLD.key}, ["site.crt"], id="the certificate"),
        pytest.param(PAIR, {"site.crt": OLD.cert}, ["site.key"], id="the key"),
        pytest.param(PAIR, {}, ["site.crt", "site.key"], id="both"),
        pytest.param(PAIR, {"c": OLD.cert, "k": OLD.key}, [], id="other names"),
        pytest.param(PAIR, {"other.pem": OTHER.pair}, ["site.crt", "site.key"], id="another host is there"),
        pytest.param({"site.pem": OLD.pair}, {"x.crt": NEW.cert, "x.key": NEW.key}, [], id="another serves the host"),
        pytest.param({"x.pem.v1": OLD.pair, "x.pem.v2": NEW.pair}, {"x.pem.v2": NEW.pair}, [], id="an old version"),
        pytest.param({"ca.pem": BUNDLE}, {}, ["ca.pem"], id="a bundle"),
        pytest.param({"ca.pem.v1": BUNDLE}, {"ca.pem.v2": CA.cert}, [], id="an old bundle"),
        pytest.param({"lone.key": OLD.key}, {}, [], id="a key without a certificate"),
        pytest.param({"site.crt": b"x"}, {}, [], id="a bad file"),
    ],
)
def test_a_file_that_is_gone_is_missed_if_it_was_needed(before: Files, after: Files, told: list[str]) -> None:
    """Then what it held stays, and is told; else it is forgotten."""
    held = steps(before, after)
    assert [problem.source for problem in held.problems if problem.reason == GONE] == told
    assert set(held.materials) == {*after, *told}
    if OLD.cert in b"".join(before.values()) + b"":
        assert by_host(held) == by_host(steps(before)) or by_host(held) == "new"
    again = step(held, after)
    assert (again.materials, again.problems) == (held.materials, held.problems)
    assert not any(problem.source in before for problem in step(again, before).problems if problem.reason == GONE)


def test_one_certificate_in_several_files_is_served_with_its_chain() -> None:
    """As certbot writes it: cert.pem, chain.pem, fullchain.pem."""
    middle = CA.issue(subject="Middle", ca=True)
    leaf = middle.issue(HOST)
    files = {"cert.pem": leaf.cert, "chain.pem": middle.cert, "fullchain.pem": leaf.cert + middle.cert}
    held = steps(files | {"privkey.pem": leaf.key})
    assert [each.name for each in held.certificates.certificates] == ["fullchain.pem"]
    assert reasons(held) == []


def test_a_certificate_that_moves_to_another_file_keeps_the_key_that_it_is_served_with() -> None:
    """Although the file that the key was last seen in is gone."""
    held = steps({"a.pem": OLD.cert}, {"a.pem": OLD.key}, {"b.pem": OLD.cert})
    assert by_host(held) == "old"


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["cert.pem", "privkey.pem", "chain.pem", "fullchain.pem"]))
)
def test_a_certificate_is_renewed_with_its_chain(order: tuple[str, ...]) -> None:
    """Whichever link a tool replaces first, and although the certificate alone is there with its key before."""

    def live(leaf: Issued) -> Files:
        files = {"cert.pem": leaf.cert, "chain.pem": middle.cert, "fullchain.pem": leaf.cert + middle.cert}
        return files | {"privkey.pem": leaf.key}

    middle = CA.issue(subject="Middle", ca=True)
    files, after = live(middle.issue(HOST, days=(-9, 90))), live(middle.issue(HOST))
    held = steps(files)
    served = []
    for name in order:
        files |= {name: after[name]}
        held = step(held, files)
        found = choose.for_host(held.certificates, HOST)
        served += [found.chain.pem] if found is not None else []
    assert [middle.cert in each for each in served] == [True] * len(order)
    assert (served[-1], reasons(held)) == (after["fullchain.pem"], [])


MIDDLE = CA.issue(subject="Middle", ca=True, days=(-30, 120))
PART, RENEWED = MIDDLE.issue(HOST, days=(-9, 60)), MIDDLE.issue(HOST, days=(-1, 90))


@pytest.mark.parametrize(
    ("content", "host", "expected"),
    [
        pytest.param(RENEWED.pair, HOST, PART, id="alone"),
        pytest.param(RENEWED.pair + MIDDLE.cert, HOST, RENEWED, id="with its chain"),
        pytest.param(OTHER.pair, "b.example.org", OTHER, id="of another host"),
        pytest.param(OTHER.pair, HOST, PART, id="of another host, for the first one"),
    ],
)
def test_what_takes_the_place_of_a_part(content: bytes, host: str, expected: Issued) -> None:
    """It waits for the file that it was a part of only where clients would miss the intermediates else."""
    whole = {"full.pem": PART.cert + MIDDLE.cert}
    held = steps(whole | {"site.pem": PART.pair}, whole | {"site.pem": content})
    found = choose.for_host(held.certificates, host)
    assert found is not None
    assert found.chain.pem.startswith(expected.cert)
    waits = 'its new certificate with the chain, as in "full.pem", is not there yet'
    assert reasons(held) == ([f"warning site.pem: {waits}"] if content == RENEWED.pair else [])


def test_a_key_for_two_certificates_changes_for_one() -> None:
    """The other one is still served with what was its key."""
    second = CA.issue("b.example.org", key=OLD.private_key)
    before = {"a.crt": OLD.cert, "b.crt": second.cert, "shared.key": OLD.key}
    held = steps(before, before | {"a.crt": NEW.cert, "shared.key": NEW.key})
    assert by_host(held) == "new"
    found = choose.for_host(held.certificates, "b.example.org")
    assert found is not None
    assert found.key.spki == found.chain.spki


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({"default.pem": OLD.pair}, "default.pem", id="a file"),
        pytest.param({"default.crt": OLD.cert, "default.key": OLD.key}, "default.crt", id="a pair"),
        pytest.param({"default/tls.crt": OLD.cert, "default/tls.key": OLD.key}, "default/tls.crt", id="a folder"),
        pytest.param({"default": OLD.pair}, "default", id="no ending"),
        pytest.param({"default.pem": OLD.pair, "default.pem.v2": NEW.pair}, "default.pem.v2", id="the newest"),
        pytest.param({"default.cert.v2": OLD.pair}, "default.cert.v2", id="a version"),
        pytest.param({"default.fullchain.pem": OLD.pair}, "default.fullchain.pem", id="a full chain"),
        pytest.param({"default.bundle.crt": OLD.cert, "k": OLD.key}, "default.bundle.crt", id="a bundle"),
        pytest.param({"default.pem.ecdsa": OLD.pair}, "default.pem.ecdsa", id="a kind of key"),
        pytest.param({"default.tls.key": OLD.pair}, "default.tls.key", id="a key with its certificate"),
        pytest.param({"default.v2.PEM": OLD.pair}, "default.v2.PEM", id="a version, and capitals"),
        pytest.param({"default.v2/tls.pem": OLD.pair}, "default.v2/tls.pem", id="a version of a folder"),
        pytest.param({"defaults.pem": OLD.pair}, None, id="another name"),
        pytest.param({"default.example": OLD.pair}, None, id="a host's name of two labels"),
        pytest.param({"default.example.org.pem": OLD.pair}, None, id="a host's name"),
        pytest.param({"default.example.org/fullchain.pem": OLD.pair}, None, id="a host's folder"),
        pytest.param({"default.pem": EXPIRED.pair}, None, id="expired"),
    ],
)
def test_the_default_is_named_so(files: Files, expected: str | None) -> None:
    """For clients that name no host."""
    default = steps(files).certificates.default
    assert (default.name if default else None) == expected


def test_order_never_matters() -> None:
    """Of files; the result is the same, to the last problem."""
    contents = {
        "b.crt": OLD.cert,
        "a.key": OLD.key,
        "c.pem": OTHER.pair,
        "d.pem": b"",
        "e.pem": EXPIRED.pair,
        "f.crt": CA.issue("c.example.org").cert,
    }
    checked = {name: read(name, content) for name, content in contents.items()}
    first = hold(Held(), checked, NOW)
    second = hold(Held(), dict(reversed(checked.items())), NOW)
    assert (first.certificates, first.problems) == (second.certificates, second.problems)
    assert len(reasons(first)) == 2, reasons(first)


def test_a_certificate_without_its_key_is_told() -> None:
    """And not served."""
    held = steps({"site.crt": OLD.cert, "other.key": OTHER.key})
    assert reasons(held) == ["warning site.crt: the private key of its certificate is not there"]
    assert by_host(held) == ""


def test_a_mended_chain_is_told() -> None:
    """A remark is a warning."""
    middle = CA.issue(subject="Middle", ca=True)
    leaf: Issued = middle.issue(HOST)
    held = steps({"site.pem": middle.cert + leaf.pair})
    assert reasons(held) == [
        "warning site.pem: its certificates stand in the wrong order, and are served in the right one"
    ]
    assert issue(HOST).cert != leaf.cert
