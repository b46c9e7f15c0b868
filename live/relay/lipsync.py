"""Where a frame belongs in a recording: sound beside the picture, and both in the server's time, whatever their clocks
do. Pure.

Picture and sound count from different zeros, and their clocks drift apart and away from the server's (50 ppm is 180 ms
an hour). The file follows the picture's clock, held to the server's by the quickest packets' arrival, because cards
hang on the server's media time. The sound is placed beside it through a clock that both were read against: the
publisher's, from its sender reports (RFC 3550 section 6.4.1), else our own at arrival.
"""

from __future__ import annotations

from live.relay.depacketise import RATE, Kind

# Arrival: the least delayed packet of a window speaks for it. Long enough to meet an undelayed one, short enough that a
# publisher whose clock stood still for a moment is noticed soon.
WINDOW_MS = 3_000
# Sound moves at most so much a frame, 1 ms in 20, which nobody hears; a step beyond `JUMP_MS` is taken at once, and so
# is one beyond `STEP_MS` when it is known better than before: another publisher, or her first reports.
SLEW_MS = 1.0
JUMP_MS = 500.0
STEP_MS = 20.0
# So much later than its timestamps say for a whole window: the picture stood still, and in the file it does too.
GAP_MS = 150.0


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

    @property
    def is_settled(self) -> bool:
        """Whether a whole window of arrivals was read."""
        return self._settled is not None

    @property
    def has_arrived(self) -> bool:
        return self._window_end is not None

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
    """Gives each frame its place in the file, in ms from the file's first.

    The leading kind (the picture, or the sound where there is none) runs by its own clock, held to the moments at which
    it came; the other is placed beside it.
    """

    def __init__(self) -> None:
        self.readings: dict[Kind, Reading] = {"video": Reading("video"), "audio": Reading("audio")}
        self._leads: Kind = "video"
        self._zero_ms = 0.0
        self._began_ms = 0.0  # the leading kind's offset when the file began
        self._is_placed = False
        self._drift_ms = 0.0
        self._apart_ms: float | None = None
        self._basis: tuple[int, bool] | None = None  # which source, and whether by its reports
        self._sources = 0

    def begin(self, kind: Kind, ts: int) -> None:
        """The file begins with this frame of the leading kind."""
        self._leads = kind
        self._zero_ms = ts * 1000 / RATE[kind]
        self._began_ms = self.readings[kind].offset_ms(reported=False)
        self._is_placed = self.readings[kind].is_settled
        self._drift_ms = 0.0
        self._apart_ms = None

    @property
    def began_ms(self) -> float:
        """The moment at which the file's first frame was due, in ms of `at_ms`. Often a publisher begins with a burst
        of what waited for its connection: then the first frame came late, which those after it show within a window."""
        if self._is_placed:
            return self._zero_ms + self._began_ms
        return self._zero_ms + self.readings[self._leads].offset_ms(reported=False)

    def new_source(self) -> None:
        """Another publisher, another clock: what the last one reported counts no longer."""
        self.readings = {"video": Reading("video"), "audio": Reading("audio")}
        self._sources += 1

    def place_ms(self, kind: Kind, ts: int) -> float:
        """Once a frame, in the order of each kind."""
        ms = ts * 1000 / RATE[kind] - self._zero_ms
        if kind == self._leads:
            self._hold()
            return ms + self._drift_ms
        self._move()
        return ms + self._drift_ms + (self._apart_ms or 0.0)

    def _hold(self) -> None:
        """Keep the file's clock with the server's, which the cards hang on."""
        reading = self.readings[self._leads]
        if not reading.is_settled:
            return
        offset_ms = reading.offset_ms(reported=False)
        if not self._is_placed:
            self._began_ms, self._is_placed = offset_ms, True
        # Forward a gap may open at once; backward would pile frames upon each other, so they move closer bit by bit.
        ahead_ms = offset_ms - self._began_ms - self._drift_ms
        self._drift_ms += ahead_ms if ahead_ms > GAP_MS else max(-SLEW_MS, min(SLEW_MS, ahead_ms))

    def _move(self) -> None:
        """Keep the other kind beside the leading one."""
        leads, other = self.readings[self._leads], self.readings["audio" if self._leads == "video" else "video"]
        reported = leads.is_reported and other.is_reported
        if not reported and not (leads.has_arrived and other.has_arrived):
            return  # another source's sound, and none of its pictures yet
        target = other.offset_ms(reported=reported) - leads.offset_ms(reported=reported)
        basis, known = (self._sources, reported), self._basis
        self._basis = basis
        most_ms = JUMP_MS if basis == known else STEP_MS
        if self._apart_ms is None or abs(target - self._apart_ms) > most_ms:
            self._apart_ms = target
        else:
            self._apart_ms += max(-SLEW_MS, min(SLEW_MS, target - self._apart_ms))
