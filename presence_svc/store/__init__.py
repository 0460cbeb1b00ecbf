"""presence_svc's Redis and Postgres."""

from presence_svc.store.access import (
    AccessPage,
    forget_access_changes,
    get_access_change,
    list_access_changes,
    lock_access,
    put_access_change,
    renew_access_change,
)
from presence_svc.store.last_seen import get_last_seen, moment, save_last_seen
from presence_svc.store.states import ABSENT, States, Write, decode, encode

__all__ = [
    "ABSENT",
    "AccessPage",
    "States",
    "Write",
    "decode",
    "encode",
    "forget_access_changes",
    "get_access_change",
    "get_last_seen",
    "list_access_changes",
    "lock_access",
    "moment",
    "put_access_change",
    "renew_access_change",
    "save_last_seen",
]
