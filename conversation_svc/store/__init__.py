"""conversation_svc's tables, through named queries.

Order of locks, everywhere: a start's key, people's settings, the pair's advisory lock, conversation rows in
the order of their ids, owed events in the order of theirs. Nothing calls another service while it holds any.
"""

from conversation_svc.store.companies import list_acquainted, list_companies
from conversation_svc.store.conversations import (
    add_conversation,
    delete_start_key,
    get_pair,
    get_situations,
    get_start_key,
    put_start_key,
    save_situations,
    set_decline_reason,
    set_opening,
)
from conversation_svc.store.locks import (
    lock_conversations,
    lock_conversations_of,
    lock_expiring,
    lock_pair,
    lock_settings,
    lock_start_key,
    pair_key,
    share_settings,
)
from conversation_svc.store.people import (
    connect_people,
    delete_block,
    get_profiles,
    get_settings,
    is_blocked,
    is_connected,
    list_blocks,
    put_block,
    put_profiles,
    put_settings,
)
from conversation_svc.store.pushes import (
    add_owed_events,
    claim_owed_pushes,
    confirm_pushes,
    delete_unopened,
    list_gate_versions,
    list_unopened,
    lower_pushed,
    raise_gates,
    set_gates_applied,
    take_ripe_events,
)
from conversation_svc.store.rows import q

__all__ = [
    "add_conversation",
    "add_owed_events",
    "claim_owed_pushes",
    "confirm_pushes",
    "connect_people",
    "delete_block",
    "delete_start_key",
    "delete_unopened",
    "get_pair",
    "get_profiles",
    "get_settings",
    "get_situations",
    "get_start_key",
    "is_blocked",
    "is_connected",
    "list_acquainted",
    "list_blocks",
    "list_companies",
    "list_gate_versions",
    "list_unopened",
    "lock_conversations",
    "lock_conversations_of",
    "lock_expiring",
    "lock_pair",
    "lock_settings",
    "lock_start_key",
    "lower_pushed",
    "pair_key",
    "put_block",
    "put_profiles",
    "put_settings",
    "put_start_key",
    "q",
    "raise_gates",
    "save_situations",
    "set_decline_reason",
    "set_gates_applied",
    "set_opening",
    "share_settings",
    "take_ripe_events",
]
