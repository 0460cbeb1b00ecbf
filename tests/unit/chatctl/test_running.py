"""run.json: what chatctl makes of it, and what it says when it cannot."""

import json
from pathlib import Path

import pytest

from chatctl.running import NotRunningError, load

WHOLE = {
    "edgeUrl": "http://127.0.0.1:8080/",
    "issuerUrl": "http://127.0.0.1:8090",
    "opsUrl": "http://127.0.0.1:9080",
    "targets": {"message_svc": "127.0.0.1:50052"},
    "keysDir": "/state/keys",
    "databaseUrls": {"message_svc": "postgresql://user:secret@127.0.0.1/chat"},
    "redisUrl": "redis://:secret@127.0.0.1:6379/0",
    "amqpUrl": "amqp://user:secret@127.0.0.1/",
    "somethingNew": 1,
}


@pytest.fixture
def run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STATE_DIR", str(tmp_path))
    return tmp_path / "run.json"


def test_it_reads_where_everything_is(run_json: Path) -> None:
    run_json.write_text(json.dumps(WHOLE))
    running = load()
    assert running.edge_url == "http://127.0.0.1:8080"
    assert running.targets == {"message_svc": "127.0.0.1:50052"}


def test_it_does_not_show_secrets_when_printed(run_json: Path) -> None:
    run_json.write_text(json.dumps(WHOLE))
    assert "secret" not in repr(load())


def test_without_a_file_it_says_how_to_start(run_json: Path) -> None:
    with pytest.raises(NotRunningError, match="make run"):
        load()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", json.dumps({**WHOLE, "targets": 7})])
def test_a_file_that_makes_no_sense_is_told_by_its_path(run_json: Path, content: str) -> None:
    run_json.write_text(content)
    with pytest.raises(NotRunningError, match=str(run_json)):
        load()
