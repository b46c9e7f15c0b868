"""One show's picture: who feeds it, who watches, what state it is in, and the way of a packet from one to the others.

    waiting ──first key frame──► live ──1.5 s of silence, DTLS closed, DELETE──► slate ──next key frame──► live

Viewers stay through a slate; whoever publishes next continues their numbering. Only when the codec changes to one
that a viewer did not agree to, or a kind comes that she was not offered, is her session ended, so that her player
joins anew.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol

from live.relay import rtcp
from live.relay.catch_up import CatchUp
from live.relay.fanout import Fanout
from live.relay.ingest import Ingest
from live.relay.ladder import Ladder
from live.relay.lane import House, Lane
from live.relay.rtp import Header, Packet
from live.relay.sdp import Format, Incoming, Kind, Outgoing, Stream
from live.relay.session import Session
from live.relay.source import Layer, Source, unheard
from live.relay.track import Track
from live.relay.udp import UdpPort
from live.relay.watching import Seat, Watching

State = Literal["waiting", "live", "slate"]
SILENCE_MS = 1500
REPORT_ROUNDS = 10  # sender reports of a second are spread over this many ticks
KEY_FRESH_MS = 2500  # a joiner whose key frame is older than this makes us ask for a new one


class Recorder(Protocol):
    """Takes what is forwarded, before any viewer's offset."""

    def packet(self, show: RelayedShow, kind: Kind, packet: Packet) -> None: ...
    def close(self) -> None: ...


class Tap(Protocol):
    """Hears what leaves, as it leaves: a frame, or a part of a big or slow one; before any viewer's offset.

    `lower` hears the smaller layers of a simulcast as they come, in the publisher's own numbers.
    """

    def frame(self, show: RelayedShow, kind: Kind, packets: list[Packet]) -> None: ...
    def lower(self, show: RelayedShow, layer: Layer, header: Header, key: bool) -> None: ...


class RelayedShow:
    """`changed(state)` is called when the state moves; `ended(session)` when a viewer's session has to go."""

    def __init__(
        self,
        name: str,
        *,
        port: UdpPort,
        fanout: Fanout,
        now_ms: Callable[[], int],
        wall_ms: Callable[[], int],
        max_kbps: int,
        changed: Callable[[RelayedShow], None],
        ended: Callable[[Session], None],
        first_ms: int | None = None,
    ) -> None:
        self.name = name
        self.state: State = "waiting"
        self.tracks: dict[Kind, Track] = {}
        self.lanes: dict[Kind, Lane] = {}
        self.ladder: Ladder | None = None  # where there is a picture
        self.publisher: Session | None = None
        self.source: Source | None = None
        self.taps: list[Tap] = []
        self.viewers: dict[str, Watching] = {}
        self.recorder: Recorder | None = None
        self.mirrored = False  # fed by another relay: the show's state and clock are that one's to tell
        self.first_wall_ms = first_ms  # server time of the show's first frame: media time counts from here
        self.idle_since_ms = now_ms()
        self._house = House(port, fanout, now_ms, wall_ms)
        self._catch_up = CatchUp(self._house, self._caught_up)
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self._max_kbps = max_kbps
        self._changed = changed
        self._ended = ended
        self._turn = 0
        self._unpictured: list[Session] = []  # joined without a key frame in the cache: their first picture is the next

    # ---- who feeds it --------------------------------------------------------------------------

    def take_over(self, session: Session, incoming: Incoming) -> None:
        """`session` publishes from now on; whoever did before is closed."""
        old, self.publisher = self.publisher, session
        if old is not None and old is not session:
            self._ended(old)
        own = next(iter(self.tracks.values())).ssrc if self.tracks else 1
        ingest = Ingest(
            incoming,
            ssrc=own,
            max_kbps=self._max_kbps,
            send_rtcp=session.peer.send_rtcp,
            counters=self._house.fanout.counters,
        )
        session.peer.on_rtp = lambda packet: ingest.rtp(packet, self._now_ms())
        session.peer.on_rtcp = lambda compound: ingest.rtcp(compound, self._now_ms(), self._wall_ms())
        self.feed(ingest)

    def feed(self, source: Source) -> None:
        """`source` feeds the show from now on, in the numbering that viewers know; the one before is heard no more.

        Until its first key frame there is silence; the tick makes a slate of it when it lasts.
        """
        self._unplug()
        self.source = source
        for kind, form in source.formats.items():
            self._lane(kind, form)
        source.forward = self._forward
        if self.ladder is not None:
            self.ladder.cut()
            source.lower = self._lower

    def publisher_gone(self, session: Session) -> None:
        """The publisher left by its own will or the network's."""
        if self.publisher is session:
            self.publisher = None
            if self.source is not None:
                self.source_gone(self.source)

    def source_gone(self, source: Source) -> None:
        """What fed the show has ended: a slate, at once."""
        if self.source is source:
            self._unplug()
            self._set_state("slate" if self.state == "live" else self.state)
            self.idle_since_ms = self._now_ms()

    def want_key(self, layer: Layer | None = None) -> None:
        """Somebody needs a key frame, of `layer` or of the picture as it is."""
        if self.source is not None:
            self.source.want_key(self._now_ms(), layer)

    def _unplug(self) -> None:
        old, self.source = self.source, None
        if old is not None:
            old.forward = old.lower = unheard
        for lane in self.lanes.values():
            lane.layer = None

    def _lane(self, kind: Kind, form: Format) -> Lane:
        lane = self.lanes.get(kind)
        if lane is None:
            track = self.tracks[kind] = Track(kind, form)
            lane = self.lanes[kind] = Lane(track, self._house, self._sent)
            if kind == "video":
                self.ladder = Ladder(lane, self._house, self.want_key, self._sent_a_rung)
            for watching in list(self.viewers.values()):
                self._ended(watching.session)  # she was not offered this kind
        return lane

    def _forward(self, layer: Layer, header: Header, key: bool, switched: bool) -> None:
        kind = layer.kind
        lane = self._lane(kind, layer.format)
        track = lane.track
        if switched and track.packets:
            changed_codec = track.format.codec != layer.format.codec
            lane.flush()
            track.switch(layer.format)
            if changed_codec:
                self._dismiss_viewers_without(kind, layer.format)
        elif switched:
            track.format = layer.format
        lane.layer = layer
        packet = track.take(header, key, self._now_ms())
        if packet is None:
            if track.awaits_key:
                self.want_key()  # the request made when it fell silent may be lost
            return
        if self.state != "live" and (key or (self.source is not None and not self.source.has_video)):
            self._set_state("live")
        if self.recorder is not None:
            self.recorder.packet(self, kind, packet)
        lane.put(packet)

    def _lower(self, layer: Layer, header: Header, key: bool) -> None:
        if self.ladder is not None:
            self.ladder.lower(layer, header, key)
        if self.taps and self.source is not None and layer is not self.source.forwarded("video"):
            for tap in self.taps:
                tap.lower(self, layer, header, key)

    def _dismiss_viewers_without(self, kind: Kind, form: Format) -> None:
        for watching in list(self.viewers.values()):
            seat = watching.seat(kind)
            if seat is not None and seat.codec != form.codec:
                self._ended(watching.session)

    # ---- the viewers ---------------------------------------------------------------------------

    @property
    def playable(self) -> bool:
        """Whether a key frame (or, without a picture, sound) has come at least once."""
        return self.first_wall_ms is not None and bool(self.tracks)

    def streams(self) -> dict[Kind, Stream]:
        """What a viewer is offered."""
        return {kind: track.stream for kind, track in self.tracks.items()}

    def admit(self, session: Session, agreed: dict[Kind, Outgoing]) -> Watching:
        """A viewer whose answer is out; packets follow once she is connected."""
        seats = {kind: Seat(kind, outgoing, self.lanes[kind]) for kind, outgoing in agreed.items()}
        self._turn += 1
        watching = Watching(session, seats, self._turn % REPORT_ROUNDS, self._house, self._viewer_wants_key)
        self.viewers[session.id] = watching
        return watching

    def start(self, watching: Watching) -> None:
        """She is connected: sound from now on, the picture from the newest key frame."""
        session = watching.session
        session.peer.on_rtcp = watching.heard
        session.on_moved = watching.moved
        for seat in watching.seats:
            seat.lane.flush()
            if seat.kind == "audio":
                seat.start(seat.lane.track, seat.lane.track.numbering.last_seq + 1 & 0xFFFF)
                seat.join(session)
            else:
                self._start_picture(watching, seat)
        self._report_to(watching)

    def leave(self, session: Session) -> None:
        """A viewer's session is over."""
        watching = self.viewers.pop(session.id, None)
        if watching is not None:
            self._catch_up.discard(watching)
            if session in self._unpictured:
                self._unpictured.remove(session)
            if self.ladder is not None:
                self.ladder.leave(watching)
            for seat in watching.seats:
                seat.leave(session)
        if not self.viewers and self.publisher is None:
            self.idle_since_ms = self._now_ms()

    def _start_picture(self, watching: Watching, seat: Seat) -> None:
        track = seat.lane.track
        packets = track.join()
        if packets is None or track.key_ms is None or self._now_ms() - track.key_ms > KEY_FRESH_MS:
            self.want_key()
        if packets:
            lent = packets[0] if track.ring.get(packets[0].seq) is not packets[0] else None
            seat.start(track, packets[0].seq, lent)
            self._catch_up.add(watching, packets)
            watching.session.on_picture()
        else:
            seat.start(track, track.numbering.last_seq + 1 & 0xFFFF)
            seat.join(watching.session)
            self._unpictured.append(watching.session)

    def _caught_up(self, watching: Watching) -> None:
        if watching.video is not None:
            watching.video.join(watching.session)

    def _viewer_wants_key(self, watching: Watching) -> None:
        lane = watching.video.lane if watching.video is not None else None
        main = lane is None or lane is self.lanes.get("video")
        self.want_key(None if main or lane is None else lane.layer)

    # ---- packets out ---------------------------------------------------------------------------

    def _sent(self, lane: Lane, packets: list[Packet]) -> None:
        kind = lane.track.kind
        for tap in self.taps:
            tap.frame(self, kind, packets)
        if kind == "video":
            for session in self._unpictured:
                session.on_picture()
            self._unpictured.clear()
            self._catch_up.sent(lane, packets)
            if self.ladder is not None:
                self.ladder.flushed(lane)

    def _sent_a_rung(self, lane: Lane, packets: list[Packet]) -> None:
        self._catch_up.sent(lane, packets)

    # ---- time ----------------------------------------------------------------------------------

    def media_ms(self, wall_ms: int) -> int:
        """Media time: ms since the show's first frame, pauses of the publisher included."""
        return max(0, wall_ms - self.first_wall_ms) if self.first_wall_ms is not None else 0

    def stats(self) -> dict[str, Any]:
        """For staff: who is here, and how well it goes."""
        video = self.source.forwarded("video") if self.source is not None else None
        layers = self.source.layers.values() if self.source is not None else ()
        worst = [max(watching.reports.fraction_lost.values(), default=0) for watching in self.viewers.values()]
        return {
            "state": self.state,
            "viewers": len(self.viewers),
            "publisher": self.publisher is not None,
            "codec": self.tracks["video"].format.codec if "video" in self.tracks else None,
            "kbps": video.rate_kbps if video is not None else 0,
            "layers": len([layer for layer in layers if layer.kind == "video"]),
            "publisher_lost": sum(layer.reception.lost for layer in layers),
            "viewers_losing": sum(1 for fraction in worst if fraction > 12),  # more than 5 %
            "viewers_smaller": self.ladder.viewers if self.ladder is not None else 0,
            "viewers_sound_only": sum(1 for watching in self.viewers.values() if watching.paused),
            "resent": sum(seat.resent for watching in self.viewers.values() for seat in watching.seats),
            "media_ms": self.media_ms(self._wall_ms()),
        }

    def tick(self, count: int) -> None:
        """Every 20 ms: losses upstream; every 100 ms: silence, and a tenth of the viewers get their reports."""
        now_ms = self._now_ms()
        if self.source is not None:
            self.source.tick(now_ms)
        if self.ladder is not None:
            self.ladder.tick(now_ms)
        if count % 5 == 0:
            self._watch_silence(now_ms)
            for watching in list(self.viewers.values()):
                if watching.turn == count // 5 % REPORT_ROUNDS:
                    self._report_to(watching)
                    if self.ladder is not None and self.state == "live":
                        self.ladder.look_after(watching, self.source, now_ms)

    def _watch_silence(self, now_ms: int) -> None:
        if self.state != "live":
            return
        tracks = self.tracks.values()
        picture = self.tracks.get("video")
        # Sound without picture is silence too, when there should be a picture.
        shown = picture if picture is not None and (self.source is None or self.source.has_video) else None
        last_ms = shown.last_ms if shown is not None else max((track.last_ms for track in tracks), default=0)
        if now_ms - last_ms > SILENCE_MS:
            self._set_state("slate")
            if picture is not None and self.ladder is not None:
                # The same publisher may come back in the middle of a GOP: viewers need a key frame first.
                picture.switch(picture.format)
                self.ladder.cut()
                self.want_key()

    def _report_to(self, watching: Watching) -> None:
        """SR for each kind in one compound, so that lips stay in sync (RFC 3550 section 6.4.1)."""
        if not watching.session.peer.connected:
            return
        wall_ms = self._wall_ms()
        out = b""
        for seat in watching.seats:
            timestamp = self._timestamp_of(seat.lane, wall_ms)
            if seat.span is None or timestamp is None:
                continue
            out += rtcp.sender_report(
                seat.ssrc, rtcp.ntp_of(wall_ms), timestamp + seat.span.timestamp_offset, *seat.sent()
            ) + rtcp.description(seat.ssrc, "frontrow")
        if out:
            watching.session.peer.send_rtcp(out)

    def timestamp_at(self, track: Track, wall_ms: int) -> int | None:
        """The RTP time of a track at `wall_ms`, which is about now: by the publisher's clock, else by arrival."""
        return self._timestamp_of(self.lanes[track.kind], wall_ms)

    def _timestamp_of(self, lane: Lane, wall_ms: int) -> int | None:
        offset_ms = self.source.clock_offset_ms if self.source is not None else None
        if offset_ms is not None:
            reported = lane.timestamp_of(wall_ms - offset_ms)
            if reported is not None:
                return reported
        track = lane.track
        if not track.packets:
            return None
        passed = (self._now_ms() - track.last_ms) * track.numbering.clock_rate // 1000
        return track.numbering.last_timestamp + passed

    def _set_state(self, state: State) -> None:
        if state == self.state:
            return
        self.state = state
        if state == "live" and self.first_wall_ms is None:
            self.first_wall_ms = self._wall_ms()
        self._changed(self)

    def close(self) -> None:
        """Everybody out."""
        self._catch_up.close()
        for lane in self.lanes.values():
            lane.close()
        if self.ladder is not None:
            self.ladder.close()
        for watching in list(self.viewers.values()):
            self._ended(watching.session)
        if self.publisher is not None:
            self._ended(self.publisher)
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None
