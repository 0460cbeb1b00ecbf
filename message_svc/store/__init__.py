"""message_svc's tables, through named queries.

Order of locks, everywhere: gates by id, then member rows. Whatever writes another's row holds the gate; flags
are one's own, and lock one member row and nothing else.
"""

from message_svc.store.gates import (
    get_gate_versions,
    lock_gates,
    lock_gates_for_push,
    lock_members,
    put_members,
    raise_gates,
)
from message_svc.store.inbox import (
    Totals,
    View,
    Watched,
    count_totals,
    find_reader,
    get_member_views,
    get_watch_list,
    list_archived,
    list_inbox,
    lock_member,
    move_read_pointer,
    set_flags,
)
from message_svc.store.messages import (
    change_messages,
    count_bodies_owed,
    find_duplicates,
    find_linked,
    find_message,
    find_replied,
    get_messages,
    get_messages_for_member,
    list_after,
    list_before,
    list_changes,
    place_messages,
    read_gate,
    wait_for_relay,
)
from message_svc.store.rows import held_gate, q

__all__ = [
    "Totals",
    "View",
    "Watched",
    "change_messages",
    "count_bodies_owed",
    "count_totals",
    "find_duplicates",
    "find_linked",
    "find_message",
    "find_reader",
    "find_replied",
    "get_gate_versions",
    "get_member_views",
    "get_messages",
    "get_messages_for_member",
    "get_watch_list",
    "held_gate",
    "list_after",
    "list_archived",
    "list_before",
    "list_changes",
    "list_inbox",
    "lock_gates",
    "lock_gates_for_push",
    "lock_member",
    "lock_members",
    "move_read_pointer",
    "place_messages",
    "put_members",
    "q",
    "raise_gates",
    "read_gate",
    "set_flags",
    "wait_for_relay",
]
