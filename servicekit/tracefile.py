"""Spans as JSON lines in a file: a development aid, for looking at a trace without a collector."""

import os
from collections.abc import Sequence
from pathlib import Path

import orjson
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import format_span_id, format_trace_id


class _FileExporter(SpanExporter):
    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Appending keeps the lines of several processes whole: each is one write.
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        for span in spans:
            os.write(self._descriptor, _line(span))
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        os.close(self._descriptor)


def file_processor(path: Path) -> SpanProcessor:
    """A processor that appends each span to `path` as it ends.

    Fields: service, name, kind, trace_id, span_id, parent_id (or null), start_ns, end_ns, attributes, error.
    """
    return SimpleSpanProcessor(_FileExporter(path))


def _line(span: ReadableSpan) -> bytes:
    context = span.get_span_context()
    if context is None:
        return b""
    return orjson.dumps(
        {
            "service": span.resource.attributes.get("service.name"),
            "name": span.name,
            "kind": span.kind.name,
            "trace_id": format_trace_id(context.trace_id),
            "span_id": format_span_id(context.span_id),
            "parent_id": format_span_id(span.parent.span_id) if span.parent else None,
            "start_ns": span.start_time,
            "end_ns": span.end_time,
            "attributes": dict(span.attributes or {}),
            "error": not span.status.is_ok,
        },
        option=orjson.OPT_APPEND_NEWLINE,
        default=str,
    )
