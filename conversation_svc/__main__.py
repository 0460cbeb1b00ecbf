"""`python -m conversation_svc serve | worker | migrate`."""

from __future__ import annotations

from functools import partial

import typer

from conversation_svc.app import SERVICE, migrate, serve
from conversation_svc.settings import ConversationSettings
from conversation_svc.worker import work
from servicekit import runner, telemetry

cli = typer.Typer(
    add_completion=False, no_args_is_help=True, help="Who may talk to whom, about what: requests and blocks."
)


@cli.command(name="serve")
def serve_command() -> None:
    """Run the API, the outbox relay, the push sweeper and the reconciler until SIGTERM."""
    settings = ConversationSettings.from_environment()
    telemetry.setup(SERVICE, settings)
    runner.run(partial(serve, settings))


@cli.command(name="worker")
def worker_command() -> None:
    """Run the consumers and the mail about unread messages until SIGTERM."""
    settings = ConversationSettings.from_environment()
    telemetry.setup(SERVICE, settings)
    runner.run(partial(work, settings))


@cli.command(name="migrate")
def migrate_command() -> None:
    """Bring the schema up to date."""
    settings = ConversationSettings.from_environment()
    telemetry.setup(SERVICE, settings)
    for name in runner.run_once(migrate(settings)):
        typer.echo(f"{SERVICE}: {name}")


if __name__ == "__main__":
    cli()
