"""A client of the wire in Python, for tests, the demo's viewers and benchmarks. The browser's is static/js/wire.js.

async with RoomClient.open(url, cookie="frontrow=…", origin="http://127.0.0.1:8000") as room:
    answer = await room.post("line.post", {"text": "hello"})
    line = await room.wait("line.posted", lambda body: body["line"]["text"] == "hello", timeout=2)
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as ws_connect
from websockets.exceptions import ConnectionClosed

# Envelopes a client that nobody reads keeps; older ones go first.
KEPT_ENVELOPES = 20_000
# How long what was asked for is waited for, unless the caller knows better: a busy machine takes its time.
PATIENCE_S = 30.0


class Answer(msgspec.Struct, frozen=True):
    """`ok`, or a refusal with its `code` and `facts`."""

    ok: bool
    body: dict[str, Any]

    @property
    def code(self) -> str:
        return "" if self.ok else str(self.body["code"])

    @property
    def facts(self) -> dict[str, Any]:
        return {} if self.ok else dict(self.body["facts"])


class RoomClient:
    """One socket. `welcome` is the first snapshot's body (a reset's after a reset, None after a resume); `epoch` and
    `seq` say where it stands, ready for `resume_from`."""

    def __init__(self, ws: ClientConnection) -> None:
        self._ws = ws
        self.welcome: dict[str, Any] | None = None
        self.epoch: str | None = None
        self.seq: int | None = None
        self.close_code: int | None = None
        self.close_reason = ""
        self.frames = 0
        self.envelopes: deque[dict[str, Any]] = deque(maxlen=KEPT_ENVELOPES)
        self._answers: dict[str, asyncio.Future[Answer]] = {}
        self._arrived = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None
        self.on_envelope: Callable[[dict[str, Any]], None] | None = None

    @classmethod
    async def connect(
        cls,
        url: str,
        cookie: str = "",
        origin: str | None = None,
        *,
        resume_from: tuple[str, int] | None = None,
        timeout: float = PATIENCE_S,
        on_envelope: Callable[[dict[str, Any]], None] | None = None,
    ) -> RoomClient:
        """Connected and welcomed (or resumed); `aclose` it. `on_envelope` gets each envelope from the first on.

        Raises: websockets' InvalidStatus (handshake refused), ConnectionError (closed before the welcome)."""
        headers = {"Cookie": cookie} if cookie else {}
        ws = await ws_connect(
            url,
            origin=origin,  # type: ignore[arg-type]
            additional_headers=headers,
            compression=None,
            max_size=None,
            open_timeout=timeout,
            close_timeout=1,
            proxy=None,
        )
        client = cls(ws)
        client.on_envelope = on_envelope
        epoch, seq = resume_from or (None, None)
        try:
            with suppress(ConnectionClosed):
                await ws.send(msgspec.json.encode({"kind": "hello", "body": {"epoch": epoch, "seq": seq}}).decode())
            # Owned by this object: aclose() ends it.
            client._reader = asyncio.create_task(client._read())
            await client._until(lambda: client.epoch is not None or client.close_code is not None, timeout)
            if client.epoch is None:
                raise ConnectionError(f"closed with {client.close_code} {client.close_reason}")
        except BaseException:
            await client.aclose()
            raise
        return client

    @classmethod
    @asynccontextmanager
    async def open(
        cls, url: str, cookie: str = "", origin: str | None = None, **more: Any
    ) -> AsyncIterator[RoomClient]:
        client = await cls.connect(url, cookie, origin, **more)
        try:
            yield client
        finally:
            await client.aclose()

    async def post(
        self, kind: str, body: dict[str, Any] | None = None, *, op: str | None = None, timeout: float = PATIENCE_S
    ) -> Answer:
        """Send an intent and wait for its answer.

        Raises: ConnectionError when the socket closes first, TimeoutError."""
        op = op or secrets.token_hex(8)
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[op] = future
        try:
            await self.send({"kind": kind, "op": op, "body": body or {}})
            async with asyncio.timeout(timeout):
                return await future
        except ConnectionClosed as error:
            raise ConnectionError(str(error)) from error
        finally:
            self._answers.pop(op, None)

    async def send(self, frame: dict[str, Any] | str | bytes) -> None:
        """Send anything, also what no client should."""
        await self._ws.send(msgspec.json.encode(frame).decode() if isinstance(frame, dict) else frame)

    async def wait(
        self, kind: str, predicate: Callable[[dict[str, Any]], bool] = lambda body: True, timeout: float = PATIENCE_S
    ) -> dict[str, Any]:
        """The body of the first envelope of `kind` that fits, among those that came already and those to come."""
        return (await self.wait_envelope(kind, predicate, timeout))["body"]  # type: ignore[no-any-return]

    async def wait_envelope(
        self, kind: str, predicate: Callable[[dict[str, Any]], bool] = lambda body: True, timeout: float = PATIENCE_S
    ) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            return next((e for e in self.envelopes if e["kind"] == kind and predicate(e["body"])), None)

        await self._until(lambda: found() is not None or self.close_code is not None, timeout)
        envelope = found()
        if envelope is None:
            raise ConnectionError(f"closed with {self.close_code} before {kind}")
        return envelope

    async def wait_closed(self, timeout: float = PATIENCE_S) -> int:
        """The close code."""
        await self._until(lambda: self.close_code is not None, timeout)
        assert self.close_code is not None
        return self.close_code

    def seen(self, kind: str) -> list[dict[str, Any]]:
        """Bodies of that kind so far, in order."""
        return [envelope["body"] for envelope in self.envelopes if envelope["kind"] == kind]

    async def aclose(self) -> None:
        await self._ws.close()
        if self._reader is not None:
            await self._reader

    async def _until(self, ready: Callable[[], bool], timeout: float) -> None:
        async with asyncio.timeout(timeout), self._arrived:
            await self._arrived.wait_for(ready)

    async def _read(self) -> None:
        try:
            async for data in self._ws:
                self.frames += 1
                frame = msgspec.json.decode(data)
                for envelope in frame if isinstance(frame, list) else [frame]:
                    self._take(envelope)
                async with self._arrived:
                    self._arrived.notify_all()
        except ConnectionClosed:
            pass
        finally:
            self.close_code = self._ws.close_code or 1006
            self.close_reason = self._ws.close_reason or ""
            for future in self._answers.values():
                if not future.done():
                    future.set_exception(ConnectionError(f"closed with {self.close_code}"))
            async with self._arrived:
                self._arrived.notify_all()

    def _take(self, envelope: dict[str, Any]) -> None:
        kind = envelope["kind"]
        if kind in ("ok", "refused"):
            future = self._answers.get(envelope.get("op", ""))
            if future is not None and not future.done():
                future.set_result(Answer(kind == "ok", envelope["body"]))
            return
        if kind in ("welcome", "reset", "resumed"):
            body = envelope["body"]
            self.epoch, self.seq = body["epoch"], body["seq"]
            self.welcome = None if kind == "resumed" else body
        elif "seq" in envelope:
            self.seq = envelope["seq"]
        elif kind == "events.skipped":
            self.seq = max(self.seq or 0, envelope["body"]["to_seq"])
        self.envelopes.append(envelope)
        if self.on_envelope is not None:
            self.on_envelope(envelope)
