"""Identifiers: UUIDv7, so that keys made one after another stand beside each other in an index."""

import uuid

import uuid_utils.compat


def new_id() -> uuid.UUID:
    """A new UUIDv7 (time-ordered to the millisecond) as a standard library UUID."""
    return uuid_utils.compat.uuid7()
