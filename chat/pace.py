"""When a room's next tick is due. Pure: times are in seconds of any steady clock.

A quiet room never waits. The busier it is, in deliveries (events × sockets) a second, the longer talk is gathered, up
to a quarter of a second: then the cost follows viewers × ticks, not viewers × lines. What the app sends waits only as
long as the fan-out before it took, so that a burst of sales can't keep the process from selling.
"""

from __future__ import annotations

import math

QUIET_DELIVERIES_S = 2_000
STORM_DELIVERIES_S = 20_000
MAX_TICK_S = 0.250
MAX_URGENT_S = 0.050
_WINDOW_S = 1.0


class Pace:
    """One room's."""

    def __init__(self) -> None:
        self._rate = 0.0  # events a second, smoothed over a second
        self._noted_at = 0.0
        self._flushed_at = -math.inf
        self._urgent_from = -math.inf  # when what the app sends may go

    def flushed(self, started: float, ended: float, events: int, *, urgent: bool) -> None:
        """A tick went out with so many, and, if `urgent`, the app's among them."""
        self._decay(started)
        self._rate += events / _WINDOW_S
        self._flushed_at = ended
        if urgent:
            self._urgent_from = ended + min(ended - started, MAX_URGENT_S)

    def due_in(self, now: float, sockets: int, *, urgent: bool) -> float:
        """Seconds until the tick that carries what is waiting now; 0 at once."""
        due = self._urgent_from if urgent else self._flushed_at + self._tick_s(now, sockets)
        return max(0.0, due - now)

    def _tick_s(self, now: float, sockets: int) -> float:
        self._decay(now)
        share = (self._rate * sockets - QUIET_DELIVERIES_S) / (STORM_DELIVERIES_S - QUIET_DELIVERIES_S)
        return MAX_TICK_S * min(1.0, max(0.0, share))

    def _decay(self, now: float) -> None:
        self._rate *= math.exp(-max(0.0, now - self._noted_at) / _WINDOW_S)
        self._noted_at = now
