"""Buyers, staff, the provider, the clock and misfortune in any order at a real server; I1 to I10 after each step.

The processes are shared by a run's schedules; each schedule has a show of its own. A seed names a run: the same seed
draws the same schedules. Nothing is shrunk, since real processes do not fail twice alike: what was done is
told as it was.
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
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from shopping import CONTACT, Buyer
from sqlalchemy import func, select
from stagehands import STEPS
from websockets.exceptions import InvalidHandshake, WebSocketException

from chat.client import RoomClient
from live.desk.wiring import Services
from live.errors import Error
from live.ids import new_id
from live.shop import invariants
from live.shop.catalogue import NewVariant
from live.shop.payments.port import ProviderEvent
from live.shop.payments.sandbox import EVENTS_PATH, OUTCOMES
from live.store import keys
from live.store.tables import ledger, orders, outbox, payments, sandbox_charges, variants

T = TypeVar("T")
NAMES = ("ada", "bea", "cleo")
WHO = st.sampled_from([0, 1, 2])
PIECE = st.sampled_from([0, 1])
NTH = st.integers(0, 50)
STEPS_A_SCHEDULE = 14
SETTLES_WITHIN_S = 15.0  # what a worker, a web process or a reconcile under way may still be about to set right
HOLD_LATE_MS = 1_000  # I6
ANSWER_S = 30.0


class Machine(RuleBasedStateMachine):
    """One schedule. `server`, `parts` and `loop` are set by the run."""

    server: FaultyServer
    parts: Services
    loop: asyncio.Runner
    tally: dict[str, int]

    # ---- the beginning -------------------------------------------------------------------------

    @initialize(first=st.integers(1, 3), second=st.integers(0, 3))
    def open(self, first: int, second: int) -> None:
        self.trail: list[str] = [f"open({first}, {second})"]
        self.slug = new_id("s").replace("_", "-")
        self.skus = [f"{self.slug}-38", f"{self.slug}-40"]
        self.acknowledged: dict[str, dict[str, Any]] = {}  # by token: the answer of a checkout
        self.first_answers: dict[tuple[int, str], dict[str, Any]] = {}
        self.seen_paid: set[str] = set()
        self.ops: list[tuple[int, int, str]] = []
        self.unsaid: list[str] = []
        self.ended = False
        self.watch: Watch | None = None
        self.server.forgive()
        self.server.mend()
        self._do(self._set_up(first, second))

    async def _set_up(self, first: int, second: int) -> None:
        p = self.parts
        brand = await p.catalogue.add_brand(slug=self.slug, name="Atelier Nord", currency="EUR", country="DE")
        variants = [
            NewVariant(sku, size, "Ink", "#111122", 12900, n)
            for sku, size, n in zip(self.skus, ("38", "40"), (first, second), strict=True)
        ]
        product = await p.catalogue.add_product(brand, slug="coat", title="Long coat", variants=variants)
        self.show = (await p.shows.create(brand, self.slug, "Autumn")).id
        look = await p.runsheets.add_look(self.show, 1, "Look 1", [product])
        await p.desk.open_show(self.show, "stf_host")
        await p.desk.drop(self.show, look, "stf_host")
        self.buyers = [await self._arrive(who) for who in range(len(NAMES))]
        self.watch = Watch(self.server.url, self.slug)
        await self.watch.look(self.buyers[0].cookie)

    # ---- what people do ------------------------------------------------------------------------

    @rule(who=WHO, piece=PIECE, qty=st.integers(1, 2))
    def hold(self, who: int, piece: int, qty: int) -> None:
        op = new_id("op")
        self.ops.append((who, piece, op))
        self._act(f"hold({who}, {piece}, {qty})", self._hold(who, piece, qty, op))

    @rule(n=NTH)
    def repeat_a_tap_whose_answer_was_lost(self, n: int) -> None:
        if self.ops:
            who, piece, op = self.ops[n % len(self.ops)]
            self._act(f"repeat_tap({who}, {piece})", self._hold(who, piece, 1, op))

    @rule(who=WHO, piece=PIECE)
    def remove(self, who: int, piece: int) -> None:
        path = f"/api/shows/{self.slug}/cart/{self.skus[piece]}"
        self._act(f"remove({who}, {piece})", self._ask(who, path, None, method="DELETE"))

    @rule(who=WHO, key=st.sampled_from(["k1", "k2", "k3"]))
    def checkout(self, who: int, key: str) -> None:
        self._act(f"checkout({who}, {key})", self._checkout(who, key))

    @rule(who=WHO, piece=PIECE, key=st.sampled_from(["k1", "k2", "k3"]))
    def hold_and_checkout(self, who: int, piece: int, key: str) -> None:
        async def both() -> None:
            await self._hold(who, piece, 1, new_id("op"))
            await self._checkout(who, key)

        self._act(f"hold_and_checkout({who}, {piece}, {key})", both())

    @rule(who=WHO, key=st.sampled_from(["k1", "k2"]))
    def double_tap_on_checkout(self, who: int, key: str) -> None:
        async def twice() -> None:
            other = Buyer(**{**vars(self.buyers[who]), "_reader": None, "_writer": None})
            await asyncio.gather(self._checkout(who, key), self._checkout(who, key, other))
            await other.leave()

        self._act(f"double_tap_on_checkout({who}, {key})", twice())

    @rule(n=NTH)
    def the_same_key_for_somewhere_else_is_refused(self, n: int) -> None:
        if self.first_answers:
            who, key = sorted(self.first_answers)[n % len(self.first_answers)]

            async def ask() -> None:
                answer = await self._checkout(who, key, name="Eve")
                assert answer is None or answer[0] in (409, 422, 503), f"I5: {answer}"

            self._act(f"same_key_elsewhere({who}, {key})", ask())

    @rule(n=NTH, outcome=st.sampled_from(OUTCOMES))
    def pay(self, n: int, outcome: str) -> None:
        self._act(f"pay({n}, {outcome})", self._pay(n, outcome))

    @rule(who=WHO, piece=PIECE)
    def buy(self, who: int, piece: int) -> None:
        self._act(f"buy({who}, {piece})", self._buy(who, piece))

    @rule(n=NTH, times=st.integers(1, 3), early=st.booleans())
    def the_provider_tells(self, n: int, times: int, early: bool) -> None:
        """Once, again, all at one moment; also of what did not happen yet."""
        order = self._nth(n)
        if order is not None:

            async def tell() -> None:
                event = ProviderEvent(new_id("evt"), "charge.created" if early else "charge.captured", _ref_of(order))
                await asyncio.gather(*(self._tell(event.ref, event) for _ in range(times)))

            self._act(f"the_provider_tells({n}, {times}, {early})", tell())

    @rule(n=NTH)
    def a_forger_tells(self, n: int) -> None:
        order = self._nth(n)
        if order is not None:

            async def tell() -> None:
                status = await self._tell(_ref_of(order), forged=True)
                assert status is None or 400 <= status < 500 or status == 503, f"a forged message got {status}"

            self._act(f"a_forger_tells({n})", tell())

    @rule(piece=PIECE, change=st.sampled_from([-1, 1, 2]))
    def staff_adjust(self, piece: int, change: int) -> None:
        sku = self.skus[piece]
        self._act(
            f"staff_adjust({piece}, {change})",
            self._try(lambda: self.parts.desk.adjust_stock(sku, change, op=new_id("op"), by="stf_host")),
        )

    @precondition(lambda self: not self.ended)
    @rule(really=st.integers(0, 5))
    def close_the_show(self, really: int) -> None:
        if really == 0:
            self.ended = True
            self._act("close_the_show()", self._try(lambda: self.parts.desk.end_show(self.show, "stf_host")))

    @rule(seconds=st.sampled_from([1, 100, 301, 700, -5]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.server.clock.advance(seconds * 1000)
        self._act(f"the_clock_jumps({seconds})", _nothing())

    @rule()
    def somebody_says_a_thing_and_takes_it_back(self) -> None:
        self._act("say_and_unsay()", self._say_and_unsay())

    # ---- what happens to them ------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(STEPS)))
    def the_next_process_at_a_step_is_killed(self, name: str) -> None:
        self.trail.append(f"die_at({name})")
        self.server.die_at(name)

    @rule(who=WHO, piece=PIECE, name=st.sampled_from(sorted(STEPS)))
    def a_process_is_killed_at_a_step_of_a_purchase(self, who: int, piece: int, name: str) -> None:
        name = self._rarest(name)
        self.server.die_at(name)
        self._act(f"die_at({name}); buy({who}, {piece})", self._buy(who, piece))

    @rule(who=WHO, name=st.sampled_from([name for name in sorted(STEPS) if name.startswith("refund")]))
    def a_process_is_killed_while_it_pays_back(self, who: int, name: str) -> None:
        """Paid for, but meanwhile staff took away what there was."""
        name = self._rarest(name)

        async def through() -> None:
            await self._hold(who, 0, 1, new_id("op"))
            answer = await self._checkout(who, new_id("key"))
            if answer is None or answer[0] != 201:
                return
            await self._ask(who, urlsplit(answer[1]["pay_url"]).path, {"outcome": "timeout_after_success"})
            query = select(variants.c.on_hand - variants.c.sold).where(variants.c.sku == self.skus[0])
            left = await self.parts.db.read(lambda c: int(c.execute(query).scalar_one()))
            await self._try(lambda: self.parts.desk.adjust_stock(self.skus[0], -left, op=new_id("op"), by="stf_host"))
            self.server.die_at(name)
            await self._tell(_ref_of(answer[1]))

        self._act(f"die_at({name}); paid_but_gone({who})", through())

    @rule(name=st.sampled_from(["web", "web.2", "worker"]), gently=st.booleans())
    def a_process_is_started_again(self, name: str, gently: bool) -> None:
        self.trail.append(f"restart({name}, {gently})")
        if self._up(name):
            self.server.end(name) if gently and name == "worker" else self.server.kill(name)

    @rule(name=st.sampled_from(["web", "web.2", "worker", "store"]), who=WHO, piece=PIECE)
    def a_process_stands_still_for_a_while(self, name: str, who: int, piece: int) -> None:
        async def meanwhile() -> None:
            with self.server.stopped(name):
                asking = asyncio.ensure_future(self._hold(who, piece, 1, new_id("op")))
                await asyncio.sleep(0.3)  # how long it stands still
            await asking

        if self._up(name):
            self._act(f"stands_still({name}, {who}, {piece})", meanwhile())

    @rule(really=st.integers(0, 2))
    def the_store_loses_everything(self, really: int) -> None:
        if really == 0:
            self._act("flushall()", self._flush())

    @rule(size=st.integers(1, 3000), really=st.integers(0, 2))
    def the_store_dies_and_its_last_bytes_were_not_on_disk(self, size: int, really: int) -> None:
        if really == 0:
            self.trail.append(f"tear_off({size})")
            self.server.tear_off(size)
            self._act("readmit()", self._readmit())

    @rule(who=WHO, piece=PIECE, of=st.sampled_from(["store", "sql"]))
    def a_reply_is_lost(self, who: int, piece: int, of: str) -> None:
        proxy = self.server.lossy_store if of == "store" else self.server.lossy_sql
        if proxy is not None:
            proxy.lose_a_reply()
            self._act(f"a_reply_is_lost({of}); hold({who}, {piece})", self._hold(who, piece, 1, new_id("op")))

    @precondition(lambda self: self.server.kind == "sqlite")
    @rule(who=WHO, piece=PIECE)
    def the_disk_is_full(self, who: int, piece: int) -> None:
        async def meanwhile() -> None:
            with self.server.full_disk():
                await self._hold(who, piece, 1, new_id("op"))
                answer = await self._checkout(who, new_id("key"))
                assert answer is None or answer[0] != 201, "the premise: nothing can be written"

        self._act(f"the_disk_is_full({who}, {piece})", meanwhile())

    @precondition(lambda self: self.server.kind == "postgresql")
    @rule(who=WHO, piece=PIECE)
    def postgresql_is_down(self, who: int, piece: int) -> None:
        proxy = self.server.lossy_sql
        assert proxy is not None

        async def meanwhile() -> None:
            proxy.down()
            try:
                await self._hold(who, piece, 1, new_id("op"))
                answer = await self._checkout(who, new_id("key"))
                assert answer is None or answer[0] != 201, "the premise: nothing can be written"
            finally:
                proxy.up()

        self._act(f"postgresql_is_down({who}, {piece})", meanwhile())

    # ---- what must hold ------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        if not hasattr(self, "show"):
            return
        gone = self.server.mend()
        if gone:
            self.trail.append(f"  started again: {', '.join(gone)}")
            if gone != ["worker"]:
                self._do(self._leave_all())
        for name in self.server.died():
            self.tally[name] = self.tally.get(name, 0) + 1
            (self.server.faults / f"died.{name}").unlink(missing_ok=True)
        self._told(self._do(self._wrong()))

    def teardown(self) -> None:
        """Whatever happened: in the end nothing is held, nothing is pending, and each charge is a sale or paid back."""
        if not hasattr(self, "show"):
            return
        self.server.forgive()
        self.server.mend()
        try:
            self._told(self._do(self._in_the_end()))
        finally:
            self._do(self._leave_all())
            if self.watch is not None:
                self._do(self.watch.leave())

    def _rarest(self, name: str) -> str:
        """`name` while nobody was killed there, then the step of its kind where that happened least often: left to
        chance, a long run misses some of the sixteen."""
        alike = [one for one in sorted(STEPS) if one.startswith("refund") == name.startswith("refund")]
        return min(alike, key=lambda one: self.tally.get(one, 0)) if name in self.tally else name

    async def _wrong(self) -> list[str]:
        """What is wrong at once, and what stays wrong although everybody had the time to set it right."""
        wrong = await self._never()
        if wrong:
            return wrong
        deadline = asyncio.get_running_loop().time() + SETTLES_WITHIN_S
        while wrong := [*await invariants.check(self.parts.db, self.parts.redis, self.show), *await self._late_holds()]:
            if asyncio.get_running_loop().time() > deadline:
                return wrong
            await asyncio.sleep(0.02)  # the worker's own pace; there is no event for "all is right"
            self.server.mend()  # a process may only now have reached the step where it was to be killed
            await self._try(lambda: self.parts.gate.reconcile(self.show))
        return await self._of_the_room()

    async def _never(self) -> list[str]:
        """I2 to I5 and I8 in SQL: one view of it, at no moment wrong."""
        return await self.parts.db.read(self._in_sql)

    def _in_sql(self, c: Any) -> list[str]:
        wrong = invariants.in_sql(c, self.show)
        rows = c.execute(
            select(orders.c.id, orders.c.status, orders.c.total_minor).where(orders.c.show_id == self.show)
        )
        by_id = {row.id: row for row in rows}
        for answer in self.acknowledged.values():
            row = by_id.get(answer["order"])
            if row is None or row.total_minor != answer["total"]["minor"]:
                wrong.append(f"I3: order {answer['order']} was acknowledged and is {row}")
            elif answer["order"] in self.seen_paid and row.status not in ("paid", "refunded"):
                wrong.append(f"I3: order {answer['order']} was paid and is {row.status}")
        of_show = select(orders.c.id).where(orders.c.show_id == self.show)
        charges = select(payments.c.order_id, sandbox_charges).join(
            payments, payments.c.id == sandbox_charges.c.idempotency_key
        )
        taken: dict[str, list[tuple[int, int]]] = {}
        for charge in c.execute(charges.where(payments.c.order_id.in_(of_show))):
            if charge.captured_minor:
                taken.setdefault(charge.order_id, []).append((charge.captured_minor, charge.refunded_minor))
        for order, captures in taken.items():
            if len(captures) > 1 or any(back > captured for captured, back in captures):
                wrong.append(f"I4: the provider's books have {captures} for {order}")
        noted = select(ledger.c.order_id, func.count()).where(
            ledger.c.kind == "order.paid", ledger.c.order_id.in_(of_show)
        )
        paid: dict[str, int] = dict(c.execute(noted.group_by(ledger.c.order_id)).all())
        told: dict[str, int] = {}
        for (body,) in c.execute(select(outbox.c.body).where(outbox.c.kind == "order.paid")):
            told_of = json.loads(body)["order"]
            told[told_of] = told.get(told_of, 0) + 1
        for order, row in by_id.items():
            once = (1, 1) if row.status in ("paid",) else None
            counts = (paid.get(order, 0), told.get(order, 0))
            if (once is not None and counts != once) or counts not in ((0, 0), (1, 1)):
                wrong.append(f"I8: {order} is {row.status}, noted and told as paid {counts} times")
            if row.status == "paid":
                self.seen_paid.add(order)
        return wrong

    async def _late_holds(self) -> list[str]:
        now = self.parts.clock.now_ms()
        late = await self.parts.redis.zrangebyscore(keys.holds(self.show), "-inf", now - HOLD_LATE_MS)
        return [f"I6: the hold {member.decode()} outlived its time" for member in late]

    async def _of_the_room(self) -> list[str]:
        assert self.watch is not None
        await self.watch.look(self.buyers[0].cookie)
        said = [f"I9: {text} was taken back and came later" for text in self.unsaid if text in self.watch.heard_since]
        return self.watch.wrong + said

    async def _in_the_end(self) -> list[str]:
        p = self.parts
        for _ in range(3):
            self.server.clock.advance(2_000_000)
            await p.desk.settle_due()
            await p.desk.lapse()
        deadline = asyncio.get_running_loop().time() + SETTLES_WITHIN_S
        while (wrong := await self._unsettled()) and asyncio.get_running_loop().time() < deadline:
            self.server.mend()
            self.server.clock.advance(100_000)
            await p.desk.settle_due()
            await p.desk.lapse()
            await p.gate.reconcile(self.show)
            await asyncio.sleep(0.05)  # a worker may be on its way with one of them
        if wrong:
            return wrong
        # What a process left behind that died between two steps is the worker's to set right, every ten seconds.
        await p.gate.reconcile(self.show)
        before = {sku: level.left for sku, level in (await p.gate.levels(self.show)).items()}
        after = {sku: level.left for sku, level in (await p.gate.rebuild(self.show)).items()}
        if before != after:
            return [f"I10: levels were {before}, rebuilt from SQL they are {after}"]
        return await self._wrong()

    async def _unsettled(self) -> list[str]:
        wrong = []
        for answer in self.acknowledged.values():
            order = await self.parts.orders.by_id(answer["order"])
            charge = await self.parts.provider.fetch(_ref_of(answer))
            kept = charge.captured_minor - charge.refunded_minor
            if (order.status, kept) not in {("paid", order.total.minor), ("cancelled", 0), ("refunded", 0)}:
                wrong.append(f"{order.id} ends as {order.status}, and its provider keeps {kept}")
        if held := await self.parts.gate.held(self.show):
            wrong.append(f"{held} units are held for ever")
        return wrong

    # ---- how -----------------------------------------------------------------------------------

    async def _hold(self, who: int, piece: int, qty: int, op: str) -> None:
        body = {"sku": self.skus[piece], "qty": qty, "op": op}
        answer = await self._ask(who, f"/api/shows/{self.slug}/cart", body)
        assert answer is None or answer[0] in (200, 401, 403, 404, 409, 503), answer

    async def _checkout(
        self, who: int, key: str, buyer: Buyer | None = None, *, name: str = CONTACT["name"]
    ) -> tuple[int, dict[str, Any]] | None:
        key = f"{self.slug}-{key}"
        path, contact = f"/api/shows/{self.slug}/checkout", CONTACT | {"name": name}
        answer = await self._ask(who, path, contact, buyer=buyer, headers={"idempotency-key": key})
        if answer is not None and answer[0] == 201:
            first = self.first_answers.setdefault((who, key.removeprefix(f"{self.slug}-")), answer[1])
            assert answer[1] == first, f"I5: the same key answers {first}, then {answer[1]}"
            self.acknowledged[answer[1]["token"]] = answer[1]
        return answer

    async def _buy(self, who: int, piece: int) -> None:
        await self._hold(who, piece, 1, new_id("op"))
        answer = await self._checkout(who, new_id("key"))
        if answer is not None and answer[0] == 201:
            await self._ask(who, urlsplit(answer[1]["pay_url"]).path, {"outcome": "success"})
            await self._tell(_ref_of(answer[1]))

    async def _pay(self, n: int, outcome: str) -> None:
        order = self._nth(n)
        if order is not None:
            await self._ask(n % len(NAMES), urlsplit(order["pay_url"]).path, {"outcome": outcome, "code": "123456"})

    async def _tell(self, ref: str, event: ProviderEvent | None = None, *, forged: bool = False) -> int | None:
        body = msgspec.json.encode(event or ProviderEvent(new_id("evt"), "charge.captured", ref))
        headers = self.parts.provider.signed_headers(body)
        if forged:
            body = body.replace(b"evt_", b"evT_")
        teller = Buyer(self.server.url, "", "", "", slug=self.slug)
        try:
            answer = await _answer(teller.send("POST", EVENTS_PATH, body, headers))
        finally:
            await teller.leave()
        return None if answer is None else answer[0]

    async def _say_and_unsay(self) -> None:
        assert self.watch is not None
        text = f"a secret {random.getrandbits(40):010x}"
        if await self.watch.say_and_unsay(text):
            self.unsaid.append(text)

    async def _flush(self) -> None:
        await self.parts.redis.flushall()
        await self._readmit()

    async def _readmit(self) -> None:
        """Sessions were in the store; people come again with the person that their devices remember."""
        await self.parts.redis.connection_pool.disconnect()  # those to a store that died
        for who, before in enumerate(self.buyers):
            await before.leave()
            self.buyers[who] = await self._arrive(who, before.person)

    async def _arrive(self, who: int, person: str = "") -> Buyer:
        """Each comes to one of the web processes and stays there."""
        buyer = await Buyer.arrive(self.parts, self.server.url, person=person, slug=self.slug)
        buyer.at = self.server.urls[who % len(self.server.urls)]
        return buyer

    async def _ask(
        self,
        who: int,
        path: str,
        body: object,
        *,
        method: str = "POST",
        buyer: Buyer | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]] | None:
        """None: no answer came."""
        buyer = buyer or self.buyers[who]
        sent = json.dumps(body).encode() if body is not None else b""
        answer = await _answer(buyer.send(method, path, sent, {"content-type": "application/json"} | (headers or {})))
        if answer is None:
            await buyer.leave()
        else:
            assert answer[0] != 500, f"{path}: {answer}"
        return answer

    async def _try(self, what: Callable[[], Awaitable[object]]) -> None:
        """A refusal is an answer too."""
        with contextlib.suppress(Error):
            await what()

    async def _leave_all(self) -> None:
        for buyer in self.buyers:
            await buyer.leave()

    def _up(self, name: str) -> bool:
        self.server.mend()
        return True

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


class Watch:
    """A page in the room, which comes back where it stopped: I7 and I9."""

    def __init__(self, origin: str, slug: str) -> None:
        self._origin = origin
        self._url = origin.replace("http", "ws", 1) + f"/ws/{slug}"
        self._room: RoomClient | None = None
        self._at: tuple[str, int] | None = None
        self.wrong: list[str] = []
        self.heard_since = ""  # all that this connection brought

    async def look(self, cookie: str) -> None:
        """Come back if the connection ended; take what came."""
        if self._room is not None and self._room.close_code is not None:
            await self.leave()
        if self._room is None:
            self.heard_since = ""
            with contextlib.suppress(OSError, TimeoutError, InvalidHandshake, WebSocketException):
                self._room = await RoomClient.connect(
                    self._url, f"frontrow={cookie}", self._origin, resume_from=self._at, timeout=ANSWER_S
                )
                for envelope in self._room.envelopes:
                    self._take(envelope)
                self._room.on_envelope = self._take

    async def leave(self) -> None:
        if self._room is not None:
            await self._room.aclose()
        self._room = None

    async def say_and_unsay(self, text: str) -> bool:
        """Whether it is gone for sure. The connection ends with it, so that what comes next is all new."""
        if self._room is None:
            return False
        gone = False
        try:
            said = await self._room.post("line.post", {"text": text}, timeout=ANSWER_S)
            if said.ok and "line" in said.body:
                taken = await self._room.post("line.remove", {"line": said.body["line"]}, timeout=ANSWER_S)
                gone = taken.ok
        except (ConnectionError, TimeoutError):
            pass
        await self.leave()
        return gone

    def _take(self, envelope: dict[str, Any]) -> None:
        self.heard_since += json.dumps(envelope["body"])
        kind, body = envelope["kind"], envelope["body"]
        if kind in ("welcome", "reset"):
            self._at = (body["epoch"], body["seq"])
        elif kind == "resumed":
            if self._at is None or self._at[0] != body["epoch"]:
                self.wrong.append(f"I7: resumed {body} although it stood at {self._at}")
        elif kind == "events.skipped" and self._at is not None:
            self._at = (self._at[0], max(self._at[1], body["to_seq"]))
        elif "seq" in envelope and self._at is not None:
            epoch, seq = self._at
            if envelope["seq"] != seq + 1:
                self.wrong.append(f"I7: {envelope['seq']} ({kind}) came after {seq}")
            self._at = (epoch, envelope["seq"])


async def _answer(asking: Coroutine[Any, Any, tuple[int, dict[str, Any]]]) -> tuple[int, dict[str, Any]] | None:
    try:
        async with asyncio.timeout(ANSWER_S):
            return await asking
    except (OSError, EOFError, TimeoutError):
        return None


async def _nothing() -> None:
    pass


def _ref_of(order: dict[str, Any]) -> str:
    return urlsplit(order["pay_url"]).path.rpartition("/")[2]


def run(server: FaultyServer, schedules: int, seed_no: int) -> dict[str, int]:
    """That many schedules; how often a process was killed at which step. Raises AssertionError."""
    with asyncio.Runner() as loop:
        opened = server.services()
        parts = loop.run(opened.__aenter__())

        class Run(Machine):
            pass

        Run.server, Run.parts, Run.loop, Run.tally = server, parts, loop, {}
        try:
            run_state_machine_as_test(
                seed(seed_no)(Run),  # type: ignore[arg-type]
                settings=settings(
                    max_examples=schedules,
                    stateful_step_count=STEPS_A_SCHEDULE,
                    deadline=None,
                    phases=[Phase.generate],
                    suppress_health_check=list(HealthCheck),
                    database=None,
                    report_multiple_bugs=False,
                ),
            )
        finally:
            loop.run(opened.__aexit__(None, None, None))
        return Run.tally
