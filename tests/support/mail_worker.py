"""conversation_svc's worker, killed once the SMTP server has taken a mail: nobody notes that it went out.

`python -m tests.support.mail_worker CONSUMER`, with the worker's own settings in the environment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from email.message import EmailMessage

from conversation_svc.mail import Post
from conversation_svc.settings import ConversationSettings
from conversation_svc.worker import work

_send = Post.send


async def _send_and_die(post: Post, letter: EmailMessage) -> None:
    await _send(post, letter)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Post.send = _send_and_die  # type: ignore[assignment, method-assign]
    asyncio.run(work(ConversationSettings(), asyncio.Event(), consumer_name=sys.argv[1]))
