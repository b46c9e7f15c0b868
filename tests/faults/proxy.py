"""A proxy between the server and a store that loses replies: the command ran, nobody hears of it.

It runs on a thread with a loop of its own, so that the processes go on while a test thinks.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable
from types import TracebackType

Connect = Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]
Listen = Callable[[Callable[..., Awaitable[None]]], Awaitable[asyncio.Server]]
CHUNK = 65_536


class Proxy:
    """`with Proxy(listen, connect, loses=b"EVALSHA") as proxy: … proxy.lose_a_reply(); proxy.down(); proxy.up()`.

    `loses` is what a request has whose reply may be lost.
    """

    def __init__(self, listen: Listen, connect: Connect, *, loses: bytes) -> None:
        self._listen = listen
        self._connect = connect
        self._loses = loses
        self._armed = 0
        self._down = False
        self.lost = 0  # replies, so far
        self._open: set[asyncio.StreamWriter] = set()
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        assert self._ready.wait(10), "the proxy did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def lose_a_reply(self) -> None:
        """The next reply of that kind is not passed on, and its connection ends."""
        self._armed = 1

    def lose_every(self, nth: int) -> None:
        """One in `nth` replies from now on; 0: none."""
        self._armed, self._nth, self._count = 0, nth, 0

    _nth = 0
    _count = 0

    def forgive(self) -> None:
        self._armed = self._nth = 0
        self.up()

    def down(self) -> None:
        """Every connection ends and none is taken."""
        self._down = True
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._cut)

    def up(self) -> None:
        self._down = False

    def _cut(self) -> None:
        for writer in list(self._open):
            writer.transport.abort()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await self._listen(self._serve)
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._down:
            writer.transport.abort()
            return
        try:
            there, onward = await self._connect()
        except OSError:
            writer.transport.abort()
            return
        asked = [False]
        self._open |= {writer, onward}
        try:
            await asyncio.gather(self._ask(reader, onward, asked), self._answer(there, writer, onward, asked))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            for end in (writer, onward):
                self._open.discard(end)
                end.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, onward: asyncio.StreamWriter, asked: list[bool]) -> None:
        while data := await reader.read(CHUNK):
            asked[0] = self._loses in data
            onward.write(data)
            await onward.drain()
        onward.close()

    async def _answer(
        self, there: asyncio.StreamReader, writer: asyncio.StreamWriter, onward: asyncio.StreamWriter, asked: list[bool]
    ) -> None:
        while data := await there.read(CHUNK):
            if asked[0] and self._loses_this():
                self.lost += 1
                raise ConnectionAbortedError  # it ran; nobody hears of it
            writer.write(data)
            with contextlib.suppress(OSError):
                await writer.drain()
        raise ConnectionAbortedError

    def _loses_this(self) -> bool:
        if self._armed:
            self._armed = 0
            return True
        if self._nth:
            self._count += 1
            return self._count % self._nth == 0
        return False
