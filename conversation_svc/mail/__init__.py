"""Mail to people: what it says, and how it leaves."""

from conversation_svc.mail.letters import Letters
from conversation_svc.mail.post import NotSent, Post, RefusedForGood

__all__ = ["Letters", "NotSent", "Post", "RefusedForGood"]
