"""Which parts of a text are links, and where browsers find them."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from message_svc.domain.links import MAX_LINKS, find_links


def shown(text: str) -> list[str]:
    """What a browser shows as links: the slices of its UTF-16 string."""
    units = text.encode("utf-16-le", "surrogatepass")
    return [units[2 * link.start : 2 * link.end].decode("utf-16-le") for link in find_links(text)]


@pytest.mark.parametrize(
    ("text", "links"),
    [
        (
            "see https://a.example/x?y=1#z, and (http://b.example/).",
            ["https://a.example/x?y=1#z", "http://b.example/"],
        ),
        ("\U0001f680\U0001f680 https://a.example/\U0001f680", ["https://a.example/\U0001f680"]),
        ("HTTPS://A.EXAMPLE/", ["HTTPS://A.EXAMPLE/"]),
        ("mailto:x@y.example ftp://c.example //d.example e.example www.f.example", []),
        ("javascript://a.example/%0aalert(1)", []),
        ("https://bank.example@evil.example/", []),
        ("https://a.example/\u200bhidden", ["https://a.example/"]),
        ("https://a.example/x\u202egnp.exe", ["https://a.example/x"]),
        ("https://a.example/x,\u200bhttps://b.example/", ["https://a.example/x", "https://b.example/"]),
        ("https://a.example\u3164.evil.example/", ["https://a.example"]),
        ("\U0001f680https://a.example/", ["https://a.example/"]),
        ("xhttps://a.example/ _http://b.example/", []),
        ("https://a.example/?to=https://b.example/", ["https://a.example/?to=https://b.example/"]),
        ("https://a.example:port/ https://b.example:99999/", ["https://a.example"]),
        ("https://\u202ea.example", []),
        ("https://", []),
        ("nothing here", []),
    ],
)
def test_only_visible_http_addresses_are_links(text: str, links: list[str]) -> None:
    assert shown(text) == links
    assert [link.url for link in find_links(text)] == links


@pytest.mark.parametrize(
    "character",
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u180b\u180e\u200b\u200d\u200e\u2028\u202e\u2064\u2066\u2800\u3164\ufe0f\ufeff"
    "\uffa0\U000e0041\U000e0100\u0378\ufdd0\ue000\u0001",
)
def test_a_link_ends_before_whatever_is_not_seen(character: str) -> None:
    assert shown(f"https://a.example/x{character}y") == ["https://a.example/x"]
    assert shown(f"https://a.example{character}.evil.example/") == ["https://a.example"]


def test_the_longest_text_of_beginnings_takes_no_longer_than_its_length_allows() -> None:
    # Every beginning used to be followed to the end of the text: 80 ms of the event loop for one message.
    one, many = "https://a.b/" * 166, "https://a.b/" * 1660

    def seconds(text: str) -> float:
        started = time.process_time()
        find_links(text)
        return time.process_time() - started

    assert min(seconds(many) for _ in range(5)) < 40 * min(seconds(one) for _ in range(5))


def test_the_number_of_links_is_bounded() -> None:
    assert len(find_links("https://a.example/ " * 400)) == MAX_LINKS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_positions_name_the_address_itself_whatever_stands_before_it(before: str) -> None:
    text = f"{before} https://a.example/x"

    assert shown(text)[-1] == "https://a.example/x"
