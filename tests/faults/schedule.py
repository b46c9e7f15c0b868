"""One schedule at a real server: a show of its own, its people, and what each was told. The rules are in machine.py,
what must hold is in laws.py.

The processes are shared by a run's schedules. What drifts the server sets right by itself: a schedule moves the clock
and rings for a round of the worker's (stagehands.py), and never does the worker's work. Above 400 lines, because it is
all that a rule can say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from faulty import FaultyServer
from hypothesis.stateful import RuleBasedStateMachine
from shopping import CONTACT, Buyer
from watch import ANSWER_S, Watch

from live.desk.wiring import Services
from live.errors import Error
from live.ids import new_id
from live.shop.catalogue import NewVariant
from live.shop.payments.port import ProviderEvent
from live.shop.payments.sandbox import EVENTS_PATH
from live.stage.runsheet import Times
from live.store import keys
from live.store.tables import shows

T = TypeVar("T")
Answered = tuple[int, dict[str, Any]] | None  # None: no answer came
NAMES = ("ada", "bea", "cleo")
SIZES = ("38", "40", "scarf")  # the coat's, and what the second look has
ROUND_WITHIN_S = 180.0
OPENS_IN_S, OPEN_FOR_S = 60, 900  # the second look's drop
LONG_AGO_MS = 3 * 86_400_000
REFUSED = (400, 401, 403, 404, 409, 422, 429, 503)


class Schedule(RuleBasedStateMachine):
    """`server`, `parts`, `loop` and `tally` (step -> how often a process was killed there) are set by the run."""

    server: FaultyServer
    parts: Services
    loop: asyncio.Runner
    tally: dict[str, int]

    # ---- the beginning and the end -------------------------------------------------------------

    def begin(self, stock: tuple[int, int, int], second_look: str, cap: int | None) -> None:
        """`second_look` is "" (its card stays in), timed or hot. `cap`: coats of all sizes that a buyer may have."""
        self.trail: list[str] = [f"open({stock}, {second_look!r}, {cap})"]
        self.slug = new_id("s").replace("_", "-")
        self.skus = [f"{self.slug}-{size}" for size in SIZES]
        self.cap = cap
        self.hot = second_look == "hot"
        self.acknowledged: dict[str, dict[str, Any]] = {}  # by token: the answer of a checkout
        self.first_answers: dict[tuple[int, str], dict[str, Any]] = {}
        self.sold: set[str] = set()  # orders that were seen sold
        self.ops: list[tuple[int, int, str]] = []
        self.forgotten = 0  # of these, the first so many: by a store that lost them
        self.unsaid: list[str] = []
        self.ended = False
        self.hurt = False  # something was killed or lost since all was last seen right
        self.queues: dict[str, list[tuple[str, float]]] = {}  # as last seen
        self.out_of_turn: list[str] = []
        self.left_a_queue: set[tuple[str, str]] = set()  # (sku, person) who asked for it, since then
        self.wanted: dict[tuple[str, str], int] = {}  # (person, sku) -> units that she may hold: tapped or waited for
        self.lobby: dict[str, bool] = {}  # person -> whether it is sure that she is in it
        self.came: set[str] = set()  # who ever was in it
        self.went_back = False  # the store did, to an earlier moment
        self.watches: list[Watch] = []
        self.server.forgive()
        self.server.mend()
        self._do(self._set_up(stock, second_look))

    async def _set_up(self, stock: tuple[int, int, int], second_look: str) -> None:
        p = self.parts
        brand = await p.catalogue.add_brand(slug=self.slug, name="Atelier Nord", currency="EUR", country="DE")
        pieces = [
            NewVariant(sku, size, "Ink", "#111122", 12900, n)
            for sku, size, n in zip(self.skus, SIZES, stock, strict=True)
        ]
        coat = await p.catalogue.add_product(brand, slug="coat", title="Long coat", variants=pieces[:2])
        scarf = await p.catalogue.add_product(brand, slug="scarf", title="Scarf", variants=pieces[2:])
        _, self.server.merchant.secrets[self.slug] = await p.endpoints.add(brand, self.server.merchant.url(self.slug))
        self.token, _ = await p.tokens.make("Till", ["orders:read", "orders:write"], by="test", brand_id=brand)
        self.brand, self.show = brand, (await p.shows.create(brand, self.slug, "Autumn")).id
        look = await p.runsheets.add_look(self.show, 1, "Look 1", [coat])
        self.second_look = await p.runsheets.add_look(self.show, 2, "Look 2", [scarf])
        await p.desk.cap_product(coat, self.cap)
        await p.desk.open_show(self.show, "stf_host")
        await p.desk.drop(self.show, look, "stf_host")
        self.buyers = [await self._arrive(who) for who in range(len(NAMES))]
        if second_look:
            await p.desk.rule_look(self.show, self.second_look, limit=1, hot=self.hot, work_bits=0)
            await self._drop_second()
        # Who isn't there is not let in: for a hot drop each has a page open.
        self.watches = [Watch(self.server.url, self.slug) for _ in (self.buyers if self.hot else self.buyers[:1])]
        await self._look()

    async def _drop_second(self) -> None:
        self.lobby.clear()  # another line
        self.came.clear()
        times = Times(OPENS_IN_S, OPEN_FOR_S)
        await self.parts.desk.drop(self.show, self.second_look, "stf_host", times=times)

    async def _leave_all(self) -> None:
        for buyer in self.buyers:
            await buyer.leave()

    async def _put_away(self) -> None:
        """A worker looks after the shows of a day: after hundreds of schedules it would look after nothing else."""
        await self._leave_all()
        for watch in self.watches:
            await watch.leave()
        over = shows.update().where(shows.c.id == self.show)
        ended = self.server.clock.now_ms() - LONG_AGO_MS
        await self.parts.db.write(lambda c: c.execute(over.values(status="ended", ended_ms=ended)) and None)

    # ---- what people do ------------------------------------------------------------------------

    async def _hold(self, who: int, piece: int, qty: int, op: str, *, again: bool = False) -> None:
        """`again`: the same op was asked before, of a store that still knows it."""
        sku, person = self.skus[piece], self.buyers[who].person
        before = self.server.clock.now_ms()
        answer = await self._ask(who, f"/api/shows/{self.slug}/cart", {"sku": sku, "qty": qty, "op": op})
        assert answer is None or answer[0] in (200, *REFUSED), answer
        if not again and (answer is None or answer[0] in (200, 503)):
            self.wanted[person, sku] = self.wanted.get((person, sku), 0) + qty
        if answer is None or answer[0] == 503:
            self.left_a_queue.add((sku, person))  # or not: it may have been done
            return
        if answer[0] == 200:
            self.left_a_queue.add((sku, person))
        if again:
            return  # the answer is of another time
        if piece == 2:
            await self._is_within_the_drop(who, answer, before)
        elif answer[0] == 200 and self.cap is not None:
            has = await self._has(person, self.skus[:2])
            assert has <= self.cap, f"a buyer held and owned {has} coats where {self.cap} is the most"

    async def _is_within_the_drop(self, who: int, answer: tuple[int, dict[str, Any]], asked_ms: int) -> None:
        """Its start and end, to the millisecond of the clock; of a hot one also whose turn it was."""
        answered_ms = self.server.clock.now_ms()
        look = (await self.parts.runsheets.of(self.show)).look(self.second_look)
        opens, closes = look.opens_ms or 0, look.closes_ms or 2**60
        status, code = answer[0], answer[1].get("code", "")
        if status == 200:
            assert look.state == "dropped", f"a piece was held of a look that is {look.state}"
            assert answered_ms >= opens, f"a piece was held {opens - answered_ms} ms before its drop opened"
            assert asked_ms < closes, f"a piece was held {asked_ms - closes} ms after its drop was over"
            if look.hot:
                place = await self.parts.drops.ask(self.show, self.buyers[who].person, look.id)
                assert place.state == "took", f"{NAMES[who]} held a piece of a hot drop, and her place is {place}"
        if code == "not_open":
            assert asked_ms < opens, "a drop that had opened was said not to be open"
        if code == "closed":
            assert answered_ms >= closes, "a drop was said to be over before its time"

    async def _has(self, person: str, skus: list[str]) -> int:
        """Units that she holds, in force, or owns."""
        redis, now = self.parts.redis, self.server.clock.now_ms()
        has = 0
        for sku in skus:
            member = f"{person}|{sku}"
            until = await redis.zscore(keys.holds(self.show), member)
            if until is not None and until > now:
                has += int(await redis.hget(keys.held(self.show), member) or 0)
            has += int(await redis.hget(keys.owned(self.show), member) or 0)
        return has

    async def _remove(self, who: int, piece: int) -> None:
        await self._ask(who, f"/api/shows/{self.slug}/cart/{self.skus[piece]}", None, method="DELETE")

    async def _wait(self, who: int, piece: int) -> None:
        sku, person = self.skus[piece], self.buyers[who].person
        before = dict(await self._queue(sku)).get(person)
        answer = await self._ask(who, f"/api/shows/{self.slug}/waitlist", {"sku": sku})
        assert answer is None or answer[0] in (200, *REFUSED), answer
        waited_on = before is not None and dict(await self._queue(sku)).get(person) == before
        if not waited_on and (answer is None or answer[0] in (200, 503)):
            self.wanted[person, sku] = self.wanted.get((person, sku), 0) + 1
        await self._look_at_queue(sku)

    async def _unwait(self, who: int, piece: int) -> None:
        sku = self.skus[piece]
        self.left_a_queue.add((sku, self.buyers[who].person))
        await self._ask(who, f"/api/shows/{self.slug}/waitlist/{sku}", None, method="DELETE")

    async def _look_at_queue(self, sku: str) -> None:
        """Who is gone was served, unless she asked: whoever waited longer than she must be gone too."""
        before, now = self.queues.get(sku, []), await self._queue(sku)
        stay = dict(now)
        for n, (person, ticket) in enumerate(before):
            if stay.get(person) == ticket or (sku, person) in self.left_a_queue:
                continue
            if passed := [one for one, earlier in before[:n] if stay.get(one) == earlier]:
                self.out_of_turn.append(f"{person} was served of {sku} before {passed}, who waited longer")
        self.queues[sku] = now

    async def _queue(self, sku: str) -> list[tuple[str, float]]:
        """Who waits, and her ticket."""
        found = await self.parts.redis.zrange(keys.queue(self.show, sku), 0, -1, withscores=True)
        return [(person.decode(), ticket) for person, ticket in found]

    async def _take_place(self, who: int) -> None:
        person = self.buyers[who].person
        path = f"/api/shows/{self.slug}/looks/{self.second_look}/place"
        answer = await self._ask(who, path, {"op": new_id("op")})
        assert answer is None or answer[0] in (200, *REFUSED), answer
        in_lobby = answer is not None and answer[0] == 200 and answer[1]["place"]["state"] == "lobby"
        if answer is None or in_lobby or answer[0] == 503:
            self.lobby[person] = in_lobby or self.lobby.get(person, False)
            self.came.add(person)

    async def _leave_place(self, who: int) -> None:
        path, person = f"/api/shows/{self.slug}/looks/{self.second_look}/place", self.buyers[who].person
        answer = await self._ask(who, path, None, method="DELETE")
        if person in self.lobby:
            self.lobby[person] = False
            look = (await self.parts.runsheets.of(self.show)).look(self.second_look)
            if answer is not None and answer[0] == 200 and self.server.clock.now_ms() < (look.opens_ms or 0):
                del self.lobby[person]

    async def _checkout(
        self, who: int, key: str, buyer: Buyer | None = None, *, name: str = CONTACT["name"]
    ) -> Answered:
        key = f"{self.slug}-{key}"
        path, contact = f"/api/shows/{self.slug}/checkout", CONTACT | {"name": name}
        answer = await self._ask(who, path, contact, buyer=buyer, headers={"idempotency-key": key})
        if answer is not None and answer[0] == 201:
            first = self.first_answers.setdefault((who, key.removeprefix(f"{self.slug}-")), answer[1])
            assert answer[1] == first, f"I5: the same key answers {first}, then {answer[1]}"
            self.acknowledged[answer[1]["token"]] = answer[1]
        return answer

    async def _buy(self, who: int, piece: int, qty: int = 1) -> dict[str, Any] | None:
        """The order, if it was acknowledged."""
        await self._hold(who, piece, qty, new_id("op"))
        answer = await self._checkout(who, new_id("key"))
        if answer is None or answer[0] != 201:
            return None
        await self._ask(who, urlsplit(answer[1]["pay_url"]).path, {"outcome": "success"})
        await self._tell(ref_of(answer[1]))
        return answer[1]

    async def _pay(self, n: int, outcome: str) -> None:
        order = self._nth(n)
        if order is not None:
            await self._ask(n % len(NAMES), urlsplit(order["pay_url"]).path, {"outcome": outcome, "code": "123456"})

    async def _tell(self, ref: str, event: ProviderEvent | None = None, *, forged: bool = False) -> int | None:
        body = msgspec.json.encode(event or ProviderEvent(new_id("evt"), "charge.captured", ref))
        headers = self.parts.provider.signed_headers(body)  # type: ignore[attr-defined]
        if forged:
            body = body.replace(b"evt_", b"evT_")
        teller = Buyer(self.server.url, "", "", "", slug=self.slug)
        try:
            answer = await _answer(teller.send("POST", EVENTS_PATH, body, headers))
        finally:
            await teller.leave()
        return None if answer is None else answer[0]

    async def _staff(self, order: dict[str, Any], what: str, body: dict[str, Any], *, at: int = 0) -> Answered:
        """An act of the order desk, by the API, at one of the web processes. The same `body` again is the same act."""
        till = Buyer(self.server.url, "", "", "", slug=self.slug)
        till.at = self.server.urls[at % len(self.server.urls)]
        path = f"/api/staff/orders/{order['number']}/{what}"
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        try:
            answer = await _answer(till.send("POST", path, json.dumps(body).encode(), headers))
        finally:
            await till.leave()
        assert answer is None or answer[0] in (200, *REFUSED), f"{path} {body}: {answer}"
        return answer

    async def _say_and_unsay(self) -> None:
        text = f"a secret {random.getrandbits(40):010x}"
        if await self.watches[0].say_and_unsay(text):
            self.unsaid.append(text)

    async def _flush(self) -> None:
        await self.parts.redis.flushall()
        await self._readmit()

    async def _readmit(self) -> None:
        """The store may be empty, or back at an earlier moment: queues, lobbies, bags and sessions. People come again
        with the person that their devices remember."""
        self.queues.clear()
        self.forgotten = len(self.ops)
        self.lobby = dict.fromkeys(self.came, False)
        self.went_back = True
        await self.parts.redis.connection_pool.disconnect()  # those to a store that died
        for who, before in enumerate(self.buyers):
            await before.leave()
            self.buyers[who] = await self._arrive(who, before.person)

    async def _arrive(self, who: int, person: str = "") -> Buyer:
        """Each comes to one of the web processes and stays there."""
        buyer = await Buyer.arrive(self.parts, self.server.url, person=person, slug=self.slug)
        buyer.at = self.server.urls[who % len(self.server.urls)]
        return buyer

    # ---- the worker ----------------------------------------------------------------------------

    async def _round(self) -> None:
        """One round of the worker's: each of its jobs, begun after this moment, is over."""
        ring, clock = self.server.bell.ring(), asyncio.get_running_loop().time
        deadline = clock() + ROUND_WITHIN_S
        while self.server.bell.answered() < ring:
            if not self.server.lives("worker"):
                self._mend()
            assert clock() < deadline, f"the worker did not come round within {ROUND_WITHIN_S} s"
            await asyncio.sleep(0.01)  # it answers by a file

    def _mend(self) -> list[str]:
        """What a supervisor does. Whoever died may have left something to be set right."""
        gone = self.server.mend()
        if gone:
            self.hurt = True
            self.trail.append(f"  started again: {', '.join(gone)}")
        for name in self.server.died():
            self.hurt = True
            self.tally[name] = self.tally.get(name, 0) + 1
            (self.server.faults / f"died.{name}").unlink(missing_ok=True)
        return gone

    # ---- how -----------------------------------------------------------------------------------

    async def _ask(
        self,
        who: int,
        path: str,
        body: object,
        *,
        method: str = "POST",
        buyer: Buyer | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        buyer = buyer or self.buyers[who]
        sent = json.dumps(body).encode() if body is not None else b""
        answer = await _answer(buyer.send(method, path, sent, {"content-type": "application/json"} | (headers or {})))
        if answer is None:
            await buyer.leave()
        else:
            assert answer[0] != 500, f"{path}: {answer}"
        return answer

    async def _look(self) -> None:
        for watch, buyer in zip(self.watches, self.buyers, strict=False):
            await watch.look(buyer.cookie)

    async def _try(self, what: Callable[[], Awaitable[object]]) -> None:
        """A refusal is an answer too."""
        with contextlib.suppress(Error):
            await what()

    def _nth(self, n: int) -> dict[str, Any] | None:
        known = sorted(self.acknowledged)
        return self.acknowledged[known[n % len(known)]] if known else None

    def _act(self, name: str, what: Coroutine[Any, Any, object]) -> None:
        self.trail.append(name)
        try:
            self._do(what)
        except AssertionError as why:
            self._told([str(why)])

    def _told(self, wrong: list[str]) -> None:
        if wrong:
            done = "\n  ".join(self.trail)
            raise AssertionError("\n".join(wrong) + f"\nafter:\n  {done}\n{self.server.log(25)}")

    def _do(self, what: Coroutine[Any, Any, T]) -> T:
        return self.loop.run(what)


async def _answer(asking: Coroutine[Any, Any, tuple[int, dict[str, Any]]]) -> Answered:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await asking
    except (OSError, EOFError, TimeoutError):
        return None


async def nothing() -> None:
    pass


def ref_of(order: dict[str, Any]) -> str:
    return urlsplit(order["pay_url"]).path.rpartition("/")[2]
