"""E-mail on a machine that sends none: shown in the log and kept in a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.conf import settings
from django.core.mail import EmailMessage
from django.core.mail.backends.base import BaseEmailBackend
from django.utils.timezone import now


class ConsoleAndFile(BaseEmailBackend):
    """Prints each message and writes it to `EMAIL_FILE_PATH`, the last one also to `latest.txt` there."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        """How many were written."""
        folder = Path(settings.EMAIL_FILE_PATH)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for message in email_messages:
            text = f"To: {', '.join(message.to)}\nSubject: {message.subject}\n\n{message.body}\n"
            print(f"E-mail\n{text}", flush=True)  # noqa: T201 - the console is where it goes
            for name in (f"{now():%Y%m%dT%H%M%S.%f}.txt", "latest.txt"):
                (folder / name).write_text(text)
        return len(email_messages)
