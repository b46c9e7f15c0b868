"""One unbroken numbering out of many sources: a publisher that comes back, a layer that takes over."""

from __future__ import annotations

from live.relay.rtp import newer


class Numbering:
    """Maps a source's sequence numbers and timestamps to the show's.

    `switch` announces another source; its first packet gets the number after the last one sent, and a timestamp
    later by the time that passed, so that a viewer's jitter buffer sees a pause and not a jump.
    """

    def __init__(self, clock_rate: int, first_seq: int, first_timestamp: int) -> None:
        self.clock_rate = clock_rate
        self.last_seq = first_seq - 1 & 0xFFFF
        self.last_timestamp = first_timestamp
        self.passed = 0  # numbers used so far, those of lost packets too
        self._last_ms: int | None = None
        self._seq_offset: int | None = None
        self._timestamp_offset = 0
        self._first_in = 0

    def switch(self) -> None:
        """The next packet comes from another source."""
        self._seq_offset = None

    @property
    def timestamp_offset(self) -> int:
        """What to add to the present source's timestamps."""
        return self._timestamp_offset

    def place(self, seq: int, timestamp: int, now_ms: int) -> tuple[int, int] | None:
        """The show's (seq, timestamp) of a source's packet; None for one from before this source's first."""
        if self._seq_offset is None:
            self._seq_offset = self.last_seq + 1 - seq
            if self._last_ms is None:
                target = self.last_timestamp
            else:
                # At least one tick on: equal timestamps would glue two frames together.
                passed = max(1, (now_ms - self._last_ms) * self.clock_rate // 1000)
                target = self.last_timestamp + passed
            self._timestamp_offset = target - timestamp
            self._first_in = seq
        elif newer(self._first_in, seq) and (self._first_in - seq & 0xFFFF) < 1024:
            return None
        out_seq = seq + self._seq_offset & 0xFFFF
        out_timestamp = timestamp + self._timestamp_offset & 0xFFFFFFFF
        if newer(out_seq, self.last_seq):
            self.passed += out_seq - self.last_seq & 0xFFFF
            self.last_seq = out_seq
            self.last_timestamp = out_timestamp
            self._last_ms = now_ms
            # The window of "before the first" must not follow the numbers around the wrap.
            if (seq - self._first_in & 0xFFFF) > 0x4000:
                self._first_in = seq - 0x2000 & 0xFFFF
        return out_seq, out_timestamp
