"""What one incoming stream tells of itself: loss and jitter for the report, gaps for the NACK (RFC 3550 appendix A,
RFC 4585)."""

from __future__ import annotations

from live.relay.rtcp import Report, SenderInfo
from live.relay.rtp import newer

_MAX_GAP = 256  # a wider hole is a new start, not a loss
_MAX_TRIES = 8
_GIVE_UP_MS = 1200
_FIRST_WAIT_MS = 10  # reordering on the way, not loss


class Reception:
    """Statistics of one SSRC."""

    def __init__(self, ssrc: int, clock_rate: int) -> None:
        self.ssrc = ssrc
        self.clock_rate = clock_rate
        self.received = 0
        self.octets = 0
        self.highest = -1  # extended by the number of wraps
        self._base = 0
        self._jitter = 0.0
        self._transit: float | None = None
        self._expected_before = 0
        self._received_before = 0
        self._sender: SenderInfo | None = None
        self._sender_at_ms = 0

    def take(self, seq: int, timestamp: int, size: int, now_ms: int) -> None:
        self.received += 1
        self.octets += size
        if self.highest < 0:
            self.highest = self._base = seq
        else:
            step = seq - self.highest & 0xFFFF
            if step < 0x8000:
                self.highest += step
        transit = now_ms * self.clock_rate / 1000 - timestamp
        if self._transit is not None:
            change = abs(transit - self._transit)
            if change < self.clock_rate * 5:  # a jump of the clock is not jitter
                self._jitter += (change - self._jitter) / 16
        self._transit = transit

    def heard_sender(self, info: SenderInfo, now_ms: int) -> None:
        self._sender, self._sender_at_ms = info, now_ms

    @property
    def jitter_ms(self) -> float:
        """The spread of arrivals (RFC 3550 section 6.4.1)."""
        return self._jitter * 1000 / self.clock_rate

    @property
    def lost(self) -> int:
        return max(0, self.highest - self._base + 1 - self.received) if self.highest >= 0 else 0

    def report(self, now_ms: int) -> Report:
        """The block of an RR; the fraction counts from the report before (RFC 3550 appendix A.3)."""
        expected = self.highest - self._base + 1
        interval = expected - self._expected_before
        lost = interval - (self.received - self._received_before)
        self._expected_before, self._received_before = expected, self.received
        fraction = min(255, (lost << 8) // interval) if interval > 0 and lost > 0 else 0
        last_sr = self._sender.ntp >> 16 & 0xFFFFFFFF if self._sender else 0
        # 32 bits: an SR of 18 hours ago says nothing any more.
        delay = min(0xFFFFFFFF, max(0, now_ms - self._sender_at_ms) * 65536 // 1000) if self._sender else 0
        return Report(
            self.ssrc, fraction, min(self.lost, 0x7FFFFF), self.highest & 0xFFFFFFFF, int(self._jitter), last_sr, delay
        )


class Gaps:
    """Numbers that did not come, and when to ask for them again. Bounded: asks for at most 256, for 1.2 s each."""

    def __init__(self) -> None:
        self._highest: int | None = None
        self._missing: dict[int, list[int]] = {}  # seq -> [due_ms, tries, since_ms, asked_ms]
        self.given_up = 0

    def __len__(self) -> int:
        return len(self._missing)

    def took(self, seq: int, now_ms: int) -> int | None:
        """It came. When it had been asked for: ms since it first was, which is a round trip unless that was lost."""
        if self._highest is None:
            self._highest = seq
            return None
        if not newer(seq, self._highest):
            entry = self._missing.pop(seq, None)
            return now_ms - entry[3] if entry is not None and entry[1] else None
        gap = (seq - self._highest & 0xFFFF) - 1
        if gap > _MAX_GAP or len(self._missing) + gap > _MAX_GAP:
            self.given_up += len(self._missing) + 1
            self._missing.clear()
        else:
            for step in range(gap):
                self._missing[self._highest + 1 + step & 0xFFFF] = [now_ms + _FIRST_WAIT_MS, 0, now_ms, 0]
        self._highest = seq
        return None

    def due(self, now_ms: int, rtt_ms: int) -> list[int]:
        """The numbers to ask for now; each again after a round trip, eight times at most."""
        ask = []
        for seq, entry in list(self._missing.items()):
            if entry[1] >= _MAX_TRIES or now_ms - entry[2] > _GIVE_UP_MS:
                del self._missing[seq]
                self.given_up += 1
            elif entry[0] <= now_ms:
                entry[3] = entry[3] if entry[1] else now_ms
                entry[0] = now_ms + max(20, rtt_ms)
                entry[1] += 1
                ask.append(seq)
        return ask
