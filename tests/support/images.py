"""Images for the lab, made of what this machine has: no registry is asked.

- ``EDGE``: Envoy's binary, the libraries it needs, busybox as the shell, and the project's ``envoy/`` files where their
  Dockerfile puts them.
- ``CONTROL_PLANE``: the running Python, the packages that ``swarm-xds`` requires, and ``swarm-xds`` itself.
- ``APP``: the same files; its command is ``tests/lab/app.py``. ``APP_UNCHECKED`` has no health check.
"""

import hashlib
import io
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path, PurePosixPath

from support.lab import Lab, LabError

ROOT = Path(__file__).parent.parent.parent
CACHE = ROOT / ".cache" / "lab"
EDGE, CONTROL_PLANE, APP = "swarm-xds/edge:lab", "swarm-xds/control-plane:lab", "swarm-xds/app:lab"
APP_UNCHECKED = "swarm-xds/app-unchecked:lab"

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
LIBRARY = PurePosixPath("/usr/local/lib") / PYTHON
PACKAGES = LIBRARY / "site-packages"
PATH = "ENV PATH=/usr/local/bin:/usr/bin:/bin"
#: Parts of the standard library that a server does without.
UNUSED = {"test", "idlelib", "tkinter", "lib2to3", "ensurepip", "turtledemo", "pydoc_data", "distutils"}
UNUSED |= {"site-packages", "dist-packages", "venv", "unittest"}
UNUSED_FILES = re.compile(r"\.opt-\d\.pyc$|^config-|lib-dynload/(_tkinter|_test|_xxtest|_curses|_dbm|_gdbm)")
ACCOUNTS = {
    "/etc/passwd": b"root:x:0:0:root:/tmp:/bin/sh\nenvoy:x:101:101::/tmp:/bin/sh\n",
    "/etc/group": b"root:x:0:\nenvoy:x:101:\n",
}

Entries = dict[str, Path | bytes]


def edge_entries(envoy: Path) -> Entries:
    """Return the files of a fleet member's image by their place in it."""
    entries: Entries = {"/usr/local/bin/envoy": envoy, "/bin/busybox": _busybox(), **ACCOUNTS}
    entries["/etc/envoy/bootstrap.yaml"] = ROOT / "envoy" / "bootstrap.yaml"
    for script in (ROOT / "envoy").glob("*.sh"):
        entries[f"/usr/local/bin/{script.name}"] = script
    return entries


def python_entries() -> Entries:
    """Return the files of the control plane's image by their place in it."""
    interpreter = Path(sys._base_executable).resolve()  # type: ignore[attr-defined]  # not the venv's
    entries: Entries = {f"/usr/local/bin/{PYTHON}": interpreter, **ACCOUNTS}
    stdlib = Path(sysconfig.get_path("stdlib"))
    for path in _files(stdlib):
        relative = path.relative_to(stdlib)
        if relative.parts[0] not in UNUSED and not UNUSED_FILES.search(str(relative)):
            entries[str(LIBRARY / relative)] = path
    for name in sorted(_closure("swarm-xds") | {"websockets"}):
        entries |= _package(name)
    for path in _files(ROOT / "xds" / "swarm_xds"):
        if "__pycache__" not in path.parts:
            entries[str(PACKAGES / path.relative_to(ROOT / "xds"))] = path
    script = f"#!/usr/local/bin/{PYTHON}\nfrom swarm_xds.cli.main import run\nrun()\n"
    entries["/usr/local/bin/swarm-xds"] = script.encode()
    entries["/usr/local/bin/python3"] = f'#!/bin/sh\nexec {PYTHON} "$@"\n'.encode()
    entries["/bin/busybox"] = _busybox()
    entries["/lab/app.py"] = ROOT / "tests" / "lab" / "app.py"
    return entries


def libraries(entries: Entries) -> Entries:
    """Return the shared libraries that the entries' programs and libraries load, as ``ldd`` names them."""
    found: Entries = {}
    binaries = [
        str(source)
        for place, source in entries.items()
        if isinstance(source, Path) and (".so" in source.name or place.startswith("/usr/local/bin/"))
    ]
    printed = subprocess.run(["ldd", *binaries], capture_output=True, text=True, check=False).stdout
    for name, path in re.findall(r"^\s+(?:(\S+) => )?(/\S+) \(0x", printed, re.MULTILINE):
        # The loader stands where the binaries ask for it; everything else where any loader looks.
        found[f"/usr/lib/{name}" if name else path] = Path(path).resolve()
    return found


def import_all(lab: Lab, envoy: Path) -> None:
    """Put the three images on every node of the lab."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor() as pool:
        edge = pool.submit(_pack, "edge", edge_entries(envoy))
        python = pool.submit(_pack, "control-plane", python_entries())
        trees = edge.result(), python.result()
    lab.import_image(trees[0], EDGE, [PATH, "USER 101:101", 'ENTRYPOINT ["entrypoint.sh"]', "CMD []"])
    environment = f"ENV LD_LIBRARY_PATH=/usr/lib PYTHONHOME=/usr/local PYTHONPATH={PACKAGES} PYTHONUNBUFFERED=1"
    lab.import_image(trees[1], CONTROL_PLANE, [PATH, environment, 'ENTRYPOINT ["swarm-xds"]', 'CMD ["serve"]'])
    # Without a health check the swarm calls a task running, and stops its predecessor, before it listens.
    # Patient: what is slow on a busy machine is not ill.
    health = (
        "HEALTHCHECK --interval=1s --timeout=10s --retries=5 CMD wget -q -O /dev/null http://127.0.0.1:8080/healthz"
    )
    command = [f'ENTRYPOINT ["{PYTHON}", "-S", "/lab/app.py"]', "CMD []"]
    lab.derive_image(CONTROL_PLANE, APP, [*command, health])
    lab.derive_image(CONTROL_PLANE, APP_UNCHECKED, command)


def _busybox() -> Path:
    found = shutil.which("busybox")
    if found is None:
        raise LabError("busybox not found: install busybox-static")
    return Path(found)


def _closure(name: str) -> set[str]:
    """Return the distributions that one requires, and what they require, without extras; itself included."""
    found: set[str] = set()
    left = [name]
    while left:
        current = re.sub(r"[-_.]+", "-", left.pop()).lower()
        try:
            requires = distribution(current).requires or []
        except PackageNotFoundError:
            continue  # for another platform
        if current not in found:
            found.add(current)
            left += [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in requires if "extra ==" not in line]
    return found


def _package(name: str) -> Entries:
    """Return a distribution's files; of one installed in place (ours) only its metadata."""
    installed = distribution(name)
    editable = (installed.read_text("direct_url.json") or "").find('"editable": true') >= 0
    entries: Entries = {}
    for file in installed.files or ():
        parts = file.parts
        if ".." in parts or "tests" in parts or (editable and not parts[0].endswith(".dist-info")):
            continue
        path = Path(str(installed.locate_file(file)))
        if path.is_file():
            entries[str(PACKAGES / file)] = path
    return entries


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def _pack(name: str, entries: Entries) -> Path:
    """Write a tar file of the entries, or find the one that holds just them."""
    digest = hashlib.sha256()
    for place, source in sorted(entries.items()):
        stamp = source if isinstance(source, bytes) else repr(source.stat()[6:9:2]).encode()
        digest.update(b"%s %s\n" % (place.encode(), stamp))
    target = CACHE / f"{name}-{digest.hexdigest()[:16]}.tar"
    if target.exists():
        return target
    for old in CACHE.glob(f"{name}-*.tar"):
        old.unlink(missing_ok=True)
    partial = target.with_suffix(f".{os.getpid()}")
    with tarfile.open(partial, "w", format=tarfile.GNU_FORMAT) as archive:
        applets = subprocess.run([_busybox(), "--list"], capture_output=True, text=True, check=True).stdout.split()
        links = {f"bin/{applet}": "busybox" for applet in applets if applet != "busybox"}
        for link, aim in {**links, "lib": "usr/lib", "usr/bin/env": "/bin/busybox"}.items():
            entry = tarfile.TarInfo(link)
            entry.type, entry.linkname = tarfile.SYMTYPE, aim
            archive.addfile(entry)
        folders = {"tmp": 0o1777, "var/lib/swarm-xds": 0o777, "run": 0o755, "proc": 0o555, "sys": 0o555, "dev": 0o755}
        for folder, mode in folders.items():
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            archive.addfile(entry)
        for place, source in sorted((libraries(entries) | entries).items()):
            _add(archive, place, source)
    partial.rename(target)
    return target


def _add(archive: tarfile.TarFile, place: str, source: Path | bytes) -> None:
    entry = tarfile.TarInfo(place.lstrip("/"))
    executable = "/bin/" in place or (isinstance(source, Path) and os.access(source, os.X_OK))
    entry.mode = 0o755 if executable else 0o644
    if isinstance(source, bytes):
        entry.size = len(source)
        archive.addfile(entry, io.BytesIO(source))
        return
    # Compiled modules are taken for valid by the time of their source.
    entry.size, entry.mtime = source.stat().st_size, int(source.stat().st_mtime)
    with source.open("rb") as stream:
        archive.addfile(entry, stream)
