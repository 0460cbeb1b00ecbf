"""Which failures of Postgres, Redis and the network pass: they answer UNAVAILABLE, to be tried again."""

import asyncpg
import redis.exceptions

from servicekit.errors import ChatError, Reason

_RETRY_AFTER_MS = 1000

_POSTGRES = (
    asyncpg.PostgresConnectionError,  # class 08
    asyncpg.InsufficientResourcesError,  # class 53: too many connections, disk or memory full
    asyncpg.OperatorInterventionError,  # class 57: statement timeout, shutdown, starting up
    asyncpg.LockNotAvailableError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,  # a failover has made our connection's server a replica
    asyncpg.InvalidCachedStatementError,  # a migration changed a table under a prepared statement
    asyncpg.InternalClientError,  # an idle connection that the server ended, used before its end was read
)
# Not faults of the network although OSError: somebody must act.
_LOCAL = (FileNotFoundError, PermissionError, FileExistsError, IsADirectoryError, NotADirectoryError)


def as_unavailable(error: BaseException) -> ChatError | None:
    """The error to answer with when `error` is a passing fault of something behind us; else None.

    A group is a passing fault when all that is in it is.
    """
    if isinstance(error, BaseExceptionGroup):
        inner = [_leaf(each) for each in error.exceptions]
        return inner[0] if all(inner) else None
    return _leaf(error)


def _leaf(error: BaseException) -> ChatError | None:
    if isinstance(error, ChatError):
        return error
    if isinstance(error, BaseExceptionGroup):
        return as_unavailable(error)
    passing = (
        isinstance(error, (*_POSTGRES, redis.exceptions.RedisError))
        or (isinstance(error, asyncpg.InterfaceError) and _is_closed(error))
        or (isinstance(error, OSError) and not isinstance(error, _LOCAL))
    )
    if not passing:
        return None
    return ChatError(
        Reason.UNAVAILABLE, "The service is not available; try again.", retry_after_ms=_RETRY_AFTER_MS
    )


def _is_closed(error: asyncpg.InterfaceError) -> bool:
    # asyncpg has one class for a connection that was lost and for a call that is wrong: only its text tells.
    # One that is lost between two statements goes back to the pool by itself: "has been released".
    text = str(error)
    return any(word in text for word in ("closed", "closing", "released"))
