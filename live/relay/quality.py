"""Which size of the picture a viewer's line carries: down when the line says so, up by trial. Pure.

REMB says little above what is received: Chromium's estimate is capped at 1.5 times that. So a bigger picture is tried
when it was calm for a while, and when the trial fails the next one waits twice as long. For the same reason a low REMB
is no complaint: when a still picture begins to move it is a hundredth of the new rate, and takes a minute to grow. Only
one that fell is (to 0.85 of what came, when the line was overused). Where not even the smallest picture fits, the sound
goes on alone. Called about once a second for each viewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

SOUND_ONLY = -1
HOLD_MS = 3000  # between two changes, whatever the line says: it must get to know the new rate first
SURE_UP_MS = 4000  # calm for so long, when REMB shows room for the next size
TRIAL_AFTER_MS = 8000  # calm for so long, when it doesn't; doubles with each trial that fails
TRIAL_AFTER_MAX_MS = 128_000
FAILED_WITHIN_MS = 15_000  # down again so soon: the trial failed
PROVEN_AFTER_MS = 60_000  # a size that was held so long starts the waiting anew
TIGHT = 0.8  # of the present rate: a REMB that fell below is a line too narrow
STARVED = 0.5  # the same for the last picture, and something is lost, too: nobody's is taken away for a doubt
FELL, RECOVERED = 0.97, 1.2  # from one beat to the next; from where it had fallen to
ROOM = 1.1  # of the next rate: REMB above shows room
LOSSY, HOPELESS = 0.10, 0.30  # lost by her line. Below, resends heal it
CALM, LOSSLESS = 0.06, 0.02
BAD_BEATS, STARVED_BEATS = 2, 4  # so many in a row


class Line(NamedTuple):
    """What a viewer's line said within the last seconds; None where it said nothing."""

    remb_kbps: int | None
    lost: float | None  # 0 to 1, without what the publisher had lost before


class Quality:
    """One viewer's choice among the rungs of a ladder."""

    __slots__ = ("_backoff_ms", "_bad", "_changed_ms", "_low_kbps", "_remb_kbps", "_starved", "_trouble_ms", "_went_up")

    def __init__(self) -> None:
        self._changed_ms: int | None = None
        self._trouble_ms: int | None = None
        self._backoff_ms = TRIAL_AFTER_MS
        self._went_up = False
        self._bad = self._starved = 0
        self._remb_kbps: int | None = None
        self._low_kbps: int | None = None

    def choose(self, line: Line, ladder: Sequence[int], at: int, now_ms: int) -> int:
        """The rung to be at: its index in `ladder` (usual kbit/s, rising), or SOUND_ONLY. `at` is the present one."""
        if not ladder:
            return at
        if self._changed_ms is None:
            self._changed_ms = self._trouble_ms = now_ms
        self._listen(line, ladder, at, now_ms)
        if now_ms - self._changed_ms < HOLD_MS:
            return at
        wanted = self._down(line, ladder, at) if at > SOUND_ONLY else at
        if wanted == at and at < len(ladder) - 1 and self._may_rise(line, ladder, at, now_ms):
            wanted = at + 1
        if wanted != at:
            self._change(wanted > at, now_ms)
        return wanted

    def settled(self, now_ms: int) -> None:
        """She is on another rung from now: changes wait for a key frame, and the line is known from then on."""
        self._changed_ms = self._trouble_ms = now_ms
        self._bad = self._starved = 0
        self._remb_kbps = self._low_kbps = None

    def _listen(self, line: Line, ladder: Sequence[int], at: int, now_ms: int) -> None:
        lost = line.lost or 0.0
        # With sound alone there is nothing that REMB could be measured by.
        remb = line.remb_kbps if at > SOUND_ONLY else None
        rate = ladder[at] if at > SOUND_ONLY else 0
        fallen = remb is not None and self._fell(remb)
        bad = lost > LOSSY or (fallen and remb is not None and remb < TIGHT * rate)
        starved = lost > HOPELESS or (lost > LOSSLESS and fallen and remb is not None and remb < STARVED * rate)
        self._bad = self._bad + 1 if bad else 0
        self._starved = self._starved + 1 if starved else 0
        if bad or lost > (CALM if at > SOUND_ONLY else LOSSY):
            self._trouble_ms = now_ms

    def _fell(self, remb_kbps: int) -> bool:
        """Whether it fell and has not recovered since."""
        before, self._remb_kbps = self._remb_kbps, remb_kbps
        if before is not None and remb_kbps < before * FELL:
            self._low_kbps = min(remb_kbps, self._low_kbps or remb_kbps)
        elif self._low_kbps is not None and remb_kbps > self._low_kbps * RECOVERED:
            self._low_kbps = None
        return self._low_kbps is not None

    def _down(self, line: Line, ladder: Sequence[int], at: int) -> int:
        if at > 0 and self._bad >= BAD_BEATS:
            if line.remb_kbps is not None and line.remb_kbps < TIGHT * ladder[at]:
                fits = [index for index in range(at) if ladder[index] <= 0.9 * line.remb_kbps]
                return max(fits, default=0)
            return at - 1
        return SOUND_ONLY if at == 0 and self._starved >= STARVED_BEATS else at

    def _may_rise(self, line: Line, ladder: Sequence[int], at: int, now_ms: int) -> bool:
        assert self._changed_ms is not None
        assert self._trouble_ms is not None
        calm_ms = now_ms - max(self._changed_ms, self._trouble_ms)
        has_room = at > SOUND_ONLY and line.remb_kbps is not None and line.remb_kbps >= ROOM * ladder[at + 1]
        if has_room and self._backoff_ms == TRIAL_AFTER_MS:
            return calm_ms >= SURE_UP_MS
        return calm_ms >= self._backoff_ms

    def _change(self, up: bool, now_ms: int) -> None:
        assert self._changed_ms is not None
        stayed_ms = now_ms - self._changed_ms
        if not up:
            if self._went_up and stayed_ms < FAILED_WITHIN_MS:
                self._backoff_ms = min(TRIAL_AFTER_MAX_MS, self._backoff_ms * 2)
            elif stayed_ms >= PROVEN_AFTER_MS:
                self._backoff_ms = TRIAL_AFTER_MS
        self._went_up = up
        self._changed_ms = self._trouble_ms = now_ms
        self._bad = self._starved = 0
