"""The newest parts and segments of one show, in memory, numbered for ever upwards. Pure.

Segments leave the playlist after `window_s` and memory after twice that: a player that read the oldest playlist line
may still ask for it (RFC 8216bis section 6.2.2). Nothing else is kept, so a show's tail has a bound: 30 MB at 4 Mbit/s
and 30 s.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from live.tail.boxes import VIDEO_HZ

TARGET_S = 2  # EXT-X-TARGETDURATION: no segment is 2.5 s or longer
PART_TICKS = 30_060  # PART-TARGET, 0.334 s: ten frames at 30 a second, with room for a clock that is corrected
KEPT_TIMES = 2


@dataclass(frozen=True, slots=True)
class Part:
    """`ticks`: 90 kHz. `independent`: holds a frame that decoding may start at."""

    body: bytes
    ticks: int
    independent: bool


@dataclass(slots=True)
class Segment:
    """`wall_ms`: when its first frame was forwarded; `init`: name of its EXT-X-MAP; `breaks`: a discontinuity is before
    it; `whole`: no part will be added."""

    msn: int
    init: int
    wall_ms: float
    breaks: bool
    parts: list[Part] = field(default_factory=list)
    whole: bool = False

    @property
    def ticks(self) -> int:
        return sum(part.ticks for part in self.parts)

    @property
    def body(self) -> bytes:
        return b"".join(part.body for part in self.parts)

    def is_over(self, at_ms: int) -> bool:
        """Whether all of it was before `at_ms`, server time."""
        return self.whole and self.wall_ms + self.ticks * 1000 / VIDEO_HZ <= at_ms


@dataclass(frozen=True)
class Init:
    """One set-up of the decoders. `codecs` as in RFC 6381; `size` of the picture, (0, 0) for sound alone."""

    body: bytes
    codecs: str
    size: tuple[int, int]


class Window:
    """What is on offer. `version` grows whenever the playlist would read differently."""

    def __init__(self, first_msn: int, *, window_s: float) -> None:
        self.version = 0
        self.ended = False
        self.breaks_before = first_msn  # EXT-X-DISCONTINUITY-SEQUENCE; grows like the numbers, over restarts too
        self.inits: dict[int, Init] = {}
        self._next = first_msn
        self._window = round(window_s * VIDEO_HZ)
        self._segments: deque[Segment] = deque()
        self._listed = 0  # how many of `_segments`, from the right, are in the playlist

    # ---- filling -------------------------------------------------------------------------------

    def begin(self, *, wall_ms: float, breaks: bool, init: Init) -> None:
        """Open the next segment; its first part follows at once. The one before is whole."""
        self.finish()
        name = next((name for name, known in reversed(self.inits.items()) if known == init), None)
        if name is None:
            name = self._next
            self.inits[name] = init
        segment = Segment(self._next, name, wall_ms, breaks)
        self._next += 1
        self._segments.append(segment)
        self._listed += 1
        self._trim()

    def add(self, part: Part) -> None:
        """To the open segment."""
        assert not self._segments[-1].whole
        self._segments[-1].parts.append(part)
        self.version += 1

    def finish(self) -> None:
        """The open segment gets no more parts."""
        if self._segments and not self._segments[-1].whole:
            self._segments[-1].whole = True
            self.version += 1

    def end(self) -> None:
        """The show is over: EXT-X-ENDLIST."""
        self.finish()
        self.ended = True
        self.version += 1

    def _trim(self) -> None:
        listed = list(self.listed)
        held = sum(segment.ticks for segment in listed)
        while len(listed) > 1 and held - listed[0].ticks >= self._window:
            gone = listed.pop(0)
            held -= gone.ticks
            self._listed -= 1
            if gone.breaks:
                self.breaks_before += 1
        kept = sum(segment.ticks for segment in self._segments)
        while len(self._segments) > self._listed and kept - self._segments[0].ticks >= KEPT_TIMES * self._window:
            kept -= self._segments.popleft().ticks
        used = {segment.init for segment in self._segments}
        self.inits = {name: init for name, init in self.inits.items() if name in used}

    # ---- reading -------------------------------------------------------------------------------

    @property
    def listed(self) -> Iterator[Segment]:
        """The playlist's segments, the open one too."""
        skip = len(self._segments) - self._listed
        return (segment for number, segment in enumerate(self._segments) if number >= skip)

    @property
    def newest(self) -> Segment | None:
        return self._segments[-1] if self._segments else None

    @property
    def position(self) -> tuple[int, int]:
        """(msn, part) that comes next: everything before is there."""
        newest = self.newest
        if newest is None or newest.whole:
            return self._next, 0
        return newest.msn, len(newest.parts)

    @property
    def next_msn(self) -> int:
        return self._next

    def segment(self, msn: int) -> Segment | None:
        if not self._segments:
            return None
        index = msn - self._segments[0].msn
        return self._segments[index] if 0 <= index < len(self._segments) else None
