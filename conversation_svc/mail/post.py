"""Mail leaves through an SMTP server."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Self
from urllib.parse import unquote, urlsplit

import aiosmtplib

_FOR_GOOD = 500


@dataclass
class NotSent(Exception):  # noqa: N818 - a state of the mail, said as one
    """It has certainly not gone out; try again."""

    cause: str


@dataclass
class RefusedForGood(Exception):  # noqa: N818 - as above
    """The server will never take this mail or this recipient."""

    cause: str


@dataclass(frozen=True, slots=True)
class Server:
    """`smtp://[user:password@]host[:port]`, with STARTTLS where the server has it, or `smtps://…`."""

    host: str
    port: int
    user: str | None
    password: str | None
    tls: bool

    @classmethod
    def from_url(cls, url: str) -> Self:
        """ValueError when it is no such URL."""
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("must be smtp://host or smtps://host")
        tls = parts.scheme == "smtps"
        return cls(
            host=parts.hostname,
            port=parts.port or (465 if tls else 25),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=tls,
        )


class Post:
    """Sends one mail at a time, each on a connection of its own."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        self._server = Server.from_url(url)
        self._timeout_s = timeout_s

    async def send(self, letter: EmailMessage) -> None:
        """Returns once the server has taken it.

        Raises NotSent, RefusedForGood, or an OSError (a timeout, a lost connection) when it may have been
        taken or not.
        """
        server = self._server
        try:
            await aiosmtplib.send(
                letter,
                hostname=server.host,
                port=server.port,
                username=server.user,
                password=server.password,
                use_tls=server.tls,
                timeout=self._timeout_s,
            )
        except (aiosmtplib.SMTPConnectError, ssl.SSLError) as error:
            raise NotSent(type(error).__name__) from None
        except aiosmtplib.SMTPRecipientsRefused as error:
            refused = [one.code for one in error.recipients]
            raise _refusal("recipient", max(refused, default=0)) from None
        except aiosmtplib.SMTPDataError as error:
            raise _refusal("content", error.code) from None
        except aiosmtplib.SMTPResponseException as error:
            # Greeting, login, sender: not this mail's fault, whatever the code.
            raise NotSent(f"{type(error).__name__} {error.code}") from None
        except aiosmtplib.SMTPServerDisconnected as error:
            raise ConnectionError(type(error).__name__) from None
        except aiosmtplib.SMTPTimeoutError as error:
            raise TimeoutError(type(error).__name__) from None
        except aiosmtplib.SMTPException as error:
            raise NotSent(type(error).__name__) from None


def _refusal(what: str, code: int) -> NotSent | RefusedForGood:
    cause = f"{what} {code}"
    return RefusedForGood(cause) if code >= _FOR_GOOD else NotSent(cause)
