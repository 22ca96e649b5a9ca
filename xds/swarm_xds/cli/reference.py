"""``swarm-xds reference``: the pages of the documentation that are printed from the tables in the code."""

from pathlib import Path
from typing import Annotated

import typer

from swarm_xds.cli import labels
from swarm_xds.cli.output import failed
from swarm_xds.given import PREFIX
from swarm_xds.metrics import TABLE
from swarm_xds.problem import Kind
from swarm_xds.settings import Settings

_PRINTED = "<!-- Printed by `swarm-xds reference`; a test keeps it in step with the code. -->"

#: What each kind of problem is, what comes of it, and what to do.
KINDS: dict[Kind, tuple[str, str]] = {
    Kind.UNKNOWN_KEY: ("A label with one of our prefixes that there is not.", "Write the label that it suggests."),
    Kind.BAD_VALUE: (
        "A label's value cannot be read. The route keeps its last accepted form, if it had one.",
        "Give a value of the kind that the reason names.",
    ),
    Kind.MISSING_KEY: ("A route lacks a label that it needs, such as its port.", "Add the label."),
    Kind.DUPLICATE: ("Something is said twice; the reason says which holds.", "Keep one of the two."),
    Kind.CONTRADICTION: ("Two labels cannot hold together; the reason says which wins.", "Keep one of the two."),
    Kind.NOT_YET_SERVED: (
        "The label is known and not served yet. If the route would do what nobody asked for, it is left out.",
        "Take the label away.",
    ),
    Kind.OLD_LABEL: ("A label of the HTTP routing mesh, which is still read.", "Write it as the cure has it."),
    Kind.MISPLACED_LABEL: (
        "A label stands where it has no effect: not on the service itself, or on a job.",
        "Move it to `deploy: labels:` of a service that goes on running.",
    ),
    Kind.CONFLICT: (
        "Several services claim one host and path and cannot share it, or `validate` says that they do share it.",
        "Give all the same labels, or take one claim away; the oldest service's holds.",
    ),
    Kind.UNKNOWN_NETWORK: ("The named network is none of the service's.", "Name one of its networks."),
    Kind.AMBIGUOUS_NETWORK: (
        "No network, or several and none named: it is never guessed.",
        "Name one in the label `network`.",
    ),
    Kind.UNREACHABLE_NETWORK: (
        "The fleet does not stand on the network, and nothing passes connections on. Requests are answered 503.",
        "`swarm-xds explain` and `swarm-xds networks` say what is missing.",
    ),
    Kind.NO_VIRTUAL_IP: (
        "`backend_mode: vip` on a service without a virtual IP.",
        "Use endpoint mode vip, or take the label away.",
    ),
    Kind.NO_HOST_PORT: (
        "`network.via: host` on a port that is not published in host mode.",
        "Publish it with `mode: host`, or take the label away.",
    ),
    Kind.UNREAD: (
        "A Docker secret that a label names could not be read yet, or not any more.",
        "The reason says why. What was read before stays.",
    ),
    Kind.REJECTED: (
        "A proxy has rejected what the service's labels came to; the service goes back to what was accepted before.",
        "The reason has the proxy's own words. Mend the label that it names.",
    ),
    Kind.NO_CERTIFICATE: (
        "A host asks for TLS and no certificate that can be served covers it; TLS for it is refused.",
        "Name one in `ssl_cert`, put one into the directory of certificates, or have one ordered by ACME.",
    ),
    Kind.BAD_CERTIFICATE: (
        "A certificate, key or list of authorities cannot be served; what was good before stays.",
        "The reason names file and fault.",
    ),
    Kind.KEYS_WITHHELD: (
        "xDS is neither encrypted nor on loopback, so no private key goes out over it.",
        "Give the control plane certificates (`swarm-xds pki init`).",
    ),
    Kind.NETWORK_CAVEAT: ("It works, with something to know about the network.", "The reason says what."),
    Kind.ADDRESS_POOL: ("The swarm runs out of addresses for networks.", "Give it another address pool."),
    Kind.BAD_FILE: (
        "A file, or a service in it, cannot be read. Its last good content is served.",
        "Mend the file at the place that the reason names.",
    ),
    Kind.LAST_GOOD: (
        "A route is served in its last accepted form, since its labels have turned bad.",
        "Mend what the service's other problem names.",
    ),
    Kind.NOT_TRANSLATED: (
        "A defect of swarm-xds: the service, or everything, keeps its last good form.",
        "Report it with the service's labels.",
    ),
}


def reference(folder: Annotated[Path, typer.Argument(help="Where the pages are written.")]) -> None:
    """Write the pages of labels, settings, metrics and problems."""
    for name, text in pages().items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            failed(f"{folder / name}: {error.strerror}")


def pages() -> dict[str, str]:
    """Return each page by the name of its file."""
    return {
        "labels.md": labels.page(),
        "settings.md": _settings(),
        "metrics.md": _metrics(),
        "problems.md": _problems(),
    }


def _settings() -> str:
    lines = [
        _PRINTED,
        "",
        "# Settings",
        "",
        "Each is an option of `swarm-xds serve`, an environment variable and a key of the file given by `--config`;",
        "that is the order in which they count. Times are in milliseconds unless the name says otherwise.",
        "",
        "| key | option | environment variable | default | what it does |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, field in Settings.model_fields.items():
        default = ",".join(field.default) if isinstance(field.default, tuple) else str(field.default)
        option = "`FILE...`" if name == "files" else f"`--{name.replace('_', '-')}`"
        shown = f"`{default}`" if default else "none"
        lines.append(f"| `{name}` | {option} | `{PREFIX}{name.upper()}` | {shown} | {_cell(field.description or '')} |")
    return "\n".join(lines) + "\n"


def _metrics() -> str:
    lines = [
        _PRINTED,
        "",
        "# Metrics",
        "",
        "Prometheus reads them at `/metrics` on the address of `metrics_listen`. A histogram has `_bucket`, `_sum` and",
        "`_count`. Those of the process itself (`process_*`, `python_*`) come with Prometheus' client.",
        "",
        "| metric | form | labels | what it says |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{each.full_name}` | {each.form} | {', '.join(f'`{label}`' for label in each.labels)} | {_cell(each.doc)} |"
        for each in TABLE
    ]
    return "\n".join(lines) + "\n"


def _problems() -> str:
    lines = [
        _PRINTED,
        "",
        "# Problems",
        "",
        "A problem names service, label, value, reason and cure. `swarm-xds problems` lists those that there are; the",
        "log has each when it comes (`problem.found`) and when it goes (`problem.gone`). Its kind is one of these.",
        "",
        "| kind | what it is | what to do |",
        "| --- | --- | --- |",
    ]
    lines += [f"| `{kind}` | {_cell(cause)} | {_cell(cure)} |" for kind, (cause, cure) in KINDS.items()]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")
