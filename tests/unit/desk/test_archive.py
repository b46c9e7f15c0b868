"""The room's lasting part, and an audit log that shows what was done to it."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from sqlalchemy import delete, select, update

from chat import keys
from chat.message import Line
from chat.ports import FOREVER_MS, Act, LineRecord, Notice, SilenceRecord, Taken
from live.desk.archive import Broken
from live.store.tables import audit, chat_lines, outbox
from live.worker.main import settle_talk


def act(n: int, room: str) -> Act:
    return Act(room, "per_mo", "line.remove", f"line {n}", "rude", "", "", n)


async def rows(s, table):
    return await s.db.read(lambda sql: sql.execute(select(table).order_by(table.c.id)).all())


async def test_each_act_is_hashed_over_the_one_before_also_when_many_act_at_once(two, house):
    one, other = two
    room = house.show.id
    await asyncio.gather(*((one, other)[n % 2].archive.act(act(n, room)) for n in range(12)))
    kept = await rows(one, audit)
    assert len(kept) == 12
    assert [row.previous for row in kept[1:]] == [row.hash for row in kept[:-1]]
    assert await one.archive.verify(room) is None


@pytest.mark.parametrize("tampering", ["rewritten", "taken out"])
async def test_a_row_that_was_rewritten_or_taken_out_shows(two, house, tampering):
    one, _ = two
    room = house.show.id
    for n in range(4):
        await one.archive.act(act(n, room))
    second = (await rows(one, audit))[1]
    change = update(audit).where(audit.c.id == second.id).values(reason="kind")
    if tampering == "taken out":
        change = delete(audit).where(audit.c.id == second.id)
    await one.db.write(lambda sql: sql.execute(change).rowcount)
    found = await one.archive.verify(room)
    assert isinstance(found, Broken)
    assert found.row == second.id + (tampering == "taken out")


async def test_rooms_have_logs_of_their_own(two, house):
    one, _ = two
    await one.archive.act(act(1, house.show.id))
    await one.archive.act(act(1, house.other.id))
    assert [row.previous for row in await rows(one, audit)] == ["0" * 64] * 2


async def test_a_line_comes_once_and_stays_removed(two, house):
    one, _ = two
    room = house.show.id
    record = LineRecord("e", 1, Line("e.1", "per_a", "Ada", "hello", 10))
    await one.archive.lines_posted(room, [record])
    await one.archive.lines_removed(room, ["e.1", "never.arrived"], "per_mo", 20)
    await one.archive.lines_posted(room, [record, LineRecord("e", 2, Line("e.2", "per_a", "Ada", "again", 11))])
    kept = await rows(one, chat_lines)
    assert [(row.id, row.removed_ms, row.removed_by) for row in kept] == [("e.1", 20, "per_mo"), ("e.2", None, None)]


async def test_the_worker_writes_what_was_taken_out_of_a_room_that_nobody_has_open(two, house, clock):
    one, other = two
    await one.desk.open_show(house.show.id, "stf_host")
    room, now = house.show.id, clock.now_ms()
    notice = Notice(room, "line.removed", {"line": "e.1"}, now)
    left = Taken(["e.1"], "tkn_1", "per_mo", now, act(1, room), notice)
    await one.archive.lines_posted(room, [LineRecord("e", 1, Line("e.1", "per_a", "Ada", "hello", 10))])
    await one.redis.hset(keys.taken(room), left.id, msgspec.json.encode(left))
    await settle_talk(other)
    assert await rows(one, audit) == [], "whoever took it out may be at it yet"
    clock.advance(60_000)
    await asyncio.gather(settle_talk(one), settle_talk(other))
    assert [(row.act, row.target) for row in await rows(one, audit)] == [("line.remove", "line 1")]
    told = select(outbox.c.body).where(outbox.c.kind == "line.removed")
    assert len(await one.db.read(lambda sql: sql.execute(told).all())) == 1
    assert [row.removed_by for row in await rows(one, chat_lines)] == ["per_mo"]
    assert not await one.redis.exists(keys.taken(room))


async def test_silences_in_force_come_back_and_lifted_or_old_ones_do_not(two, house):
    one, other = two
    room = house.show.id

    def silence(person: str, until_ms: int, kind="timeout") -> SilenceRecord:
        return SilenceRecord(f"sil_{person}_{until_ms}", person, "dev", "", kind, until_ms, "rude", "per_mo", 100)

    await one.archive.silenced(room, silence("per_a", 150))
    await one.archive.silenced(room, silence("per_b", 500))
    await one.archive.silenced(room, silence("per_b", FOREVER_MS, "ban"))  # takes the timeout's place
    await one.archive.silenced(room, silence("per_c", 500))
    await one.archive.lifted(room, "per_c", 120)
    await one.archive.term(room, "spam", "blocked", actor="per_mo", wall_ms=1)
    await one.archive.term(room, "spam", "blocked", actor="per_mo", wall_ms=2)
    await one.archive.term(room, "ham", "blocked", actor="per_mo", wall_ms=3)
    await one.archive.term(room, "ham", None, actor="per_mo", wall_ms=4)
    record = await other.archive.load(room, 200)
    assert [(each.person, each.kind, each.until_ms) for each in record.silences] == [("per_b", "ban", FOREVER_MS)]
    assert record.terms == {"spam": "blocked"}
