"""Lines that native libraries write to standard error, taken one by one while all else passes as it is.

In: what is written to file descriptor 2. Out: each whole line to ``take``; what that does not want goes on to where
standard error was, byte for byte. Python itself keeps the old way: ``sys.stderr`` and ``faulthandler`` go there
directly, so that no traceback depends on anything here (docs/adr/053). It must not know what lines mean.
"""

import faulthandler
import fcntl
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_STDERR = 2
#: Bytes that may wait in the pipe. More is lost rather than waited for: who writes may hold what the reader needs.
_PIPE = 1024 * 1024
#: Bytes of a line; what is longer passes.
_MAX_LINE = 16 * 1024
#: How a line may begin that is worth waiting for its end.
_BEGINS = re.compile(rb"[DIWEF]([0-9]|$)")
#: Seconds for what is left to be read at the end.
_REST = 2.0


@contextmanager
def lines(take: Callable[[str], bool]) -> Iterator[None]:
    """Have ``take`` called with each line, on a thread of its own; False lets the line pass.

    Only for a process that is the control plane and nothing else; without a standard error nothing is done.
    """
    try:
        original = os.dup(_STDERR)
    except OSError:
        yield
        return
    reading, writing = os.pipe()
    with suppress(OSError, AttributeError):  # more than this user may have, or no Linux
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE)
    os.set_blocking(writing, False)
    before, told = sys.stderr, faulthandler.is_enabled()
    if before is not None:
        before.flush()
    encoding = before.encoding if before is not None else "utf-8"
    sys.stderr = os.fdopen(original, "w", 1, encoding, errors="backslashreplace", closefd=False)
    faulthandler.enable(original)
    os.dup2(writing, _STDERR)
    os.close(writing)
    thread = threading.Thread(target=_read, args=(reading, original, take), name="native-lines", daemon=True)
    thread.start()
    try:
        yield
    finally:
        # The pipe's only writer is gone with this, unless a process that we have started has it too.
        os.dup2(original, _STDERR)
        thread.join(_REST)
        sys.stderr = before
        if told:
            faulthandler.enable(_STDERR)
        else:
            faulthandler.disable()


def _read(reading: int, original: int, take: Callable[[str], bool]) -> None:
    rest = b""
    while chunk := os.read(reading, _MAX_LINE):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            if not _taken(line, take):
                _pass(original, line + b"\n")
        if len(rest) > _MAX_LINE or not _BEGINS.match(rest):
            _pass(original, rest)
            rest = b""
    _pass(original, rest)
    os.close(reading)


def _taken(line: bytes, take: Callable[[str], bool]) -> bool:
    if not _BEGINS.match(line):
        return False
    try:
        return take(line.decode("utf-8", "replace"))
    except (OSError, ValueError):  # standard error itself is gone
        return True


def _pass(original: int, content: bytes) -> None:
    with suppress(OSError):
        while content:
            content = content[os.write(original, content) :]
