"""The way out of the process: frames written straight to uvicorn's transport, or queued for any other server."""

from __future__ import annotations

import asyncio
import logging
import socket
from asyncio import TimerHandle
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState, NegotiationError
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.frames import Frame
from websockets.headers import build_extension
from websockets.http11 import Request
from websockets.protocol import Protocol, State

from chat.handshake import Asked, asked, offers
from chat.seat import Prepared, Sender

# Not uvicorn's, which writes two lines for each socket that opens, with its address.
log = logging.getLogger("chat.wire")

EXTENSION = "frontrow.transport"
# How long a peer may take to answer our close frame before the connection is cut.
CLOSE_S = 2.0
QUEUED_FRAMES = 256
# Unsent bytes that the kernel keeps of a socket (it takes twice that): half a megabyte a second around the world.
KERNEL_BYTES = 64 * 1024
# How long a queued send may block before its reader is taken for gone.
STALLED_S = 10.0


class TransportWire:
    """Writes prepared frames past the ASGI server's per-message machinery: a delivery costs one `write()`.

    uvicorn's own state is kept right: nothing is written after its close frame, and our closing goes through its
    protocol object."""

    __slots__ = ("_protocol", "_transport", "packs")

    def __init__(self, protocol: RoomProtocol) -> None:
        self.packs = bool(protocol.conn.extensions)
        self._protocol = protocol
        self._transport = protocol.transport

    def write(self, prepared: Prepared) -> None:
        self._transport.write(prepared.packed if self.packs else prepared.frame)

    def direct(self, out: Callable[[], None]) -> Sender | None:
        if self.is_closing() or self._protocol.is_full:
            return None
        self._protocol.out = out
        return self._transport

    def buffered(self) -> int:
        return self._transport.get_write_buffer_size()

    def is_closing(self) -> bool:
        return self._protocol.close_sent or self._transport.is_closing()

    def close(self, code: int, reason: str) -> None:
        self._protocol.close_now(code, reason)


class DeflateOnce(ServerPerMessageDeflateFactory):
    """permessage-deflate for a client that offers it, on our terms: no message leans on an earlier one, in either
    direction. So a tick is packed once for everyone, and a socket keeps no window (RFC 7692, section 7.1.1)."""

    def __init__(self) -> None:
        super().__init__(server_no_context_takeover=True, client_no_context_takeover=True)

    def process_request_params(
        self, params: Sequence[tuple[str, str | None]], accepted_extensions: Sequence[Extension]
    ) -> tuple[list[tuple[str, str | None]], PerMessageDeflate]:
        # The shared frames are packed with the full window.
        if any(name == "server_max_window_bits" and value not in (None, "15") for name, value in params):
            raise NegotiationError("no smaller window")
        return super().process_request_params(params, accepted_extensions)


DEFLATE_ONCE = (DeflateOnce(),)


class RoomProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, with its transport in `scope["extensions"]`. Give it as `ws=RoomProtocol`, with
    `ws_per_message_deflate=False` (2 to 4 times the CPU, 30 to 90 KB a socket) and `ws_max_size=16384`."""

    close_timer: TimerHandle | None
    is_full = False
    out: Callable[[], None] | None = None
    # What was asked, and the headers that answer its extensions, until the application accepts or refuses.
    _asked: tuple[Asked, list[tuple[bytes, bytes]]] | None = None

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.logger = self.conn.logger = log
        self.conn.available_extensions = DEFLATE_ONCE

    def data_received(self, data: bytes) -> None:
        # First comes the head of the request, whole, from uvicorn.
        request = None if self.handshake_initiated else asked(data)
        if request is None or not self._open(request):
            super().data_received(data)

    def _open(self, request: Asked) -> bool:
        """As `handle_connect`. False: websockets has to look at what was asked."""
        if (offered := offers(request.extensions)) is None:
            return False
        headers: list[tuple[bytes, bytes]] = []
        for name, params in offered:
            if name != DEFLATE_ONCE[0].name or self.conn.extensions:
                continue
            with suppress(NegotiationError):
                answer, extension = DEFLATE_ONCE[0].process_request_params(params, [])
                self.conn.extensions = [extension]
                headers.append((b"Sec-WebSocket-Extensions", build_extension([(name, answer)]).encode()))
        self._asked = request, headers
        self.handshake_initiated = True
        self.conn.parser.close()
        self.conn.parser = Protocol.parse(self.conn)  # frames come next
        next(self.conn.parser)
        path, _, query = request.target.partition(b"?")
        self.scope = {
            "type": "websocket",
            "asgi": {"version": self.asgi_version, "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": self.scheme,
            "server": self.server,
            "client": self.client,
            "root_path": self.root_path,
            "path": self.root_path + unquote(path.decode("ascii")),
            "raw_path": self.root_path.encode("ascii") + path,
            "query_string": query,
            "headers": request.headers,
            "subprotocols": [],
            "state": self.app_state.copy(),
            "extensions": {"websocket.http.response": {}},
        }
        self._give_wire()
        self.queue.put_nowait({"type": "websocket.connect"})
        task = self.loop.create_task(self.run_asgi())
        task.add_done_callback(self.on_task_complete)
        self.tasks.add(task)
        return True

    async def send(self, message: ASGISendEvent) -> None:
        opening, self._asked = self._asked, None
        if opening is None or message["type"] != "websocket.accept":
            await super().send(message)  # which also refuses
            return
        request, headers = opening
        if self.disconnected:
            raise ClientDisconnected()
        if not self.transport.is_closing():
            self.handshake_complete = True
            self.conn.state = State.OPEN
            self.transport.write(request.answer([*headers, *self.default_headers, *message.get("headers", ())]))
            self.start_keepalive()

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        # The application's task was only just created: it runs after this.
        if self.response.status_code == 101:
            self._give_wire()

    def _give_wire(self) -> None:
        extensions = self.scope["extensions"]
        assert extensions is not None
        extensions[EXTENSION] = TransportWire(self)  # type: ignore[assignment]
        self._bound_what_the_kernel_keeps()

    def _bound_what_the_kernel_keeps(self) -> None:
        # It would put megabytes aside for each reader who stalls, all of it taken from the caches of the others.
        sock = self.transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def pause_writing(self) -> None:
        super().pause_writing()
        self.is_full = True
        self._fall_out()

    def resume_writing(self) -> None:
        super().resume_writing()
        self.is_full = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._fall_out()
        super().connection_lost(exc)

    def handle_close(self, event: Frame) -> None:
        # Nothing goes out after the close frame that answers this one.
        self._fall_out()
        super().handle_close(event)

    def _fall_out(self) -> None:
        out, self.out = self.out, None
        if out is not None:
            out()

    def close_now(self, code: int, reason: str) -> None:
        """Send a close frame without waiting for the transport to drain, which for a stalled reader is never."""
        if self.close_sent or self.disconnected or self.transport.is_closing():
            return
        self._fall_out()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        with suppress(InvalidState):
            self.conn.send_close(code, reason)
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_S, self.transport.abort)


class QueuedWire:
    """For servers without the extension: a bounded queue, and `run` which sends what is in it through Starlette."""

    packs = False

    def __init__(self, ws: WebSocket) -> None:
        self._ws = ws
        self._queue: asyncio.Queue[Prepared] = asyncio.Queue(QUEUED_FRAMES)
        self._bytes = 0
        self._closing: tuple[int, str] | None = None
        self._wake = asyncio.Event()

    def write(self, prepared: Prepared) -> None:
        try:
            self._queue.put_nowait(prepared)
        except asyncio.QueueFull:
            self.close(1013, "too slow")
            return
        self._bytes += len(prepared.payload)
        self._wake.set()

    def direct(self, out: Callable[[], None]) -> Sender | None:
        return None

    def buffered(self) -> int:
        return self._bytes

    def is_closing(self) -> bool:
        return self._closing is not None

    def close(self, code: int, reason: str) -> None:
        self._closing = self._closing or (code, reason)
        self._wake.set()

    async def run(self) -> None:
        """Until the socket is closed, by either side."""
        with suppress(WebSocketDisconnect, RuntimeError, OSError):
            while True:
                await self._wake.wait()
                self._wake.clear()
                while not self._queue.empty():
                    prepared = self._queue.get_nowait()
                    async with asyncio.timeout(STALLED_S):
                        await self._ws.send_text(prepared.payload.decode())
                    self._bytes -= len(prepared.payload)
                if self._closing is not None:
                    await self._ws.close(*self._closing)
                    return
