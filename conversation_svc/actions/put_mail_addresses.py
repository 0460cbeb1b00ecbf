"""Records where people get mail."""

from __future__ import annotations

from collections.abc import Mapping

from conversation_svc.actions.deps import Deps
from conversation_svc.domain.mail import mail_address
from conversation_svc.store import reminders


async def put_mail_addresses(deps: Deps, addresses: Mapping[str, str | None]) -> None:
    """Records addresses by person; what is none is left out, and who is told without keeps theirs."""
    good = {user_id: address for user_id, text in addresses.items() if (address := mail_address(text))}
    if good:
        await reminders.put_mail_addresses(deps.pool, good, deps.clock.now())
