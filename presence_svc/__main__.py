"""`python -m presence_svc serve | migrate`."""

from __future__ import annotations

from functools import partial

import typer

from presence_svc.app import SERVICE, migrate, serve
from presence_svc.settings import PresenceSettings
from servicekit import runner, telemetry

cli = typer.Typer(add_completion=False, no_args_is_help=True, help="Who is here, and who is typing.")


@cli.command(name="serve")
def serve_command() -> None:
    """Run the API and the sweeper until SIGTERM."""
    settings = PresenceSettings.from_environment()
    telemetry.setup(SERVICE, settings)
    runner.run(partial(serve, settings))


@cli.command(name="migrate")
def migrate_command() -> None:
    """Bring the schema up to date."""
    settings = PresenceSettings.from_environment()
    telemetry.setup(SERVICE, settings)
    for name in runner.run_once(migrate(settings)):
        typer.echo(f"{SERVICE}: {name}")


if __name__ == "__main__":
    cli()
