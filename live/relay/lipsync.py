"""Where a frame belongs in a recording: sound placed under the picture, whatever their two clocks do. Pure.

The picture's RTP clock is the file's clock, because cards hang on the picture's media time. Picture and sound count
from different zeros and their clocks drift apart (50 ppm is 180 ms an hour), so the sound is placed through a clock
that both were read against: the publisher's, from its sender reports (RFC 3550 section 6.4.1), else our own at
arrival, where the quickest packet of a few seconds counts.
"""

from __future__ import annotations

from live.relay.depacketise import RATE, Kind

# Arrival: the least delayed packet of a window speaks for it. Long enough to meet an undelayed one, short
# enough that drift within it (0.5 ms at 50 ppm) is nothing.
WINDOW_MS = 10_000
# Sound moves at most so much a frame, 1 ms in 20, which nobody hears; a step beyond `JUMP_MS` is taken at once.
SLEW_MS = 1.0
JUMP_MS = 500.0


class Reading:
    """One kind's timestamps read against a clock: by sender reports when they come, else by arrival."""

    def __init__(self, kind: Kind) -> None:
        self._ticks_a_ms = RATE[kind] / 1000
        self._reported: float | None = None
        self._window_end: float | None = None
        self._least = 0.0
        self._settled: float | None = None

    @property
    def is_reported(self) -> bool:
        return self._reported is not None

    def report(self, ts: int, clock_ms: float) -> None:
        """A sender report said: timestamp `ts` is the moment `clock_ms` of the publisher's clock."""
        self._reported = clock_ms - ts / self._ticks_a_ms

    def arrived(self, ts: int, at_ms: float) -> None:
        offset = at_ms - ts / self._ticks_a_ms
        if self._window_end is None or at_ms >= self._window_end:
            if self._window_end is not None:
                self._settled = self._least
            self._window_end, self._least = at_ms + WINDOW_MS, offset
        self._least = min(self._least, offset)

    def offset_ms(self, *, reported: bool) -> float:
        """What is to be added to a timestamp in ms to get the moment on the clock."""
        if reported:
            assert self._reported is not None
            return self._reported
        return self._least if self._settled is None else self._settled


class Lips:
    """Gives each frame its place in the file, in ms from the file's first."""

    def __init__(self) -> None:
        self.readings: dict[Kind, Reading] = {"video": Reading("video"), "audio": Reading("audio")}
        self._zero_ms: float | None = None
        self._shift_ms: float | None = None

    def begin(self, kind: Kind, ts: int) -> None:
        """The file begins with this frame: the picture's first, or the sound's where there is no picture."""
        self._zero_ms = ts * 1000 / RATE[kind]
        # With sound alone its own clock is the file's.
        self._shift_ms = -self._zero_ms if kind == "audio" else None
        self._has_video = kind == "video"

    def new_source(self) -> None:
        """Another publisher, another clock: what the last one reported counts no longer."""
        self.readings = {"video": Reading("video"), "audio": Reading("audio")}

    def place_ms(self, kind: Kind, ts: int) -> float:
        assert self._zero_ms is not None
        ms = ts * 1000 / RATE[kind]
        if kind == "video":
            return ms - self._zero_ms
        if self._has_video:
            self._slew()
        assert self._shift_ms is not None
        return ms + self._shift_ms

    def _slew(self) -> None:
        assert self._zero_ms is not None
        video, audio = self.readings["video"], self.readings["audio"]
        reported = video.is_reported and audio.is_reported
        target = audio.offset_ms(reported=reported) - video.offset_ms(reported=reported) - self._zero_ms
        if self._shift_ms is None or abs(target - self._shift_ms) > JUMP_MS:
            self._shift_ms = target
        else:
            self._shift_ms += max(-SLEW_MS, min(SLEW_MS, target - self._shift_ms))
