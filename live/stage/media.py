"""The picture's clock, as the relay beats it into Redis: how many milliseconds of the show have been sent out."""

from __future__ import annotations

from typing import Any, cast

from redis.asyncio import Redis

from live.clock import Clock
from live.events import Picture, PictureState
from live.store import keys

KEPT_S = 86_400  # a clock that we keep: LiveKit goes on also while nobody here listens
NO_PICTURE = Picture(state="waiting", media_ms=0, wall_ms=0)


class Media:
    """Reads the relay's media clock. Fails closed: redis-py's errors pass through."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock

    async def picture(self, show_id: str) -> Picture:
        """The picture's state; `waiting` while no relay has beaten for the show."""
        beat: Any = await self._redis.hmget(keys.media(show_id), ["state", "media_ms", "wall_ms"])
        state, media_ms, wall_ms = beat
        if state is None:
            return NO_PICTURE
        return Picture(cast(PictureState, state.decode()), int(media_ms or 0), int(wall_ms or 0))

    async def tell(self, show_id: str, state: PictureState) -> tuple[Picture, bool]:
        """Keep the clock for an engine that doesn't: media time counts from when the first picture was heard of, and
        through slates. `state` is what the engine says; before the first picture it is `waiting`. Second: has it
        changed? Of two processes that hear it at once both may say so."""
        name, now_ms = keys.media(show_id), self._clock.now_ms()
        if state == "live":
            await cast(Any, self._redis.hsetnx(name, "first_ms", str(now_ms)))  # the first to hear sets it
        first_ms, before = await cast(Any, self._redis.hmget(name, ["first_ms", "state"]))
        if first_ms is None:
            return NO_PICTURE, False
        picture = Picture(state, max(0, now_ms - int(first_ms)), now_ms)
        values: Any = {"state": picture.state, "media_ms": picture.media_ms, "wall_ms": picture.wall_ms}
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.hset(name, mapping=values)
            pipe.expire(name, KEPT_S)
            await pipe.execute()
        return picture, before is None or before.decode() != state

    async def media_now(self, show_id: str) -> int:
        """Media time of this moment in ms: what `at` says of something that happens now. 0 before the first frame."""
        return media_at(await self.picture(show_id), self._clock.now_ms())


def media_at(picture: Picture, now_ms: int) -> int:
    """The media time at server time `now_ms`. It runs on through a slate: gaps of the publisher count as time."""
    if picture.state == "waiting":
        return picture.media_ms
    return max(0, picture.media_ms + max(0, now_ms - picture.wall_ms))
