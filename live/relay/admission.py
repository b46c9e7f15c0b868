"""Whether a relay takes one more viewer, by what it measures of itself. Pure: samples and the time come in.

The capacity setting stays the hard cap. Below it a relay that is busy refuses newcomers before those who are on feel
it: they are sent to another relay, or told to wait and shown the HLS tail meanwhile.

    open ──CPU, lag or drops over the upper mark──► shut ──all below the lower marks, 3 s at least──► open

Two marks a measure (hysteresis), so that the gate does not flap with every viewer who comes or goes. What a newcomer
costs shows in the measure only seconds later, so those let in meanwhile are counted in advance.
Source: docs/decisions/0088-a-relay-measures-itself.md
"""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

WINDOW_MS = 4_000  # a key frame, a garbage collection or a burst of joins is no load
SHUT_AT_LEAST_MS = 3_000
LAG_SHUT_MS, LAG_OPEN_MS = 40.0, 15.0  # a picture is due every 33 ms
DROPS_SHUT, DROPS_OPEN = 0.01, 0.001  # share of packets that a socket did not take
OPEN_BELOW = 0.88  # of the upper mark: where CPU opens the gate again
VIEWER_CPU = 0.0008  # of a core; what one costs until enough are on to tell
TELLING_VIEWERS = 20
_FEWEST_SAMPLES = 4


class Sample(NamedTuple):
    """One look at the process. `cpu_s`, `packets` and `dropped` count from its start; `lag_ms` is how late the event
    loop woke us."""

    at_ms: int
    cpu_s: float
    lag_ms: float
    packets: int
    dropped: int


class Measured(NamedTuple):
    """What a window of samples says. `cpu` in cores, `dropped` a share of all packets."""

    cpu: float = 0.0
    lag_ms: float = 0.0
    dropped: float = 0.0


class Gate:
    """Opens and shuts. `busy`: the CPU share of a core above which it shuts; 0 never shuts by what is measured."""

    def __init__(self, busy: float) -> None:
        self.busy = busy
        self.shut = False
        self.why = ""
        self.measured = Measured()
        self.shuts = 0
        self._samples: deque[Sample] = deque()
        self._shut_ms = 0
        self._admitted: deque[int] = deque()

    def take(self, sample: Sample, viewers: int) -> None:
        """A new sample, every half second or so."""
        self._samples.append(sample)
        while len(self._samples) > 2 and sample.at_ms - self._samples[0].at_ms > WINDOW_MS:
            self._samples.popleft()
        while self._admitted and sample.at_ms - self._admitted[0] > WINDOW_MS:
            self._admitted.popleft()
        if len(self._samples) < _FEWEST_SAMPLES:
            return
        self.measured = _measured(self._samples)
        if not self.busy:
            return
        over = self._over(viewers, self.busy, LAG_SHUT_MS, DROPS_SHUT)
        if not self.shut and over:
            self._shut(over, sample.at_ms)
        elif self.shut and sample.at_ms - self._shut_ms >= SHUT_AT_LEAST_MS:
            still = self._over(viewers, self.busy * OPEN_BELOW, LAG_OPEN_MS, DROPS_OPEN)
            self.shut, self.why = bool(still), still

    def admits(self, now_ms: int, viewers: int) -> bool:
        """Whether one more may come now; if so she is counted."""
        if self.busy:
            if not self.shut and (over := self._over(viewers, self.busy, LAG_SHUT_MS, DROPS_SHUT)):
                self._shut(over, now_ms)
            if self.shut:
                return False
            self._admitted.append(now_ms)
        return True

    def load(self, viewers: int, capacity: int) -> float:
        """How full: 0 empty, 1 takes nobody. The fuller of places taken and CPU spent."""
        share = viewers / capacity if capacity else 1.0
        if not self.busy:
            return share
        return max(share, 1.0) if self.shut else max(share, min(0.99, self._expected_cpu(viewers) / self.busy))

    def _shut(self, why: str, now_ms: int) -> None:
        self.shut, self.why, self._shut_ms = True, why, now_ms
        self.shuts += 1

    def _over(self, viewers: int, cpu: float, lag_ms: float, dropped: float) -> str:
        """Which measure is over its mark; "" when none is."""
        if self._expected_cpu(viewers) > cpu:
            return "cpu"
        if self.measured.lag_ms > lag_ms:
            return "lag"
        return "drops" if self.measured.dropped > dropped else ""

    def _expected_cpu(self, viewers: int) -> float:
        a_viewer = self.measured.cpu / viewers if viewers >= TELLING_VIEWERS else VIEWER_CPU
        return self.measured.cpu + len(self._admitted) * a_viewer / 2  # half of their window is measured already


def _measured(samples: deque[Sample]) -> Measured:
    first, last = samples[0], samples[-1]
    passed_s = max(1, last.at_ms - first.at_ms) / 1000
    sent, dropped = last.packets - first.packets, last.dropped - first.dropped
    late = sorted(sample.lag_ms for sample in samples)
    # Late three times of four is a load; late once is a garbage collection.
    return Measured(
        (last.cpu_s - first.cpu_s) / passed_s,
        late[len(late) // 4],
        dropped / (sent + dropped) if sent + dropped else 0.0,
    )
