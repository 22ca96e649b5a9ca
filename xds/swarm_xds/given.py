"""Where settings are given: on the command line, in the environment, in a file. It knows no setting.

In: those three. Out: the values by the settings' names, and where each stands.
"""

import difflib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import yaml

PREFIX = "SWARM_XDS_"
#: Begins the variables of the commands that ask a control plane; they may stand in the same environment.
CLIENT_PREFIX = f"{PREFIX}ASK_"


class SettingsError(ValueError):
    """A setting that is unknown or bad; the message has one line for each."""


def gather(
    given: Mapping[str, Any], environ: Mapping[str, str], file: Path | None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the values, and in the words of an error where each stands: the command line goes before the others.

    Raises:
        SettingsError: The file cannot be read.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, value in _from_file(file).items():
        values[name], origins[name] = value, f"{file}: {name}"
    for variable, value in sorted(environ.items()):
        if variable.startswith(PREFIX) and not variable.startswith(CLIENT_PREFIX):
            name = variable.removeprefix(PREFIX).lower()
            values[name], origins[name] = value, f"environment variable {variable}"
    for name, value in given.items():
        values[name], origins[name] = value, f"--{name.replace('_', '-')}"
    return values, origins


def _from_file(file: Path | None) -> Mapping[str, Any]:
    if file is None:
        return {}
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{file}: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError(f"{file}: not a mapping of settings")
    return content


def unknown(name: str, known: Collection[str]) -> str:
    """Return what is wrong with the name of a setting that is none."""
    near = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    return f"there is no such setting; did you mean {near[0]}?" if near else "there is no such setting"
