"""Where a frame belongs on the show's clock: at the moment when the relay forwarded it, smoothly. Pure.

Cards hang on media time, which is the server's clock; frames carry the publisher's. The two drift apart (50 ppm is
180 ms an hour) and packets arrive unevenly, so the least delayed of some seconds says how the clocks stand to each
other (`live/relay/lipsync.py`). When frames are `LOOSE_MS` off we follow that, by at most four milliseconds a second:
slower than sound can be stretched (`sound.py`), or lips would fall out of step on the way. Sound is placed by its
lips: relative to the picture, by the publisher's sender reports.
"""

from __future__ import annotations

from live.relay.depacketise import RATE, Kind
from live.relay.lipsync import Lips

SLEW = 0.004
LOOSE_MS, TIGHT_MS = 15.0, 1.0


class Timeline:
    """From one discontinuity to the next. `lead`: the kind that parts follow."""

    def __init__(self, lead: Kind, lips: Lips, ts: int) -> None:
        """`ts`: the first frame's. `lips` has read arrivals already."""
        self._lead: Kind = lead
        self._lips = lips
        self._ts = ts
        self._zero_ms = ts * 1000 / RATE[lead]
        lips.begin(lead, ts)
        self._shift_ms = self._target_ms()
        self._slewing = False

    def wall_ms(self, kind: Kind, ts: int) -> float:
        """The server's time, ms since 1970, at which the frame `ts` counts as forwarded."""
        if kind == self._lead:
            off = self._target_ms() - self._shift_ms
            # Frames keep their own pace as long as that is near enough.
            self._slewing = abs(off) > (TIGHT_MS if self._slewing else LOOSE_MS)
            most_ms = max(0, ts - self._ts) * 1000 / RATE[kind] * SLEW
            self._ts = max(ts, self._ts)
            if self._slewing:
                self._shift_ms += max(-most_ms, min(most_ms, off))
        return self._lips.place_ms(kind, ts) + self._shift_ms

    @property
    def off_ms(self) -> float:
        """How far frames are from where arrival says they belong."""
        return self._shift_ms - self._target_ms()

    def _target_ms(self) -> float:
        return self._zero_ms + self._lips.readings[self._lead].offset_ms(reported=False)
