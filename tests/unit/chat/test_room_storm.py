"""How long talk waits: not at all in a quiet room, gathered in a storm."""

from __future__ import annotations

import asyncio

from room_process import until

from chat import keys
from chat.bus import RedisBus
from chat.envelope import tail
from chat.floor import LINES_BURST
from chat.history import LOG_KEPT, ROOM_LIFE_S, new_epoch, numbering
from chat.pace import MAX_TICK_S

ROOM = "shw_spring"


async def test_a_quiet_room_does_not_wait_and_a_storm_is_gathered(web, house, monkeypatch) -> None:
    clients = [await web.join(house.person(f"p{n}", device=f"d{n}")) for n in range(40)]
    await clients[-1].wait("presence.counted", lambda body: body["viewers"] == 40)
    pace, now = web.hub._rooms[ROOM]._pace, asyncio.get_running_loop().time()
    due_in, flushed = pace.due_in, pace.flushed
    waits: list[float] = []

    # For the pace no time passes from here on: how fast this machine is changes nothing.
    def due_by_then(_: float, sockets: int, *, urgent: bool) -> float:
        waits.append(due_in(now, sockets, urgent=urgent))
        return waits[-1]

    monkeypatch.setattr(pace, "due_in", due_by_then)
    monkeypatch.setattr(pace, "flushed", lambda _, __, events, *, urgent: flushed(now, now, events, urgent=urgent))
    for number in range(5):
        await web.bus.publish(ROOM, "line.posted", {"line": {"n": number}})
        await clients[-1].wait("line.posted", lambda body, number=number: body["line"]["n"] == number)
    assert waits
    assert set(waits) == {0.0}, "a quiet room waits for nothing"
    frames = clients[0].frames
    for last in (505, 1005):
        await at_once(web.bus, [("line.posted", {"line": {"n": last - number}}) for number in range(500)])
        await until(lambda last=last: clients[0].seq == last, 60)
    for client in clients:
        await until(lambda client=client: client.seq == 1005, 60)
        had = [e["seq"] for e in client.envelopes if "seq" in e]
        skipped = [n for body in client.seen("events.skipped") for n in range(body["from_seq"], body["to_seq"] + 1)]
        assert sorted(had + skipped) == list(range(1, 1006))
        assert len(had) >= LINES_BURST
    assert clients[0].frames - frames < 300
    assert max(waits) == MAX_TICK_S


async def at_once(bus: RedisBus, events: list[tuple[str, object]]) -> None:
    """All in one transaction: a storm also where nothing is quick."""
    async with bus.redis.pipeline(transaction=True) as pipe:
        publish = numbering(pipe, bus._durability, "publish")
        for kind, body in events:
            args = [new_epoch(), tail(kind, body), LOG_KEPT, keys.channel(ROOM), kind, ROOM_LIFE_S]
            await publish(keys=[keys.head(ROOM), keys.log(ROOM)], args=args)
        await pipe.execute()
