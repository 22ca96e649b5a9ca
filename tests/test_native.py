"""Standard error with a reader in between: what is taken, what passes, and what must not depend on it.

In processes of their own: pytest has its hands on standard error, too.
"""

import signal
import subprocess
import sys
import textwrap

HEAD = """
import faulthandler, os, sys, time
from swarm_xds import native
taken = []
def take(line):
    taken.append(line)
    return line.startswith("I1")
"""


def run(body: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script."""
    script = HEAD + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30, check=False)


def test_lines_are_taken_and_all_else_passes() -> None:
    """Byte for byte: also what is no text, ends in no newline, comes in pieces, or is long."""
    done = run(
        r"""
        with native.lines(take):
            os.write(2, b"I1 taken\nplain\n\xff\xfe\nI2 not wanted\nI")
            os.write(2, b"1 in two pieces\n")
            os.write(2, b"Ending without")
        assert taken == ["I1 taken", "I2 not wanted", "I1 in two pieces"], taken
        os.write(2, b"\nI1 after the end\n")
        print(taken, flush=True)
        with native.lines(take):
            os.write(2, b"x" * 100_000 + b"\n")
        """
    )
    assert done.returncode == 0, done.stderr
    expected = b"plain\n\xff\xfe\nI2 not wanted\nEnding without\nI1 after the end\n" + b"x" * 100_000 + b"\n"
    assert done.stderr == expected


def test_a_traceback_does_not_depend_on_it() -> None:
    """Of an exception, also on a thread and where nobody can raise it; the reader is stuck meanwhile."""
    done = run(
        """
        import threading, weakref
        stuck = threading.Event()
        def take(line):
            stuck.wait()
        class Bad:
            def __del__(self):
                raise ValueError("unraisable")
        def fail():
            raise ValueError("on a thread")
        native._REST = 0.1
        with native.lines(take):
            os.write(2, b"I1 the reader hangs\\n")
            thread = threading.Thread(target=fail)
            thread.start()
            thread.join()
            Bad()
            raise ValueError("at last")
        """
    )
    text = done.stderr.decode()
    assert done.returncode == 1
    assert all(f"ValueError: {each}" in text for each in ("on a thread", "unraisable", "at last")), text
    assert text.count("Traceback (most recent call last)") == 3


def test_a_crash_shows_its_stack() -> None:
    """What faulthandler writes goes there directly."""
    done = run(
        """
        with native.lines(take):
            faulthandler._sigabrt()
        """
    )
    assert done.returncode == -signal.SIGABRT
    assert b"Fatal Python error: Aborted" in done.stderr
    assert b"most recent call first" in done.stderr


def test_nobody_waits_for_the_reader() -> None:
    """A flood is lost in part rather than that its writer hangs; what is said afterwards is read again."""
    done = run(
        """
        import threading
        go = threading.Event()
        def take(line):
            go.wait()
            taken.append(line)
            return True
        with native.lines(take):
            lost = 0
            for number in range(40_000):
                try:
                    os.write(2, b"I1 " + b"x" * 97 + b"\\n")
                except BlockingIOError:
                    lost += 1
            assert lost > 1_000, lost
            go.set()
        assert len(taken) > 1_000
        """
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_without_a_standard_error() -> None:
    """As a service manager may start it: nothing is done, and nothing fails."""
    done = run(
        """
        os.close(2)
        with native.lines(take):
            print("well")
        """
    )
    assert (done.returncode, done.stdout) == (0, b"well\n")


def test_everything_is_as_it_was_afterwards() -> None:
    """File descriptors, sys.stderr and faulthandler."""
    done = run(
        """
        before = (sys.stderr, os.fstat(2).st_ino, faulthandler.is_enabled())
        with native.lines(take):
            assert os.fstat(2).st_ino != before[1] and faulthandler.is_enabled()
        assert (sys.stderr, os.fstat(2).st_ino, faulthandler.is_enabled()) == before
        """
    )
    assert done.returncode == 0, done.stderr
