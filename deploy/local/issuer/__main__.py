"""Serve the development issuer: `python -m deploy.local.issuer`."""

import sys

from aiohttp import web
from pydantic import ValidationError

from deploy.local.issuer.app import make_app
from deploy.local.issuer.keys import SigningKey
from deploy.local.issuer.settings import IssuerSettings


def main() -> None:
    """Serve until SIGINT or SIGTERM."""
    try:
        settings = IssuerSettings()
    except ValidationError as error:
        sys.exit("issuer: " + "; ".join(_sentence(each["loc"], each["msg"]) for each in error.errors()))
    app = make_app(settings, SigningKey.load_or_make(settings.keys_dir))
    web.run_app(app, host=settings.host, port=settings.port, print=None, access_log=None)


def _sentence(where: tuple[int | str, ...], what: str) -> str:
    """What is wrong with which variable; a rule about several names them itself."""
    return f"ISSUER_{str(where[0]).upper()}: {what}" if where else what


if __name__ == "__main__":
    main()
