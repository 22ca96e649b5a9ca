"""The commands by name."""

import typer

from swarm_xds.cli import (
    bootstrap,
    demo,
    export,
    labels,
    migrate,
    networks,
    pki,
    plan,
    reference,
    serve,
    translate,
    uninstall,
    validate,
)
from swarm_xds.cli.ask import commands, contexts

_ASK = "Ask a running control plane"

app = typer.Typer(
    name="swarm-xds",
    help="L7 router for Docker Swarm: service labels become live Envoy configuration.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.command("serve", epilog=serve.EXAMPLES)(serve.serve)
app.command("translate", epilog=translate.EXAMPLES)(translate.translate)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.command("labels", epilog=labels.EXAMPLES)(labels.labels)
app.command("networks", epilog=networks.EXAMPLES)(networks.networks)
app.command("uninstall", epilog=uninstall.EXAMPLES)(uninstall.uninstall)
app.add_typer(pki.app)
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("bootstrap", epilog=bootstrap.EXAMPLES)(bootstrap.bootstrap)
app.command("validate", epilog=validate.EXAMPLES)(validate.validate)
app.command("migrate", epilog=migrate.EXAMPLES)(migrate.migrate)
app.command("reference", hidden=True)(reference.reference)
app.command("plan", epilog=plan.EXAMPLES, rich_help_panel=_ASK)(plan.plan)
for command, examples in commands.COMMANDS.items():
    app.command(epilog=f"Examples:\n\n{examples}", rich_help_panel=_ASK)(command)
app.add_typer(contexts.app, name="context", rich_help_panel=_ASK)


def run() -> None:
    """Run the command that the process was called with."""
    app()
