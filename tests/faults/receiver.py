"""A merchant's system: it hears a brand's webhooks, and keeps books by them alone.

It does what the documentation asks of a receiver: the signature is checked over the bytes, an event takes effect once
by its `webhook-id`, and an answer of 2xx says that it did. And it is as bad as receivers are: one event in four it
first answers with 500, and of one in four it takes the first post and never answers.
It runs on threads, so that the worker goes on while a test thinks. Source: docs/webhooks.md
"""

from __future__ import annotations

import hmac
import json
import sys
import threading
import zlib
from collections import Counter
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, NamedTuple

from standardwebhooks import Webhook


class Heard(NamedTuple):
    """An event that took effect."""

    kind: str
    data: dict[str, Any]


class Receiver:
    """`with Receiver() as merchant: url = merchant.url("nord"); merchant.secrets["nord"] = secret`."""

    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}  # by path: none, and what comes there is refused
        self._books: dict[str, dict[str, Heard]] = {}  # by path, then by webhook-id
        self._posts: Counter[str] = Counter()
        self._wrong: dict[str, list[str]] = {}
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True)

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def books(self, path: str) -> dict[str, Heard]:
        """What took effect, by webhook-id."""
        with self._lock:
            return dict(self._books.get(path, {}))

    def wrong(self, path: str) -> list[str]:
        """What no receiver should get: forged, or another event under a known id."""
        with self._lock:
            return list(self._wrong.get(path, []))

    def figures(self) -> dict[str, int]:
        """Of the whole run: events, and posts of them."""
        with self._lock:
            return {"events": len(self._posts), "posts": sum(self._posts.values())}

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """The status to answer with; 0: none at all."""
        event = headers.get("webhook-id", "")
        with self._lock:
            if not self._is_signed(path, headers, body):
                self._wrong.setdefault(path, []).append(f"I8: {event} came with a wrong signature")
                return 401
            self._posts[event] += 1
            mood = zlib.crc32(event.encode()) % 4
            if self._posts[event] == 1 and mood == 0:
                return 500
            said = json.loads(body)
            heard = Heard(said["type"], said["data"])
            before = self._books.setdefault(path, {}).setdefault(event, heard)
            if before != heard:
                self._wrong.setdefault(path, []).append(f"I8: {event} was {before} and is {heard}")
            return 0 if self._posts[event] == 1 and mood == 1 else 204

    def _is_signed(self, path: str, headers: dict[str, str], body: bytes) -> bool:
        """By the library's own reckoning; how old it is can't be told by a clock that jumps."""
        secret = self.secrets.get(path)
        if secret is None:
            return False
        sent = datetime.fromtimestamp(int(headers.get("webhook-timestamp", "0")), UTC)
        ours = Webhook(secret).sign(headers.get("webhook-id", ""), sent, body.decode())
        return any(hmac.compare_digest(ours, one) for one in headers.get("webhook-signature", "").split(" "))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Who posts is killed now and then."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(receiver: Receiver) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            body = self.rfile.read(length)
            if len(body) < length:  # who posts was killed at it
                self.close_connection = True
                return
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receiver.take(self.path.strip("/"), headers, body)
            if status == 0:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Tests have a log of their own."""

    return Handler
