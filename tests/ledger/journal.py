"""The file that a load client writes: one JSON object a line, only ever appended to.

Each line is handed to the kernel in one write before the client goes on, so whatever it knew is there even
when it is killed; only the last line can be torn.

Kinds of entries (each with `at`, seconds since 1970):
    person {user, role, name}                   whom the client is
    conversation {conversation, members}        a conversation it has opened
    attempt {action, op, user, ...}             a request is about to be sent; repeats have the same action
    answer {action, status, body}               a definite answer: 2xx is an acknowledgement, 4xx a refusal
    doubt {action, why}                         no answer, or one that says neither yes nor no
    observed {block, conversation, lastSeq}     read between the acknowledgement of a block and its lifting
    opened {device, user} · frame {device, frame} · closed {device}
    reloading {device} · reloaded {device, conversations, messages}
    ready · quiet                               set up; the last request is answered
"""

from __future__ import annotations

import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import orjson

Json = dict[str, Any]


class Journal:
    """Appends entries to `path`."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)

    def note(self, kind: str, **fields: object) -> Json:
        """Writes one entry and returns it."""
        entry: Json = {"at": time.time(), "kind": kind, **fields}
        os.write(self._file, orjson.dumps(entry) + b"\n")
        return entry


class Follower:
    """Reads a journal as it grows."""

    def __init__(self, path: Path):
        self._path = path
        self._read = 0
        self._counts: Counter[str] = Counter()
        self.entries: list[Json] = []

    def look(self) -> list[Json]:
        """All entries that are whole by now."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._read)
                news = file.read()
            whole = news[: news.rfind(b"\n") + 1]
            self._read += len(whole)
            for line in whole.splitlines():
                entry = orjson.loads(line)
                self._counts[entry["kind"]] += 1
                self.entries.append(entry)
        return self.entries

    def count(self, kind: str) -> int:
        """How many entries of that kind there are by now."""
        self.look()
        return self._counts[kind]
