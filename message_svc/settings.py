"""message_svc's settings, from the environment. Each has a default but the secrets."""

from __future__ import annotations

from pydantic import Field, SecretStr

from servicekit.settings import PublishingSettings


class MessageSettings(PublishingSettings):
    """What every service has, and what only this one has."""

    # Keys the hash that tells a repeated send from another message under the same client id. Changing it
    # makes repeats of earlier messages conflicts.
    message_hash_key: SecretStr = Field(min_length=16)

    edit_window_seconds: int = Field(default=900, ge=0)
    """How long after it was sent a message may be edited."""

    written_window_seconds: float = Field(default=60.0, ge=0, le=3600)
    """How long `conversation.written.v1` stands for what its sender writes there; 0: each message is told."""

    send_batch_rows: int = Field(default=32, ge=1)
    """Messages of one transaction; more wait for the next one."""
    send_batches_in_flight: int = Field(default=2, ge=1)
    """Transactions of sends at a time; while they run, further sends gather. Each takes a connection."""
    send_connection_kept_seconds: float = Field(default=0.1, ge=0)
    """For so long after a transaction of sends its connection is kept for the next one; 0: not at all."""
    send_repeats_seconds: float = Field(default=10.0, ge=0)
    """For so long after a message was sent again each transaction looks for repeats before it writes."""
    send_gates_remembered: int = Field(default=2048, ge=0)
    """Conversations written to last whose gates are remembered, to write without locking first; 0: none."""
    send_locked_seconds: float = Field(default=10.0, ge=0)
    """For so long every transaction locks first, once a quarter of what was remembered was wrong."""
