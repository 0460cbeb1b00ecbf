"""The checker finds nothing in a true story, and each invariant's violation in one that is not."""

from __future__ import annotations

from dataclasses import replace

from tests.ledger.violations import Column
from tests.unit.ledger.stories import (
    ADA,
    BOB,
    EVE,
    TALK,
    Story,
    conversation,
    message,
    one_more,
    stored,
    true_story,
)


def columns(story: Story) -> set[Column]:
    return {violation.column for violation in story.violations()}


def test_a_true_story_has_no_violation() -> None:
    assert true_story().violations() == []


def test_an_acknowledged_message_that_is_not_stored_is_lost() -> None:
    story = true_story()
    story.drop(2)
    assert "I1" in story.found()
    assert Column.LOST in columns(story)


def test_an_acknowledged_message_that_is_stored_with_another_text_is_lost() -> None:
    story = true_story()
    story.change(2, text="something else")
    assert "I1" in story.found()


def test_an_acknowledged_edit_and_redaction_that_are_not_stored_are_lost() -> None:
    for op, wanted in (("edit", {"text": "better"}), ("redact", {})):
        story = true_story()
        story.act(op, BOB, 200, {}, message="id2", conversation=TALK, **wanted)
        assert Column.LOST in columns(story)


def test_a_redacted_text_that_is_loaded_later_is_told() -> None:
    story = true_story()
    story.act("redact", BOB, 200, {}, message="id2", conversation=TALK)
    story.note("reloading", device="ada/0")
    story.note("reloaded", device="ada/0", conversations=[], messages={TALK: [message(2, BOB)]})
    assert "I6" in story.found()


def test_a_redacted_text_that_a_fresh_view_shows_is_told() -> None:
    for place in ("messages", "lastMessage"):
        story = true_story()
        story.act("redact", ADA, 200, {}, message="id3", conversation=TALK)
        story.change(3, text="", redacted=True)
        if place == "lastMessage":
            story.views[BOB] = replace(story.views[BOB], messages={TALK: []})
        assert any("is shown to bob" in violation.text for violation in story.violations())


def test_a_redacted_message_is_not_unread() -> None:
    story = true_story()
    story.change(3, redacted=True)
    assert story.found() == {"I4"}


def test_a_message_in_doubt_may_be_stored_and_may_be_not() -> None:
    story = true_story()
    story.journal = [
        entry for entry in story.journal if entry["kind"] != "answer" or entry["body"].get("seq") != 2
    ]
    unanswered = [violation.text for violation in story.violations()]
    assert len(unanswered) == 1
    assert unanswered[0].startswith("never answered")


def test_a_message_that_nobody_sent_is_told() -> None:
    story = true_story()
    story.journal = [entry for entry in story.journal if entry.get("action") != "a2"]
    assert story.found() == {"I1"}


def test_a_message_refused_without_a_doubt_and_stored_is_told() -> None:
    story = true_story()
    for entry in story.journal:
        if entry["kind"] == "answer" and entry["action"] == "a2":
            entry.update(status=403, body={"code": "undeliverable"})
    assert [violation.text.split(":")[0] for violation in story.violations()] == ["refused and stored"]


def test_a_lost_read_mark_is_told() -> None:
    story = true_story()
    story.act("read", BOB, 200, {"lastReadSeq": 2}, conversation=TALK)
    assert story.found() == {"I1"}


def test_a_lost_acceptance_is_told() -> None:
    story = true_story()
    story.act("accept", BOB, 200, {}, conversation=TALK)
    assert story.violations() == []
    story.truth = replace(story.truth, states={TALK: "request"})
    assert story.found() == {"I1"}


def test_a_lost_decline_and_a_lost_withdrawal_are_told() -> None:
    for op, state in (("decline", "declined"), ("withdraw", "withdrawn")):
        story = true_story()
        story.act(op, BOB, 200, {}, conversation=TALK)
        assert story.found() == {"I1"}
        story.truth = replace(story.truth, states={TALK: state})
        assert story.violations() == []


def test_a_declined_request_can_still_be_withdrawn() -> None:
    story = true_story()
    story.act("withdraw", ADA, 200, {}, conversation=TALK)
    story.act("decline", BOB, 200, {}, conversation=TALK)
    story.truth = replace(story.truth, states={TALK: "withdrawn"})
    assert story.violations() == []


def test_a_lost_block_and_one_that_was_lifted_and_stands_are_told() -> None:
    story = true_story()
    story.act("block", ADA, 204, whom=BOB, conversation=TALK)
    assert story.found() == {"I1"}
    story.truth = replace(story.truth, blocks={(ADA, BOB)})
    assert story.violations() == []
    story.act("unblock", ADA, 204, whom=BOB, conversation=TALK)
    assert story.found() == {"I1"}


def test_a_client_id_with_two_rows_is_doubled() -> None:
    story = true_story()
    story.truth = replace(
        story.truth,
        messages=[*story.truth.messages, replace(stored(4, BOB), client_id="c2", text="text 2")],
        counters={TALK: (4, 4)},
    )
    assert "I2" in story.found()
    assert Column.DOUBLED in columns(story)


def test_a_repeat_that_is_answered_with_another_message_is_doubled() -> None:
    story = true_story()
    again = message(2, BOB, id="another")
    story.act("send", BOB, 200, again, conversation=TALK, clientId="c2", text="text 2")
    assert "I2" in story.found()


def test_a_number_left_out_is_a_gap() -> None:
    story = true_story()
    story.change(3, seq=4)
    assert "I3" in story.found()
    assert Column.GAPS in columns(story)


def test_a_counter_ahead_of_its_messages_is_a_gap() -> None:
    story = true_story()
    story.truth = replace(story.truth, counters={TALK: (4, 4)})
    assert story.found() == {"I3"}


def test_a_change_number_used_twice_or_left_out_is_a_gap() -> None:
    for number in (2, 4):
        story = true_story()
        story.change(3, change_seq=number)
        assert story.found() == {"I3"}


def test_messages_changed_later_have_later_change_numbers() -> None:
    story = true_story()
    story.change(2, change_seq=4)
    story.truth = replace(story.truth, counters={TALK: (3, 4)})
    assert "I3" not in story.found()


def test_each_wrong_part_of_a_view_is_told() -> None:
    for what, value in (
        ("unreadCount", 2),
        ("lastSeq", 2),
        ("lastReadSeq", 0),
        ("muted", True),
        ("archived", True),
        ("lastMessage", message(2, BOB)),
        ("participants", [{"user": {"id": ADA}, "lastReadSeq": 3}]),
    ):
        story = true_story()
        story.see(BOB, **{what: value})
        assert "I4" in story.found(), what
        assert Column.VIEWS in columns(story)


def test_stored_counts_that_differ_from_the_messages_are_told() -> None:
    story = true_story()
    story.change_member(BOB, unread=2)
    assert story.found() == {"I4"}


def test_wrong_totals_are_told() -> None:
    story = true_story()
    view = story.views[BOB]
    story.views[BOB] = replace(view, unread={**view.unread, "messages": 0})
    assert story.found() == {"I4"}


def test_a_conversation_missing_in_a_folder_is_told() -> None:
    story = true_story()
    story.views[BOB] = replace(story.views[BOB], folders={"inbox": []})
    assert "I4" in story.found()


def test_a_message_missing_in_a_view_is_told() -> None:
    story = true_story()
    story.views[BOB] = replace(story.views[BOB], messages={TALK: [message(1, ADA), message(3, ADA)]})
    assert "I4" in story.found()


def test_events_left_in_an_outbox_are_told() -> None:
    story = true_story()
    story.truth = replace(story.truth, owed=1)
    assert story.found() == {"I4"}


def test_a_message_that_the_bus_never_heard_of_is_told() -> None:
    story = true_story()
    story.truth = replace(story.truth, told={"id1": {"event1"}, "id3": {"event3"}})
    assert story.found() == {"I4"}


def test_a_device_that_missed_an_event_is_told() -> None:
    for lost in ("message.created", "read.receipt"):
        story = true_story()
        last = max(
            index
            for index, entry in enumerate(story.journal)
            if entry["kind"] == "frame" and entry["frame"]["type"] == lost
        )
        del story.journal[last]
        assert story.found() == {"I9"}


def test_an_event_told_twice_or_out_of_order_changes_nothing() -> None:
    story = true_story()
    frames = [entry for entry in story.journal if entry["kind"] == "frame"]
    story.journal += [*frames, *reversed(frames)]
    assert story.violations() == []


def test_a_device_with_a_conversation_too_many_is_told() -> None:
    story = true_story()
    story.frame("ada/0", "message.created", "another", message=message(1, ADA))
    assert story.found() == {"I9"}


def blocked(story: Story) -> Story:
    """Bob blocks Ada now."""
    story.truth = replace(story.truth, blocks={(BOB, ADA)})
    block = story.act("block", BOB, 204, whom=ADA, conversation=TALK)
    story.note("observed", block=block, conversation=TALK, lastSeq=3)
    return story


def test_a_message_between_two_who_are_not_blocked_is_fine() -> None:
    assert one_more(true_story()).violations() == []


def test_a_message_after_an_acknowledged_block_is_told() -> None:
    assert one_more(blocked(true_story())).found() == {"I5"}


def test_a_message_after_the_block_was_lifted_is_fine() -> None:
    story = blocked(true_story())
    story.act("unblock", BOB, 204, whom=ADA, conversation=TALK)
    story.truth = replace(story.truth, blocks=set())
    assert one_more(story).violations() == []


def test_a_message_in_a_request_after_it_was_declined_or_withdrawn_is_told() -> None:
    for op, who, state in (("decline", BOB, "declined"), ("withdraw", ADA, "withdrawn")):
        story = true_story()
        story.act(op, who, 200, {}, conversation=TALK)
        story.truth = replace(story.truth, states={TALK: state})
        assert one_more(story).found() == {"I5"}


def test_numbers_that_go_on_while_a_block_stands_are_told() -> None:
    story = blocked(true_story())
    block = next(entry["action"] for entry in story.journal if entry.get("op") == "block")
    story.note("observed", block=block, conversation=TALK, lastSeq=4)
    assert story.found() == {"I5"}


def test_a_frame_of_a_conversation_one_is_not_in_is_told() -> None:
    story = true_story()
    story.frame("eve/0", message=message(3, ADA))
    assert "I8" in story.found()


def test_a_frame_of_somebody_elses_block_is_told() -> None:
    story = blocked(true_story())
    story.frame("ada/0", "block.created", userId=ADA, version=1)
    assert "I8" in story.found()


def test_a_decline_that_the_initiator_can_see_is_told() -> None:
    story = true_story()
    story.act("decline", BOB, 200, {}, conversation=TALK)
    story.truth = replace(story.truth, states={TALK: "declined"})
    assert story.violations() == []
    story.see(ADA, state="declined")
    assert "I8" in story.found()


def test_a_frame_of_somebody_elses_decline_is_told() -> None:
    item = conversation(ADA, last=message(3, ADA), unread=0, read=3)
    story = true_story()
    story.frame("ada/0", "conversation.declined", conversation=item, self=item)
    assert story.found() == {"I8"}
    story.act("decline", ADA, 409, {}, conversation=TALK)
    assert story.violations() == []


def test_a_view_of_a_conversation_one_is_not_in_is_told() -> None:
    story = true_story()
    story.views[EVE] = replace(
        story.views[EVE],
        folders={"inbox": [conversation(EVE, last=message(3, ADA), unread=0, read=0)]},
        messages={TALK: []},
    )
    assert "I8" in story.found()
