"""One show on its way into pipes: a frame is encoded once for all who subscribed to it.

What a subscriber doesn't take waits in her queue; when that is full it is let go, counted, and she goes on at the next
key frame. She costs nobody else anything.
"""

from __future__ import annotations

import asyncio
import errno
from collections import deque
from collections.abc import Callable, Iterable

from live.relay import piped
from live.relay.codecs import parameter_sets, stap
from live.relay.pipe import open_socket
from live.relay.piped import Clock, PipedTrack, StreamInfo, Told
from live.relay.rtp import Header, Packet
from live.relay.sdp import Format, Kind
from live.relay.show import RelayedShow
from live.relay.source import Layer
from live.relay.track import Track

QUEUE_BYTES = 4 * 1024 * 1024  # of one subscriber: several seconds of picture
MAX_LOWER = 4  # smaller layers of a show
LOWER_PACKETS = 24  # of a frame at a time


class Subscriber:
    """One subscription: a socket that is connected to hers, and what she has not taken yet."""

    def __init__(self, show: str, address: str, mirror: bool, now: float) -> None:
        self.show = show
        self.address = address
        self.mirror = mirror
        self.heard = now
        self.dropped = 0  # datagrams let go because her queue was full
        self.dead = False
        self._socket = open_socket(None)
        self._queue: deque[bytes] = deque()
        self._queued = 0
        self.awaits_key = False
        self._writing = False
        try:
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    @property
    def behind(self) -> bool:
        return bool(self._queue)

    def packets(self, datagrams: list[bytes], *, video: bool, key: bool) -> None:
        """A frame. When her queue is full it is let go; pictures before the next key frame are then of no use."""
        if self._queue and self._queued + sum(map(len, datagrams)) > QUEUE_BYTES:
            self.dropped += len(self._queue)
            self._queue.clear()
            self._queued = 0
            self.awaits_key = True
        if self.awaits_key and video:
            if not key:
                self.dropped += len(datagrams)
                return
            self.awaits_key = False
        for datagram in datagrams:
            self.say(datagram)

    def say(self, datagram: bytes) -> None:
        if self._queue or not self._send(datagram):
            self._queue.append(datagram)
            self._queued += len(datagram)
            if not self._writing and not self.dead:
                self._writing = True
                asyncio.get_running_loop().add_writer(self._socket, self._writable)

    def close(self) -> None:
        self._stop_writing()
        self.dead = True
        self._socket.close()

    def _send(self, datagram: bytes) -> bool:
        try:
            self._socket.send(datagram)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            if error.errno == errno.ENOBUFS:  # macOS's word for a full queue
                return False
            self.dead = True  # refused: her process is gone
        return True

    def _writable(self) -> None:
        while self._queue and self._send(self._queue[0]):
            self._queued -= len(self._queue.popleft())
        if not self._queue:
            self._stop_writing()

    def _stop_writing(self) -> None:
        if self._writing:
            self._writing = False
            asyncio.get_running_loop().remove_writer(self._socket)


class _Lower:
    """A smaller layer on its way to mirrors, which give it to viewers on narrow lines. In the publisher's numbers."""

    def __init__(self, number: int, layer: Layer) -> None:
        self.number = number
        self.layer = layer
        self._frame: list[Packet] = []

    def take(self, header: Header, key: bool) -> list[Packet]:
        """A whole frame, when this packet ends one."""
        out: list[Packet] = []
        if self._frame and header.timestamp != self._frame[0].timestamp:
            out, self._frame = self._frame, []  # its end was lost
        self._frame.append(Packet(header.seq, header.timestamp, 0x80 * header.marker, header.payload, key))
        if header.marker or len(self._frame) >= LOWER_PACKETS:
            out, self._frame = [*out, *self._frame], []
        return out

    def clock(self, wall_ms: float, offset_ms: float | None) -> bytes | None:
        """As the publisher reported it; without her report there is none."""
        if self.layer.sender_clock is None or offset_ms is None:
            return None
        ntp_ms, timestamp = self.layer.sender_clock
        ticks = (wall_ms - offset_ms - ntp_ms) * self.layer.format.clock_rate / 1000
        return piped.encode(Clock(self.number, wall_ms, int(timestamp + ticks) & 0xFFFFFFFF))


class Outflow:
    """One show's way into the pipes: a tap of it, encoding once for all who subscribed."""

    def __init__(self, show: RelayedShow, wall_ms: Callable[[], int]) -> None:
        self.show = show
        self.frames = 0
        self.subscribers: list[Subscriber] = []
        self._wall_ms = wall_ms
        # What the tracks' numbers stand for: a kind as all get it, or a smaller layer by its rid. Numbers stay.
        self._names: list[tuple[Kind, str]] = []
        self._lower: dict[str, _Lower] = {}
        self._told: StreamInfo | None = None
        show.taps.append(self)

    def frame(self, show: object, kind: Kind, packets: list[Packet]) -> None:
        """What leaves for the viewers leaves for the subscribers."""
        self.look()
        self.frames += 1
        datagrams = list(piped.encode_packets(self._names.index((kind, "")), packets, self._wall_ms()))
        key = any(packet.key for packet in packets)
        for subscriber in self.subscribers:
            if subscriber.awaits_key and key and self._told is not None:
                subscriber.say(piped.encode(self._told))  # it may be among what was let go
            subscriber.packets(datagrams, video=kind == "video", key=key)

    def lower(self, show: object, layer: Layer, header: Header, key: bool) -> None:
        """A smaller layer's packet; only mirrors want them."""
        if not any(subscriber.mirror for subscriber in self.subscribers):
            return
        lower = self._lower.get(layer.rid)
        if lower is None or lower.layer is not layer:
            if lower is None and len(self._lower) >= MAX_LOWER:
                return
            self._lower[layer.rid] = lower = _Lower(self._number("video", layer.rid), layer)
            self.look()
        packets = lower.take(header, key)
        if packets:
            datagrams = list(piped.encode_packets(lower.number, packets, self._wall_ms()))
            for subscriber in self.subscribers:
                if subscriber.mirror and not subscriber.awaits_key:
                    subscriber.packets(datagrams, video=False, key=False)

    def want_key(self, rid: str) -> None:
        """Somebody needs one, of the picture or of a smaller layer."""
        lower = self._lower.get(rid)
        self.show.want_key(lower.layer if lower is not None else None)

    def join(self, subscriber: Subscriber) -> None:
        """The description, then the sound's clock and the picture since its newest key frame."""
        self.look()
        self.subscribers.append(subscriber)
        subscriber.say(piped.encode(self._told or self._info()))
        for datagram in self.clocks():
            subscriber.say(datagram)
        track = self.show.tracks.get("video")
        start = track.ring.playable_from() if track is not None else None
        if track is None or start is None:
            return
        packets = list(track.ring.since(start))
        sets = track.sets if not parameter_sets(packets[0].payload) else []
        if sets:
            # The publisher sent them once: they come in front, as a joining viewer gets them.
            packets.insert(0, Packet(start - 1 & 0xFFFF, packets[0].timestamp, 0, stap(sets), True))
        for datagram in self._aged(track, packets):
            subscriber.say(datagram)

    def again(self, subscriber: Subscriber, wanted: piped.Again) -> None:
        if wanted.track >= len(self._names) or subscriber.behind:
            return
        kind, rid = self._names[wanted.track]
        if rid:
            return  # has no ring here
        ring = self.show.tracks[kind].ring
        found = [packet for seq in wanted.seqs[: piped.MAX_AGAIN] if (packet := ring.get(seq)) is not None]
        for datagram in piped.encode_packets(wanted.track, found, self._wall_ms()):
            subscriber.say(datagram)

    def look(self) -> None:
        """Tell what changed: the description, or only the state."""
        show, told = self.show, self._told
        info = self._info()
        if told is not None and [*map(_made_of, told.tracks)] == [*map(_made_of, info.tracks)]:
            if (told.state, told.first_wall_ms) != (show.state, show.first_wall_ms):
                self._told = info
                self.say(piped.encode(Told(show.state, show.first_wall_ms)))
            return
        self._told = info
        self.say(piped.encode(info))

    def clocks(self) -> Iterable[bytes]:
        wall_ms = self._wall_ms()
        for kind, track in self.show.tracks.items():
            timestamp = self.show.timestamp_at(track, wall_ms)
            if timestamp is not None:
                yield piped.encode(Clock(self._number(kind), wall_ms, timestamp & 0xFFFFFFFF))
        offset_ms = self.show.source.clock_offset_ms if self.show.source is not None else None
        for lower in self._lower.values():
            clock = lower.clock(wall_ms, offset_ms)
            if clock is not None:
                yield clock

    def say(self, datagram: bytes) -> None:
        for subscriber in self.subscribers:
            subscriber.say(datagram)

    def _number(self, kind: Kind, rid: str = "") -> int:
        if (kind, rid) not in self._names:
            self._names.append((kind, rid))
        return self._names.index((kind, rid))

    def _info(self) -> StreamInfo:
        show = self.show
        for kind in show.tracks:
            self._number(kind)
        tracks = [
            PipedTrack(kind, *self._lower[rid].layer.format, rid=rid)
            if rid
            else PipedTrack(kind, *show.tracks[kind].format, sets=show.tracks[kind].sets)
            for kind, rid in self._names
        ]
        return StreamInfo(show.name, show.state, show.first_wall_ms, tracks)

    def _aged(self, track: Track, packets: list[Packet]) -> Iterable[bytes]:
        """Packets of the ring by frames, each with the server time at which it must have been forwarded."""
        number, wall_ms = self._number(track.kind), self._wall_ms()
        now = self.show.timestamp_at(track, wall_ms)
        newest = now if now is not None else packets[-1].timestamp
        frame: list[Packet] = []
        for packet in [*packets, None]:
            if frame and (packet is None or packet.timestamp != frame[0].timestamp):
                age = (newest - frame[0].timestamp & 0xFFFFFFFF) * 1000 // track.numbering.clock_rate
                yield from piped.encode_packets(number, frame, wall_ms - age)
                frame = []
            if packet is not None:
                frame.append(packet)


def _made_of(track: PipedTrack) -> tuple[Kind, str, Format]:
    return track.kind, track.rid, track.format
