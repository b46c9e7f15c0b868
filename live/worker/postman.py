"""How letters leave: by SMTP, or into a folder while no server is set.

The folder is a real mailbox: each letter is an .eml that any mail program opens. So a brand sees in `data/mail` what
would have gone out, before it has a mail server.
"""

from __future__ import annotations

import os
import smtplib
import ssl
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from enum import Enum
from pathlib import Path
from typing import NamedTuple, Protocol
from urllib.parse import unquote, urlsplit

from live.errors import Invalid
from live.settings import Settings

TIMEOUT_S = 20.0
_LOCAL = ("localhost", "127.0.0.1", "::1")
_PORTS = {"smtp": 587, "smtps": 465}


class Letter(NamedTuple):
    """`name` is the same when it is sent again; it becomes a file's name and the Message-ID."""

    name: str
    message: EmailMessage


class Fate(Enum):
    """What became of a letter."""

    SENT = "sent"
    REFUSED = "refused"  # for good: no such receiver, or against a rule
    LATER = "later"  # the server is away, busy, or wants it tried again


class Postman(Protocol):
    def carry(self, letters: Sequence[Letter]) -> list[tuple[Fate, str]]:
        """What became of each, and why in the server's words. Blocks, so call it on a thread. Raises nothing."""


class Mailbox:
    """Writes letters to files, whole or not at all, readable by their owner."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def carry(self, letters: Sequence[Letter]) -> list[tuple[Fate, str]]:
        fates = []
        for letter in letters:
            try:
                self._write(letter)
                fates.append((Fate.SENT, ""))
            except OSError as why:
                fates.append((Fate.LATER, why.strerror or str(why)))
        return fates

    def _write(self, letter: Letter) -> None:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part, target = self._folder / f".{letter.name}.part", self._folder / f"{letter.name}.eml"
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(letter.message.as_bytes(policy=WIRE))
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)


class Smtp:
    """One connection a round. TLS always but to this machine: from the first byte by `smtps://`, else by STARTTLS."""

    def __init__(self, url: str) -> None:
        """`smtps://user:password@mail.example.com:465`. Raises Invalid."""
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise Invalid("FRONTROW_SMTP_URL", "must be smtp://… or smtps://… with a host")
        self._host, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._implicit = parts.scheme == "smtps"
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")

    def carry(self, letters: Sequence[Letter]) -> list[tuple[Fate, str]]:
        fates: list[tuple[Fate, str]] = []
        try:
            with self._connected() as server:
                for letter in letters:
                    fates.append(self._send(server, letter))
        except OSError as why:  # smtplib's own errors are OSErrors
            fates += [(Fate.LATER, _words(why))] * (len(letters) - len(fates))
        return fates

    def _connected(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._implicit:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
        try:
            if not self._implicit and self._host not in _LOCAL:
                server.starttls(context=context)  # raises when the server can't: nothing goes out in the clear
            if self._user:
                server.login(self._user, self._password)
        except BaseException:
            server.close()
            raise
        return server

    def _send(self, server: smtplib.SMTP, letter: Letter) -> tuple[Fate, str]:
        try:
            server.send_message(letter.message)
        except smtplib.SMTPRecipientsRefused as why:
            code, said = next(iter(why.recipients.values()))
            return (Fate.REFUSED if code >= 500 else Fate.LATER), f"{code} {_text(said)}"
        except smtplib.SMTPResponseException as why:
            return (Fate.REFUSED if why.smtp_code >= 500 else Fate.LATER), f"{why.smtp_code} {_text(why.smtp_error)}"
        except smtplib.SMTPNotSupportedError as why:  # an address that needs SMTPUTF8, which this server lacks
            return Fate.REFUSED, str(why)
        return Fate.SENT, ""


def postman_of(settings: Settings) -> Postman:
    """SMTP where it is set, else the file mailbox. Raises Invalid."""
    return Smtp(settings.smtp_url) if settings.smtp_url else Mailbox(settings.data_dir / "mail")


def _words(why: OSError) -> str:
    return why.strerror or str(why) or type(why).__name__


def _text(said: bytes | str) -> str:
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else said
