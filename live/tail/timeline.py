"""Where a frame belongs on the show's clock: at the moment when the relay forwarded it, smoothly. Pure.

Cards hang on media time, which is the server's clock; frames carry the publisher's. The two drift apart (50 ppm is
180 ms an hour) and packets arrive unevenly, so the least delayed of the last seconds says how the clocks stand to each
other. When frames are `LOOSE_MS` off we follow that, slowly: sound is stretched along, and lips must not fall out of
step on the way. `LOST_MS` off, a discontinuity is the smaller evil. Sound is placed by its lips: beside the picture, by
the clocks that the pipe tells of both (the publisher's sender reports, RFC 3550 section 6.4.1), else by arrival too.
"""

from __future__ import annotations

import statistics
from collections import deque

from live.relay.depacketise import RATE, Kind

WINDOW_MS = 5000  # the least delayed of one to two of these counts
LOOSE_MS, TIGHT_MS = 15.0, 1.0
LOST_MS = 1000.0
# Of the time that passes: from 4 ms a second to 60, the quicker the farther off. FFmpeg's `-re` makes up for a late
# start by running 5 % fast, and its frames are shown as they come. With the lips' own 5 `sound.py` can stretch so much.
SLEW, SLEW_MOST, WITHIN_MS = 0.004, 0.06, 1500.0
REPORTS = 9  # of both kinds together, one each a second
LIPS_SLEW = 0.005
LIPS_STEP_MS = 20.0  # what a better knowledge of the clocks may move the sound at once


class Clocks:
    """One source's timestamps of both kinds, read against the server's clock."""

    def __init__(self) -> None:
        self._windows: dict[Kind, _Window] = {"video": _Window(), "audio": _Window()}
        self._reported: dict[Kind, float] = {}
        self._apart: deque[float] = deque(maxlen=REPORTS)
        self._began_ms: float | None = None
        self._newest_ms = 0.0

    @property
    def read_ms(self) -> float:
        """For how long they were read."""
        return self._newest_ms - self._began_ms if self._began_ms is not None else 0.0

    def arrived(self, kind: Kind, ts: int, at_ms: float) -> None:
        self._began_ms = at_ms if self._began_ms is None else self._began_ms
        self._newest_ms = max(self._newest_ms, at_ms)
        self._windows[kind].add(at_ms - ts * 1000 / RATE[kind], at_ms)

    def report(self, kind: Kind, ts: int, at_ms: float) -> None:
        """At server time `at_ms` the kind's clock stood at `ts`."""
        self._reported[kind] = at_ms - ts * 1000 / RATE[kind]
        if len(self._reported) == 2:
            self._apart.append(self._reported["audio"] - self._reported["video"])

    def restart(self) -> None:
        """After a hole, another publisher's clocks may run: what the last packets said is all that is known."""
        for window in self._windows.values():
            window.restart()
        self._reported.clear()
        self._apart.clear()
        self._began_ms = self._newest_ms

    def offset_ms(self, kind: Kind) -> float:
        """What is to be added to a timestamp in ms to get the moment at which it is forwarded undelayed."""
        return self._windows[kind].least

    @property
    def apart_ms(self) -> tuple[float, bool]:
        """The same for the sound less that for the picture, and whether reports say so."""
        if self._apart:
            # The middle one: a publisher without sender reports is read by its last packet, which may have been late.
            return statistics.median(self._apart), True
        return self.offset_ms("audio") - self.offset_ms("video"), False


class _Window:
    def __init__(self) -> None:
        self._until = float("-inf")
        self._now = self._before = self._last = float("inf")

    def restart(self) -> None:
        self._until, self._before, self._now = float("-inf"), float("inf"), self._last

    def add(self, offset_ms: float, at_ms: float) -> None:
        self._last = offset_ms
        if at_ms >= self._until:
            self._until, self._before, self._now = at_ms + WINDOW_MS, self._now, float("inf")
        self._now = min(self._now, offset_ms)

    @property
    def least(self) -> float:
        return min(self._now, self._before)


class Timeline:
    """From one discontinuity to the next. `lead`: the kind that parts follow."""

    def __init__(self, lead: Kind, clocks: Clocks, ts: int) -> None:
        """`ts`: the first frame's; `clocks` has read its arrival already."""
        self._lead: Kind = lead
        self._clocks = clocks
        self._ts = ts
        self._shift_ms = clocks.offset_ms(lead)
        self._slewing = False
        self._apart_ms: float | None = None
        self._by_report = False

    def wall_ms(self, kind: Kind, ts: int) -> float:
        """The server's time, ms since 1970, at which the frame `ts` counts as forwarded. Once a frame, in order."""
        ms = ts * 1000 / RATE[kind]
        if kind != self._lead:
            return ms + self._beside() + self._shift_ms
        self._follow(max(0, ts - self._ts) * 1000 / RATE[kind])
        self._ts = max(ts, self._ts)
        return ms + self._shift_ms

    @property
    def is_lost(self) -> bool:
        """So far before where arrival says frames belong that a leap is better. Behind is never leapt to: dates only
        grow."""
        return self._clocks.offset_ms(self._lead) - self._shift_ms > LOST_MS

    def put_off(self, ms: float) -> None:
        """What is there already ends so much later than this would begin; it is made up for bit by bit."""
        self._shift_ms += ms

    def _follow(self, passed_ms: float) -> None:
        off = self._clocks.offset_ms(self._lead) - self._shift_ms
        # Frames keep their own pace as long as that is near enough.
        self._slewing = abs(off) > (TIGHT_MS if self._slewing else LOOSE_MS)
        if self._slewing:
            most_ms = passed_ms * max(SLEW, min(SLEW_MOST, abs(off) / WITHIN_MS))
            self._shift_ms += max(-most_ms, min(most_ms, off))

    def _beside(self) -> float:
        target, by_report = self._clocks.apart_ms
        better = by_report and not self._by_report
        self._by_report = by_report
        if self._apart_ms is None or (better and abs(target - self._apart_ms) > LIPS_STEP_MS):
            self._apart_ms = target
        else:
            most_ms = 20 * LIPS_SLEW  # a packet's 20 ms
            self._apart_ms += max(-most_ms, min(most_ms, target - self._apart_ms))
        return self._apart_ms
