"""What players of one show take: playlists and parts, at once or as soon as they are there. No HTTP in here.

Waiting costs little and is bounded all the same: `WAITING_MAX` requests a show and `WAIT_S` each. Every version of a
playlist is written once, however many ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Literal

from live.tail import playlist
from live.tail.window import TARGET_S, Init, Part, Window

WAIT_S = 3.0 * TARGET_S  # RFC 8216bis section 6.2.5.2
WAITING_MAX = 1000
MSN_AHEAD_MAX = 2
PARTS_AHEAD_MAX = 4  # beyond what a segment's parts and one more can be: section 6.2.5.2's Advance Part Limit

Refusal = Literal["too_far", "too_late", "too_many", "missing", "empty"]


class Refused(Exception):
    """`too_far`: asked for what comes long after now; `too_late`: it did not come in time; `too_many` wait; `missing`:
    it is gone or never was; `empty`: nothing was packaged yet."""

    def __init__(self, why: Refusal) -> None:
        super().__init__(why)
        self.why: Refusal = why


class Shelf:
    """One show's, on the event loop. `frame_rate` and `watched_s` are for its owner."""

    def __init__(self, first_msn: int, *, window_s: float) -> None:
        self.window = Window(first_msn, window_s=window_s)
        self.frame_rate = 30.0
        self.waiting = 0
        self.left = False
        self.asked_at = float("-inf")  # loop time at which a player last asked for a playlist
        self._bell = asyncio.Event()
        self._written: dict[tuple[bool, int], bytes] = {}
        self._written_version = -1

    # ---- filling -------------------------------------------------------------------------------

    def begin(self, *, wall_ms: float, breaks: bool, init: Init) -> None:
        self.window.begin(wall_ms=wall_ms, breaks=breaks, init=init)

    def add(self, part: Part) -> None:
        self.window.add(part)
        self._ring()

    def finish(self) -> None:
        self.window.finish()
        self._ring()

    def end(self) -> None:
        self.window.end()
        self._ring()

    def leave(self) -> None:
        """Another tail goes on with the show: who waits here asks again, and no playlist says that it is over."""
        self.left = True
        self._ring()

    # ---- taking --------------------------------------------------------------------------------

    def master(self) -> bytes:
        """Raises Refused(empty)."""
        if self.window.newest is None:
            raise Refused("empty")
        return playlist.master(self.window, frame_rate=self.frame_rate).encode()

    async def media(
        self, msn: int | None = None, part: int | None = None, *, skip: bool = False, since_ms: int = 0
    ) -> bytes:
        """The media playlist; with `msn` once it holds that segment, with `part` too once it holds that part. What was
        over before `since_ms` is not in it.

        Section 6.2.5.2. Raises Refused.
        """
        self.asked_at = asyncio.get_running_loop().time()
        window = self.window
        if msn is not None and not window.ended:
            self._check(msn, part)
            await self._until(lambda: window.ended or self._holds(msn, part))
        if window.newest is None:
            raise Refused("empty")
        if self._written_version != window.version:
            self._written, self._written_version = {}, window.version
        if (skip, since_ms) not in self._written:
            self._written[skip, since_ms] = playlist.media(window, skip=skip, since_ms=since_ms).encode()
        return self._written[skip, since_ms]

    async def part(self, msn: int, number: int, *, since_ms: int = 0) -> bytes:
        """A part; the one that the playlist hints at is waited for (section 6.2.6). Raises Refused."""
        if (msn, number) == self.window.position and not self.window.ended:
            await self._until(lambda: self.window.position != (msn, number) or self.window.ended)
        segment = self.window.segment(msn)
        if segment is None or number >= len(segment.parts) or segment.is_over(since_ms):
            raise Refused("missing")
        return segment.parts[number].body

    def segment(self, msn: int, *, since_ms: int = 0) -> bytes:
        """A whole segment. Raises Refused."""
        segment = self.window.segment(msn)
        if segment is None or not segment.whole or segment.is_over(since_ms):
            raise Refused("missing")
        return segment.body

    def init(self, name: int) -> bytes:
        """Raises Refused."""
        init = self.window.inits.get(name)
        if init is None:
            raise Refused("missing")
        return init.body

    def _check(self, msn: int, part: int | None) -> None:
        at, ready = self.window.position
        # A segment that nobody began has no part yet: each number that is waited for would be another question.
        ready = ready if msn == at else 0
        far = msn > at + MSN_AHEAD_MAX or (part is not None and msn >= at and part >= ready + PARTS_AHEAD_MAX)
        if far:
            raise Refused("too_far")

    def _holds(self, msn: int, part: int | None) -> bool:
        position = self.window.position
        if part is None:
            return position[0] > msn
        segment = self.window.segment(msn)
        if segment is not None and segment.whole and part >= len(segment.parts):
            msn, part = msn + 1, 0  # beyond its segment's last: the first of the next (section 6.2.5.2)
        return position > (msn, part)

    async def _until(self, there: Callable[[], bool]) -> None:
        if there():
            return
        if self.waiting >= WAITING_MAX:
            raise Refused("too_many")
        self.waiting += 1
        try:
            async with asyncio.timeout(WAIT_S):
                while not there():
                    if self.left:
                        raise Refused("too_late")
                    await self._bell.wait()
        except TimeoutError:
            raise Refused("too_late") from None
        finally:
            self.waiting -= 1

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()
