"""Whoever listens to a session's server-sent events (WHEP): what there is to tell, found out once a show.

One look a second a process asks Redis for the picture's state, and every other one asks the relays who is still there,
however many listen: a thousand listeners cost no more questions than one. A listener holds no queue. It is told that
something changed and reads what is so now, so a slow one skips what is past.
Source: docs/decisions/0083-server-sent-events-hold-no-queue.md
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import msgspec
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.errors import Error, NotFound, Overloaded
from live.ids import new_secret
from live.media.relays import RelayGone, Relays
from live.stage.media import Media
from live.store import keys

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
MOST = 2_000  # listeners of one process
MOST_OF_A_SESSION = 4
KEPT_S = 60  # a stream that nobody reads; reading keeps it

Layers = tuple[tuple[str, int], ...]  # (rid or "", kbit/s), of the pictures that are published


class Facts(msgspec.Struct, frozen=True):
    """What is so of a show at this moment."""

    active: bool
    viewers: int = 0
    layers: Layers = ()


class Stream(msgspec.Struct, frozen=True):
    """An event stream as its player asked for it. `line`: the place of the video's m-line in her offer."""

    show: str
    relay: str
    session: str
    events: tuple[str, ...]
    line: int


class Listener:
    """One that reads now. `changed` is set when `facts` or `over` did."""

    def __init__(self, stream: Stream, facts: Facts) -> None:
        self.stream = stream
        self.facts = facts
        self.over = False
        self.changed = asyncio.Event()

    def hear(self, facts: Facts) -> None:
        if facts != self.facts:
            self.facts = facts
            self.changed.set()

    def end(self) -> None:
        self.over = True
        self.changed.set()


class Audience:
    """The listeners of this process; the streams themselves are in Redis, for whichever process is asked next."""

    def __init__(self, redis: Redis, relays: Relays, media: Media) -> None:
        self._redis = redis
        self._relays = relays
        self._media = media
        self._listeners: set[Listener] = set()
        self._closed = False

    async def create(self, stream: Stream) -> str:
        """A name for it that can't be guessed. Raises: NotFound, for a session that isn't (any more)."""
        if not (await self._alive(stream.show, stream.relay, [stream.session]))[0]:
            raise NotFound("session", "")
        name = new_secret()
        await self._redis.set(keys.event_stream(name), msgspec.json.encode(stream), ex=KEPT_S)
        return name

    async def find(self, name: str, show: str, relay: str, session: str) -> Stream:
        """Raises: NotFound, for one that was removed, forgotten, or is another session's."""
        found: Any = await self._redis.get(keys.event_stream(name))
        stream = msgspec.json.decode(found, type=Stream) if found else None
        if stream is None or (stream.show, stream.relay, stream.session) != (show, relay, session):
            raise NotFound("events", "")
        return stream

    async def keep(self, name: str) -> bool:
        """It is read. False when it was removed meanwhile."""
        return bool(await self._redis.expire(keys.event_stream(name), KEPT_S))

    async def remove(self, name: str) -> None:
        await self._redis.delete(keys.event_stream(name))

    async def facts(self, stream: Stream) -> Facts:
        """For the first moment; later ones come by themselves. Raises: NotFound, Overloaded."""
        if self._closed or len(self._listeners) >= MOST:
            raise Overloaded(retry_after_s=5)
        if sum(one.stream.session == stream.session for one in self._listeners) >= MOST_OF_A_SESSION:
            raise Overloaded(retry_after_s=5)
        here, layers = await self._alive(stream.show, stream.relay, [stream.session])
        if not here:
            raise NotFound("session", "")
        picture = await self._media.picture(stream.show)
        viewers = _viewers(await self._relays.stats(), stream.show)
        return Facts(picture.state == "live", viewers, layers)

    @contextlib.contextmanager
    def listening(self, stream: Stream, facts: Facts) -> Iterator[Listener]:
        listener = Listener(stream, facts)
        self._listeners.add(listener)
        if self._closed:
            listener.end()
        try:
            yield listener
        finally:
            self._listeners.discard(listener)

    async def run(self) -> None:
        """Look for ever; owned by the web process's lifespan."""
        count = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            count += 1
            if self._listeners:
                try:
                    await self._look(thoroughly=count % 2 == 0)
                except (RedisError, OSError, Error) as error:
                    log.warning("audience.unsure", error=type(error).__name__)  # fails open: they hear it later

    def close(self) -> None:
        """The process goes: players open their stream at another."""
        self._closed = True
        for listener in self._listeners:
            listener.end()

    async def _look(self, *, thoroughly: bool) -> None:
        stats = await self._relays.stats() if thoroughly else None
        for show in {one.stream.show for one in self._listeners}:
            active = (await self._media.picture(show)).state == "live"
            viewers = None if stats is None else _viewers(stats, show)
            for relay in {one.stream.relay for one in self._listeners if one.stream.show == show}:
                theirs = [one for one in self._listeners if (one.stream.show, one.stream.relay) == (show, relay)]
                layers: Layers | None = None
                if thoroughly:
                    here, layers = await self._alive(show, relay, [one.stream.session for one in theirs])
                    for gone in (one for one in theirs if one.stream.session not in here):
                        gone.end()  # all streams of a session end with it (draft, Server Sent Events)
                for one in theirs:
                    now = msgspec.structs.replace(one.facts, active=active)
                    if viewers is not None and layers is not None:
                        now = Facts(active, viewers, layers)
                    one.hear(now)

    async def _alive(self, show: str, relay: str, sessions: list[str]) -> tuple[set[str], Layers]:
        """Which of the sessions that relay still has, and the layers of what it shows."""
        try:
            answer = await self._relays.ask(
                relay, show, "POST", f"/shows/{show}/listeners", json={"sessions": sorted(set(sessions))}
            )
        except RelayGone:
            return set(), ()
        said = answer.json()
        return set(said["here"]), tuple((str(rid), int(kbps)) for rid, kbps in said["layers"])


def _viewers(stats: list[object], show: str) -> int:
    parts = (part.get("shows", {}).get(show, {}) for part in stats if isinstance(part, dict))
    return sum(int(part.get("viewers", 0)) for part in parts)
