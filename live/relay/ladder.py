"""The sizes a picture comes in, and who watches which: viewers change at a key frame of where they go.

The top is the picture as it is (`main`): the best layer that lives. Each smaller layer of a simulcast is a rung, a lane
with a numbering of its own, fed only while somebody is on it or waits for it. A viewer keeps her SSRC, and her numbers
and timestamps go on (`viewer.py`). Who changes at the same key frame from the same numbers shares one layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from live.relay.codecs import Shift
from live.relay.lane import Groups, House, Lane
from live.relay.members import Members
from live.relay.quality import SOUND_ONLY
from live.relay.rtp import Header, Packet
from live.relay.source import Layer, Source
from live.relay.track import Track
from live.relay.watching import Seat, Watching

ALIVE_MS = 1500
SILENT_MS = 40  # a lane without a packet for so long is not in the middle of a frame
HOLES_EVERY_MS = 1000


class Rung(NamedTuple):
    """A step of the ladder. `lane` is None for a layer that nobody watched yet."""

    layer: Layer
    lane: Lane | None
    kbps: int


class Holes:
    """The share of a track's numbers that never came, lately: viewers report it, and it is not their lines' loss."""

    def __init__(self) -> None:
        self.share = 0.0
        self._at_ms = 0
        self._passed = self._packets = 0

    def look(self, track: Track, now_ms: int) -> float:
        if now_ms - self._at_ms >= HOLES_EVERY_MS:
            passed, packets = track.numbering.passed - self._passed, track.packets - self._packets
            self.share = max(0.0, 1 - packets / passed) if passed > 0 else 0.0
            self._at_ms, self._passed, self._packets = now_ms, track.numbering.passed, track.packets
        return self.share


class Ladder:
    """`main` is the show's picture; `want_key(layer)` asks the source, `sent` hears what leaves the rungs."""

    def __init__(
        self,
        main: Lane,
        house: House,
        want_key: Callable[[Layer | None], None],
        sent: Callable[[Lane, list[Packet]], None],
    ) -> None:
        self.main = main
        self._house = house
        self._want_key = want_key
        self._sent = sent
        self._rungs: dict[str, Lane] = {}
        self._holes: dict[Lane, Holes] = {}
        self._waiting: dict[Lane, dict[Watching, int]] = {}  # who waits for a lane, and its key frames when she began
        self._leaving: dict[Watching, None] = {}  # whose picture stops with the frame that is being sent
        self._rung_list: list[Rung] = []
        self._listed_ms: int | None = None

    # ---- packets in ----------------------------------------------------------------------------

    def lower(self, layer: Layer, header: Header, key: bool) -> None:
        """A packet of one of the layers. Taken where somebody watches it or waits for it."""
        lane = self._rungs.get(layer.rid)
        if lane is None:
            return
        if lane.empty and not self._waiting.get(lane):
            lane.layer = None
            return
        if lane.layer is not layer:
            lane.flush()
            lane.track.switch(layer.format)
            lane.layer = layer
        packet = lane.track.take(header, key, self._house.now_ms())
        if packet is not None:
            lane.put(packet)
        elif lane.track.awaits_key:
            self._want_key(layer)

    def cut(self) -> None:
        """Another source, or a silence: each rung goes on at a key frame only."""
        for lane in self._rungs.values():
            lane.layer = None
        self._listed_ms = None

    def flushed(self, lane: Lane) -> None:
        """Packets of one of the picture's lanes have left: who waits for a key frame or for a frame's end may go."""
        if self._waiting or self._leaving:
            self._let_go(self._house.now_ms())

    def tick(self, now_ms: int) -> None:
        if self._waiting or self._leaving:
            self._let_go(now_ms)

    # ---- who goes where ------------------------------------------------------------------------

    def rungs(self, source: Source | None, now_ms: int) -> list[Rung]:
        """The living sizes, rising; the last one is `main`. Empty while there is no picture."""
        if self._listed_ms is not None and now_ms - self._listed_ms < 100:
            return self._rung_list
        self._listed_ms = now_ms
        self._rung_list = self._list(source, now_ms)
        return self._rung_list

    def look_after(self, watching: Watching, source: Source | None, now_ms: int) -> None:
        """Once a second: is she on the rung that her line carries?"""
        seat = watching.video
        if seat is None or not (seat.paused or seat.variant is not None):
            return
        rungs = self.rungs(source, now_ms)
        if not rungs:
            return
        at = SOUND_ONLY if seat.paused else self._place(seat.lane, rungs)
        if at is None:
            self._send_to(watching, self._instead_of(seat.lane, rungs))
            watching.quality.settled(now_ms)
            return
        if len(rungs) == 1 and watching.audio is None:
            return  # nothing else is left to her
        lane = seat.lane
        holes = self._holes.setdefault(lane, Holes()).look(lane.track, now_ms)
        line = watching.line(now_ms, holes)
        to = watching.quality.choose(line, [rung.kbps for rung in rungs], at, now_ms)
        if to == SOUND_ONLY and watching.audio is None:
            to = 0
        if to == SOUND_ONLY:
            if not seat.paused:
                self._forget(watching)
                self._leaving[watching] = None
                self._let_go(now_ms)
        elif to != at:
            self._send_to(watching, rungs[to])
        elif watching.wanted is not None:
            self._ask(watching.wanted)  # she still waits for its key frame

    def leave(self, watching: Watching) -> None:
        """She is gone."""
        self._forget(watching)
        self._leaving.pop(watching, None)

    @property
    def viewers(self) -> int:
        """How many are on a smaller size."""
        return sum(lane.viewers for lane in self._rungs.values())

    def close(self) -> None:
        for lane in self._rungs.values():
            lane.close()

    def _list(self, source: Source | None, now_ms: int) -> list[Rung]:
        best = source.forwarded("video") if source is not None else None
        if source is None or best is None or now_ms - best.last_ms > ALIVE_MS:
            return []
        top = Rung(best, self.main, best.usual_kbps)
        lower = [
            Rung(layer, self._rungs.get(layer.rid), layer.usual_kbps)
            for layer in source.layers.values()
            if layer.kind == "video"
            and layer.rid
            and layer is not best
            and now_ms - layer.last_ms < ALIVE_MS
            and 0 < layer.usual_kbps < best.usual_kbps
        ]
        return [*sorted(lower, key=lambda rung: rung.kbps), top]

    def _place(self, lane: Lane, rungs: list[Rung]) -> int | None:
        for index, rung in enumerate(rungs):
            if rung.lane is lane:
                return index
        # Her size is the best there is at present: what she watches is the top, by another name.
        top = rungs[-1].layer
        return len(rungs) - 1 if self._rungs.get(top.rid) is lane and top.rid else None

    def _instead_of(self, lane: Lane, rungs: list[Rung]) -> Rung:
        """Her rung is gone: the next smaller one, else the smallest."""
        had = lane.layer.usual_kbps if lane.layer is not None else 0
        smaller = [rung for rung in rungs if rung.kbps <= had]
        return smaller[-1] if smaller else rungs[0]

    def _send_to(self, watching: Watching, rung: Rung) -> None:
        """She goes to that rung at its next key frame."""
        lane = rung.lane or self._lane_of(rung.layer)
        self._forget(watching)
        watching.wanted = lane
        self._waiting.setdefault(lane, {})[watching] = lane.track.keys
        self._want_key(rung.layer)

    def _ask(self, lane: Lane) -> None:
        if lane is self.main:
            self._want_key(None)
        elif lane.layer is not None:
            self._want_key(lane.layer)

    def _lane_of(self, layer: Layer) -> Lane:
        lane = self._rungs.get(layer.rid)
        if lane is None:
            lane = self._rungs[layer.rid] = Lane(Track("video", layer.format), self._house, self._rung_sent)
        return lane

    def _rung_sent(self, lane: Lane, packets: list[Packet]) -> None:
        self._sent(lane, packets)
        self.flushed(lane)

    def _forget(self, watching: Watching) -> None:
        if watching.wanted is not None:
            waiting = self._waiting.get(watching.wanted, {})
            waiting.pop(watching, None)
            if not waiting:
                self._waiting.pop(watching.wanted, None)
            watching.wanted = None

    # ---- going ---------------------------------------------------------------------------------

    def _let_go(self, now_ms: int) -> None:
        for watching in [one for one in self._leaving if self._may_stop(one.video, now_ms)]:
            self._leaving.pop(watching, None)
            if watching.video is not None:
                self._stop(watching, watching.video, now_ms)
        for lane, waiting in list(self._waiting.items()):
            ready = [
                one
                for one, keys in waiting.items()
                if lane.track.keys > keys and one.video is not None and self._may_stop(one.video, now_ms)
            ]
            if ready:
                self._board(lane, ready, now_ms)

    def _may_stop(self, seat: Seat | None, now_ms: int) -> bool:
        """Not in the middle of a frame."""
        if seat is None or seat.span is None:
            return True
        lane = seat.lane
        return lane.between_frames or now_ms - lane.track.last_ms > SILENT_MS

    def _stop(self, watching: Watching, seat: Seat, now_ms: int) -> None:
        seat.lane.flush()
        seat.leave(watching.session)
        seat.stop(now_ms)

    def _board(self, lane: Lane, ready: Iterable[Watching], now_ms: int) -> None:
        """All of them start at the lane's newest key frame."""
        lane.flush()
        packets = lane.track.join()
        if not packets:
            return
        lent = lane.track.ring.get(packets[0].seq) is not packets[0]
        groups: dict[Shift, Groups] = {}
        for watching in ready:
            if watching.wanted is not lane:
                continue  # what was flushed for this has let her go already
            self._forget(watching)
            seat = watching.video
            address = watching.session.ice.address
            if seat is None or address is None:
                continue
            meant = self._meant(seat, lane, packets[0])
            self._stop(watching, seat, now_ms)
            seat.lane = lane
            self._house.fanout.counters.switches += 1
            seat.go_on(lane.track, packets[0], now_ms, meant=meant, lent=lent)
            watching.quality.settled(now_ms)
            variant, span = seat.variant_for(watching.session), seat.span
            if variant is not None and span is not None:
                members = groups.setdefault(span.shift, {}).setdefault(variant, Members())
                members.put(watching.session.id, watching.session.peer.context, address[1])
                seat.join(watching.session)
        lane.let_in_at(packets[0].seq)
        lane.burst(packets, groups)

    def _meant(self, seat: Seat, lane: Lane, first: Packet) -> int | None:
        """The timestamp, among hers, that the publisher's clock gives to `first`; None when she did not report."""
        taken_ms = lane.publisher_time(first.timestamp)
        if seat.span is None or taken_ms is None:
            return None
        timestamp = seat.lane.timestamp_of(taken_ms)
        return timestamp + seat.span.timestamp_offset & 0xFFFFFFFF if timestamp is not None else None
