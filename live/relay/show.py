"""One show's picture: who publishes, who watches, what state it is in, and the way of a packet from one to the others.

    waiting ──first key frame──► live ──1.5 s of silence, DTLS closed, DELETE──► slate ──next key frame──► live

Viewers stay through a slate; whoever publishes next continues their numbering. Only when the codec changes to one
that a viewer did not agree to is her session ended, so that her player joins anew. One file: the state, who is in
it and the packet's way through it change together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Literal, Protocol

from live.relay import rtcp
from live.relay.fanout import Fanout, Variant
from live.relay.ingest import Ingest
from live.relay.members import Members
from live.relay.rtp import Header, Packet, build, build_rtx
from live.relay.sdp import Format, Incoming, Kind, Outgoing, Stream
from live.relay.session import Session
from live.relay.source import Layer, Source, unheard
from live.relay.track import Track
from live.relay.udp import UdpPort
from live.relay.viewer import Outlet, Reports

State = Literal["waiting", "live", "slate"]
SILENCE_MS = 1500
FLUSH_PACKETS = 24
FLUSH_S = 0.004  # a paced frame trickles in; nobody waits longer than this for its rest
CATCH_UP_PACKETS = 40  # of a joiner's backlog, every CATCH_UP_S: about 90 Mbit/s
CATCH_UP_S = 0.005
REPORT_ROUNDS = 10  # sender reports of a second are spread over this many ticks
KEY_FRESH_MS = 2500  # a joiner whose key frame is older than this makes us ask for a new one


class Recorder(Protocol):
    """Takes what is forwarded, before any viewer's offset."""

    def packet(self, show: RelayedShow, kind: Kind, packet: Packet) -> None: ...
    def close(self) -> None: ...


class Tap(Protocol):
    """Hears what leaves, as it leaves: a frame, or a part of a big or slow one; before any viewer's offset."""

    def frame(self, show: RelayedShow, kind: Kind, packets: list[Packet]) -> None: ...


class Watching:
    """A viewer in the show: her session, her outlets, and what she still has to catch up with."""

    def __init__(self, session: Session, outlets: dict[Kind, Outlet], formats: dict[Kind, Format], turn: int) -> None:
        self.session = session
        self.outlets = outlets
        self.formats = formats
        self.turn = turn
        self.reports = Reports()
        self.backlog: list[Packet] | None = None  # None: not started; empty: with the others
        self.variants: dict[Kind, Variant] = {}
        self.by_ssrc = {outlet.ssrc: (kind, outlet) for kind, outlet in outlets.items()}


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
        self.publisher: Session | None = None
        self.source: Source | None = None
        self.taps: list[Tap] = []
        self.viewers: dict[str, Watching] = {}
        self.recorder: Recorder | None = None
        self.mirrored = False  # fed by another relay: the show's state and clock are that one's to tell
        self.first_wall_ms = first_ms  # server time of the show's first frame: media time counts from here
        self.idle_since_ms = now_ms()
        self._port = port
        self._fanout = fanout
        self._now_ms = now_ms
        self._wall_ms = wall_ms
        self._max_kbps = max_kbps
        self._changed = changed
        self._ended = ended
        self._groups: dict[Kind, dict[Variant, Members]] = {"audio": {}, "video": {}}
        self._pending: list[Packet] = []
        self._flush_timer: asyncio.TimerHandle | None = None
        self._catching_up: set[str] = set()
        self._catch_up_timer: asyncio.TimerHandle | None = None
        self._turn = 0

    @property
    def ingest(self) -> Source | None:
        """The source, by the name that the recorder knows."""
        return self.source

    # ---- who feeds it -------------------------------------------------------------------------

    def take_over(self, session: Session, incoming: Incoming) -> None:
        """`session` publishes from now on; whoever did before is closed."""
        old, self.publisher = self.publisher, session
        if old is not None and old is not session:
            self._ended(old)
        own = next(iter(self.tracks.values())).ssrc if self.tracks else 1
        ingest = Ingest(incoming, ssrc=own, max_kbps=self._max_kbps, send_rtcp=session.peer.send_rtcp)
        session.peer.on_rtp = lambda packet: ingest.rtp(packet, self._now_ms())
        session.peer.on_rtcp = lambda compound: ingest.rtcp(compound, self._now_ms(), self._wall_ms())
        self.feed(ingest)

    def feed(self, source: Source) -> None:
        """`source` feeds the show from now on, in the numbering that viewers know; the one before is heard no more.

        Until its first key frame there is silence; the tick makes a slate of it when it lasts.
        """
        self._unplug()
        self.source = source
        source.forward = self._forward

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

    def want_key(self) -> None:
        """Somebody who is not a viewer of ours needs a key frame."""
        if self.source is not None:
            self.source.want_key(self._now_ms())

    def _unplug(self) -> None:
        old, self.source = self.source, None
        if old is not None:
            old.forward = old.lower = unheard

    def _forward(self, layer: Layer, header: Header, key: bool, switched: bool) -> None:
        now_ms = self._now_ms()
        kind = layer.kind
        track = self.tracks.get(kind)
        if track is None:
            track = self.tracks[kind] = Track(kind, layer.format)
        elif switched:
            changed_codec = track.format.codec != layer.format.codec
            track.switch(layer.format)
            if changed_codec:
                self._dismiss_viewers_without(kind, layer.format)
        packet = track.take(header, key, now_ms)
        if packet is None:
            return
        if self.state != "live" and (key or (self.source is not None and not self.source.has_video)):
            self._set_state("live")
        if self.recorder is not None:
            self.recorder.packet(self, kind, packet)
        if kind == "audio":
            self._send("audio", [packet])
            return
        self._pending.append(packet)
        if packet.marker or len(self._pending) >= FLUSH_PACKETS:
            self._flush()
        elif self._flush_timer is None:
            self._flush_timer = asyncio.get_running_loop().call_later(FLUSH_S, self._flush)

    def _dismiss_viewers_without(self, kind: Kind, form: Format) -> None:
        for watching in list(self.viewers.values()):
            agreed = watching.formats.get(kind)
            if agreed is not None and agreed.codec != form.codec:
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
        outlets = {
            kind: Outlet(outgoing, self.tracks[kind].ssrc, self.tracks[kind].rtx_ssrc)
            for kind, outgoing in agreed.items()
        }
        self._turn += 1
        formats = {kind: self.tracks[kind].format for kind in agreed}
        watching = Watching(session, outlets, formats, self._turn % REPORT_ROUNDS)
        self.viewers[session.id] = watching
        return watching

    def start(self, watching: Watching) -> None:
        """She is connected: sound from now on, the picture from the newest key frame."""
        session = watching.session
        session.peer.on_rtcp = lambda compound: self._viewer_rtcp(watching, compound)
        session.on_moved = lambda: self._regroup(watching)
        self._flush()
        audio = watching.outlets.get("audio")
        if audio is not None:
            self._start_outlet(watching, "audio", self.tracks["audio"].numbering.last_seq + 1 & 0xFFFF)
        video = watching.outlets.get("video")
        if video is not None:
            track = self.tracks["video"]
            packets = track.join()
            stale = track.key_ms is None or self._now_ms() - track.key_ms > KEY_FRESH_MS
            if (packets is None or stale) and self.source is not None:
                self.source.want_key(self._now_ms())
            watching.backlog = packets or []
            first = packets[0].seq if packets else track.numbering.last_seq + 1 & 0xFFFF
            if packets and track.ring.get(first) is not packets[0]:
                video.lent = packets[0]
            video.start(first, track.packets, track.octets)
            if packets:
                self._catching_up.add(session.id)
                self._catch_up()
            else:
                self._join_group(watching, "video")
        self._report_to(watching)

    def leave(self, session: Session) -> None:
        """A viewer's session is over."""
        watching = self.viewers.pop(session.id, None)
        if watching is not None:
            for kind in watching.outlets:
                self._leave_group(watching, kind)
            self._catching_up.discard(session.id)
        if not self.viewers and self.publisher is None:
            self.idle_since_ms = self._now_ms()

    def _start_outlet(self, watching: Watching, kind: Kind, seq: int) -> None:
        track = self.tracks[kind]
        watching.outlets[kind].start(seq, track.packets, track.octets)
        self._join_group(watching, kind)

    def _variant(self, watching: Watching, kind: Kind) -> Variant | None:
        outlet, address = watching.outlets[kind], watching.session.ice.address
        if address is None:
            return None
        return Variant(
            address[0],
            watching.session.peer.tag_bytes,
            outlet.payload_type,
            outlet.ssrc,
            outlet.seq_offset,
            outlet.timestamp_offset,
        )

    def _join_group(self, watching: Watching, kind: Kind) -> None:
        variant, address = self._variant(watching, kind), watching.session.ice.address
        if variant is not None and address is not None and watching.session.peer.connected:
            watching.variants[kind] = variant
            members = self._groups[kind].setdefault(variant, Members())
            members.put(watching.session.id, watching.session.peer.context, address[1])

    def _leave_group(self, watching: Watching, kind: Kind) -> None:
        variant = watching.variants.pop(kind, None)
        if variant is not None:
            members = self._groups[kind][variant]
            members.remove(watching.session.id)
            if not members:
                del self._groups[kind][variant]

    def _regroup(self, watching: Watching) -> None:
        """Her address moved."""
        for kind in list(watching.variants):
            self._leave_group(watching, kind)
            self._join_group(watching, kind)

    # ---- packets out ---------------------------------------------------------------------------

    def _flush(self) -> None:
        if self._flush_timer is not None:
            self._flush_timer.cancel()
            self._flush_timer = None
        if self._pending:
            packets, self._pending = self._pending, []
            self._send("video", packets)

    def _send(self, kind: Kind, packets: list[Packet]) -> None:
        if kind == "video" and self._catching_up:
            for name in self._catching_up:
                backlog = self.viewers[name].backlog
                if backlog is not None:
                    backlog.extend(packets)
        self._fanout.frame(packets, self._groups[kind].items())
        for tap in self.taps:
            tap.frame(self, kind, packets)

    def _catch_up(self) -> None:
        """A piece of each joiner's backlog; paced, so that a GOP does not overrun her line's first router."""
        self._catch_up_timer = None
        for name in list(self._catching_up):
            watching = self.viewers[name]
            backlog, variant = watching.backlog or [], self._variant(watching, "video")
            address = watching.session.ice.address
            if not watching.session.peer.connected or variant is None or address is None:
                self._catching_up.discard(name)
                continue
            piece, watching.backlog = backlog[:CATCH_UP_PACKETS], backlog[CATCH_UP_PACKETS:]
            self._fanout.frame(piece, [(variant, Members.of(watching.session.peer.context, address[1]))])
            if not watching.backlog:
                self._catching_up.discard(name)
                self._join_group(watching, "video")
        if self._catching_up:
            self._catch_up_timer = asyncio.get_running_loop().call_later(CATCH_UP_S, self._catch_up)

    # ---- what viewers say ----------------------------------------------------------------------

    def _viewer_rtcp(self, watching: Watching, compound: bytes) -> None:
        said = rtcp.parse(compound)
        now_ms = self._now_ms()
        if said.remb_bps is not None:
            watching.reports.remb_bps = said.remb_bps
        if said.reports:
            middle = rtcp.ntp_of(self._wall_ms()) >> 16 & 0xFFFFFFFF
            for report in said.reports:
                watching.reports.heard(report, middle)
        if said.keyframe and self.source is not None:
            self.source.want_key(now_ms)
        for ssrc, seq in said.nacks:
            known = watching.by_ssrc.get(ssrc)
            if known is not None and known[1].takes_nack:
                self._resend(watching, *known, seq, now_ms)

    def _resend(self, watching: Watching, kind: Kind, outlet: Outlet, seq: int, now_ms: int) -> None:
        packet = outlet.resend(seq, self.tracks[kind].ring, now_ms, watching.reports.rtt_ms)
        if packet is None:
            return
        timestamp = packet.timestamp + outlet.timestamp_offset & 0xFFFFFFFF
        if outlet.rtx_payload_type is not None:
            plain = build_rtx(
                packet,
                payload_type=outlet.rtx_payload_type,
                ssrc=outlet.rtx_ssrc,
                seq=outlet.next_rtx_seq(),
                timestamp=timestamp,
                original=seq,
            )
        else:
            # No RTX agreed: the very same bytes again, which AES-GCM allows.
            plain = build(packet, payload_type=outlet.payload_type, ssrc=outlet.ssrc, seq=seq, timestamp=timestamp)
        protected = watching.session.peer.protect(plain)
        if protected is not None:
            self._fanout.counters.resent += 1
            self._port.send(watching.session, protected)

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
            "resent": sum(o.resent for watching in self.viewers.values() for o in watching.outlets.values()),
            "media_ms": self.media_ms(self._wall_ms()),
        }

    def tick(self, count: int) -> None:
        """Every 20 ms: losses upstream; every 100 ms: silence, and a tenth of the viewers get their reports."""
        now_ms = self._now_ms()
        if self.source is not None:
            self.source.tick(now_ms)
        if count % 5 == 0:
            self._watch_silence(now_ms)
            for watching in self.viewers.values():
                if watching.turn == count // 5 % REPORT_ROUNDS:
                    self._report_to(watching)

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
            for track in tracks:
                if track.kind == "video" and self.source is not None:
                    # The same publisher may come back in the middle of a GOP: viewers need a key frame first.
                    track.switch(track.format)
                    self.source.want_key(now_ms)

    def _report_to(self, watching: Watching) -> None:
        """SR for each kind in one compound, so that lips stay in sync (RFC 3550 section 6.4.1)."""
        if not watching.session.peer.connected:
            return
        wall_ms = self._wall_ms()
        out = b""
        for kind, outlet in watching.outlets.items():
            track = self.tracks[kind]
            timestamp = self.timestamp_at(track, wall_ms)
            if outlet.first_seq is None or timestamp is None:
                continue
            out += rtcp.sender_report(
                outlet.ssrc,
                rtcp.ntp_of(wall_ms),
                timestamp + outlet.timestamp_offset,
                track.packets - outlet.packets_before,
                track.octets - outlet.octets_before,
            ) + rtcp.description(outlet.ssrc, "frontrow")
        if out:
            watching.session.peer.send_rtcp(out)

    def timestamp_at(self, track: Track, wall_ms: int) -> int | None:
        """The RTP time of a track at `wall_ms`, which is about now: by the publisher's clock if told, else by arrival."""
        rate = track.numbering.clock_rate
        layer = self.source.forwarded(track.kind) if self.source is not None else None
        if layer is not None and layer.sender_clock is not None and self.source is not None:
            ntp_ms, timestamp = layer.sender_clock
            offset = self.source.clock_offset_ms or 0.0
            return int(timestamp + (wall_ms - offset - ntp_ms) * rate / 1000 + track.numbering.timestamp_offset)
        if not track.packets:
            return None
        return track.numbering.last_timestamp + (self._now_ms() - track.last_ms) * rate // 1000

    def _set_state(self, state: State) -> None:
        if state == self.state:
            return
        self.state = state
        if state == "live" and self.first_wall_ms is None:
            self.first_wall_ms = self._wall_ms()
        self._changed(self)

    def close(self) -> None:
        """Everybody out."""
        for timer in (self._flush_timer, self._catch_up_timer):
            if timer is not None:
                timer.cancel()
        self._flush_timer = self._catch_up_timer = None
        for watching in list(self.viewers.values()):
            self._ended(watching.session)
        if self.publisher is not None:
            self._ended(self.publisher)
        if self.recorder is not None:
            self.recorder.close()
            self.recorder = None
