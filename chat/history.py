"""The room's log: what a join starts from, and what a resume missed.

The log keeps the last LOG_KEPT events of a room with their numbers; an `epoch` names one unbroken run of numbers. Who
comes back with an epoch that is over, or from further back than the log reaches, starts afresh.

Every method raises redis' RedisError when the store is down.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.commands.core import AsyncScript

from chat import keys
from chat.durability import Durability
from chat.envelope import Envelope, decode_envelope
from chat.message import Line, Question
from chat.moderation.kinds import Mode

LOG_KEPT = 10_000
RESUMED_MOST = 2_000  # events of one socket's resume; a whole log would hold the store up for a tenth of a second
LINES_KEPT = 200  # more than a join replays, so that removals leave enough
LINES_REPLAYED = 50
ROOM_LIFE_S = 30 * 24 * 3600
_LUA = Path(__file__).parent / "lua"


class Moment(msgspec.Struct, frozen=True):
    """The room at one moment; `lines` are envelopes of line.posted, oldest first. Not `is_whole`: the store forgot the
    room, and the archive has more of it."""

    epoch: str
    seq: int
    viewers: int
    mode: Mode = Mode()
    pinned: Line | None = None
    questions: list[Question] = []
    lines: list[bytes] = []
    is_whole: bool = True


class Newest(msgspec.Struct, frozen=True):
    """The newest envelopes of an epoch, oldest first; `seq` is the last one's number."""

    epoch: str
    seq: int
    envelopes: list[bytes]

    def since(self, epoch: str, seq: int) -> list[bytes] | None:
        """What came after `seq`, or None: another epoch, a number that was never given out, or too far back."""
        missed = self.seq - seq
        if not epoch or epoch != self.epoch or seq < 0 or not 0 <= missed <= len(self.envelopes):
            return None
        return self.envelopes[len(self.envelopes) - missed :]


def script(redis: Redis, name: str) -> AsyncScript:
    """chat/lua/`name`.lua, sent by its hash and loaded when the store doesn't know it."""
    return redis.register_script((_LUA / f"{name}.lua").read_text())


def numbering(redis: Redis, durability: Durability, name: str) -> Callable[..., Awaitable[Any]]:
    """As `script`, for one that gives out numbers or tells of them: behind epoch.lua, with what that reads, and
    said.lua, which appends what people say."""
    run = redis.register_script("".join((_LUA / f"{part}.lua").read_text() for part in ("epoch", "said", name)))

    async def call(*, keys: list[str], args: list[Any]) -> Any:
        return await run(keys=keys, args=[*args, int(await durability.keeps())])

    return call


def new_epoch() -> str:
    return secrets.token_hex(6)


def mode_of(stored: dict[bytes, bytes]) -> Mode:
    """A mode as its hash keeps it: numbers and words as text."""
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    return msgspec.convert(fields, Mode, strict=False)


class History:
    """The logs of all rooms, read. Only the bus writes them."""

    def __init__(self, redis: Redis, durability: Durability | None = None) -> None:
        self._redis = redis
        durability = durability or Durability(redis)
        self._snapshot = numbering(redis, durability, "snapshot")
        self._since = numbering(redis, durability, "since")
        self._renew = numbering(redis, durability, "renew")

    async def position(self, room: str) -> tuple[str, int]:
        """(epoch, seq of the newest event). A room without one begins an epoch."""
        moment = await self.moment(room, lines=-1)
        return moment.epoch, moment.seq

    async def moment(self, room: str, *, lines: int = LINES_REPLAYED) -> Moment:
        """Position, newest lines, mode, pin and questions, read in one step; with -1 `lines` only the position."""
        epoch, seq, viewers, *more = await self._snapshot(
            keys=[
                keys.head(room),
                keys.log(room),
                keys.lines(room),
                keys.mode(room),
                keys.pinned(room),
                keys.questions(room),
            ],
            args=[new_epoch(), lines, ROOM_LIFE_S],
        )
        position = Moment(epoch.decode(), int(seq), int(viewers))
        if not more:
            return position
        fields, pinned, questions, entries, is_loaded = more
        return msgspec.structs.replace(
            position,
            mode=mode_of(dict(zip(fields[::2], fields[1::2], strict=True))),
            pinned=msgspec.json.decode(pinned, type=Line) if pinned else None,
            questions=sorted(
                (msgspec.json.decode(question, type=Question) for question in questions), key=lambda one: one.wall_ms
            ),
            lines=entries,
            is_whole=bool(is_loaded),
        )

    async def viewers(self, room: str) -> int:
        """People in the room over all processes, as last counted."""
        found: Any = await self._redis.hget(keys.head(room), "viewers")
        return int(found or 0)

    async def present(self, room: str, people: list[str]) -> set[str]:
        """Those of `people` who have a socket in the room, on any process. One that died is taken off by the next beat
        of another, 8 s later at most."""
        processes: Any = await self._redis.zrange(keys.here(room), 0, -1)
        here: set[str] = set()
        for process in processes if people else ():
            flags: Any = await self._redis.smismember(keys.here_on(room, process.decode()), people)
            here.update(person for person, flag in zip(people, flags, strict=True) if flag)
        return here

    async def since(self, room: str, epoch: str, seq: int) -> list[Envelope] | None:
        """Events after `seq`, or None when the epoch is over or the log no longer reaches back: start afresh."""
        found = await self.since_bytes(room, epoch, seq)
        return None if found is None else [decode_envelope(data) for data in found]

    async def since_bytes(self, room: str, epoch: str, seq: int, *, most: int = LOG_KEPT) -> list[bytes] | None:
        """As `since`, in the bytes that a socket gets; None also when there are more than `most`."""
        newest = await self.newest(room, {(epoch, seq)}, most=most)
        return newest.since(epoch, seq)

    async def newest(self, room: str, positions: Collection[tuple[str, int]], *, most: int = LOG_KEPT) -> Newest:
        """What came since each of `positions`, as far as that can be told and is no more than `most`."""
        if not positions:
            return Newest("", 0, [])
        words = [word for position in positions for word in position]
        epoch, seq, envelopes = await self._since(keys=[keys.head(room), keys.log(room)], args=[most, *words])
        return Newest(epoch.decode(), int(seq), envelopes)

    async def renew(self, room: str, epoch: str, seq: int) -> tuple[str, int]:
        """The position, after beginning a new epoch if the store lost numbers that were given out already."""
        now_epoch, now_seq = await self._renew(keys=[keys.head(room)], args=[epoch, seq, new_epoch()])
        return now_epoch.decode(), int(now_seq)
