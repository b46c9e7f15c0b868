"""One viewer's numbers: offsets, resends, what she reports. Pure: no socket, no key."""

from __future__ import annotations

from live.relay.ring import Ring
from live.relay.rtcp import Report
from live.relay.rtp import Packet
from live.relay.sdp import Outgoing

MAX_RESENDS = 3
RESENDS_S = 500  # to one viewer: what a bad line needs; one who asks for everything again does not stop the others
RESENDS_BURST = 1000  # a line that was away for a second or two
_MAX_REMEMBERED = 1024


class Outlet:
    """One kind on its way to one viewer.

    `seq_offset` is 0 or 32768, so that her first number is below 32768 while most viewers share one header:
    the fan-out then lays out a frame once for all of them.
    """

    def __init__(self, agreed: Outgoing, ssrc: int, rtx_ssrc: int) -> None:
        self.payload_type = agreed.payload_type
        self.rtx_payload_type = agreed.rtx_payload_type
        self.takes_nack = agreed.nack
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.seq_offset = 0
        self.timestamp_offset = 0
        self.first_seq: int | None = None
        self.resent = 0
        self.packets_before = 0  # the track's counters when she joined
        self.octets_before = 0
        self.lent: Packet | None = None  # made for her alone, so not in the ring: parameter sets in front of her start
        self._rtx_seq = 0
        self._allowance = float(RESENDS_BURST)
        self._allowed_ms: int | None = None
        self._resends: dict[int, tuple[int, int]] = {}

    def start(self, seq: int, packets: int, octets: int) -> None:
        """Her first packet is the show's number `seq`."""
        self.first_seq = seq
        self.seq_offset = 0x8000 if seq & 0x8000 else 0
        self.packets_before, self.octets_before = packets, octets

    def resend(self, seq: int, ring: Ring, now_ms: int, rtt_ms: int) -> Packet | None:
        """The packet she misses under her number `seq`: three times at most, and not twice within a round trip."""
        number = seq - self.seq_offset & 0xFFFF
        # Her own packet under that number, never the ring's: its bytes under this number are other ones (AES-GCM).
        packet = self.lent if self.lent is not None and self.lent.seq == number else ring.get(number)
        if packet is None or self.first_seq is None or (packet.seq - self.first_seq & 0xFFFF) >= 0x8000:
            return None  # gone, or from before she came
        times, last_ms = self._resends.get(packet.seq, (0, -(10**9)))
        if times >= MAX_RESENDS or now_ms - last_ms < max(5, rtt_ms):
            return None
        if not self._allows(now_ms):
            return None
        if len(self._resends) >= _MAX_REMEMBERED:
            del self._resends[next(iter(self._resends))]
        self._resends.pop(packet.seq, None)
        self._resends[packet.seq] = (times + 1, now_ms)
        self.resent += 1
        return packet

    def _allows(self, now_ms: int) -> bool:
        if self._allowed_ms is not None:
            passed_ms = now_ms - self._allowed_ms
            self._allowance = min(RESENDS_BURST, self._allowance + passed_ms * RESENDS_S / 1000)
        self._allowed_ms = now_ms
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True

    def next_rtx_seq(self) -> int:
        self._rtx_seq = self._rtx_seq + 1 & 0xFFFF
        return self._rtx_seq


class Reports:
    """What a viewer says about her line."""

    def __init__(self) -> None:
        self.rtt_ms = 50
        self.remb_bps: int | None = None
        self.fraction_lost: dict[int, int] = {}
        self.lost: dict[int, int] = {}

    def heard(self, report: Report, ntp_middle: int) -> None:
        """`ntp_middle`: the middle 32 bits of our NTP clock now (RFC 3550 section 6.4.1)."""
        self.fraction_lost[report.ssrc] = report.fraction_lost
        self.lost[report.ssrc] = report.lost
        if report.last_sr:
            trip = (ntp_middle - report.last_sr - report.delay) & 0xFFFFFFFF
            if trip < 65536 * 5:
                self.rtt_ms = max(1, trip * 1000 // 65536)
