"""uvicorn's HTTP protocol with a bound on how long and how large the head of a request may be.

uvicorn waits for ever for a head that was begun, so a few thousand connections that send a header now and then would
hold a process's sockets (Slowloris), also in front of the room's handshake. Bodies are bounded by each door, and a
socket's hello by chat.socket.
"""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_WITHIN_S = 10.0
HEAD_MAX = 32 * 1024  # bytes
TOO_LATE = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class PunctualHttp(HttpToolsProtocol):
    """Give it as `http=PunctualHttp`."""

    _timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_WITHIN_S, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        # A body may still come whose answer is out (413): that is no head, and cutting it would lose the answer.
        if not self._in_body and (self.cycle is None or self.cycle.response_complete):
            self._head_bytes += len(data)
            if self._timer is None:
                self._timer = self.loop.call_later(HEAD_WITHIN_S, self._late)
        super().data_received(data)
        if self._timer is not None and self._head_bytes > HEAD_MAX:
            self._refuse(TOO_LARGE)

    def on_headers_complete(self) -> None:
        self._head_came()
        self._in_body = True
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_body = False
        super().on_message_complete()

    def _head_came(self) -> None:
        self._head_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        # A browser opens connections in advance; one that never asked is closed without a word.
        self._refuse(TOO_LATE if self._head_bytes else b"")

    def _refuse(self, answer: bytes) -> None:
        self._head_came()
        if not self.transport.is_closing():
            if answer:
                self.transport.write(answer)
            self.transport.close()
