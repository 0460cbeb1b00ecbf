"""The checker counts what consumers did: each event's effect once, and mails that nobody gets twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tests.ledger.jobs import Jobs, Mail, read_mails
from tests.unit.ledger.stories import ADA, BOB, TALK, Story, true_story

MAIL = """---------- MESSAGE FOLLOWS ----------
mail options: ['BODY=8BITMIME']

From: Splits Network Chat <no-reply@localhost>
To: bob@example.com
Subject: You have an unread message
Message-ID: <one@localhost>
MIME-Version: 1.0
Content-Type: multipart/alternative; boundary="=="
X-Peer: ('127.0.0.1', 1)

--==
Content-Type: text/plain; charset="utf-8"
Content-Transfer-Encoding: 7bit

Read it here: http://127.0.0.1/01a22065-08c6-75a5-a0d5-24eb42d38474

--==--
------------ END MESSAGE ------------
"""


def done_story() -> Story:
    """Each of the three events took effect on its reader, and Bob, who has read one of two, got a mail."""
    story = true_story()
    story.truth = replace(
        story.truth,
        jobs=Jobs(
            consumed=Counter(f"event{seq}" for seq in (1, 2, 3)),
            effects=Counter({("event1", BOB): 1, ("event2", ADA): 1, ("event3", BOB): 1}),
            mails=[Mail("<one>", BOB, TALK)],
        ),
    )
    return story


def change_jobs(story: Story) -> Jobs:
    assert story.truth.jobs is not None
    return story.truth.jobs


def test_what_was_done_once_is_fine() -> None:
    assert done_story().violations() == []


def test_an_effect_that_is_missing_or_came_twice_is_told() -> None:
    for times in (0, 2):
        story = done_story()
        change_jobs(story).effects["event3", BOB] = times
        assert story.found() == {"I7"}


def test_an_effect_without_a_new_event_is_told() -> None:
    story = done_story()
    change_jobs(story).effects[None, BOB] += 1
    assert story.found() == {"I7"}


def test_an_event_consumed_twice_is_told() -> None:
    story = done_story()
    change_jobs(story).consumed["event1"] += 1
    assert story.found() == {"I7"}


def test_a_message_that_no_event_stands_for_is_told() -> None:
    story = done_story()
    story.truth = replace(story.truth, written=story.truth.written[:2])
    assert story.violations() == []  # the first stands for the third
    story.change(3, at=1.0)
    assert story.found() == {"I7"}


def test_a_message_told_of_as_two_events_is_told() -> None:
    story = true_story()
    story.truth = replace(story.truth, told={**story.truth.told, "id1": {"created1", "another"}})
    assert story.found() == {"I7"}


def test_a_mail_that_went_out_twice_or_not_at_all_is_told() -> None:
    for mails in (["<one>", "<one>"], ["<one>", "<two>", "<three>"], []):
        story = done_story()
        jobs = replace(change_jobs(story), mails=[Mail(mail, BOB, TALK) for mail in mails])
        story.truth = replace(story.truth, jobs=jobs)
        assert story.found() == {"I7"}, mails


def test_who_was_busy_with_a_block_or_a_flag_may_be_without_a_mail() -> None:
    for op, facts in (("block", {"whom": ADA}), ("flag", {"muted": False})):
        story = done_story()
        change_jobs(story).mails.clear()
        assert story.found() == {"I7"}
        story.act(op, BOB, 204, {}, conversation=TALK, **facts)
        assert "no mail" not in " ".join(each.text for each in story.violations()), op


def test_who_blocks_in_one_conversation_may_be_without_a_mail_in_all_with_the_same_person() -> None:
    story = done_story()
    change_jobs(story).mails.clear()
    story.act("block", BOB, 204, {}, conversation="their other conversation", whom=ADA)
    assert "no mail" not in " ".join(each.text for each in story.violations())


def test_a_second_mail_after_reading_is_fine() -> None:
    story = done_story()
    change_jobs(story).mails.append(Mail("<two>", BOB, TALK))
    assert story.violations() == []


def test_a_mail_is_read_from_the_log() -> None:
    [mail] = read_mails(f"started\n{MAIL}more\n")
    assert mail == Mail("<one@localhost>", "bob", "01a22065-08c6-75a5-a0d5-24eb42d38474")
