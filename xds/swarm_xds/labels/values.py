"""Parsers of label values: text in, a typed value out, or ``BadValueError`` with the reason and the cure."""

import re
from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

import idna

from swarm_xds.labels.intent import Redirect, TlsVersion
from swarm_xds.problem import shown

MAX_PORT = 65535
#: Longest value of a label that is read, in characters.
MAX_VALUE = 16_384
_MAX_HOST = 253
_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_PATH = re.compile(r"(?:/(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})*)+")
#: Percent-encoded letters, digits and - . _ ~.
_ENCODED = re.compile(r"%(2[DEde]|3[0-9]|4[1-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEae])")
_ESCAPE = re.compile(r"%[0-9A-Fa-f]{2}")
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
_SECRET = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]|/(?=[A-Za-z0-9])){0,254}")
_HSTS = re.compile(r"max-age=[0-9]{1,10}(?:; ?includeSubDomains)?(?:; ?preload)?", re.IGNORECASE)
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)")
_MILLISECONDS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_MAX_DURATION = 24 * 3_600_000
_YEAR = 31_536_000

E = TypeVar("E", bound=StrEnum)
H = TypeVar("H", bound=Hashable)


class BadValueError(ValueError):
    """A value that cannot be used.

    Attributes:
        cure: What to write instead.
    """

    def __init__(self, reason: str, cure: str = "") -> None:
        super().__init__(reason)
        self.cure = cure


def host(value: str) -> str:
    """Return a host name or IPv4 address in the form that requests carry it: lower case, IDNA, no final dot.

    ``*.example.org`` stands for every name below ``example.org``.
    """
    name = value.strip().lower().removesuffix(".")
    if not name:
        raise BadValueError("a host name is empty", "write host names with a comma between each two")
    if name == "*":
        raise BadValueError("a lone * is no host name", 'to catch every host set the label default_backend to "true"')
    wildcard, rest = ("*.", name[2:]) if name.startswith("*.") else ("", name)
    if "://" in rest or "/" in rest:
        raise BadValueError(f'"{shown(value)}" is a URL, not a host name', "leave out the scheme and the path")
    if rest.startswith("[") or rest.count(":") > 1:
        raise BadValueError(f'"{shown(value)}" is an IPv6 address, not a host name', "use a host name")
    if ":" in rest:
        raise BadValueError(f'"{shown(value)}" has a port', "leave it out: a host is served on every port of the edge")
    if "*" in rest:
        raise BadValueError(f'"{shown(value)}" has a * that is not a whole first label', "write *.example.org")
    if not rest.isascii() and len(rest) <= _MAX_HOST:
        try:
            rest = idna.encode(rest, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise BadValueError(f'"{shown(value)}" is no international host name: {error}') from error
    if len(rest) > _MAX_HOST or not _HOST.fullmatch(rest):
        raise BadValueError(
            f'"{shown(value)}" is no host name', "use letters, digits, hyphens and dots, such as example.org"
        )
    return wildcard + rest


def port(value: str) -> int:
    """Return a TCP port."""
    text = value.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT)) and 1 <= int(text) <= MAX_PORT):
        raise BadValueError(
            f"not a port: a whole number from 1 to {MAX_PORT}", "give the port that the container listens on"
        )
    return int(text)


def path(value: str) -> str:
    """Return a path prefix in whole segments, without a slash at its end unless it is ``/``."""
    # Requests come with these decoded, whatever the client wrote.
    text = _ENCODED.sub(lambda match: chr(int(match[1], 16)), value.strip())
    # Browsers and all who go by RFC 3986, 6.2.2.1, send the rest in capitals, and Envoy compares letter by letter.
    text = _ESCAPE.sub(lambda match: match[0].upper(), text)
    if not text.startswith("/"):
        raise BadValueError("a path begins with /", f"write /{shown(text)}")
    if "?" in text or "#" in text:
        raise BadValueError("a path has no query and no fragment", "leave out what follows the ? or #")
    if not _PATH.fullmatch(text):
        raise BadValueError("a character in it cannot stand in a path", "encode it as %XX")
    if "//" in text or any(segment in {".", ".."} for segment in text.split("/")):
        raise BadValueError("requests are normalised, so a path with //, . or .. never matches", "write it normalised")
    return text.rstrip("/") or "/"


def boolean(value: str) -> bool:
    """Return a boolean in any of the spellings that Interlock took (Go's ``strconv.ParseBool``)."""
    text = value.strip()
    if text in {"1", "t", "T", "true", "TRUE", "True"}:
        return True
    if text in {"0", "f", "F", "false", "FALSE", "False"}:
        return False
    raise BadValueError("neither true nor false", 'write "true" or "false"')


def name(value: str) -> str:
    """Return the name of a network or a fleet."""
    text = value.strip()
    if not _NAME.fullmatch(text):
        raise BadValueError(
            "not a name", "use letters, digits, underscores, dots and hyphens, beginning with a letter or digit"
        )
    return text


def secret(value: str) -> str:
    """Return the name of a Docker secret, or a file's path below the directory of certificates."""
    text = value.strip()
    if not _SECRET.fullmatch(text):
        raise BadValueError(
            "not the name of a Docker secret or of a file",
            "use letters, digits, underscores, dots and hyphens, with / between folder and file",
        )
    return text


def tls_version(value: str) -> TlsVersion:
    """Return a TLS version: ``1.2``, ``TLSv1.2``, ``TLS1.2``."""
    text = value.strip().lower().removeprefix("tls").removeprefix("v")
    if text in {"1.0", "1.1", "1"}:
        raise BadValueError("older than TLS 1.2, which no host goes below (RFC 8996)", "write 1.2 or 1.3")
    try:
        return TlsVersion(text)
    except ValueError:
        raise BadValueError("not a version of TLS", "write 1.2 or 1.3") from None


def hsts(value: str) -> str:
    """Return the value of ``Strict-Transport-Security`` (RFC 6797); empty for no header."""
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= 10:  # noqa: PLR2004 - three centuries of seconds
        return f"max-age={text}"
    if _HSTS.fullmatch(text):
        return text
    try:
        return f"max-age={_YEAR}" if boolean(text) else ""
    except BadValueError:
        cure = "write true, a number of seconds, or max-age=31536000; includeSubDomains"
        raise BadValueError("not a value of Strict-Transport-Security", cure) from None


def cookie(value: str) -> str:
    """Return the name of a cookie (RFC 6265: a token)."""
    text = value.strip()
    if not _TOKEN.fullmatch(text):
        raise BadValueError("not the name of a cookie", "use letters, digits, hyphens and underscores")
    return text


def count(value: str) -> int:
    """Return a small whole number."""
    text = value.strip()
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= 1_000_000 and len(text) <= 7):  # noqa: PLR2004
        raise BadValueError("not a whole number from 0 to 1000000", "write digits only")
    return int(text)


def duration(value: str) -> int:
    """Return a duration in milliseconds: ``10s``, ``1m30s``, ``500ms``, or plain seconds (``10``)."""
    text = value.strip().replace(" ", "")
    if text.isascii() and text.isdigit():
        text += "s"
    parts = _DURATION.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise BadValueError("not a duration", "write a number and ms, s, m or h, such as 10s or 1m30s")
    milliseconds = round(sum(float(number) * _MILLISECONDS[unit] for number, unit in parts))
    if not 1 <= milliseconds <= _MAX_DURATION:
        raise BadValueError("a duration is longer than nothing and at most 24h")
    return milliseconds


def choice(options: type[E]) -> Callable[[str], E]:
    """Return a parser for the values of an enumeration."""

    def parse(value: str) -> E:
        try:
            return options(value.strip().lower())
        except ValueError:
            raise BadValueError(f"not one of {', '.join(options)}") from None

    return parse


def text(value: str) -> str:
    """Return any text as it is."""
    return value


def redirect_pair(value: str) -> Redirect:
    """Return the redirect of ``<source-url>,<target-url>``."""
    urls = [url.strip() for url in value.split(",")]
    if len(urls) != 2 or not all(urls):  # noqa: PLR2004
        raise BadValueError(
            f'"{shown(value.strip())}" is not a source and a target',
            "write http://old.example.org,http://new.example.org",
        )
    return redirect(urls[0], urls[1])


def redirect(source_url: str, target_url: str) -> Redirect:
    """Return the redirect from one URL to another."""
    source, target = _url(source_url, scheme_needed=False), _url(target_url, scheme_needed=True)
    source_host, target_host = host(source.hostname or ""), _target_host(target)
    source_path, target_path = _url_path(source) or "/", _url_path(target)
    same_scheme = source.scheme in {"", target.scheme}
    if (
        same_scheme
        and target.port is None
        and source_host == target_host
        and _within(target_path or source_path, source_path)
    ):
        raise BadValueError(
            f'"{shown(source_url)}" would be redirected to itself', "redirect to another host, path or scheme"
        )
    if target.query or target.fragment or source.query or source.fragment:
        raise BadValueError(
            "a redirect's URLs have no query and no fragment", "the request's own query is kept as it is"
        )
    return Redirect(
        scheme=source.scheme,
        host=source_host,
        path=source_path,
        target_scheme=target.scheme,
        target_host=target_host,
        target_port=target.port or 0,
        target_path="" if target_path == source_path else target_path,
    )


def _target_host(target: SplitResult) -> str:
    name = host(target.hostname or "")
    if name.startswith("*."):
        raise BadValueError(f'the target "{shown(target.geturl())}" has a wildcard', "name one host to redirect to")
    return name


def _url_path(url: SplitResult) -> str:
    try:
        return path(url.path) if url.path else ""
    except BadValueError as error:
        raise BadValueError(f'the path of "{shown(url.geturl())}": {error}', error.cure) from error


def _url(value: str, *, scheme_needed: bool) -> SplitResult:
    text = value if "://" in value or scheme_needed else f"//{value}"
    try:
        url = urlsplit(text)
        out_of_range = url.port is not None and not 1 <= url.port <= MAX_PORT
    except ValueError as error:
        raise BadValueError(f'"{shown(value)}" is no URL: {error}') from error
    if url.scheme not in ({"http", "https"} if scheme_needed else {"", "http", "https"}) or not url.hostname:
        raise BadValueError(f'"{shown(value)}" is no URL of http or https', "write http://host or https://host")
    if out_of_range or url.username is not None:
        raise BadValueError(f'"{shown(value)}" has a bad port or a user name', "write http://host or https://host")
    return url


def _within(target: str, source: str) -> bool:
    return source in {"/", target} or target.startswith(f"{source}/")


def unique(values: Iterable[H]) -> tuple[H, ...]:
    """Return each value once, in the order of first appearance."""
    return tuple(dict.fromkeys(values))
