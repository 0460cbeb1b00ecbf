"""Links in a message's text. Pure."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from urllib.parse import urlsplit

from linkify_it import LinkifyIt

# At most so many links of one message are shown as such; the rest stays text.
MAX_LINKS = 50

# Only what is written as an address: no bare domains, no mail, no IP guesses.
_finder = LinkifyIt(options={"fuzzy_link": False, "fuzzy_email": False, "fuzzy_ip": False})
_INVISIBLE = frozenset({"Cc", "Cf", "Zl", "Zp", "Cs", "Co"})


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
    for match in _finder.match(text) or ():
        if match.schema not in ("http:", "https:"):
            continue
        raw = _visible(text[match.index : match.last_index])
        if not _leads_somewhere(raw):
            continue
        units += _utf16(text[at : match.index])
        at = match.index
        links.append(Link(units, units + _utf16(raw), raw))
        if len(links) == MAX_LINKS:
            break
    return tuple(links)


def _visible(url: str) -> str:
    for position, character in enumerate(url):
        if unicodedata.category(character) in _INVISIBLE:
            return url[:position]
    return url


def _leads_somewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:  # a port that is no number, half an IPv6 address
        return False


def _utf16(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
