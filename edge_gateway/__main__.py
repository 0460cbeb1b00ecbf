"""`python -m edge_gateway serve`."""

from __future__ import annotations

from functools import partial

import typer

from edge_gateway.app import SERVICE, serve
from edge_gateway.settings import EdgeSettings
from servicekit import runner, telemetry

cli = typer.Typer(add_completion=False, no_args_is_help=True, help="REST and WebSocket for browsers.")


@cli.callback()
def edge() -> None:
    """REST and WebSocket for browsers."""


@cli.command(name="serve")
def serve_command() -> None:
    """Serve until SIGTERM."""
    settings = EdgeSettings.from_environment()
    telemetry.setup(SERVICE, settings)
    runner.run(partial(serve, settings))


if __name__ == "__main__":
    cli()
