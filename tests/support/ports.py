"""Free TCP ports."""

import itertools
import os
import random
import socket

# Below the ports that Linux gives to clients and for port 0 (net.ipv4.ip_local_port_range): no connection takes one of
# these in between. Each process of a run has its own, and another run begins somewhere else.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = range(20_000 + _WORKER, 32_768, _WORKERS)
_NEXT = itertools.count(random.randrange(len(_PORTS)))


def free_port() -> int:
    """Return a TCP port that nobody on this machine listens on now, and that this process has not been given before."""
    for number in itertools.islice(_NEXT, len(_PORTS)):
        port = _PORTS[number % len(_PORTS)]
        with socket.socket() as probe:
            try:
                probe.bind(("0.0.0.0", port))  # noqa: S104 - free on every address
            except OSError:
                continue
        return port
    raise OSError("no port is free")
