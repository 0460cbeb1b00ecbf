"""Fills the running system with the demo's people and conversations: `python -m deploy.local.seed`.

Everything goes through the public API with tokens of the development issuer, as a browser would do it. Client
message ids are fixed, so a second run finds what is there and adds nothing.
"""

import asyncio
import sys
from collections import Counter

import aiohttp

from chatctl.rest import JsonObject, ProblemError, Rest, fetch_token
from chatctl.running import NotRunningError, Running, load
from deploy.local.people import PEOPLE
from deploy.local.stories import Story, load_stories

# A person has used the demo since: took a request back, blocked somebody. That is theirs and stays.
CHANGED_SINCE = {"undeliverable", "request_closed", "request_pending", "not_found"}


async def seed(running: Running) -> Counter[str]:
    """Tell the stories. Returns how many of them were `new`, `known`, or `changed` by somebody since.

    Raises ProblemError, and aiohttp.ClientError when nothing answers.
    """
    async with aiohttp.ClientSession() as session:
        arrivals = (_arrive(session, running, each.id, each.role) for each in PEOPLE)
        people = dict(await asyncio.gather(*arrivals))
        outcomes: Counter[str] = Counter()
        for story in load_stories():  # in turn: the order of the lists is the order of the stories
            try:
                outcomes[await _tell(story, people)] += 1
            except ProblemError as problem:
                if problem.code not in CHANGED_SINCE:
                    raise
                outcomes["changed"] += 1
        return outcomes


async def _arrive(
    session: aiohttp.ClientSession, running: Running, user_id: str, role: str
) -> tuple[str, Rest]:
    """Look in once, which makes a person known: only then others can write to them."""
    token = await fetch_token(session, running.issuer_url, {"userId": user_id, "role": role})
    rest = Rest(session, running.edge_url, token)
    await rest.get("/me")
    return user_id, rest


async def _tell(story: Story, people: dict[str, Rest]) -> str:
    request: JsonObject = {"recipientId": story.recipient, "message": _message(story, 1)}
    if story.job:
        request["context"] = {"jobId": story.job.id, "jobTitle": story.job.title}
    status, created = await people[story.initiator].request("POST", "/conversations", request)
    conversation = (created or {})["conversation"]
    path = f"/conversations/{conversation['id']}"
    recipient = people[story.recipient]
    if status == 200 and await _is_told(story, recipient, path):
        return "known"
    if story.answer == "declined":
        await recipient.request("POST", f"{path}/decline", {})
    if story.answer == "accepted":
        await recipient.request("POST", f"{path}/accept", {})
    for number in range(2, len(story.lines) + 1):
        sender, _ = story.lines[number - 1]
        await people[sender].request("POST", f"{path}/messages", _message(story, number))
    for reader, seq in story.read_marks().items():
        if seq:
            await people[reader].request("PUT", f"{path}/read", {"lastReadSeq": seq})
    return "new"


async def _is_told(story: Story, recipient: Rest, path: str) -> bool:
    """Whether an earlier run got to the end of this story."""
    seen = await recipient.get(path)
    answered = seen["state"] != "request" or story.answer == "pending"
    return bool(answered and seen["lastSeq"] >= len(story.lines))


def _message(story: Story, number: int) -> JsonObject:
    return {"clientMessageId": f"seed-{story.key}-{number}", "text": story.lines[number - 1][1]}


def main() -> None:
    """Seed the system that run.json names."""
    try:
        outcomes = asyncio.run(seed(load()))
    except NotRunningError as error:
        sys.exit(str(error))
    except (ProblemError, aiohttp.ClientError, TimeoutError) as error:
        sys.exit(f"The demo data could not be written: {error or 'no answer in time'}")
    told = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
    print(f"{len(PEOPLE)} people, {outcomes.total()} conversations: {told}")


if __name__ == "__main__":
    main()
