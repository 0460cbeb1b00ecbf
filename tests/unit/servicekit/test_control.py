from __future__ import annotations

import pytest

from servicekit.control import Kind, News, decode, encode


@pytest.mark.parametrize("kind", list(Kind))
def test_what_is_told_is_what_is_heard(kind: Kind) -> None:
    news = News(kind, ("ada", "böb"))
    assert decode(encode(news)) == news


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        b'{"kind":"relations"}',
        b'{"kind":"relations","userIds":"ada"}',
        b'{"kind":"relations","userIds":[1]}',
        b'{"kind":"of a later release","userIds":["ada"]}',
        b'{"kind":[],"userIds":["ada"]}',
        b'{"kind":' + b"[" * 1000 + b"]" * 1000 + b',"userIds":["ada"]}',
    ],
)
def test_what_is_no_news_is_one_error(payload: bytes) -> None:
    with pytest.raises(ValueError, match="not news"):
        decode(payload)
