"""What the interceptors share: a call, and what one of them does around its handler."""

from __future__ import annotations

import abc
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc

Proceed = Callable[[], Awaitable[Any]]
"""Goes on to the next interceptor, and at last to the handler."""
Step = Callable[["Call"], Coroutine[Any, Any, Any]]
"""All that is done for one call."""


@dataclass(slots=True)
class Call:
    """One unary call in work, made as such or carried by a stream."""

    method: str
    """ "/package.Service/Method"."""
    request: Any
    """Outside of `DecodingInterceptor` its bytes."""
    context: grpc.aio.ServicerContext[Any, Any]
    decode: Callable[[bytes], Any] | None = None
    """Makes the request of its bytes."""
    carried: Mapping[str, str | None] | None = None
    """What stands for its metadata on a stream, which was opened earlier."""
    seconds: float | None = None
    """Its time on a stream, which itself has no end."""
    _metadata: dict[str, str | None] | None = field(default=None, init=False)

    def time_remaining(self) -> float | None:
        """Seconds until its caller no longer waits; None when the caller did not say."""
        if self.carried is not None:
            return self.seconds
        remaining: float | None = self.context.time_remaining()
        return remaining

    def metadata(self, key: str) -> str | None:
        """The only value of a metadata key; None when it is absent, given twice or binary."""
        if self.carried is not None:
            return self.carried.get(key)
        if self._metadata is None:  # gRPC makes all of it anew each time it is asked
            self._metadata = {}
            for name, value in self.context.invocation_metadata() or ():
                alone = isinstance(value, str) and name not in self._metadata
                self._metadata[name] = value if alone else None  # type: ignore[assignment]  # is str then
        return self._metadata.get(key)


class UnaryInterceptor(abc.ABC):
    """One concern of every unary call."""

    @abc.abstractmethod
    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles one call by way of `proceed`."""
