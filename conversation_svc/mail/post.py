"""Mail leaves through an SMTP server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from typing import Self
from urllib.parse import unquote, urlsplit

import aiosmtplib

MOST_SECONDS = 90.0
"""For one mail, however slowly the server answers; hanging up may take one answer more."""
_FOR_GOOD = 500
_SEVEN_BIT = SMTP.clone(cte_type="7bit")  # every server takes it


@dataclass
class NotSent(Exception):  # noqa: N818 - a state of the mail, said as one
    """It has certainly not gone out; try again."""

    cause: str


@dataclass
class RefusedForGood(Exception):  # noqa: N818 - as above
    """The server will never take this mail or this recipient."""

    cause: str


@dataclass
class EndUnknown(Exception):  # noqa: N818 - as above
    """Its content was on the way when the connection ended: it may have been taken or not."""

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
        parts.hostname.encode("idna")  # as the resolver will have it: a UnicodeError is a ValueError
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
        """Returns once the server has taken it. Raises NotSent, RefusedForGood or EndUnknown."""
        (sender,), (recipient,) = letter["From"].addresses, letter["To"].addresses
        content = letter.as_bytes(policy=_SEVEN_BIT)
        underway = taken = False
        try:
            async with asyncio.timeout(MOST_SECONDS), self._client() as smtp:
                await smtp.mail(sender.addr_spec)
                await smtp.rcpt(recipient.addr_spec)
                underway = True
                await smtp.data(content)
                taken = True
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _refusal("recipient", error.code) from None
        except aiosmtplib.SMTPDataError as error:
            raise _refusal("content", error.code) from None
        except aiosmtplib.SMTPResponseException as error:
            # Greeting, login, sender: not this mail's fault, whatever the code.
            raise NotSent(f"{type(error).__name__} {error.code}") from None
        except (aiosmtplib.SMTPException, OSError) as error:
            if not taken:  # else only the farewell failed
                cause = type(error).__name__
                raise (EndUnknown(cause) if underway else NotSent(cause)) from None

    def _client(self) -> aiosmtplib.SMTP:
        server = self._server
        return aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            use_tls=server.tls,
            timeout=self._timeout_s,
        )


def _refusal(what: str, code: int) -> NotSent | RefusedForGood:
    cause = f"{what} {code}"
    return RefusedForGood(cause) if code >= _FOR_GOOD else NotSent(cause)
