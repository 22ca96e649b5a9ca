"""Free TCP ports."""

import socket


def free_port() -> int:
    """Return a TCP port that nobody on this machine listens on now."""
    with socket.socket() as probe:
        probe.bind(("0.0.0.0", 0))  # noqa: S104 - free on every address
        return int(probe.getsockname()[1])
