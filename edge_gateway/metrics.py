"""What the edge counts. Labels are bounded: routes and outcomes, never ids or addresses."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class Tally(Collector):
    """Counts what happens thousands of times a second, on one thread: an integer, read when asked for."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self.value = 0

    def add(self, number: int) -> None:
        """Counts so many more."""
        self.value += number

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks."""
        yield CounterMetricFamily(self._name, self._documentation, self.value)


class Answered(Collector):
    """Answered requests, on one thread too: how many by route, method and status, how long by route."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[str, list[float]] = {}
        """By route: how many took no longer than each of _SECONDS and more than the one before, how many took
        longer than all, and how long all took together."""

    def note(self, route: str, method: str, status: int, seconds: float) -> None:
        """One more."""
        key = route, method, status
        self._numbers[key] = self._numbers.get(key, 0) + 1
        of_route = self._seconds.get(route)
        if of_route is None:
            of_route = self._seconds[route] = [0] * (len(_SECONDS) + 2)
        of_route[bisect_left(_SECONDS, seconds)] += 1
        of_route[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        """What prometheus_client asks."""
        numbers = CounterMetricFamily(
            "edge_http_requests",
            "Answered requests by route, method and status.",
            labels=["route", "method", "status"],
        )
        for (route, method, status), number in self._numbers.items():
            numbers.add_metric([route, method, str(status)], number)
        yield numbers
        times = HistogramMetricFamily(
            "edge_http_request_seconds", "Time to answer a request, by route.", labels=["route"]
        )
        bounds = [*map(floatToGoString, _SECONDS), "+Inf"]
        for route, (*counts, total) in self._seconds.items():
            times.add_metric([route], list(zip(bounds, accumulate(counts), strict=True)), total)
        yield times


class Metrics:
    """The metrics of one edge, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.answered = Answered()
        self.registry.register(self.answered)
        self.sends_per_call = Histogram(
            "edge_sends_per_call",
            "Messages in each call to message_svc that sends some.",
            buckets=(1, 2, 4, 8, 16, 32, 64),
            registry=self.registry,
        )
        self.sends_waiting = Gauge(
            "edge_sends_waiting", "Messages that wait for a call to message_svc.", registry=self.registry
        )
        self.sockets_open = Gauge("edge_sockets_open", "Open sockets.", registry=self.registry)
        handshakes = Counter(
            "edge_handshakes",
            "WebSocket handshakes by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        resumes = Counter(
            "edge_resumes",
            "Sockets let in: resumed, or why not.",
            ["outcome"],
            registry=self.registry,
        )
        # Found once: to find the child of some labels costs more than to count in it.
        self.handshakes, self.resumes = cache(handshakes.labels), cache(resumes.labels)
        """Each by its outcome."""
        self.frames_out = Tally("edge_frames_out", "Frames written to sockets.")
        self.registry.register(self.frames_out)
        self.frames_dropped = Tally("edge_frames_dropped", "Frames left out for readers who were behind.")
        self.registry.register(self.frames_dropped)
        self.read_marks = Tally("edge_read_marks", "Read marks that came over sockets.")
        self.registry.register(self.read_marks)
        self.read_marks_written = Tally(
            "edge_read_marks_written", "Read marks of sockets written, each for all gathered."
        )
        self.registry.register(self.read_marks_written)
        self.typing_dropped = Tally("edge_typing_dropped", "Signs of typing left out: too many.")
        self.registry.register(self.typing_dropped)
        self.screens_open = Gauge(
            "edge_screens_open", "Conversations that sockets have open.", registry=self.registry
        )
        self.looks = Counter(
            "edge_looks",
            "Questions what may be shown of an open conversation, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.presence_reports = Counter(
            "edge_presence_reports",
            "What presence_svc was to be told of sockets, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.presence_waiting = Gauge(
            "edge_presence_waiting", "Sockets of which presence_svc is not told yet.", registry=self.registry
        )
        self.closes = Counter(
            "edge_sockets_closed",
            "Sockets closed by the edge, by close code.",
            ["code"],
            registry=self.registry,
        )
        self.joins = Counter(
            "edge_event_joins",
            "Conversation events joined with the receiver's own view, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.access_reads = Counter(
            "edge_access_reads",
            "Reads of revocations and bans from presence_svc, by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.access_version = Gauge(
            "edge_access_version",
            "Version up to which revocations are known.",
            registry=self.registry,
        )
        self.redis_connected = Gauge(
            "edge_redis_connected", "Whether events reach this edge.", registry=self.registry
        )
