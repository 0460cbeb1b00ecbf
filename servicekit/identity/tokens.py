"""The JWTs that services sign: what is in them and how long they live."""

ALGORITHM = "EdDSA"

SERVICE_AUDIENCE = "splits-chat-services"
SERVICE_SECONDS = 300

USER_AUDIENCE = "splits-chat-users"
USERS_AUDIENCE = "splits-chat-user-lists"
USER_SECONDS = 60

RENEW_SECONDS = 30
"""An own credential is used no longer than until this much of its life is left."""
SKEW_SECONDS = 10
"""How far two machines' clocks may differ."""
MAX_CACHED = 20_000
"""How many tokens are remembered, signed or verified."""
MAX_CHARS = 12_000
"""A longer token is not looked at."""
MAX_USERS = 64
"""People in one assertion."""
