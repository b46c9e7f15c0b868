"""The origin's end of the pipe: shows in, datagrams out to whoever subscribed.

What a subscriber doesn't take waits in her queue; when that is full it is let go, counted, and she goes on at the next
key frame. She costs nobody else anything. A show's frame is encoded once for all.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import socket
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from live.relay import piped
from live.relay.codecs import parameter_sets, stap
from live.relay.pipe import open_socket
from live.relay.piped import Bye, Clock, PipedTrack, StreamInfo, Told
from live.relay.rtp import Packet
from live.relay.sdp import Kind
from live.relay.show import RelayedShow
from live.relay.track import Track

QUEUE_BYTES = 4 * 1024 * 1024  # of one subscriber: several seconds of picture
LOOK_EVERY_S = 0.1
CLOCK_EVERY = 10  # looks
SILENT_AFTER_S = 5.0  # a subscriber that doesn't beat
MAX_SUBSCRIBERS = 64
_MAX_READS = 64


class _Subscriber:
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


class Outflow:
    """One show's way into the pipes: a tap of it, encoding once for all who subscribed."""

    def __init__(self, show: RelayedShow, wall_ms: Callable[[], int]) -> None:
        self.show = show
        self.frames = 0
        self.subscribers: list[_Subscriber] = []
        self._wall_ms = wall_ms
        self._kinds: list[Kind] = []
        self._told: StreamInfo | None = None
        show.taps.append(self)

    def frame(self, show: object, kind: Kind, packets: list[Packet]) -> None:
        """What leaves for the viewers leaves for the subscribers."""
        self.look()
        self.frames += 1
        datagrams = list(piped.encode_packets(self._kinds.index(kind), packets, self._wall_ms()))
        key = any(packet.key for packet in packets)
        for subscriber in self.subscribers:
            if subscriber.awaits_key and key and self._told is not None:
                subscriber.say(piped.encode(self._told))  # it may be among what was let go
            subscriber.packets(datagrams, video=kind == "video", key=key)

    def join(self, subscriber: _Subscriber) -> None:
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

    def again(self, subscriber: _Subscriber, wanted: piped.Again) -> None:
        if wanted.track >= len(self._kinds) or subscriber.behind:
            return
        ring = self.show.tracks[self._kinds[wanted.track]].ring
        found = [packet for seq in wanted.seqs[: piped.MAX_AGAIN] if (packet := ring.get(seq)) is not None]
        for datagram in piped.encode_packets(wanted.track, found, self._wall_ms()):
            subscriber.say(datagram)

    def look(self) -> None:
        """Tell what changed: the description, or only the state."""
        show, told = self.show, self._told
        if told is not None and len(told.tracks) == len(show.tracks):
            same = all(
                track.format == show.tracks[kind].format for track, kind in zip(told.tracks, self._kinds, strict=True)
            )
            if same and (told.state, told.first_wall_ms) == (show.state, show.first_wall_ms):
                return
            if same:
                self._told = self._info()
                self.say(piped.encode(Told(show.state, show.first_wall_ms)))
                return
        self._told = self._info()
        self.say(piped.encode(self._told))

    def clocks(self) -> Iterable[bytes]:
        wall_ms = self._wall_ms()
        for number, kind in enumerate(self._kinds):
            timestamp = self.show.timestamp_at(self.show.tracks[kind], wall_ms)
            if timestamp is not None:
                yield piped.encode(Clock(number, wall_ms, timestamp & 0xFFFFFFFF))

    def say(self, datagram: bytes) -> None:
        for subscriber in self.subscribers:
            subscriber.say(datagram)

    def _info(self) -> StreamInfo:
        show = self.show
        self._kinds += [kind for kind in show.tracks if kind not in self._kinds]
        tracks = [PipedTrack(kind, *show.tracks[kind].format, sets=show.tracks[kind].sets) for kind in self._kinds]
        return StreamInfo(show.name, show.state, show.first_wall_ms, tracks)

    def _aged(self, track: Track, packets: list[Packet]) -> Iterable[bytes]:
        """Packets of the ring by frames, each with the server time at which it must have been forwarded."""
        number, wall_ms = self._kinds.index(track.kind), self._wall_ms()
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


class PipeServer:
    """This process's pipe. `show_of(name)`: the show, if this relay has it; one that comes later is waited for.
    `wanted(name)` is called for one that isn't here when somebody subscribes who forwards it to nobody else."""

    def __init__(
        self,
        folder: Path,
        name: str,
        token: str,
        *,
        show_of: Callable[[str], RelayedShow | None],
        wall_ms: Callable[[], int],
        wanted: Callable[[str], None] = lambda show: None,
    ) -> None:
        self.path = folder / name
        self._token = token.encode()
        self._show_of = show_of
        self._wall_ms = wall_ms
        self._wanted = wanted
        self._socket: socket.socket | None = None
        self._subscribers: dict[str, _Subscriber] = {}
        self._flows: dict[str, Outflow] = {}
        self.refused = 0
        self._dropped = 0

    def open(self) -> None:
        """Raises OSError: then there is no pipe, and others pull over the network."""
        _sweep(self.path.parent)
        self._socket = open_socket(self.path)

    async def run(self) -> None:
        """Until cancelled: subscribers are served, what changed is told, who died is let go."""
        assert self._socket is not None, "open first"
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        try:
            looks = 0
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                looks += 1
                self._look(looks)
        finally:
            self.close()

    def close(self) -> None:
        """Subscribers are told."""
        for subscriber in list(self._subscribers.values()):
            self._leave(subscriber, "going")
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            self.path.unlink(missing_ok=True)

    def stats(self) -> dict[str, int]:
        here = self._subscribers.values()
        return {
            "subscribers": len(here),
            "frames": sum(flow.frames for flow in self._flows.values()),
            "dropped": self._dropped + sum(one.dropped for one in here),
            "refused": self.refused,
        }

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(_MAX_READS):
            try:
                datagram, address = self._socket.recvfrom(piped.MAX_DATAGRAM)
            except OSError:
                return
            try:
                request = piped.decode_request(datagram)
            except ValueError:
                self.refused += 1
                continue
            if address:
                self._heard(request, address)

    def _heard(self, request: piped.Request, address: str) -> None:
        subscriber = self._subscribers.get(address)
        if isinstance(request, piped.Subscribe):
            if subscriber is not None:
                self._leave(subscriber)
            self._subscribe(request, address)
            return
        if subscriber is None:
            self._answer(address, "unknown")
            return
        subscriber.heard = asyncio.get_running_loop().time()
        flow = self._flows.get(subscriber.show)
        if isinstance(request, piped.Leave):
            self._leave(subscriber)
        elif isinstance(request, piped.WantKey) and flow is not None:
            flow.show.want_key()
        elif isinstance(request, piped.Again) and flow is not None:
            flow.again(subscriber, request)

    def _subscribe(self, request: piped.Subscribe, address: str) -> None:
        allowed = hmac.compare_digest(request.token.encode(), self._token)
        if not allowed or len(self._subscribers) >= MAX_SUBSCRIBERS:
            self.refused += 1
            self._answer(address, "refused")
            return
        show = self._show_of(request.show)
        if request.mirror and show is not None and show.mirrored:
            self._answer(address, "not_origin")
            return
        try:
            subscriber = _Subscriber(request.show, address, request.mirror, asyncio.get_running_loop().time())
        except OSError:
            return  # gone already
        self._subscribers[address] = subscriber
        if show is not None:
            self._attach(subscriber, show)
        else:  # let in; the show may come, from another relay too
            if not request.mirror:
                self._wanted(request.show)
            subscriber.say(piped.encode(StreamInfo(request.show, "waiting", None, [])))

    def _attach(self, subscriber: _Subscriber, show: RelayedShow) -> None:
        flow = self._flows.get(show.name)
        if flow is None:
            flow = self._flows[show.name] = Outflow(show, self._wall_ms)
        flow.join(subscriber)

    def _leave(self, subscriber: _Subscriber, why: Literal["ended", "going", "not_origin"] | None = None) -> None:
        if why is not None:
            subscriber.say(piped.encode(Bye(why)))
        subscriber.close()
        self._dropped += subscriber.dropped
        del self._subscribers[subscriber.address]
        flow = self._flows.get(subscriber.show)
        if flow is not None and subscriber in flow.subscribers:
            flow.subscribers.remove(subscriber)
            if not flow.subscribers:
                flow.show.taps.remove(flow)
                del self._flows[subscriber.show]

    def _answer(self, address: str, why: Literal["unknown", "refused", "not_origin"]) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(piped.encode(Bye(why)), address)

    def _look(self, looks: int) -> None:
        now = asyncio.get_running_loop().time()
        for subscriber in list(self._subscribers.values()):
            show, flow = self._show_of(subscriber.show), self._flows.get(subscriber.show)
            if subscriber.dead or now - subscriber.heard > SILENT_AFTER_S:
                self._leave(subscriber)
            elif flow is not None and show is not flow.show:
                self._leave(subscriber, "ended")
            elif show is not None and show.mirrored and subscriber.mirror:
                self._leave(subscriber, "not_origin")
            elif show is not None and (flow is None or subscriber not in flow.subscribers):
                self._attach(subscriber, show)
            elif show is None and not subscriber.mirror and looks % CLOCK_EVERY == 0:
                self._wanted(subscriber.show)
        for flow in list(self._flows.values()):
            flow.look()
            if looks % CLOCK_EVERY == 0:
                for datagram in flow.clocks():
                    flow.say(datagram)


def _sweep(folder: Path) -> None:
    """Sockets that killed processes left behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for path in folder.iterdir():
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue
