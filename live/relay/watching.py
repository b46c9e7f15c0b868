"""A viewer in a show: her session, where she sits, what she says, and what she is answered."""

from __future__ import annotations

from collections.abc import Callable

from live.relay import rtcp
from live.relay.codecs import NO_SHIFT, Shift
from live.relay.fanout import Variant
from live.relay.lane import House, Lane
from live.relay.members import Members
from live.relay.quality import Line, Quality
from live.relay.rtp import Packet, build, build_rtx
from live.relay.sdp import Kind, Outgoing
from live.relay.session import Session
from live.relay.viewer import Outlet, Reports

NEWS_MS = 3000  # what a viewer said longer ago says nothing about now
RESCUE_EVERY_MS = 250  # between key frames for what no resend healed: one takes as long, and wishes are few
WISHES, WISH_EVERY_MS = 4, 3000  # key frames one viewer may ask for: one who always does would cost everybody's picture


class Seat(Outlet):
    """One kind for one viewer, and the lane it comes by; `variant` is set while she is in one of its groups."""

    __slots__ = ("_variant_shift", "codec", "kind", "lane", "variant")

    def __init__(self, kind: Kind, agreed: Outgoing, lane: Lane) -> None:
        super().__init__(agreed, lane.track.ssrc, lane.track.rtx_ssrc)
        self.kind = kind
        self.codec = lane.track.format.codec
        self.lane = lane
        self.variant: Variant | None = None
        self._variant_shift: Shift = NO_SHIFT

    def variant_for(self, session: Session) -> Variant | None:
        """The headers she needs at present; None while it is unknown where she is."""
        span, address = self.span, session.ice.address
        if address is None or span is None or not session.peer.connected:
            return None
        return Variant(
            address[0],
            session.peer.tag_bytes,
            self.payload_type,
            self.ssrc,
            span.seq_offset,
            span.timestamp_offset,
        )

    def join(self, session: Session) -> None:
        """Into the lane's groups: all that leaves from now on is hers, too."""
        variant, address = self.variant_for(session), session.ice.address
        if variant is not None and address is not None and self.span is not None:
            self.variant, self._variant_shift = variant, self.span.shift
            self.lane.join(variant, self.span.shift, session.id, session.peer.context, address[1])

    def leave(self, session: Session) -> None:
        if self.variant is not None:
            self.lane.leave(self.variant, self._variant_shift, session.id)
            self.variant = None

    def burst_for(self, session: Session, packets: list[Packet]) -> None:
        """Packets that left before, for her alone."""
        variant, address = self.variant_for(session), session.ice.address
        if variant is not None and address is not None and self.span is not None:
            alone = Members.of(session.peer.context, address[1])
            self.lane.burst(packets, {self.span.shift: {variant: alone}})


class Watching:
    """`want_key(watching)` is called when her player asks for a key frame."""

    __slots__ = (
        "_house",
        "_rescued_ms",
        "_want_key",
        "_wished_ms",
        "_wishes",
        "audio",
        "quality",
        "reports",
        "session",
        "turn",
        "video",
        "wanted",
    )

    def __init__(
        self,
        session: Session,
        seats: dict[Kind, Seat],
        turn: int,
        house: House,
        want_key: Callable[[Watching], None],
    ) -> None:
        self.session = session
        self.audio = seats.get("audio")
        self.video = seats.get("video")
        self.turn = turn
        self.reports = Reports()
        self.quality = Quality()
        self.wanted: Lane | None = None  # where she goes at its next key frame
        self._house = house
        self._want_key = want_key
        self._wishes = float(WISHES)
        self._wished_ms = 0
        self._rescued_ms = -RESCUE_EVERY_MS

    @property
    def seats(self) -> tuple[Seat, ...]:
        return tuple(seat for seat in (self.audio, self.video) if seat is not None)

    @property
    def paused(self) -> bool:
        """Her line takes the sound only."""
        return self.video is not None and self.video.paused

    def seat(self, kind: Kind) -> Seat | None:
        return self.video if kind == "video" else self.audio

    def moved(self) -> None:
        """Her address is another one."""
        for seat in self.seats:
            if seat.variant is not None:
                seat.leave(self.session)
                seat.join(self.session)

    def heard(self, compound: bytes) -> None:
        """Her RTCP."""
        said = rtcp.parse(compound)
        now_ms = self._house.now_ms()
        if said.remb_bps is not None:
            self.reports.remb_bps, self.reports.remb_ms = said.remb_bps, now_ms
        if said.reports:
            middle = rtcp.ntp_of(self._house.wall_ms()) >> 16 & 0xFFFFFFFF
            for report in said.reports:
                self.reports.heard(report, middle, now_ms)
        counters = self._house.fanout.counters
        counters.nacks_heard += len(said.nacks)
        if said.keyframe:
            counters.keys_wanted += 1
            self._wish(now_ms)
        for ssrc, seq in said.nacks:
            for seat in self.seats:
                if seat.ssrc == ssrc and seat.takes_nack:
                    self._resend(seat, seq, now_ms)

    def _wish(self, now_ms: int) -> None:
        """A key frame, while she did not use up her wishes."""
        self._wishes = min(WISHES, self._wishes + (now_ms - self._wished_ms) / WISH_EVERY_MS)
        self._wished_ms = now_ms
        if self._wishes >= 1:
            self._wishes -= 1
            self._want_key(self)

    def line(self, now_ms: int, holes: float) -> Line:
        """What her line is like. `holes`: what her lane lacks of itself, which is not her line's loss (0 to 1)."""
        reports, seat = self.reports, self.video
        remb = reports.remb_bps if now_ms - reports.remb_ms < NEWS_MS else None
        lost: float | None = None
        if now_ms - reports.heard_ms < NEWS_MS:
            # With sound alone the sound's loss is all there is to go by.
            ssrc = self.audio.ssrc if self.audio is not None and self.paused else seat.ssrc if seat is not None else 0
            fraction = next((block.fraction_lost for block in reports.blocks if block.ssrc == ssrc), None)
            if fraction is not None:
                lost = max(0.0, fraction / 256 - (0.0 if self.paused else holes))
        return Line(remb // 1000 if remb is not None else None, lost)

    def _resend(self, seat: Seat, seq: int, now_ms: int) -> None:
        given_up = seat.given_up
        found = seat.resend(seq, now_ms, self.reports.rtt_ms)
        if found is None:
            stuck = seat.given_up > given_up and seat.kind == "video"
            if stuck and now_ms - self._rescued_ms >= RESCUE_EVERY_MS:
                # Else her player would stand still until it gives up itself, and asks.
                self._rescued_ms = now_ms
                self._wish(now_ms)
            return
        packet, timestamp = found
        if seat.rtx_payload_type is not None:
            plain = build_rtx(
                packet,
                payload_type=seat.rtx_payload_type,
                ssrc=seat.rtx_ssrc,
                seq=seat.next_rtx_seq(),
                timestamp=timestamp,
                original=seq,
            )
        else:
            # No RTX agreed: the very same bytes again, which AES-GCM allows.
            plain = build(packet, payload_type=seat.payload_type, ssrc=seat.ssrc, seq=seq, timestamp=timestamp)
        protected = self.session.peer.protect(plain)
        if protected is not None:
            self._house.fanout.counters.resent += 1
            self._house.port.send(self.session, protected)
