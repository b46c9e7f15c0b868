"""One viewer's numbers: what she gets under which, resends, what she reports. Pure: no socket, no key."""

from __future__ import annotations

from live.relay.codecs import COUNTS_PICTURES, NO_SHIFT, PictureIds, Shift, following, moved, picture_ids, shifted
from live.relay.ring import SIZE
from live.relay.rtcp import Report
from live.relay.rtp import Packet, newer
from live.relay.sdp import Outgoing
from live.relay.track import Track

MAX_RESENDS = 3
RESENDS_S = 500  # to one viewer: what a bad line needs; one who asks for everything again does not stop the others
RESENDS_BURST = 1000  # a line that was away for a second or two
EARLIER_MS = 5000  # what went before a switch is resent so long; far less than the ring's numbers take to come again
_MAX_REMEMBERED = 1024


class Span:
    """A stretch of her numbers, all out of one track.

    `lent`: made for her alone, so not in the ring: parameter sets in front of her start.
    """

    __slots__ = (
        "first_seq", "lent", "octets_before", "packets_before", "seq_offset", "shift", "timestamp_offset", "track"
    )  # fmt: skip

    def __init__(
        self, track: Track, first_seq: int, seq_offset: int, timestamp_offset: int, shift: Shift, lent: Packet | None
    ) -> None:
        self.track = track
        self.first_seq = first_seq  # hers, not the track's
        self.seq_offset = seq_offset
        self.timestamp_offset = timestamp_offset
        self.shift = shift
        self.lent = lent
        self.packets_before, self.octets_before = track.packets, track.octets

    def holds(self, seq: int) -> bool:
        """Whether her number `seq` is of this span, or comes after it."""
        # After so many packets everything in the ring is later than her start, whatever the wrapped numbers look like.
        return self.track.packets - self.packets_before > SIZE or (seq - self.first_seq & 0xFFFF) < 0x8000

    def packet(self, seq: int) -> Packet | None:
        """What went out under her number `seq`, if it is still here."""
        number = seq - self.seq_offset & 0xFFFF
        # Her own packet under that number, never the ring's: its bytes under this number are other ones (AES-GCM).
        packet = self.lent if self.lent is not None and self.lent.seq == number else self.track.ring.get(number)
        # One that is not sealed did not go out yet: padding may still change its bytes.
        return packet if packet is not None and packet.sealed else None


class Left:
    """Where she stood when she left a track: the next one goes on from here."""

    __slots__ = ("at_ms", "last_seq", "last_timestamp", "pictures", "span")

    def __init__(self, span: Span, at_ms: int) -> None:
        numbering = span.track.numbering
        self.span = span
        self.at_ms = at_ms
        self.last_seq = numbering.last_seq + span.seq_offset & 0xFFFF
        self.last_timestamp = numbering.last_timestamp + span.timestamp_offset & 0xFFFFFFFF
        self.pictures = moved(span.track.pictures.last, span.shift)


class Outlet:
    """One kind on its way to one viewer, under one SSRC for as long as she stays.

    Her first `seq_offset` is a multiple of 16384, so that her first number is a low one while most share one header:
    the fan-out then lays out a frame once for all of them. After a switch to another track (a smaller picture) the
    offsets are what makes numbers and timestamps go on.
    """

    __slots__ = (
        "_allowance", "_allowed_ms", "_left", "_octets", "_packets", "_resends", "_rtx_seq", "given_up", "payload_type",
        "resent", "rtx_payload_type", "rtx_ssrc", "span", "ssrc", "takes_nack"
    )  # fmt: skip

    def __init__(self, agreed: Outgoing, ssrc: int, rtx_ssrc: int) -> None:
        self.payload_type = agreed.payload_type
        self.rtx_payload_type = agreed.rtx_payload_type
        self.takes_nack = agreed.nack
        self.ssrc = ssrc
        self.rtx_ssrc = rtx_ssrc
        self.span: Span | None = None  # None: not started, or paused
        self.resent = 0
        self.given_up = 0  # times she asked for what was resent as often as may be: a key frame has to heal that
        self._left: Left | None = None
        self._packets = self._octets = 0  # sent in the spans before
        self._rtx_seq = 0
        self._allowance = float(RESENDS_BURST)
        self._allowed_ms: int | None = None
        self._resends: dict[int, tuple[int, int]] | None = None

    @property
    def paused(self) -> bool:
        """She had this kind and has it no more, for now."""
        return self.span is None and self._left is not None

    def start(self, track: Track, seq: int, lent: Packet | None = None) -> None:
        """Her first packet is the track's number `seq`."""
        # From 4,096 to 20,479: below 32,768, as one who misses the first packets must not guess the wrong rollover (RFC
        # 3711 section 3.3.1), and so far from 0 that what is late and before her first is not taken for the end of the
        # numbers, which would move libsrtp's rollover for good. Four offsets, so that most share one header.
        offset = -((seq - SIZE & 0xFFFF) & 0xC000) & 0xFFFF
        self.span = Span(track, seq + offset & 0xFFFF, offset, 0, NO_SHIFT, lent)

    def stop(self, now_ms: int) -> None:
        """She gets no more of the present track; all that it has was sent."""
        if self.span is not None:
            self._packets, self._octets = self.sent()
            self._left, self.span = Left(self.span, now_ms), None

    def go_on(self, track: Track, first: Packet, now_ms: int, *, meant: int | None, lent: bool) -> None:
        """After `stop`: from `first` of `track` on, a key frame.

        `meant`: the timestamp, among hers, that is due to `first` by the publisher's clock; None goes by arrival.
        """
        left = self._left
        assert left is not None
        assert self.span is None
        passed = max(1, (now_ms - left.at_ms) * track.numbering.clock_rate // 1000)
        timestamp = left.last_timestamp + passed
        if meant is not None and abs(_signed(meant - timestamp)) < track.numbering.clock_rate:
            timestamp = meant
        if _signed(timestamp - left.last_timestamp) <= 0:
            timestamp = left.last_timestamp + 1  # equal ones would glue two frames together
        codec = track.format.codec
        ids = picture_ids(codec, first.payload) if codec in COUNTS_PICTURES else PictureIds(None, None)
        seq = left.last_seq + 1 & 0xFFFF
        self.span = Span(
            track,
            seq,
            seq - first.seq & 0xFFFF,
            timestamp - first.timestamp & 0xFFFFFFFF,
            following(left.pictures, ids),
            first if lent else None,
        )

    def sent(self) -> tuple[int, int]:
        """Packets and octets so far, as a sender report counts them."""
        span = self.span
        if span is None:
            return self._packets, self._octets
        track = span.track
        return (
            self._packets + track.packets - span.packets_before,
            self._octets + track.octets - span.octets_before,
        )

    def resend(self, seq: int, now_ms: int, rtt_ms: int) -> tuple[Packet, int] | None:
        """What she misses under her number `seq`, and its timestamp among hers: three times at most, and not twice
        within a round trip. What she misses still is `given_up`, unless a key frame came since."""
        span = self._span_of(seq, now_ms)
        packet = span.packet(seq) if span is not None else None
        if span is None or packet is None:
            return None
        resends = self._resends
        if resends is None:
            resends = self._resends = {}
        times, last_ms = resends.get(seq, (0, -(10**9)))
        if now_ms - last_ms > 60_000:
            times = 0  # the number came around
        if now_ms - last_ms < max(5, rtt_ms):
            return None
        if times >= MAX_RESENDS:
            key = span.track.ring.key
            if span is self.span and (key is None or not newer(key, packet.seq)):
                self.given_up += 1
                resends[seq] = (times, now_ms)  # once a round trip
            return None
        if not self._allows(now_ms):
            return None
        if len(resends) >= _MAX_REMEMBERED:
            del resends[next(iter(resends))]
        resends.pop(seq, None)
        resends[seq] = (times + 1, now_ms)
        self.resent += 1
        return in_span(packet, span), packet.timestamp + span.timestamp_offset & 0xFFFFFFFF

    def next_rtx_seq(self) -> int:
        self._rtx_seq = self._rtx_seq + 1 & 0xFFFF
        return self._rtx_seq

    def _span_of(self, seq: int, now_ms: int) -> Span | None:
        if self.span is not None and self.span.holds(seq):
            return self.span
        left = self._left
        if left is None or now_ms - left.at_ms > EARLIER_MS or (left.last_seq - seq & 0xFFFF) >= SIZE:
            return None
        return left.span if left.span.holds(seq) else None

    def _allows(self, now_ms: int) -> bool:
        if self._allowed_ms is not None:
            passed_ms = now_ms - self._allowed_ms
            self._allowance = min(RESENDS_BURST, self._allowance + passed_ms * RESENDS_S / 1000)
        self._allowed_ms = now_ms
        if self._allowance < 1:
            return False
        self._allowance -= 1
        return True


def in_span(packet: Packet, span: Span) -> Packet:
    """The packet with the picture ids that the span gives it."""
    return shifted_packet(packet, span.track.format.codec, span.shift) if span.shift != NO_SHIFT else packet


def shifted_packet(packet: Packet, codec: str, shift: Shift) -> Packet:
    """A copy with moved picture ids; its padding is the first one's."""
    copy = Packet(packet.seq, packet.timestamp, packet.marker, shifted(codec, packet.payload, shift), packet.key)
    copy.pad, copy.sealed = packet.pad, packet.sealed
    return copy


def _signed(difference: int) -> int:
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000


class Reports:
    """What a viewer says about her line: the newest of each."""

    __slots__ = ("blocks", "heard_ms", "remb_bps", "remb_ms", "rtt_ms")

    def __init__(self) -> None:
        self.rtt_ms = 50
        self.remb_bps: int | None = None
        self.remb_ms = 0
        self.blocks: tuple[Report, ...] = ()  # one an SSRC
        self.heard_ms = 0

    @property
    def fraction_lost(self) -> dict[int, int]:
        """By SSRC, of 256."""
        return {block.ssrc: block.fraction_lost for block in self.blocks}

    @property
    def lost(self) -> dict[int, int]:
        """By SSRC, since she came."""
        return {block.ssrc: block.lost for block in self.blocks}

    def heard(self, report: Report, ntp_middle: int, now_ms: int) -> None:
        """`ntp_middle`: the middle 32 bits of our NTP clock now (RFC 3550 section 6.4.1)."""
        others = tuple(block for block in self.blocks if block.ssrc != report.ssrc)
        self.blocks = (*others[-3:], report)  # sound, picture, and their resends; one who makes up more gets no more
        self.heard_ms = now_ms
        if report.last_sr:
            trip = (ntp_middle - report.last_sr - report.delay) & 0xFFFFFFFF
            if trip < 65536 * 5:
                self.rtt_ms = max(1, trip * 1000 // 65536)
