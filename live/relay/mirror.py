"""Shows that this relay has from another: from its pipe when that is on this machine, else as a viewer of it.

A show is mirrored once, however many watch it here. When its origin dies or moves, viewers stay with a slate and go on
in the same numbering as soon as there is a next one: whoever claimed the show last (`registry.py`). When nobody does, a
mirror with viewers adopts the show, so that its clock goes on and its publisher finds it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog
from redis.exceptions import RedisError

from live.errors import Error
from live.media.relays import Entry, Relays
from live.relay.pipe import Gone, PipeClient
from live.relay.piped import PipedPacket, StreamInfo
from live.relay.pull import pull
from live.relay.relay import Relay, monotonic_ms
from live.relay.rtp import Header
from live.relay.sdp import Format, Kind
from live.relay.show import RelayedShow
from live.relay.source import Forward, Layer, Lower, Throttle, unheard

FIND_EVERY_S = 0.1  # while the show has no origin
ADOPTED_AFTER_S = 3.0  # a publisher's client is back sooner, mostly
AGAIN_S = 0.3  # it is there, and has nothing for us yet
LOOK_EVERY_S = 1.0  # whether the origin is still the one, and anybody watches
READY_WITHIN_S = 2.0  # what an offer waits for the picture
READY_LOOK_S = 0.03
KEPT_S = 10.0  # a mirror that nobody watches
_KEY_EVERY_MS = 200  # the origin throttles, too


class PipeSource:
    """What a pipe brings, as a show takes it: a `Source`. Packets come in the origin's numbering."""

    def __init__(self, client: PipeClient) -> None:
        self.forward: Forward = unheard
        self.lower: Lower = unheard
        self.clock_offset_ms: float | None = 0.0  # the origin's clock is this machine's
        self.layers: Mapping[int, Layer] = {}
        self._by_track: list[Layer] = []
        self._fresh: set[int] = set()  # tracks whose first packet is yet to come
        self._client = client
        self._keys = Throttle(_KEY_EVERY_MS)

    @property
    def formats(self) -> Mapping[Kind, Format]:
        return {layer.kind: layer.format for layer in self._by_track if not layer.rid}

    @property
    def has_video(self) -> bool:
        return any(layer.kind == "video" for layer in self._by_track)

    def forwarded(self, kind: Kind) -> Layer | None:
        return next((layer for layer in self._by_track if layer.kind == kind and not layer.rid), None)

    def described(self, info: StreamInfo, now_ms: int) -> None:
        """What the show is made of, from here on."""
        for number, track in enumerate(info.tracks):
            layer = Layer(number + 1, track.kind, track.format, now_ms, track.rid)
            if number == len(self._by_track):
                self._by_track.append(layer)
            elif self._by_track[number].format != track.format:
                self._by_track[number] = layer
            else:
                continue
            self._fresh.add(number)
        self.layers = {layer.ssrc: layer for layer in self._by_track}

    def packets(self, packets: list[PipedPacket], now_ms: int) -> None:
        for packet in packets:
            if packet.track >= len(self._by_track):
                continue
            layer = self._by_track[packet.track]
            layer.last_ms = now_ms
            layer.reception.take(packet.seq, packet.timestamp, len(packet.payload) + 12, now_ms)
            header = Header(packet.marker, 0, packet.seq, packet.timestamp, layer.ssrc, {}, packet.payload)
            if layer.rid:
                self.lower(layer, header, packet.key)
                continue
            switched = packet.track in self._fresh
            if switched:
                if layer.kind == "video" and not packet.key:
                    self.want_key(now_ms)  # the origin's cache had none, and its publisher may send none by herself
                    continue
                self._fresh.discard(packet.track)
            self.forward(layer, header, packet.key, switched)

    def clock(self, track: int, wall_ms: float, timestamp: int) -> None:
        if track < len(self._by_track):
            self._by_track[track].sender_clock = (wall_ms, timestamp)

    def tick(self, now_ms: int) -> None:
        for layer in self._by_track:
            layer.rate(now_ms)

    def want_key(self, now_ms: int, layer: Layer | None = None) -> None:
        rid = layer.rid if layer is not None else ""
        if (layer.key_throttle if layer is not None and rid else self._keys).ready(now_ms):
            self._client.want_key(rid)


class Mirror:
    """One show's mirror; `run` until nobody watches it, its show ends, or its publisher is here."""

    def __init__(
        self,
        name: str,
        relay: Relay,
        relays: Relays,
        relay_id: str,
        token: str,
        folder: Path | None,
        adopted: Callable[[RelayedShow], None],
    ) -> None:
        self.name = name
        self.fed = False  # there is something to watch
        self._adopted = adopted
        self._blind = False  # Redis doesn't say who has the show
        self._relay = relay
        self._relays = relays
        self._id = relay_id
        self._token = token
        self._folder = folder
        self._log = structlog.get_logger(__name__).bind(show=name)

    async def run(self) -> None:
        clock = asyncio.get_running_loop().time
        asked = clock()
        lost_at: float | None = None
        while not self._published():
            why = ""
            origin = await self._origin()
            lost_at = (lost_at or clock()) if origin is None and not self._blind else None
            if lost_at is not None and clock() - lost_at > ADOPTED_AFTER_S and self._adopts():
                return
            if origin is not None and origin.id != self._id:
                self._log.info("relay.mirrors", origin=origin.id)
                why = await self._followed(origin)
                self._log.info("relay.mirror_cut", origin=origin.id, why=why)
                if why in ("ended", "idle") and self._let_go():
                    return
                if why == "dead":
                    with contextlib.suppress(RedisError, OSError, Error):
                        await self._relays.forget(origin.id)
            if clock() - asked > KEPT_S and not self._watched() and self._let_go():
                return
            lost = origin is None or why in ("dead", "going", "moved", "not_origin")
            await asyncio.sleep(FIND_EVERY_S if lost else AGAIN_S)

    def _published(self) -> bool:
        """Whether the show's publisher is here: then there is nothing to mirror, and nothing to end."""
        show = self._relay.shows.get(self.name)
        return show is not None and show.publisher is not None

    def _let_go(self) -> bool:
        """End the show here; not while a publisher of it shakes hands with us."""
        if any(one.kind == "publish" and one.show == self.name for one in self._relay.sessions.values()):
            return False
        self._relay.end_show(self.name)
        return True

    async def _origin(self) -> Entry | None:
        try:
            origin = await self._relays.origin(self.name)
        except (RedisError, OSError):
            self._blind = True
            return None  # fails open: what is mirrored goes on, what is lost waits
        self._blind = False
        return origin

    def _adopts(self) -> bool:
        """Nobody has the show: it is ours, if somebody here waits for it."""
        show = self._relay.shows.get(self.name)
        if show is None or not show.viewers or not show.playable or self._relay.draining:
            return False
        show.mirrored = False
        self._adopted(show)
        return True

    async def _followed(self, origin: Entry) -> str:
        try:
            return await self._follow(origin)
        except Exception as error:
            # No way there just now, or an answer that we don't understand: viewers wait, so it is tried again.
            self._log.warning("relay.mirror_broke", origin=origin.id, error=repr(error))
            return "broke"

    async def _follow(self, origin: Entry) -> str:
        """From the pipe, or over the network when that isn't on this machine; until it is cut, moved or nobody's."""
        watch = asyncio.create_task(self._until_moved(origin), name="mirror's origin")
        feed = asyncio.create_task(self._feed(origin), name="mirror's feed")
        try:
            await asyncio.wait([watch, feed], return_when=asyncio.FIRST_COMPLETED)
            return feed.result() if feed.done() else watch.result()
        finally:
            for task in (watch, feed):
                task.cancel()
            await asyncio.gather(watch, feed, return_exceptions=True)

    async def _feed(self, origin: Entry) -> str:
        why: str = "unreachable"
        if origin.pipe and self._folder is not None:
            why = await self._from_pipe(origin, self._folder)
        if why == "unreachable":
            why = await pull(self.name, origin, self._relays, self._relay, self._came)
        return why

    async def _until_moved(self, origin: Entry) -> str:
        loop = asyncio.get_running_loop()
        watched = loop.time()
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._watched():
                watched = loop.time()
            elif loop.time() - watched > KEPT_S:
                return "idle"
            found = await self._origin()
            if found is not None and found.id != origin.id:
                return "moved"

    def _watched(self) -> bool:
        show = self._relay.shows.get(self.name)
        return show is not None and bool(show.viewers or show.taps)

    async def _from_pipe(self, origin: Entry, folder: Path) -> Gone:
        show: RelayedShow | None = None
        source: PipeSource
        over = False  # what is in the origin's cache has been seen here

        def described(info: StreamInfo) -> None:
            nonlocal show, over
            if not info.tracks or self._published():
                return  # the publisher has come here, and this task is about to hear it
            source.described(info, monotonic_ms())
            if show is None:
                show = self._relay.mirrored(self.name, info.first_wall_ms)
                show.feed(source)
                over = self.fed
            told(info.state, info.first_wall_ms)

        def told(state: str, first_wall_ms: int | None) -> None:
            nonlocal over
            over = over and state != "live"
            if show is not None and first_wall_ms is not None:
                show.first_wall_ms = first_wall_ms

        def packets(piece: list[PipedPacket]) -> None:
            if over:
                return
            source.packets(piece, monotonic_ms())
            if show is not None:
                self._came(show)

        def gone(why: Gone) -> None:
            if show is not None:
                show.source_gone(source)

        client = PipeClient(
            self._relays.pipe_of,
            self.name,
            self._token,
            folder,
            on_start=described,
            on_packets=packets,
            on_clock=lambda track, wall_ms, timestamp: source.clock(track, wall_ms, timestamp),
            on_state=told,
            on_gone=gone,
            mirror=True,
        )
        source = PipeSource(client)
        return await client.follow(origin.pipe)

    def _came(self, show: RelayedShow) -> None:
        self.fed = self.fed or has_come(show)


def has_come(show: RelayedShow) -> bool:
    """Whether there is something to watch: the picture, or the sound of a show that has no other."""
    picture = show.tracks.get("video")
    return picture.packets > 0 if picture is not None else any(track.packets for track in show.tracks.values())


class Mirrors:
    """All mirrors of this process. `folder` is where its pipe's sockets are; None when it can have none."""

    def __init__(
        self,
        relay: Relay,
        relays: Relays,
        relay_id: str,
        token: str,
        folder: Path | None,
        adopted: Callable[[RelayedShow], None],
    ) -> None:
        """`adopted(show)`: a show that nobody has any more is this relay's now."""
        self._adopted = adopted
        self._relay = relay
        self._relays = relays
        self._id = relay_id
        self._token = token
        self._folder = folder
        self._running: dict[str, tuple[Mirror, asyncio.Task[None]]] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Owns the mirrors' tasks, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            await asyncio.get_running_loop().create_future()

    async def ready(self, name: str) -> None:
        """Wait a moment until the show can be watched here, mirroring it if its publisher is elsewhere."""
        show = self._relay.shows.get(name)
        published = show is not None and show.publisher is not None  # then there is nothing to mirror
        if published and show is not None and show.playable:
            return
        if not published and name not in self._running:
            try:
                origin = await self._relays.origin(name)
            except (RedisError, OSError):
                return  # fails open: what is here can be watched
            here = origin is None or origin.id == self._id
            if here and show is not None and show.playable:
                return  # a slate
            self.start(name)
        deadline = asyncio.get_running_loop().time() + READY_WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            if self._can_be_watched(name):
                return
            await asyncio.sleep(READY_LOOK_S)

    def _can_be_watched(self, name: str) -> bool:
        show, running = self._relay.shows.get(name), self._running.get(name)
        if show is None or not show.playable:
            return False
        return not show.mirrored or (running is not None and running[0].fed)

    def start(self, name: str) -> None:
        if name in self._running or self._tasks is None or self._relay.draining:
            return
        mirror = Mirror(name, self._relay, self._relays, self._id, self._token, self._folder, self._adopted)
        task = self._tasks.create_task(self._run(mirror), name=f"mirror of {name}")
        self._running[name] = (mirror, task)

    def stop(self, name: str) -> None:
        """The show's publisher is here now, or it is over."""
        running = self._running.pop(name, None)
        if running is not None:
            running[1].cancel()

    async def _run(self, mirror: Mirror) -> None:
        try:
            await mirror.run()
        except Exception:
            structlog.get_logger(__name__).exception("relay.mirror_broke", show=mirror.name)
        finally:
            if self._running.get(mirror.name, (None,))[0] is mirror:
                del self._running[mirror.name]
