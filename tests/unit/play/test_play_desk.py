"""The games at the desk: roles, events to everyone, secrets to nobody."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import fresh_store
import msgspec
import pytest
from redis.asyncio import Redis
from sqlalchemy import insert

from chat import keys as room_keys
from chat.bus import RedisBus
from chat.intent import Intent
from chat.ports import Member
from live.clock import SetClock
from live.desk.play import PlayDesk
from live.errors import NotFound
from live.events import EVENTS, INTENTS, PLAY_INTENTS, Poll
from live.play.service import PlayService
from live.settings import Settings
from live.shop.coupons import Coupons
from live.store.sql import Database
from live.store.tables import brands, shows

SHOW, KEY = "sho_1", "k" * 32


class Room:
    """What the desk hangs its handlers on, and what the room's log then holds."""

    def __init__(self, redis: Redis, db: Database, clock: SetClock) -> None:
        self.clock = clock
        self.bus = RedisBus(redis, now_ms=clock.now_ms)
        self.play = PlayService(redis, clock)
        self.desk = PlayDesk(self.bus, self.play, Coupons(db, clock, KEY))
        self.handlers: dict[str, tuple[Callable[[Intent], Awaitable[object]], str]] = {}
        self.desk.register(self)  # type: ignore[arg-type]

    def on(self, kind: str, handler: Callable[[Intent], Awaitable[object]], *, role: str = "viewer") -> None:
        self.handlers[kind] = (handler, role)

    async def ask(self, person: str, kind: str, op: str = "op1", **body: Any) -> Any:
        member = Member(person, f"Name of {person}", frozenset({"viewer"}), "dev_1", "ses_1")
        raw = msgspec.Raw(json.dumps(body).encode())
        intent = Intent(SHOW, member, op, kind, raw, self.clock.now_ms())
        return json.loads(msgspec.json.encode(await self.handlers[kind][0](intent)))

    async def log(self) -> list[tuple[str, Any]]:
        epoch, _ = await self.bus.history.position(SHOW)
        envelopes = await self.bus.history.since(SHOW, epoch, 0)
        assert envelopes is not None
        told = [json.loads(msgspec.json.encode(envelope)) for envelope in envelopes]
        return [(envelope["kind"], envelope["body"]) for envelope in told]


@pytest.fixture
async def room(redis: Redis, redis_url: str, tmp_path: Path) -> AsyncIterator[Room]:
    fresh_store.lay(tmp_path)
    db = await Database.open(Settings(_env_file=None, data_dir=tmp_path, redis_url=redis_url))  # type: ignore[call-arg]
    brand = {"id": "bra_1", "slug": "a", "name": "A", "currency": "EUR", "country": "FR", "created_ms": 1}
    show = {"id": SHOW, "brand_id": "bra_1", "slug": "s", "title": "S", "created_ms": 1}
    await db.write(lambda sql: (sql.execute(insert(brands), brand), sql.execute(insert(shows), show)))
    yield Room(redis, db, SetClock())
    await db.close()


def test_each_intent_needs_the_role_of_the_catalogue(room: Room) -> None:
    assert {kind: role for kind, (_, role) in room.handlers.items()} == {
        kind: role for kind, (_, role) in PLAY_INTENTS.items()
    }
    assert PLAY_INTENTS.items() <= INTENTS.items()
    assert {kind for kind, (_, role) in PLAY_INTENTS.items() if role != "host"} == {
        "poll.vote", "quiz.answer", "draw.enter", "draw.proof", "rain.tap",
    }  # fmt: skip


async def test_a_polls_life_is_told_and_a_late_joiner_sees_the_same(room: Room) -> None:
    poll = (await room.ask("host", "poll.open", question="Coat or cape?", choices=["coat", "cape"], seconds=30))["poll"]
    await room.ask("per_a", "poll.vote", poll=poll["id"], choice=1)
    member = Member("per_a", "A", frozenset({"viewer"}), "dev_1", "ses_1")
    (seen,) = await room.desk.snapshot(SHOW, member)
    assert isinstance(seen, Poll)
    assert (seen.counts, seen.mine) == ([0, 1], 1)

    room.clock.advance(30_000)
    assert await room.desk.close_due() == 1
    assert await room.desk.close_due() == 0
    opened, closed = await room.log()
    assert opened == ("poll.opened", {"poll": poll})
    assert closed == ("poll.closed", {"poll": {**poll, "closed": True, "counts": [0, 1]}})
    (after,) = await room.desk.snapshot(SHOW, member)
    assert json.loads(msgspec.json.encode(after)) == {**closed[1]["poll"], "mine": 1}


async def test_a_host_closes_a_poll_before_its_time_and_it_is_told_once(room: Room) -> None:
    poll = (await room.ask("host", "poll.open", question="Coat?", choices=["yes", "no"], seconds=30))["poll"]["id"]
    for _ in range(2):
        answer = await room.ask("host", "poll.close", poll=poll)
        assert answer["poll"]["closed"]
    room.clock.advance(40_000)
    await room.desk.close_due()
    assert [kind for kind, _ in await room.log()] == ["poll.opened", "poll.closed"]


async def test_a_quiz_cannot_be_cut_short_as_if_it_were_a_poll(room: Room) -> None:
    quiz = (await room.ask("host", "quiz.open", question="Year?", choices=["1", "2"], right=1, seconds=5))["quiz"]["id"]
    with pytest.raises(NotFound):
        await room.ask("host", "poll.close", poll=quiz)


async def test_nothing_told_before_the_close_holds_the_answer_or_the_seed(room: Room, redis: Redis) -> None:
    await room.ask("host", "quiz.open", "op1", question="Year?", choices=["1", "2"], right=1, seconds=5)
    await room.ask("host", "draw.open", "op2", prize="A coat", places=1, seconds=10)
    budget = {"minor": 500, "currency": "EUR"}
    await room.ask("host", "rain.open", "op3", budget=budget, portions=5, seconds=5)
    for _, body in await room.log():
        (game,) = body.values()
        assert game.get("right") is None
        assert game.get("seed") is None


async def test_every_game_is_closed_by_the_clock(room: Room) -> None:
    budget = {"minor": 500, "currency": "EUR"}
    quiz = await room.ask("host", "quiz.open", "op1", question="Year?", choices=["1", "2"], right=1, seconds=5)
    draw = await room.ask("host", "draw.open", "op2", prize="A coat", places=1, seconds=10)
    rain = await room.ask("host", "rain.open", "op3", budget=budget, portions=5, seconds=5)
    await room.ask("per_a", "quiz.answer", quiz=quiz["quiz"]["id"], choice=1, delay_ms=200)
    await room.ask("per_a", "draw.enter", draw=draw["draw"]["id"])
    await room.ask("per_a", "rain.tap", rain=rain["rain"]["id"])

    listener = room.bus.redis.pubsub()
    await listener.ssubscribe(room_keys.channel(SHOW))
    room.clock.advance(10_000)
    assert await room.desk.close_due() == 1, "the draw; quiz and rain still wait for late pictures"
    room.clock.advance(10_000)
    assert await room.desk.close_due() == 2
    told = dict(await room.log())
    assert told["quiz.closed"]["quiz"]["right"] == 1
    assert told["draw.drawn"]["draw"]["winners"] == [{"person": "per_a", "name": "Name of per_a"}]
    assert told["rain.fallen"]["rain"]["caught"] == 1
    assert "per_a" not in json.dumps(told["rain.fallen"]), "what fell on whom is hers to know"
    heard = [message["data"] async for message in _said(room, listener)]
    assert any(b"rain.caught" in one and b'"minor":500' in one for one in heard)
    assert set(told) <= EVENTS.keys()
    await listener.aclose()


async def test_counts_are_told_by_the_beat_and_only_when_they_moved(room: Room) -> None:
    poll = (await room.ask("host", "poll.open", question="Coat?", choices=["yes", "no"], seconds=30))["poll"]["id"]
    listener = room.bus.redis.pubsub()
    await listener.ssubscribe(room_keys.channel(SHOW))
    for person in ("per_a", "per_b", "per_c"):
        await room.ask(person, "poll.vote", poll=poll, choice=0)
    for _ in range(3):
        await room.desk.close_due()
    heard = [message["data"] async for message in _said(room, listener)]
    assert len([one for one in heard if b"poll.counted" in one and b"[3,0]" in one]) == 1
    assert not [one for one in heard if b"[1,0]" in one or b"[2,0]" in one]
    await listener.aclose()


async def _said(room: Room, listener: Any) -> Any:
    """Messages up to now."""
    await room.bus.redis.spublish(room_keys.channel(SHOW), b"up to here")
    while True:
        message = await listener.get_message(ignore_subscribe_messages=False, timeout=60)
        if message["type"] == "smessage" and message["data"] == b"up to here":
            return
        if message["type"] == "smessage":
            yield message
