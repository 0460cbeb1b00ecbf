"""Links in a message's text. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from linkify_it import LinkifyIt

# At most so many links of one message are shown as such; the rest stays text.
MAX_LINKS = 50

# Only what is written as an address: no bare domains, no mail, no IP guesses.
_finder = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
# Where one may begin. The finder's own search reads on to the end of the text from each of these, also from
# those within a link; here it goes on behind the link.
_BEGINNING = re.compile(r"(?<!\w)(https?:)//", re.IGNORECASE)
_INVISIBLE = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
# In other categories: fillers, joiners and selectors of variants, and the blank Braille pattern.
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link; `start` and `end` count UTF-16 code units, as browsers' strings do."""

    start: int
    end: int
    url: str


def find_links(text: str) -> tuple[Link, ...]:
    """The http and https links of a text, in its order.

    A link ends before anything invisible: what is shown as one address must lead there. One that carries a
    user name (`https://bank.example@evil.example`) is no link.
    """
    if "://" not in text:
        return ()
    links: list[Link] = []
    units, at = 0, 0
    for offset, run in _visible_runs(text):
        for begin, end in _addresses(run):
            if len(links) == MAX_LINKS:
                return tuple(links)
            units += _utf16(text[at : offset + begin])
            at = offset + begin
            url = run[begin:end]
            links.append(Link(units, units + _utf16(url), url))
    return tuple(links)


def _addresses(run: str) -> Iterator[tuple[int, int]]:
    end = 0
    while (found := _BEGINNING.search(run, end)) is not None:
        end = found.end(1) + _finder.test_schema_at(run, found[1], found.end(1))
        if _leads_somewhere(run[found.start() : end]):
            yield found.start(), end


def _visible_runs(text: str) -> Iterator[tuple[int, str]]:
    begin = 0
    for position, character in enumerate(text):
        if unicodedata.category(character) in _INVISIBLE or _BLANK.match(character):
            yield begin, text[begin:position]
            begin = position + 1
    yield begin, text[begin:]


def _leads_somewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
