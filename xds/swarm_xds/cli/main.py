"""The commands by name, each in a module that is read when it is called: all together take a second to import."""

import os
import sys
from importlib import import_module

import typer

_ASK = "Ask a running control plane"
#: Where each command is; in this order they are listed.
_MODULES = {
    "serve": "serve",
    "translate": "translate",
    "demo": "demo",
    "labels": "labels",
    "networks": "networks",
    "uninstall": "uninstall",
    "export": "export",
    "bootstrap": "bootstrap",
    "validate": "validate",
    "migrate": "migrate",
    "reference": "reference",
    "plan": "plan",
    **dict.fromkeys(
        ("routes", "services", "problems", "nodes", "explain", "diff", "certs", "watch", "snapshot"), "ask.commands"
    ),
}
_GROUPS = {"pki": "pki", "context": "ask.contexts"}
_ASKING = frozenset(
    {
        *("plan", "context", "networks"),
        *(name for name, module in _MODULES.items() if module == "ask.commands"),
    }
)
_HIDDEN = frozenset({"reference"})


def application(name: str = "") -> typer.Typer:
    """Return the program with one of its commands, or with all of them where there is none of this name."""
    app = typer.Typer(
        name="swarm-xds",
        no_args_is_help=True,
        add_completion=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
    )
    # With a callback a program of one command has still a name before it.
    app.callback(help="L7 router for Docker Swarm: service labels become live Envoy configuration.")(lambda: None)
    everything = name not in {*_MODULES, *_GROUPS}
    for command, path in _MODULES.items():
        if everything or command == name:
            module = import_module(f"swarm_xds.cli.{path}")
            examples = getattr(module, "EXAMPLES", None)
            app.command(
                command,
                epilog=f"Examples:\n\n{examples[command]}" if isinstance(examples, dict) else examples,
                rich_help_panel=_ASK if command in _ASKING else None,
                hidden=command in _HIDDEN,
            )(getattr(module, command))
    for group, path in _GROUPS.items():
        if everything or group == name:
            app.add_typer(
                import_module(f"swarm_xds.cli.{path}").app,
                name=group,
                rich_help_panel=_ASK if group in _ASKING else None,
            )
    return app


def run() -> None:
    """Run the command that the process was called with."""
    name = sys.argv[1] if len(sys.argv) > 1 else ""
    if name in _ASKING:
        # Else gRPC tells people, in its own words, what they are told here. It reads this when it is imported.
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    application(name)()
