"""When somebody is mailed, and what may stand in a mail."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from uuid import UUID

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conversation_svc.domain import Folder, Role
from conversation_svc.domain.mail import (
    Drop,
    Reminder,
    Send,
    View,
    Wait,
    decide_mail,
    mail_address,
    name_in_mail,
)
from conversation_svc.mail import Letters
from conversation_svc.mail.post import Server

NOW = datetime(2026, 1, 1, tzinfo=UTC)
REMINDER = Reminder(
    conversation_id=UUID(int=1),
    user_id="bob",
    mail_id=UUID(int=2),
    first_seq=5,
    last_seq=6,
    tries=0,
    mailed_seq=0,
    lease=NOW,
    email="bob@example.com",
    role=Role.CANDIDATE,
    sender_name="Ada",
)
VIEW = View(Folder.INBOX, unread=2, last_read_seq=4, last_seq=6, muted=False, archived=False)


def test_what_is_unread_is_mailed_about() -> None:
    assert decide_mail(REMINDER, VIEW) == Send(VIEW)
    request = replace(VIEW, folder=Folder.REQUESTS)
    assert decide_mail(REMINDER, request) == Send(request)


@pytest.mark.parametrize(
    "view",
    [
        None,
        replace(VIEW, unread=0, last_read_seq=6),
        replace(VIEW, muted=True),
        replace(VIEW, archived=True),
        replace(VIEW, folder=Folder.NONE),
        replace(VIEW, folder=Folder.SENT),
    ],
)
def test_nobody_is_mailed_about_what_they_read_or_put_aside(view: View | None) -> None:
    assert decide_mail(REMINDER, view) == Drop(6)


def test_who_has_read_on_gets_the_full_time_for_the_rest() -> None:
    assert decide_mail(REMINDER, replace(VIEW, unread=1, last_read_seq=5)) == Wait(6)


def test_there_is_no_second_mail_before_the_first_ones_messages_are_read() -> None:
    mailed = replace(REMINDER, mailed_seq=5)
    assert decide_mail(mailed, VIEW) == Drop(6)
    assert decide_mail(replace(mailed, first_seq=6), replace(VIEW, last_read_seq=5)) == Send(
        replace(VIEW, last_read_seq=5)
    )


@pytest.mark.parametrize("good", ["a@b", "ada.l+x@mail.example.com", "o'neil@example.com"])
def test_plain_addresses_are_taken(good: str) -> None:
    assert mail_address(good) == good


@pytest.mark.parametrize(
    "bad",
    [
        *(
            "",
            None,
            "a",
            "a@",
            "a b@c",
            "a@b\r\nBcc: x@y",
            "A <a@b>",
            "a@b,c@d",
            "ä@b.de",
            f"{'a' * 250}@b.de",
        ),
        *("a..b@c", ".a@b", "a.@b", "a@-b", "a@b-.c", "a@b.", f"{'a' * 65}@b"),
        "=?utf-8?q?eve?=@b.de",  # the library reads this as eve@b.de
        "=?utf-8?q?a=0D=0ABcc=3Ax?=@b.de",
    ],
)
def test_anything_else_is_no_address(bad: str | None) -> None:
    assert mail_address(bad) == ""


@settings(deadline=None)
@given(
    st.from_regex(
        r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,12}@(?:[a-z0-9-]{1,6}\.){0,2}[a-z0-9-]{1,6}", fullmatch=True
    )
)
def test_what_is_an_address_is_written_to_a_letter_as_it_is(text: str) -> None:
    address = mail_address(text)
    assume(address)
    letter = Letters(sender="chat@example.com", page_url="https://chat.example.com/").unread(
        replace(REMINDER, email=address), VIEW, NOW
    )
    read = message_from_bytes(letter.as_bytes(), policy=policy.default)
    assert [each.addr_spec for each in read["To"].addresses] == [text]


@given(st.text(max_size=300))
def test_a_name_can_be_neither_link_nor_header(name: str) -> None:
    shown = name_in_mail(name)
    assert len(shown) <= 60
    assert not set(shown) & set(".:/@<>\r\n\u202e\u200b")


@settings(deadline=None)  # the first one reads the templates
@given(st.text(max_size=100), st.integers(1, 500), st.sampled_from(Folder))
def test_a_letter_has_one_link_and_survives_the_wire(name: str, count: int, folder: Folder) -> None:
    letters = Letters(sender="chat@example.com", page_url="https://chat.example.com/{conversationId}")
    view = replace(VIEW, unread=count, folder=folder)
    letter = letters.unread(replace(REMINDER, sender_name=name), view, NOW)
    read = message_from_bytes(letter.as_bytes(), policy=policy.default)
    assert read["Message-ID"] == f"<{UUID(int=2)}@example.com>"
    for part in read.iter_parts():
        assert part.get_content().count(f"https://chat.example.com/{UUID(int=1)}") == 1
        assert part.get_content().count("//") == 1


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("smtp://mail", "mail", 25, False),
        ("smtps://u%40x:p%2Fw@mail", "mail", 465, True),
        ("smtp://mail:2525", "mail", 2525, False),
    ],
)
def test_an_smtp_url_names_the_server(url: str, host: str, port: int, tls: bool) -> None:
    server = Server.from_url(url)
    assert (server.host, server.port, server.tls) == (host, port, tls)
    if tls:
        assert (server.user, server.password) == ("u@x", "p/w")


@pytest.mark.parametrize(
    "url", ["http://mail", "smtp://", "smtp://a..b", f"smtp://{'a' * 64}.com", "smtp://mail:0x"]
)
def test_a_server_that_nothing_can_be_called_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Server.from_url(url)
