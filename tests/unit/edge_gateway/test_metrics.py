"""What is counted of answered requests."""

from __future__ import annotations

from edge_gateway.metrics import Metrics


def test_answered_requests_are_counted_and_timed_by_route() -> None:
    metrics = Metrics()
    for status, seconds in ((200, 0.002), (200, 0.003), (503, 9.0)):
        metrics.answered.note("/v1/me", "GET", status, seconds)
    metrics.answered.note("/docs", "HEAD", 200, 0.5)

    def value(name: str, **labels: str) -> float | None:
        return metrics.registry.get_sample_value(name, {"route": "/v1/me", **labels})

    assert value("edge_http_requests_total", method="GET", status="200") == 2
    assert value("edge_http_requests_total", method="GET", status="503") == 1
    assert value("edge_http_requests_total", method="GET", status="404") is None
    within = {
        le: value("edge_http_request_seconds_bucket", le=le) for le in ("0.002", "0.005", "5.0", "+Inf")
    }
    assert within == {"0.002": 1, "0.005": 2, "5.0": 2, "+Inf": 3}
    assert value("edge_http_request_seconds_count") == 3
    assert value("edge_http_request_seconds_sum") == 9.005
    assert value("edge_http_request_seconds_count", route="/docs") == 1
