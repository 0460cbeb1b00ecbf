"""What is concluded from rounds beside a peer, and how the peers are set up."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.figures import Figure
from bench.peers import ejabberd, nginx, notices, rounds, sends
from bench.scenario import Row
from deploy.local.errors import LocalError


def sent(number: int, who: str, per_s: float, *, waits: bool) -> Row:
    costs = {"total_us": 500.0, "load_us": 30.0, "elsewhere_cores": 0.1}
    return {"round": number, "who": who, "waits": waits, "per_s": per_s, "deliver_ms": [10.0, 30.0], **costs}


def told(number: int, who: str, sockets: int, us: float) -> Row:
    process = "edge_gateway" if who == "here" else "nginx"
    costs = {"cpu_us": {process: us}, "total_us": us + 0.5, "elsewhere_cores": 0.1}
    row = {"round": number, "who": who, "sockets": sockets, "frames_per_s": 60_000, "delay_ms": [3.0, 9.0]}
    return {**row, **costs}


def named(figures: list[Figure], name: str) -> Figure:
    [found] = [each for each in figures if each.name == name]
    return found


def test_rates_are_compared_within_a_round_and_a_form() -> None:
    rows = [
        sent(1, "ejabberd", 1000.0, waits=True),
        sent(1, "here", 1500.0, waits=True),
        sent(1, "ejabberd", 2000.0, waits=False),
        sent(1, "here", 1600.0, waits=False),
        # The second round is another hour: half of everything, and the other order.
        sent(2, "here", 900.0, waits=False),
        sent(2, "ejabberd", 1000.0, waits=False),
        sent(2, "here", 650.0, waits=True),
        sent(2, "ejabberd", 500.0, waits=True),
    ]
    figures = sends.figures(rows)
    waiting = named(figures, "sends, 32 pairs, fsync on: rate beside ejabberd's")
    assert (waiting.value, waiting.holds) == (1.4, True)
    not_waiting = named(figures, "sends, 32 pairs, fsync off: rate beside ejabberd's")
    assert (not_waiting.value, not_waiting.holds) == (0.85, None)
    uneven = named(figures, "sends, 32 pairs, fsync off in ours only: rate beside ejabberd's")
    assert (uneven.value, uneven.holds) == (1.7, None)
    assert named(figures, "sends, 32 pairs, fsync on: ejabberd, persisted and delivered").value == 750


def test_what_waits_for_the_disk_must_be_as_fast() -> None:
    rows = [
        sent(1, who, rate, waits=waits)
        for waits in (True, False)
        for who, rate in (("ejabberd", 1000.0), ("here", 990.0))
    ]
    assert named(sends.figures(rows), "sends, 32 pairs, fsync on: rate beside ejabberd's").holds is False


def test_costs_are_compared_by_the_median_round() -> None:
    rows = [
        *(told(number, "nchan", 1000, us) for number, us in ((1, 8.0), (2, 10.0), (3, 8.0))),
        *(told(number, "here", 1000, us) for number, us in ((1, 7.2), (2, 8.0), (3, 40.0))),
        told(1, "nchan", 5000, 8.0),
        told(1, "here", 5000, 8.1),
    ]
    figures = notices.figures(rows)
    few = named(figures, "a notice to everybody, 1000 sockets: CPU of the edge a frame beside nchan's")
    assert (few.value, few.holds) == (0.9, True)
    many = named(figures, "a notice to everybody, 5000 sockets: CPU of the edge a frame beside nchan's")
    assert many.holds is False


def test_a_peers_cost_is_no_cost_of_ours() -> None:
    rows = [told(1, "nchan", 1000, 8.0), told(1, "here", 1000, 7.0)]
    units = {figure.name: figure.unit for figure in notices.figures(rows)}
    assert units["a notice to everybody, 1000 sockets: here, CPU a frame"] == "us"
    assert units["a notice to everybody, 1000 sockets: nchan, CPU a frame"] != "us"


def test_how_many_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ROUNDS", raising=False)
    assert rounds.number(short=False) == 5
    monkeypatch.setenv("ROUNDS", "7")
    assert rounds.number(short=False) == 7
    assert rounds.number(short=True) == 1
    for wrong in ("0", "many", "-1"):
        monkeypatch.setenv("ROUNDS", wrong)
        with pytest.raises(LocalError, match="ROUNDS"):
            rounds.number(short=False)


def test_ejabberd_archives_everything_in_its_own_database() -> None:
    lines = ejabberd.settings(5222, "postgresql://chat_admin:s3cret@127.0.0.1:5433/ejabberd").splitlines()
    for line in (
        "sql_server: 127.0.0.1",
        "sql_port: 5433",
        "sql_database: ejabberd",
        "sql_username: chat_admin",
        'sql_password: "s3cret"',
        "default_db: sql",
        "  - port: 5222",
        '    ip: "127.0.0.1"',
    ):
        assert line in lines
    assert any("mod_mam: {default: always" in line for line in lines)


def test_nginx_keeps_its_files_to_itself() -> None:
    text = nginx.settings(8081, Path("/tmp/x/nginx"))
    assert "listen 127.0.0.1:8081 " in text
    assert text.count("_temp_path /tmp/x/nginx/") == 5
