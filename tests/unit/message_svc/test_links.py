"""Which parts of a text are links, and where browsers find them."""

from __future__ import annotations

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
        ("https://", []),
        ("nothing here", []),
    ],
)
def test_only_visible_http_addresses_are_links(text: str, links: list[str]) -> None:
    assert shown(text) == links
    assert [link.url for link in find_links(text)] == links


def test_the_number_of_links_is_bounded() -> None:
    assert len(find_links("https://a.example/ " * 400)) == MAX_LINKS


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=80))
def test_positions_name_the_address_itself_whatever_stands_before_it(before: str) -> None:
    text = f"{before} https://a.example/x"

    assert shown(text)[-1] == "https://a.example/x"
