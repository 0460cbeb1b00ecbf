"""Starting a conversation: who may with whom, and what a pair's earlier ones say about it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from conversation_svc.domain.types import Context, Conversation, Profile, Refusal, Role, State

_ADDRESS = re.compile(
    r"(?P<scheme>https?)://(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?#](?:(?!\\)[!-~])*)?",
    re.ASCII | re.IGNORECASE,
)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Rules:
    """What an operator may set."""

    request_ttl: timedelta
    """How long a request may wait."""
    denied_starts: frozenset[tuple[Role, Role]]
    """(who may not start, with whom)."""
    context_origins: frozenset[str]
    """Origins, as `origin_of` gives them, from which a context's logo and link may come."""


@dataclass(frozen=True, slots=True)
class Existing:
    """The pair has one: the message goes there, under its rules."""

    conversation: Conversation


@dataclass(frozen=True, slots=True)
class TryAgain:
    """One's own that was committed but never opened: open it now."""

    conversation: Conversation


@dataclass(frozen=True, slots=True)
class Join:
    """The other side's that is not open yet: both want to talk, so the message is a reply and accepts."""

    conversation: Conversation


@dataclass(frozen=True, slots=True)
class StartNew:
    """There is none: make one in this state."""

    state: State


Start = Existing | TryAgain | Join | StartNew | Refusal


def decide_start(
    actor: Profile,
    recipient: Profile | None,
    job_id: str,
    *,
    of_pair: Sequence[Conversation],
    blocked: bool,
    connected: bool,
    now: datetime,
    rules: Rules,
) -> Start:
    """What becomes of `actor` writing to `recipient` about a job.

    `of_pair` are all conversations of the two; `blocked` is true for a block either way; `recipient` is None
    when nobody of that name was ever met. The order matters: what a pending request answers comes before
    anything that would tell whether its recipient declined or blocked.
    """
    for_job = next((each for each in of_pair if each.job_id == job_id), None)
    if for_job is not None and for_job.opened:
        return Existing(for_job)
    if recipient is None or recipient.role is None:
        return Refusal.UNDELIVERABLE
    if (actor.role, recipient.role) in rules.denied_starts:
        return Refusal.FORBIDDEN
    for each in of_pair:
        if each.initiator_id == actor.user_id or now >= each.expires_at:
            continue
        if each.opened and each.state is State.REQUEST:
            return Existing(each)
        # Active but not open, between people not connected: joined before, by a call that then failed.
        if not each.opened and not blocked and (each.state is State.REQUEST or not connected):
            return Join(each)
    for each in of_pair:
        if each is not for_job and _waits_for_answer(each, actor.user_id) and now < each.expires_at:
            return Refusal.REQUEST_PENDING
    if blocked or any(_cools_down(each, actor.user_id, now) for each in of_pair):
        return Refusal.UNDELIVERABLE
    if for_job is not None:
        return TryAgain(for_job) if for_job.initiator_id == actor.user_id else Join(for_job)
    return StartNew(State.ACTIVE if connected else State.REQUEST)


def _waits_for_answer(conversation: Conversation, user_id: str) -> bool:
    """To its initiator, who is not told of a decline."""
    return conversation.initiator_id == user_id and conversation.state in (State.REQUEST, State.DECLINED)


def _cools_down(conversation: Conversation, user_id: str, now: datetime) -> bool:
    """Whether that person's request was declined, and withdrawn since, and its time is not over."""
    return (
        conversation.initiator_id == user_id
        and conversation.declined_at is not None
        and now < conversation.expires_at
    )


def check_context(context: Context, rules: Rules) -> list[tuple[str, str]]:
    """(field, what is wrong with it) for each field at fault; names as in `Context`."""
    faults: list[tuple[str, str]] = []
    for field, value in (("company_logo_url", context.company_logo_url), ("url", context.url)):
        if value and origin_of(value) not in rules.context_origins:
            faults.append((field, "Its origin is not on the list of allowed ones."))
    return faults


def with_company(context: Context, initiator: Profile) -> Context:
    """The context as it is shown: the company is the initiator's own, by their token, if they act for one."""
    acts_for_one = initiator.role in (Role.RECRUITER, Role.COMPANY)
    return replace(context, company_name=initiator.org_name if acts_for_one else "")


def origin_of(url: str) -> str | None:
    """`scheme://host[:port]` of an http or https address: lower case, without the scheme's own port.

    None for all that browsers might read otherwise than we do: user names, backslashes, spaces and control
    characters, hosts beyond ASCII (their punycode is fine) or with escapes, fewer or more slashes.
    """
    found = _ADDRESS.fullmatch(url)
    if found is None:
        return None
    scheme, host, port = found["scheme"].lower(), found["host"].lower(), found["port"]
    if port is None or int(port) == _PORTS[scheme]:
        return f"{scheme}://{host}"
    return f"{scheme}://{host}:{int(port)}"
