"""Pure rules of message_svc: who may write or change, how a read mark moves, what a gate does to a member.

No I/O and no clock; time is passed in.
"""

from message_svc.domain.changing import (
    Changed,
    ChangeDecision,
    Unchanged,
    decide_edit,
    decide_redaction,
    renumber,
)
from message_svc.domain.members import (
    MemberChange,
    apply_rights,
    clamp_read,
)
from message_svc.domain.sending import (
    Decision,
    Placed,
    Repeated,
    decide,
    hash_body,
)
from message_svc.domain.telling import tell
from message_svc.domain.types import (
    MAX_SEQ,
    Folder,
    GateSnapshot,
    HeldGate,
    MemberRow,
    NewMessage,
    Refused,
    Rights,
    State,
    StoredMessage,
    Told,
)

__all__ = [
    "MAX_SEQ",
    "ChangeDecision",
    "Changed",
    "Decision",
    "Folder",
    "GateSnapshot",
    "HeldGate",
    "MemberChange",
    "MemberRow",
    "NewMessage",
    "Placed",
    "Refused",
    "Repeated",
    "Rights",
    "State",
    "StoredMessage",
    "Told",
    "Unchanged",
    "apply_rights",
    "clamp_read",
    "decide",
    "decide_edit",
    "decide_redaction",
    "hash_body",
    "renumber",
    "tell",
]
