"""The commands by name."""

import typer

from swarm_xds.cli import bootstrap, demo, export, labels, networks, serve, translate, uninstall

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
app.command("export", epilog=export.EXAMPLES)(export.export)
app.command("bootstrap", epilog=bootstrap.EXAMPLES)(bootstrap.bootstrap)


def run() -> None:
    """Run the command that the process was called with."""
    app()
