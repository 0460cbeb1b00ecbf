"""presence_svc's Redis and Postgres."""

from presence_svc.store.last_seen import get_last_seen, moment, save_last_seen
from presence_svc.store.states import ABSENT, States, Write, decode, encode

__all__ = ["ABSENT", "States", "Write", "decode", "encode", "get_last_seen", "moment", "save_last_seen"]
