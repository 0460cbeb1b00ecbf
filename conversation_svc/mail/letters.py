"""What mails say. Never the text of a message, and no link but the product's own."""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from conversation_svc.domain import Folder
from conversation_svc.domain.mail import Reminder, View, name_in_mail


class Letters:
    """Writes them from the templates beside this file.

    `sender` is the address they come from; `page_url` is where they lead: `{conversationId}` in it is filled.
    """

    def __init__(self, *, sender: str, page_url: str) -> None:
        self._sender = sender
        self._page_url = page_url
        self._templates = Environment(
            loader=FileSystemLoader(Path(__file__).with_name("templates")),
            autoescape=select_autoescape(enabled_extensions=("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def unread(self, reminder: Reminder, view: View, now: datetime) -> EmailMessage:
        """The mail about unread messages. Its Message-ID is the reminder's, in a repeat too."""
        facts = {
            "name": name_in_mail(reminder.sender_name),
            "count": view.unread,
            "request": view.folder is Folder.REQUESTS,
            "url": self._page_url.replace("{conversationId}", str(reminder.conversation_id)),
        }
        letter = EmailMessage(policy=SMTP)
        letter["From"] = Address("Splits Network Chat", addr_spec=self._sender)
        letter["To"] = Address(addr_spec=reminder.email)
        letter["Subject"] = self._render("unread.subject.txt", facts)
        letter["Date"] = format_datetime(now)
        letter["Message-ID"] = f"<{reminder.mail_id}@{self._sender.rpartition('@')[2]}>"
        letter["Auto-Submitted"] = "auto-generated"
        letter.set_content(self._render("unread.txt", facts) + "\n")
        letter.add_alternative(self._render("unread.html", facts) + "\n", subtype="html")
        return letter

    def _render(self, template: str, facts: dict[str, object]) -> str:
        return self._templates.get_template(template).render(facts).strip()
