"""Buyers, staff, the host, the provider, the clock and misfortune in any order at a real server: the rules.

A seed names a run: the same seed draws the same schedules. Nothing is shrunk, since real processes do not fail twice
alike: what was done is told as it was. Above 400 lines, because it is one list: all that may happen.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

import msgspec
from faulty import FaultyServer
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from laws import Lawful
from schedule import NAMES, OPENS_IN_S, nothing, ref_of
from shopping import Buyer
from sqlalchemy import Connection, func, select
from stagehands import STEPS

from live.ids import new_id
from live.shop.payments.port import ProviderEvent
from live.shop.payments.sandbox import EVENT_KIND, OUTCOMES
from live.shop.payments.sandbox_books import BY_REF_LOCKED, CHANGE, CHANGING, FACTS, Returned, read
from live.store.tables import ledger, outbox, refunds, variants

WHO = st.sampled_from([0, 1, 2])
COAT = st.sampled_from([0, 1])
PIECE = st.sampled_from([0, 1, 2])  # a coat's two sizes, and the scarf of the second look
NTH = st.integers(0, 50)
KEY = st.sampled_from(["k1", "k2", "k3"])
BACK = [name for name in STEPS if name.startswith("refund")]
DESK = [name for name in STEPS if name.startswith(("refund", "act"))]
BOUGHT = [name for name in STEPS if name not in DESK]
OFFERED_BY = ("removal", "lapse", "delivery")
STAFF = ("ship", "return", "cancel", "cancel_one", "refund_all", "refund_part", "refund_units")
STEPS_A_SCHEDULE = 14


class Machine(Lawful):
    """One schedule."""

    @initialize(
        first=st.integers(1, 3),
        second=st.integers(0, 3),
        scarves=st.integers(1, 2),
        second_look=st.sampled_from(["", "timed", "hot"]),
        cap=st.sampled_from([None, 2, 3]),
    )
    def open(self, first: int, second: int, scarves: int, second_look: str, cap: int | None) -> None:
        self.begin((first, second, scarves), second_look, cap)

    # ---- what buyers do ------------------------------------------------------------------------

    @rule(who=WHO, piece=PIECE, qty=st.integers(1, 2))
    def hold(self, who: int, piece: int, qty: int) -> None:
        op = new_id("op")
        self.ops.append((who, piece, op))
        self._act(f"hold({who}, {piece}, {qty})", self._hold(who, piece, qty, op))

    @rule(n=NTH)
    def repeat_a_tap_whose_answer_was_lost(self, n: int) -> None:
        if self.ops:
            n %= len(self.ops)
            who, piece, op = self.ops[n]
            known = n >= self.forgotten
            self._act(f"repeat_tap({who}, {piece})", self._hold(who, piece, 1, op, again=known))

    @rule(who=WHO, piece=PIECE)
    def remove(self, who: int, piece: int) -> None:
        self._act(f"remove({who}, {piece})", self._remove(who, piece))

    @rule(who=WHO, key=KEY)
    def checkout(self, who: int, key: str) -> None:
        self._act(f"checkout({who}, {key})", self._checkout(who, key))

    @rule(who=WHO, piece=PIECE, key=KEY)
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

    @rule(who=WHO, piece=PIECE, qty=st.integers(1, 2))
    def buy(self, who: int, piece: int, qty: int) -> None:
        self._act(f"buy({who}, {piece}, {qty})", self._buy(who, piece, qty))

    @rule()
    def somebody_says_a_thing_and_takes_it_back(self) -> None:
        self._act("say_and_unsay()", self._say_and_unsay())

    # ---- those who wait ------------------------------------------------------------------------

    @rule(who=WHO, piece=PIECE)
    def wait(self, who: int, piece: int) -> None:
        self._act(f"wait({who}, {piece})", self._wait(who, piece))

    @rule(who=WHO, piece=PIECE)
    def wait_no_longer(self, who: int, piece: int) -> None:
        self._act(f"unwait({who}, {piece})", self._unwait(who, piece))

    @rule(first=WHO, piece=COAT, by=st.sampled_from(OFFERED_BY))
    def a_piece_comes_back_while_two_wait_for_it(self, first: int, piece: int, by: str) -> None:
        async def through() -> None:
            query = select(variants.c.on_hand - variants.c.sold).where(variants.c.sku == self.skus[piece])
            left = await self.parts.db.read(lambda c: int(c.execute(query).scalar_one()))
            for _ in range(left):
                await self._hold(first, piece, 1, new_id("op"))
            for other in range(len(NAMES)):
                if other != first:
                    await self._wait(other, piece)
            if by == "removal":
                await self._remove(first, piece)
            elif by == "lapse":
                self.server.clock.advance(301_000)
            else:
                await self._adjust(piece, 1)

        self._act(f"comes_back_by({by}, {first}, {piece})", through())

    # ---- a drop with its times -----------------------------------------------------------------

    @rule(who=WHO)
    def take_a_place(self, who: int) -> None:
        self._act(f"take_a_place({who})", self._take_place(who))

    @rule(who=WHO)
    def give_a_place_up(self, who: int) -> None:
        self._act(f"give_a_place_up({who})", self._leave_place(who))

    @rule(late=WHO)
    def they_come_it_opens_and_they_tap(self, late: int) -> None:
        """All but one are there in time."""

        async def through() -> None:
            for who in range(len(NAMES)):
                if who != late:
                    await self._take_place(who)
            self.server.clock.advance((OPENS_IN_S + 1) * 1000)
            await self._take_place(late)
            await self._round()
            await asyncio.gather(*(self._hold(who, 2, 1, new_id("op")) for who in range(len(NAMES))))

        self._act(f"they_come_it_opens({late})", through())

    @rule(by=st.sampled_from(["close_drop", "withdraw"]))
    def the_host_drops_the_second_look_again(self, by: str) -> None:
        async def through() -> None:
            await self._try(lambda: getattr(self.parts.desk, by)(self.show, self.second_look, "stf_host"))
            await self._try(self._drop_second)

        self._act(f"drop_again({by})", through())

    # ---- what the provider, staff and the clock do ---------------------------------------------

    @rule(n=NTH, times=st.integers(1, 3), early=st.booleans())
    def the_provider_tells(self, n: int, times: int, early: bool) -> None:
        """Once, again, all at one moment; also of what did not happen yet."""
        order = self._nth(n)
        if order is not None:

            async def tell() -> None:
                event = ProviderEvent(new_id("evt"), "charge.created" if early else "charge.captured", ref_of(order))
                await asyncio.gather(*(self._tell(event.ref, event) for _ in range(times)))

            self._act(f"the_provider_tells({n}, {times}, {early})", tell())

    @rule(n=NTH)
    def a_forger_tells(self, n: int) -> None:
        order = self._nth(n)
        if order is not None:

            async def tell() -> None:
                status = await self._tell(ref_of(order), forged=True)
                assert status is None or 400 <= status < 500 or status == 503, f"a forged message got {status}"

            self._act(f"a_forger_tells({n})", tell())

    @rule(piece=PIECE, change=st.sampled_from([-1, 1, 2]))
    def staff_adjust(self, piece: int, change: int) -> None:
        self._act(f"staff_adjust({piece}, {change})", self._adjust(piece, change))

    @rule(n=NTH, what=st.sampled_from(STAFF), times=st.integers(1, 2))
    def staff_act(self, n: int, what: str, times: int) -> None:
        """Once, or the same act twice at one moment at two processes."""
        order = self._nth(n)
        if order is not None:
            self._act(f"staff({n}, {what}, {times})", self._staff_do(order, what, times))

    @rule(n=NTH, one=st.sampled_from(STAFF), other=st.sampled_from(STAFF))
    def two_of_staff_act_at_one_moment(self, n: int, one: str, other: str) -> None:
        order = self._nth(n)
        if order is not None:

            async def both() -> None:
                await asyncio.gather(self._staff_do(order, one, 1), self._staff_do(order, other, 1, at=1))

            self._act(f"two_of_staff({n}, {one}, {other})", both())

    @rule(who=WHO, piece=COAT, what=st.sampled_from(STAFF))
    def something_is_bought_and_staff_act(self, who: int, piece: int, what: str) -> None:
        async def through() -> None:
            order = await self._buy(who, piece, 2)
            if order is not None:
                await self._staff_do(order, "ship", 1)
                await asyncio.gather(self._staff_do(order, what, 2), self._staff_do(order, "refund_part", 1, at=1))

        self._act(f"bought_and_staff({who}, {piece}, {what})", through())

    @rule(n=NTH, then=st.sampled_from(["", "again"]))
    def a_bank_sends_a_refund_back(self, n: int, then: str) -> None:
        order = self._nth(n)
        if order is not None:
            self._act(f"a_bank_sends_back({n}, {then})", self._send_back(order, then))

    @rule(who=WHO, piece=COAT, what=st.sampled_from(STAFF), then=st.sampled_from(["", "again"]))
    def something_is_bought_and_its_refund_comes_back(self, who: int, piece: int, what: str, then: str) -> None:
        async def through() -> None:
            order = await self._buy(who, piece, 2)
            if order is not None:
                await self._staff_do(order, "refund_part", 1)
                await asyncio.gather(self._send_back(order, then), self._staff_do(order, what, 1, at=1))

        self._act(f"bought_and_sent_back({who}, {piece}, {what}, {then})", through())

    @precondition(lambda self: not self.ended)
    @rule(really=st.integers(0, 5))
    def close_the_show(self, really: int) -> None:
        if really == 0:
            self.ended = True
            self._act("close_the_show()", self._try(lambda: self.parts.desk.end_show(self.show, "stf_host")))

    @rule(seconds=st.sampled_from([1, OPENS_IN_S - 2, 100, 301, 700, -5]))
    def the_clock_jumps(self, seconds: int) -> None:
        self.server.clock.advance(seconds * 1000)
        self._act(f"the_clock_jumps({seconds})", nothing())

    # ---- what happens to them ------------------------------------------------------------------

    @rule(name=st.sampled_from(sorted(STEPS)))
    def the_next_process_at_a_step_is_killed(self, name: str) -> None:
        self.trail.append(f"die_at({name})")
        self.server.die_at(name)

    @rule(who=WHO, piece=COAT, name=st.sampled_from(sorted(BOUGHT)))
    def a_process_is_killed_at_a_step_of_a_purchase(self, who: int, piece: int, name: str) -> None:
        name = self._rarest(name, BOUGHT)
        self.server.die_at(name)

        async def through() -> None:
            await self._buy(who, piece)
            if name.startswith(("outbox", "post")):
                await self._round()  # it is the worker's

        self._act(f"die_at({name}); buy({who}, {piece})", through())

    @rule(who=WHO, name=st.sampled_from(sorted(BACK)))
    def a_process_is_killed_while_it_pays_back(self, who: int, name: str) -> None:
        """Paid for, but meanwhile staff took away what there was."""
        name = self._rarest(name, BACK)

        async def through() -> None:
            await self._hold(who, 0, 1, new_id("op"))
            answer = await self._checkout(who, new_id("key"))
            if answer is None or answer[0] != 201:
                return
            await self._ask(who, urlsplit(answer[1]["pay_url"]).path, {"outcome": "timeout_after_success"})
            query = select(variants.c.on_hand - variants.c.sold).where(variants.c.sku == self.skus[0])
            left = await self.parts.db.read(lambda c: int(c.execute(query).scalar_one()))
            await self._adjust(0, -left)
            self.server.die_at(name)
            await self._tell(ref_of(answer[1]))

        self._act(f"die_at({name}); paid_but_gone({who})", through())

    @rule(who=WHO, piece=COAT, what=st.sampled_from(STAFF[2:]), name=st.sampled_from(sorted(DESK)))
    def a_process_is_killed_while_staff_pay_back(self, who: int, piece: int, what: str, name: str) -> None:
        """And they press again."""
        name = self._rarest(name, DESK)

        async def through() -> None:
            order = await self._buy(who, piece, 2)
            if order is not None:
                self.server.die_at(name)
                op = new_id("op")
                await self._staff_do(order, what, 1, op=op)
                self._mend()
                await self._staff_do(order, what, 2, op=op)

        self._act(f"die_at({name}); staff_pay_back({who}, {piece}, {what})", through())

    @rule(name=st.sampled_from(["web", "web.2", "worker"]), gently=st.booleans())
    def a_process_is_started_again(self, name: str, gently: bool) -> None:
        self._mend()
        self.trail.append(f"restart({name}, {gently})")
        self.server.end(name) if gently and name == "worker" else self.server.kill(name)

    @rule(name=st.sampled_from(["web", "web.2", "worker", "store"]), who=WHO, piece=COAT)
    def a_process_stands_still_for_a_while(self, name: str, who: int, piece: int) -> None:
        async def meanwhile() -> None:
            with self.server.stopped(name):
                asking = asyncio.ensure_future(self._hold(who, piece, 1, new_id("op")))
                await asyncio.sleep(0.3)  # how long it stands still
            await asking

        self._mend()
        self._act(f"stands_still({name}, {who}, {piece})", meanwhile())

    @rule(really=st.integers(0, 2))
    def the_store_loses_everything(self, really: int) -> None:
        if really == 0:
            self.hurt = True
            self._act("flushall()", self._flush())

    @rule(size=st.integers(1, 3000), really=st.integers(0, 2))
    def the_store_dies_and_its_last_bytes_were_not_on_disk(self, size: int, really: int) -> None:
        if really == 0:
            self.hurt = True
            self.trail.append(f"tear_off({size})")
            self.server.tear_off(size)
            self._act("readmit()", self._readmit())

    @rule(who=WHO, piece=COAT, of=st.sampled_from(["store", "sql"]))
    def a_reply_is_lost(self, who: int, piece: int, of: str) -> None:
        proxy = self.server.lossy_store if of == "store" else self.server.lossy_sql
        if proxy is not None:
            self.hurt = True
            proxy.lose_a_reply()
            self._act(f"a_reply_is_lost({of}); buy({who}, {piece})", self._buy(who, piece))

    @precondition(lambda self: self.server.kind == "sqlite")
    @rule(who=WHO, piece=COAT)
    def the_disk_is_full(self, who: int, piece: int) -> None:
        async def meanwhile() -> None:
            with self.server.full_disk():
                await self._with_no_sql(who, piece)

        self.hurt = True
        self._act(f"the_disk_is_full({who}, {piece})", meanwhile())

    @precondition(lambda self: self.server.kind == "postgresql")
    @rule(who=WHO, piece=COAT)
    def postgresql_is_down(self, who: int, piece: int) -> None:
        proxy = self.server.lossy_sql
        assert proxy is not None

        async def meanwhile() -> None:
            proxy.down()
            try:
                await self._with_no_sql(who, piece)
            finally:
                proxy.up()

        self.hurt = True
        self._act(f"postgresql_is_down({who}, {piece})", meanwhile())

    # ---- what must hold ------------------------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        if not hasattr(self, "show"):
            return
        gone = self._mend()
        if gone and gone != ["worker"]:
            self._do(self._leave_all())
        self._told(self._do(self._wrong()))

    def teardown(self) -> None:
        """Whatever happened: in the end it is all settled, and everybody knows."""
        if not hasattr(self, "show"):
            return
        self.server.forgive()
        self._mend()
        try:
            self._told(self._do(self._in_the_end()))
        finally:
            self._do(self._put_away())

    # ---- parts of rules ------------------------------------------------------------------------

    async def _adjust(self, piece: int, change: int) -> None:
        sku = self.skus[piece]
        await self._try(lambda: self.parts.desk.adjust_stock(sku, change, op=new_id("op"), by="stf_host"))

    async def _staff_do(self, order: dict[str, Any], what: str, times: int, *, op: str = "", at: int = 0) -> None:
        op = op or new_id("op")
        sku = (await self.parts.orders.by_id(order["order"])).lines[0].sku
        door, body = {
            "ship": ("shipments", {"lines": {sku: 1}}),
            "return": ("returns", {"lines": {sku: 1}, "restock": {sku: 1}}),
            "cancel": ("cancel", {}),
            "cancel_one": ("cancel", {"lines": {sku: 1}}),
            "refund_all": ("refunds", {"amount_minor": order["total"]["minor"]}),
            "refund_part": ("refunds", {"amount_minor": 3_000}),
            "refund_units": ("refunds", {"lines": {sku: 1}}),
        }[what]
        await asyncio.gather(*(self._staff(order, door, {"op": op, **body}, at=at + n) for n in range(times)))
        query = select(func.count()).where(ledger.c.order_id == order["order"], ledger.c.op == op)
        done = await self.parts.db.read(lambda c: int(c.execute(query).scalar_one()))
        assert done <= 1, f"I4: one {what} of staff was done {done} times"

    async def _send_back(self, order: dict[str, Any], then: str) -> None:
        """The last refund that a sold order's bank took, in the books of the provider, who tells of it; then staff may
        send it again."""
        query = select(refunds.c.id, refunds.c.provider_ref).where(
            refunds.c.order_id == order["order"], refunds.c.status == "done", refunds.c.why != "unsold"
        )
        last = await self.parts.db.read(lambda c: c.execute(query.order_by(refunds.c.id.desc())).first())
        if last is None:
            return
        of, now = ref_of(order), self.parts.clock.now_ms()
        told = ProviderEvent(new_id("evt"), "refund.failed", of)
        row = {"event_id": new_id("snd"), "kind": EVENT_KIND, "body": msgspec.json.encode(told).decode()}

        def write(c: Connection) -> None:
            books = read(c, BY_REF_LOCKED, of)
            facts = FACTS.decode(books.facts)
            for one in facts.refunds:
                if isinstance(one, Returned) and one.ref == last.provider_ref:
                    one.ends, one.due_ms = "failed", 0
            books = books._replace(facts=msgspec.json.encode(facts).decode())
            CHANGE.run(c, {"of": of} | {name: getattr(books, name) for name in CHANGING})
            c.execute(outbox.insert().values(**row, created_ms=now, due_ms=now, attempts=0))

        await self.parts.db.write(write)
        if then:
            await self._staff(order, "refunds", {"op": new_id("op"), "again": last.id})

    async def _with_no_sql(self, who: int, piece: int) -> None:
        await self._hold(who, piece, 1, new_id("op"))
        answer = await self._checkout(who, new_id("key"))
        assert answer is None or answer[0] != 201, "the premise: nothing can be written"

    def _rarest(self, name: str, alike: list[str]) -> str:
        """`name` while nobody was killed there, then the step of its kind where that happened least often: left to
        chance, a long run misses some of them."""
        return min(alike, key=lambda one: self.tally.get(one, 0)) if name in self.tally else name


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
