"""The room's WebSocket endpoint: handshake, hello, intents in, and the two ways out.

Close codes: 1003 not text, 1007 not an envelope, 1008 too many intents, 1009 over 16 KiB, 1012 this process is going,
1013 too slow or the store is down, 4401 signed out, 4404 no such room, 4408 no hello in time, 4423 banned
(chat.expulsion), 4429 too many sockets.
A foreign Origin (4403) is refused before the handshake, by HTTP 403.

With `RoomProtocol` (`uvicorn --ws chat.wire:RoomProtocol`) the hub writes frames straight to the transport; under any
other server each socket has a small queue and a task that empties it through Starlette.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from redis.exceptions import RedisError
from starlette.types import Message
from starlette.websockets import WebSocket, WebSocketDisconnect

from chat.envelope import Frame, Hello, decode_body, decode_frame
from chat.errors import BadFrame, Invalid, NotAdmitted
from chat.hub import Hub
from chat.ports import Gate, Member
from chat.seat import Wire
from chat.wire import EXTENSION, QueuedWire

log = logging.getLogger("chat.socket")


def room_endpoint(hub: Hub, gate: Gate) -> Callable[[WebSocket], Awaitable[None]]:
    """For `WebSocketRoute("/ws/{show}", …)`: the path's `show` is the room name that the gate is asked about."""

    async def room(ws: WebSocket) -> None:
        asked_ms = hub.now_ms()
        try:
            room_id, member = await gate.admit(ws, ws.path_params["show"])
        except NotAdmitted as refusal:
            if refusal.close_code != 4403:
                await ws.accept()
            await _close(ws, refusal.close_code, refusal.reason)
            return
        except Exception as error:
            if not isinstance(error, (RedisError, OSError)) and getattr(error, "code", "") != "store_down":
                raise
            await ws.accept()
            await _close(ws, 1013, "try again later")
            return
        await ws.accept()
        wire = ws.scope.get("extensions", {}).get(EXTENSION)
        try:
            if wire is not None:
                await _serve(hub, ws, wire, room_id, member, asked_ms)
            else:
                await _serve_queued(hub, ws, room_id, member, asked_ms)
        except (NotAdmitted, BadFrame) as refusal:
            why = refusal.reason if isinstance(refusal, NotAdmitted) else refusal.why
            await _close(ws, refusal.close_code, why)
        except WebSocketDisconnect:
            pass

    return room


async def _serve(hub: Hub, ws: WebSocket, wire: Wire, room_id: str, member: Member, asked_ms: int) -> None:
    hello = await _hello(ws, hub.limits.hello_s)
    seat = await hub.enter(room_id, member, wire, epoch=hello.epoch, seq=hello.seq, asked_ms=asked_ms)
    try:
        while True:
            await hub.intent(seat, _frame(await ws.receive()))
    finally:
        hub.leave(seat)


async def _serve_queued(hub: Hub, ws: WebSocket, room_id: str, member: Member, asked_ms: int) -> None:
    """The same, with a task that sends. Whichever ends first ends the other."""
    wire = QueuedWire(ws)
    async with asyncio.TaskGroup() as group:
        writer = group.create_task(wire.run())
        reader = group.create_task(_until_over(_serve(hub, ws, wire, room_id, member, asked_ms)))
        await asyncio.wait([writer, reader], return_when=asyncio.FIRST_COMPLETED)
        writer.cancel()
        reader.cancel()
    if not reader.cancelled() and (refusal := reader.result()) is not None:
        raise refusal


async def _until_over(serving: Awaitable[None]) -> Exception | None:
    """Why it ended, as a value: a task group would wrap it."""
    try:
        await serving
    except (NotAdmitted, BadFrame, WebSocketDisconnect) as refusal:
        return refusal
    return None


async def _hello(ws: WebSocket, within_s: float) -> Hello:
    try:
        async with asyncio.timeout(within_s):
            frame = _frame(await ws.receive())
    except TimeoutError:
        raise BadFrame(4408, "no hello in time") from None
    if frame.kind != "hello":
        raise BadFrame(1007, "the first frame is hello")
    try:
        return decode_body(frame.body, Hello)
    except Invalid as error:
        raise BadFrame(1007, "not a hello") from error


def _frame(message: Message) -> Frame:
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1005))
    text = message.get("text")
    if text is None:
        raise BadFrame(1003, "text frames only")
    return decode_frame(text)


async def _close(ws: WebSocket, code: int, reason: str) -> None:
    # The other side may have gone first.
    with suppress(RuntimeError, WebSocketDisconnect):
        await ws.close(code, reason)
