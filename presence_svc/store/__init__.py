"""presence_svc's Redis and Postgres."""

from presence_svc.store.last_seen import get_last_seen, moment, save_last_seen

__all__ = ["get_last_seen", "moment", "save_last_seen"]
