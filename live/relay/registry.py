"""What the other processes know of this relay, in Redis: where it takes orders, how full it is, which shows it has,
and each show's media clock. Written every two seconds; readers forget a relay that stops.

A show is the relay's that claimed it last: where its publisher is, or was. Its mirrors write neither the show's key nor
its clock. Fails open: without Redis the picture goes on, and the next beat that gets through says all again.
"""

from __future__ import annotations

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.ids import new_id
from live.relay.relay import Relay
from live.relay.show import RelayedShow
from live.store import keys
from live.store.redis import load_script

BEAT_S = 2.0
_RELAY_TTL_S = 10
_MEDIA_TTL_S = 60


class Registry:
    """One relay's entry. `control` is the address web reaches it at: `http://127.0.0.1:41234`; `pipe` the path of its
    Unix socket, "" when it has none."""

    def __init__(self, redis: Redis, control: str, pipe: str = "", relay_id: str = "") -> None:
        self.id = relay_id or new_id("relay")
        self.pipe = pipe
        self._redis = redis
        self._control = control
        self._give_up = load_script(redis, "give_up")
        self._keep_show = load_script(redis, "keep_show")

    async def beat(self, relay: Relay, wall_ms: int) -> list[str]:
        """Say all of it; the shows that another relay has claimed. Raises redis-py's errors, StoreDown."""
        await self.enter(relay, wall_ms)
        own = [show for show in relay.shows.values() if not show.mirrored]
        lost = []
        for show in own:
            holder = await self._keep_show([keys.relay_of_show(show.name)], [self.id, _RELAY_TTL_S])
            if holder != self.id.encode():
                lost.append(show.name)
        async with self._redis.pipeline(transaction=False) as pipe:
            for show in own:
                if show.name not in lost:
                    self._clock(pipe, show, wall_ms)
            await pipe.execute()
        return lost

    async def enter(self, relay: Relay, wall_ms: int) -> None:
        """The relay's entry alone, as its shows are now."""
        shown = [
            show
            for show in relay.shows.values()
            if show.publisher is not None or show.viewers or relay.feeds_mirrors(show.name)
        ]
        entry: dict[Any, Any] = {
            "control": self._control,
            "pipe": self.pipe,
            "load": f"{relay.load():.4f}",
            "capacity": 0 if relay.draining else relay.capacity,
            "shows": ",".join(show.name for show in shown if not show.mirrored),
            "mirrors": ",".join(show.name for show in shown if show.mirrored),
            "beat_ms": wall_ms,
        }
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(keys.relay(self.id), mapping=entry)
            pipe.expire(keys.relay(self.id), _RELAY_TTL_S)
            pipe.sadd(keys.RELAYS, self.id)
            await pipe.execute()

    async def claim(self, show: str) -> None:
        """This relay has the show's publisher, from now and not from the next beat on."""
        await self._redis.set(keys.relay_of_show(show), self.id, ex=_RELAY_TTL_S)

    async def may_tell(self, show: str) -> bool:
        """Whether nobody else has claimed the show: another's picture is not ours to tell of."""
        holder = await self._redis.get(keys.relay_of_show(show))
        return holder is None or holder == self.id.encode()

    async def state(self, show: RelayedShow, wall_ms: int) -> None:
        """A show's media clock, the moment its state moved."""
        async with self._redis.pipeline(transaction=False) as pipe:
            self._clock(pipe, show, wall_ms)
            await pipe.execute()

    async def first_frame(self, show: str) -> int | None:
        """Server time of the show's first frame as the last relay said it, so that media time goes on counting."""
        try:
            state, media_ms, wall_ms = await self._redis.hmget(keys.media(show), ["state", "media_ms", "wall_ms"])
        except (RedisError, OSError):
            return None  # fails open: media time then begins anew
        if state is None or state == b"waiting" or media_ms is None or wall_ms is None:
            return None
        return int(wall_ms) - int(media_ms)

    async def leave(self, relay: Relay) -> None:
        """Take the entry away, so that nobody is sent here any more."""
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.delete(keys.relay(self.id))
            pipe.srem(keys.RELAYS, self.id)
            await pipe.execute()
        for show in list(relay.shows):
            await self._give_up([keys.relay_of_show(show)], [self.id])

    def _clock(self, pipe: object, show: RelayedShow, wall_ms: int) -> None:
        name = keys.media(show.name)
        values = {"state": show.state, "media_ms": show.media_ms(wall_ms), "wall_ms": wall_ms}
        pipe.hset(name, mapping=values)  # type: ignore[attr-defined]
        pipe.expire(name, _MEDIA_TTL_S)  # type: ignore[attr-defined]
