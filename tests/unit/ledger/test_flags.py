"""The checker knows what becomes of muted and archived conversations."""

from __future__ import annotations

from dataclasses import replace

from tests.ledger.history import read_history
from tests.unit.ledger.stories import ADA, BOB, TALK, Story, conversation, message, one_more, true_story


def test_a_lost_flag_is_told() -> None:
    for flag in ("muted", "archived"):
        story = true_story()
        story.act("flag", BOB, 200, {}, conversation=TALK, **{flag: True})
        assert story.found() == {"I1"}
        story.act("flag", BOB, 200, {}, conversation=TALK, **{flag: False})
        assert story.violations() == []


def archived(*, muted: bool = False, again: bool = False) -> Story:
    """Bob archived it before Ada's fourth message, `again`: and after it; he has it in that list."""
    story = true_story()
    story.act("flag", BOB, 200, {}, conversation=TALK, archived=True, muted=muted)
    one_more(story)
    if again:
        story.act("flag", BOB, 200, {}, conversation=TALK, archived=True)
    story.change_member(BOB, archived=True, muted=muted)
    [item] = story.views[BOB].folders["inbox"]
    item = {**item, "folder": "archived", "archived": True, "muted": muted}
    totals = {"messages": 0, "conversations": 0, "requests": 0}
    story.views[BOB] = replace(story.views[BOB], unread=totals, folders={"inbox": [], "archived": [item]})
    story.note("reloading", device="bob/0")
    story.note("reloaded", device="bob/0", conversations=[item], messages={})
    return story


def test_a_message_brings_a_conversation_back_from_the_archive() -> None:
    assert archived().found() == {"I1"}
    assert archived(again=True).violations() == []


def test_a_message_leaves_a_muted_conversation_in_the_archive() -> None:
    assert archived(muted=True).violations() == []


def test_an_archive_that_nothing_emptied_is_kept() -> None:
    story = archived(again=True)
    story.change_member(BOB, archived=False)
    assert "I1" in story.found()


def test_a_device_takes_a_conversation_out_of_the_archive_for_a_new_message_alone() -> None:
    for seq, expected in ((3, (True, "archived")), (4, (False, "inbox"))):
        story = true_story()
        item = conversation(BOB, last=message(3, ADA), unread=1, read=1, archived=True, folder="archived")
        story.note("reloaded", device="bob/0", conversations=[item], messages={})
        story.frame("bob/0", message=message(seq, ADA))
        shown = read_history(story.journal).devices["bob/0"].shown()[TALK]
        assert (shown["archived"], shown["folder"]) == expected
