"""One show in the tail: its pipe, the thread that packages, and the shelf that players take from.

The pipe's callbacks come on the event loop and only put into a bounded queue; the thread takes it apart, encodes the
sound and writes parts; finished parts come back to the loop. So neither a slow encoder nor a broken stream keeps the
other shows' players waiting.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any

import structlog

from live.relay.depacketise import Frame, VideoCodec
from live.relay.piped import PipedPacket, StreamInfo
from live.tail.assembly import Assembly
from live.tail.shelf import Shelf
from live.tail.transcode import ChildTranscoder
from live.tail.window import Init, Part

log = structlog.get_logger(__name__)

# Datagrams: more than ten seconds of a show. A full queue lets packets go, and the picture waits for a key frame.
QUEUE_MAX = 1024
KEY_EVERY_WATCHED_MS, KEY_EVERY_UNWATCHED_MS = 2000, 8000

Act = Callable[[Assembly], None]


class ShowTail:
    """Owned by the process; `close` ends thread and child. `want_key` is called on the loop."""

    def __init__(self, show: str, first_msn: int, *, window_s: float, want_key: Callable[[], None]) -> None:
        self.show = show
        self.shelf = Shelf(first_msn, window_s=window_s)
        self.dropped = 0
        self._want_key = want_key
        self._loop = asyncio.get_running_loop()
        self._queue: queue.Queue[Act | None] = queue.Queue(QUEUE_MAX)
        self._assembly = Assembly(_Way(self), want_key=self._ask_for_key, transcoder=self._transcoder)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name=f"tail {show}", daemon=True)
        self._thread.start()

    @property
    def frames(self) -> int:
        return self._assembly.frames

    # ---- PipeClient's callbacks ----------------------------------------------------------------

    def on_start(self, info: StreamInfo) -> None:
        self._put(lambda assembly: assembly.start(info))

    def on_packets(self, packets: list[PipedPacket]) -> None:
        self._put(lambda assembly: assembly.packets(packets))

    def on_clock(self, track: int, wall_ms: float, timestamp: int) -> None:
        self._put(lambda assembly: assembly.clock(track, wall_ms, timestamp))

    def on_state(self, state: str, first_wall_ms: int | None) -> None:
        if first_wall_ms is not None:
            self._put(lambda assembly: assembly.zero(first_wall_ms))

    def on_gone(self, why: str) -> None:
        self._put(lambda assembly: assembly.gone())

    def watched(self, now: float) -> None:
        """Called now and then: whoever watches wants to join within two seconds; for nobody it may take eight."""
        watched = now - self.shelf.asked_at < 10
        self._assembly.key_every_ms = KEY_EVERY_WATCHED_MS if watched else KEY_EVERY_UNWATCHED_MS

    async def close(self, *, over: bool = True) -> None:
        """Writes what is there, and says the end where the show is `over`."""
        self._closing = True
        await asyncio.to_thread(self._queue.put, None)
        await asyncio.to_thread(self._thread.join, 5.0)
        await asyncio.sleep(0)  # what the thread handed over last comes before the end
        if over:
            self.shelf.end()
        else:
            self.shelf.leave()

    def _put(self, act: Act) -> None:
        try:
            if not self._closing:
                self._queue.put_nowait(act)
        except queue.Full:
            self.dropped += 1

    # ---- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (act := self._queue.get()) is not None:
            try:
                act(self._assembly)
            except Exception:
                # A stream that our code can't take costs its show a discontinuity, never the others anything.
                log.exception("tail.broke", show=self.show)
                self._assembly.recover()
        self._assembly.close()

    def _transcoder(self, codec: VideoCodec) -> ChildTranscoder:
        return ChildTranscoder(codec, self._transcoded)

    def _transcoded(self, by: ChildTranscoder, frame: Frame) -> None:
        self._put(lambda assembly: assembly.transcoded(by, frame))

    def _ask_for_key(self) -> None:
        self.call(self._want_key)

    def call(self, what: Callable[..., None], *with_: Any) -> None:
        """On the loop, from the thread."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(what, *with_)


class _Way:
    """Parts on their way from the thread to the shelf, in order."""

    def __init__(self, tail: ShowTail) -> None:
        self._tail = tail

    def begin(self, *, wall_ms: float, breaks: bool, init: Init) -> None:
        self._tail.call(lambda: self._tail.shelf.begin(wall_ms=wall_ms, breaks=breaks, init=init))

    def add(self, part: Part) -> None:
        self._tail.call(self._tail.shelf.add, part)
        rate = self._tail._assembly.frame_rate
        self._tail.shelf.frame_rate = rate

    def finish(self) -> None:
        self._tail.call(self._tail.shelf.finish)
