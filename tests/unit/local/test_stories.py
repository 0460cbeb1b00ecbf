"""The demo's people and what they have written: whether it can happen."""

from collections import Counter

from deploy.local.people import BY_ID
from deploy.local.stories import load_stories

STORIES = load_stories()


def test_everybody_in_a_story_is_one_of_the_demos_people() -> None:
    for story in STORIES:
        writers = {who for who, _ in story.lines}
        assert writers | {story.recipient} | set(story.read_by) <= set(BY_ID), story.key
        assert writers <= {story.initiator, story.recipient}, story.key


def test_a_request_that_nobody_accepted_holds_one_message() -> None:
    for story in STORIES:
        if story.answer != "accepted":
            assert len(story.lines) == 1, story.key


def test_no_pair_has_two_conversations_about_one_job_nor_two_pending_requests() -> None:
    pairs = Counter(
        (frozenset({story.initiator, story.recipient}), story.job.id if story.job else "")
        for story in STORIES
    )
    pending = Counter(
        frozenset({story.initiator, story.recipient}) for story in STORIES if story.answer != "accepted"
    )
    assert set(pairs.values()) == set(pending.values()) == {1}


def test_no_candidate_writes_to_a_candidate() -> None:
    for story in STORIES:
        assert {BY_ID[story.initiator].role, BY_ID[story.recipient].role} != {"candidate"}, story.key


def test_nobody_has_read_further_than_was_written() -> None:
    for story in STORIES:
        assert max(story.read_marks().values()) <= len(story.lines), story.key


def test_client_message_ids_fit_their_limit() -> None:
    assert all(len(f"seed-{story.key}-99") <= 64 for story in STORIES)
    assert len({story.key for story in STORIES}) == len(STORIES)


def test_there_is_something_of_everything_to_see() -> None:
    assert {story.answer for story in STORIES} == {"accepted", "pending", "declined"}
    unread = [len(story.lines) - seq for story in STORIES for seq in story.read_marks().values()]
    assert len(set(unread)) >= 3
