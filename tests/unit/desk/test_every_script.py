"""Each script of the shop, over a day in a show: its keys are in one slot of a cluster, and the same call sent once
more, as after a lost answer, changes nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from house import House
from redis.asyncio import Redis
from redis.crc import key_slot
from test_hot_drops import person, present

from live.clock import SetClock
from live.desk.wiring import Services
from live.errors import SoldOut
from live.shop.contact import Address, Contact
from live.stage.runsheet import Times
from live.store.redis import LUA, Script, source

Two = tuple[Services, Services]
SHARED = {"shared", "line"}
NAMES = {source(path.stem): path.stem for path in LUA.glob("*.lua") if path.stem not in SHARED}
SHOP = {
    *("hold", "release", "lapse", "told", "extend", "unpay", "claim", "consume", "unclaim", "open_gate", "gate_facts"),
    *("reconcile", "cart", "reprice", "wait", "unwait", "offer"),
    *("line_join", "line_place", "line_leave", "line_seal", "line_draw", "line_admit"),
}
CALL = Script.__call__


async def kept(redis: Redis, show: str) -> dict[str, Any]:
    """All that the store knows of a show's shop. A bag's rev may go up twice: a page keeps the higher."""
    found: dict[str, Any] = {}
    for key in sorted(await redis.keys(f"s:{{{show}}}:*")):
        kind = (await redis.type(key)).decode()
        if kind == "hash":
            found[key.decode()] = dict(await redis.hgetall(key))
            if b":cart:" in key:
                found[key.decode()].pop(b"rev", None)
        elif kind == "zset":
            found[key.decode()] = await redis.zrange(key, 0, -1, withscores=True)
        elif kind == "list":
            found[key.decode()] = await redis.lrange(key, 0, -1)
        else:
            found[key.decode()] = await redis.get(key)
    return found


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, two: Two, house: House) -> dict[str, list[Sequence[str]]]:
    """The keys of each script's calls; each call is sent twice, and the second must leave the store as it was."""
    seen: dict[str, list[Sequence[str]]] = {}
    redis, show = two[0].redis, house.show.id

    async def twice(self: Script, keys: Sequence[str], args: Sequence[Any] = ()) -> Any:
        name = NAMES[self._text]
        seen.setdefault(name, []).append(keys)
        reply = await CALL(self, keys, args)
        if name in SHOP:
            before = await kept(redis, show)
            again = await CALL(self, keys, args)
            assert await kept(redis, show) == before, f"{name} sent again did something"
            if name in ("hold", "release", "offer", "cart", "wait", "line_join", "line_place"):
                assert again == reply, f"{name} sent again answered otherwise"
        return reply

    monkeypatch.setattr(Script, "__call__", twice)
    return seen


async def a_day(s: Services, house: House, clock: SetClock) -> None:
    show, [first, second, _] = house.show.id, house.looks
    ada = Contact("Ada", "ada@example.org", Address("1 Rue de la Paix", "Paris", "FR", "75002"))
    await s.desk.open_show(show, "host")
    await s.desk.rule_look(show, first, limit=2, hot=False, work_bits=0)
    await s.desk.drop(show, first, "host")
    for n in range(5):
        await s.desk.add_to_cart(show, f"per_{n}", "L1-S", 1, op="1")
    with pytest.raises(SoldOut):
        await s.desk.add_to_cart(show, "per_late", "L1-S", 1, op="1")
    for name in ("vera", "wim", "xena"):
        await s.desk.wait(show, f"per_{name}", "L1-S")
    await s.desk.unwait(show, "per_xena", "L1-S")
    await s.desk.remove_from_cart(show, "per_0", "L1-S", op="2")  # Vera's now
    for person_id, outcome in (("per_1", "success"), ("per_2", "abandon")):
        placed = await s.desk.place(show, person_id, ada, idempotency_key="k")
        await s.provider.choose(placed.payment_ref, outcome)  # type: ignore[arg-type]
        await s.desk.settle(placed.payment_id)
    await s.carts.reprice(show, "per_3", "L1-S", 13_000)
    await s.gate.claim(show, "per_3", "ord_called_off", [])
    await s.gate.unclaim(show, "ord_called_off")
    clock.advance(301_000)
    await s.desk.lapse()
    await s.gate.reconcile(show)

    await s.desk.rule_look(show, second, limit=None, hot=True, work_bits=0)
    await s.desk.drop(show, second, "host", times=Times(10))
    for name in ("a", "b", "c"):
        await s.drops.take(show, person(name), second, None, op="1")
    await s.drops.ask(show, "per_a", second)
    await s.drops.leave(show, "per_c", second)
    await present(s, show, "a", "b")
    clock.advance(10_000)
    await s.drops.advance()
    await s.drops.advance()
    await s.desk.add_to_cart(show, "per_a", "L2-S", 1, op="1")
    await s.drops.take(show, person("late"), second, None, op="1")
    clock.advance(60_000)
    await s.drops.advance()


async def test_every_script_is_called_with_keys_of_one_slot_and_bears_being_sent_again(
    two: Two, house: House, clock: SetClock, called: dict[str, list[Sequence[str]]]
):
    await a_day(two[0], house, clock)
    assert called.keys() >= SHOP, f"not tried: {SHOP - called.keys()}"
    for name, calls in called.items():
        for keys in calls:
            assert len({key_slot(key.encode()) for key in keys}) == 1, (name, keys)


@pytest.mark.parametrize("path", sorted(LUA.glob("*.lua")), ids=lambda path: path.stem)
def test_no_script_makes_up_a_key(path: Path):
    """Keys come in KEYS, so that a cluster sends the script where they are: no name is put together in Lua."""
    code = "\n".join(line.partition("--")[0] for line in path.read_text().splitlines())
    first_arguments = re.findall(r"redis\.call\('\w+',\s*([^,)]+)", code)
    assert not [argument for argument in first_arguments if "'" in argument or ".." in argument]
