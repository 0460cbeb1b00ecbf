"""Mail to people: what it says, and how it leaves."""

from conversation_svc.mail.letters import Letters
from conversation_svc.mail.post import MOST_SECONDS, EndUnknown, NotSent, Post, RefusedForGood

__all__ = ["MOST_SECONDS", "EndUnknown", "Letters", "NotSent", "Post", "RefusedForGood"]
