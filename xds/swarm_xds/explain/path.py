"""A path as edges take it, before they look for its route. Pure.

It is what Envoy 1.40 does with the options ``normalize_path``, ``merge_slashes`` and ``UNESCAPE_AND_REDIRECT``
(``KEEP_UNCHANGED`` with ``keep_escaped_slashes``) of ``translate/connection_manager.py``; a test asks a real one the
same. See RFC 3986, 5.2.4 and 6.2.2.
"""

import re

_UNRESERVED = re.compile(r"%(2[dDeE]|3\d|4[1-9a-fA-F]|5[0-9aA]|5[fF]|6[1-9a-fA-F]|7[0-9aA]|7[eE])")
_ESCAPED_SLASH = re.compile("%2f|%5c", re.IGNORECASE)
_SLASHES = re.compile("/{2,}")


def has_escaped_slash(path: str) -> bool:
    """Tell whether a path has a slash in it as ``%2F`` or ``%5C``.

    It is redirected to the one with real ones, unless edges keep them.
    """
    return bool(_ESCAPED_SLASH.search(path))


def normalized(path: str, *, keep_escaped_slashes: bool) -> str:
    """Return a path without dot segments, slashes one after the other, and letters written as percents.

    Slashes that are kept as ``%2F`` and ``%5C`` stay as they are, and end no segment.
    """
    slashed = path if keep_escaped_slashes else _ESCAPED_SLASH.sub("/", path)
    plain = _UNRESERVED.sub(lambda found: chr(int(found[1], 16)), slashed.replace("\\", "/"))
    kept: list[str] = []
    segments = plain.split("/")[1:]
    for segment in segments:
        if segment == "..":
            kept = kept[:-1]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in {".", ".."}:
        kept.append("")
    return _SLASHES.sub("/", f"/{'/'.join(kept)}")
