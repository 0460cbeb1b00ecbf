"""The named queries, and their rows as domain types."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import asyncpg

from conversation_svc.domain import Context, Conversation, Kind, Participant, Profile, Role, Side, State
from servicekit.db import Queries

_CONTEXT_FIELDS = frozenset(field.name for field in fields(Context))
# Looked up: to call an enumeration costs five times as much, and a page of the inbox does it 300 times.
_KINDS = {each.value: each for each in Kind}
_STATES = {each.value: each for each in State}
_SIDES = {each.value: each for each in Side}
_ROLES = {each.value: each for each in Role}
q = Queries.load(Path(__file__).with_name("queries.sql"))


def conversation_of(row: asyncpg.Record) -> Conversation:
    context: dict[str, Any] | None = row["context"]
    return Conversation(
        id=row["id"],
        kind=_KINDS[row["kind"]],
        state=_STATES[row["state"]],
        initiator_id=row["initiator_id"],
        recipient_id=row["recipient_id"],
        job_id=row["job_id"],
        context=_context_of(context) if context else None,
        gate_version=row["gate_version"],
        gate_pushed=row["gate_pushed"],
        opened=row["opened"],
        gate_applied=row["gate_applied"],
        declined_at=row["declined_at"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
    )


def _context_of(content: dict[str, Any]) -> Context:
    """What we know of it: a later release, at work beside this one, may write more."""
    return Context(**{name: value for name, value in content.items() if name in _CONTEXT_FIELDS})


def participant_of(row: asyncpg.Record) -> Participant:
    return Participant(
        user=profile_of(row),
        side=_SIDES[row["side"]],
        joined_at=row["joined_at"],
        left_at=row["left_at"],
        version=row["version"],
        updated_at=row["updated_at"],
        hides_receipts=row["hides_receipts"],
    )


def profile_of(row: asyncpg.Record) -> Profile:
    if row["role"] is None:
        return Profile(row["user_id"])
    return Profile(
        user_id=row["user_id"],
        display_name=row["display_name"],
        avatar_url=row["avatar_url"],
        role=_ROLES[row["role"]],
        org_id=row["org_id"],
        org_name=row["org_name"],
        org_verified=row["org_verified"],
    )
