"""What must hold after each step of a schedule, and in the end: sentences of what does not.

I1 to I5 are the product's own (live/shop/invariants.py); here are those that need to know what people were told:

I3   an acknowledged order is there, and one that was seen sold stays sold
I4   the provider's books: at most one capture an order, refunds (less what banks sent back) ≤ captures;
     in the end they are ours
I6   no hold outlives its time by more than a second
I7   numbers reach a page without gap or repeat (watch.py)        I9  what was taken back never comes later
I8   a sale is noted and told once; in the end the merchant's books, kept by what reached it, are ours
I10  the gate is what SQL says, levels and what buyers own

A waiting list is served in its order, nobody gets more than she tapped or waited for, and nothing lies idle while
somebody waits for it. A hot drop is drawn by its seed among those who were there.

Nothing here sets anything right. While nothing was killed or lost there must be nothing to set right; else rounds of
the worker's are waited for, and they must do.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
from schedule import Schedule, ref_of
from sqlalchemy import func, select

from live.play import draws
from live.shop import invariants
from live.shop.order_state import WENT_BACK
from live.shop.stock import stock_of
from live.shop.webhooks.kinds import SHAPES
from live.store import keys
from live.store.tables import (
    drawn_lines,
    ledger,
    order_lines,
    orders,
    outbox,
    payments,
    refunds,
    sandbox_charges,
)

# For a job of the worker's that runs twice a second: as many looks as five seconds have. They ask the same stores, so
# that on a machine that is slower they take longer, too.
AT_ONCE_LOOKS, LOOK_EVERY_S = 200, 0.02
SETTLES_WITHIN_S = 90.0  # what was left behind by somebody who died
HOLD_LATE_MS = 1_000


class Lawful(Schedule):
    """A schedule that knows what is wrong with it."""

    async def _wrong(self) -> list[str]:
        wrong = await self._never()
        if wrong:
            return wrong
        clock = asyncio.get_running_loop().time
        began, looks = clock(), 0
        while wrong := await self._not_yet():
            looks += 1
            if self.hurt and clock() - began > SETTLES_WITHIN_S:
                return [*wrong, "for too long"]
            if not self.hurt and looks > AT_ONCE_LOOKS:
                return [*wrong, "although nothing had been killed or lost"]
            if self.hurt:
                await self._round()
            else:
                await asyncio.sleep(LOOK_EVERY_S)  # the worker's own pace; there is no event for "all is right"
            self._mend()  # a process may only now have reached the step where it was to be killed
        self.hurt = False
        return await self._of_the_waiting() + await self._of_the_room()

    # ---- at no moment --------------------------------------------------------------------------

    async def _never(self) -> list[str]:
        """I2 to I5 and I8 in SQL: one view of it, at no moment wrong."""
        return await self.parts.db.read(self._in_sql)

    def _in_sql(self, c: Any) -> list[str]:
        wrong = invariants.in_sql(c, self.show)
        of_show = select(orders.c.id).where(orders.c.show_id == self.show)
        rows = c.execute(
            select(orders.c.id, orders.c.status, orders.c.total_minor, orders.c.paid_ms).where(
                orders.c.show_id == self.show
            )
        )
        by_id = {row.id: row for row in rows}
        for answer in self.acknowledged.values():
            row = by_id.get(answer["order"])
            if row is None or row.total_minor != answer["total"]["minor"]:
                wrong.append(f"I3: order {answer['order']} was acknowledged and is {row}")
        charges = select(payments.c.order_id, sandbox_charges).join(
            payments, payments.c.id == sandbox_charges.c.idempotency_key
        )
        taken: dict[str, list[tuple[int, int]]] = {}
        for charge in c.execute(charges.where(payments.c.order_id.in_(of_show))):
            if charge.captured_minor:
                came_back = [one for one in json.loads(charge.facts)["refunds"] if one.get("ends") == "failed"]
                back = charge.refunded_minor - sum(one["amount_minor"] for one in came_back)
                taken.setdefault(charge.order_id, []).append((charge.captured_minor, back))
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
            once = 0 if row.paid_ms is None else 1
            if (paid.get(order, 0), told.get(order, 0)) != (once, once):
                wrong.append(f"I8: {order} is {row.status}, noted {paid.get(order)} and told {told.get(order)} times")
            if once:
                self.sold.add(order)
            elif order in self.sold:
                wrong.append(f"I3: order {order} was sold and is {row.status}")
        return wrong

    # ---- soon ----------------------------------------------------------------------------------

    async def _not_yet(self) -> list[str]:
        return [
            *await invariants.check(self.parts.db, self.parts.redis, self.show),
            *await self._late_holds(),
            *await self._owned_otherwise(),
            *await self._idle(),
            *await self._undrawn(),
        ]

    async def _late_holds(self) -> list[str]:
        now = self.parts.clock.now_ms()
        late = await self.parts.redis.zrangebyscore(keys.holds(self.show), "-inf", now - HOLD_LATE_MS)
        return [f"I6: the hold {member.decode()} outlived its time" for member in late]

    async def _owned_otherwise(self) -> list[str]:
        """I10: what counts against a buyer's limits is what SQL says she owns, and what she is about to."""
        redis = self.parts.redis
        async with redis.pipeline(transaction=True) as pipe:  # one moment
            pipe.exists(keys.gate(self.show))
            pipe.hgetall(keys.owned(self.show))
            pipe.hgetall(keys.claims(self.show))
            stands, owned, claims = await pipe.execute()
        if not stands:
            return []
        lines = {order.decode(): msgspec.json.decode(claim) for order, claim in claims.items()}

        def read(c: Any) -> dict[str, int]:
            should = dict(_bought(c, self.show))
            pending = select(orders.c.id).where(orders.c.id.in_(list(lines)), orders.c.paid_ms.is_(None))
            for order in c.execute(pending).scalars():
                for sku, units in lines[order]["lines"].items():
                    member = f"{lines[order]['cart']}|{sku}"
                    should[member] = should.get(member, 0) + units
            return {member: units for member, units in should.items() if units}

        should = await self.parts.db.read(read)
        has = {member.decode(): int(units) for member, units in owned.items() if int(units)}
        return [] if has == should else [f"I10: the gate says that {has} is owned, SQL says {should}"]

    async def _idle(self) -> list[str]:
        """Units that nobody holds although somebody waits for them."""
        if self.ended:
            return []
        gate = await self.parts.redis.hgetall(keys.gate(self.show))
        return [
            f"{left} of {sku} lie idle while somebody waits"
            for sku in self.skus[:2]
            if (left := int(gate.get(f"n:{sku}".encode(), 0))) > 0 and await self._queue(sku)
        ]

    async def _undrawn(self) -> list[str]:
        """Who came to a hot drop before it opened, and hears nothing."""
        sure = [person for person, there in self.lobby.items() if there]
        if not sure or self.ended:
            return []
        look = (await self.parts.runsheets.of(self.show)).look(self.second_look)
        if look.state != "dropped" or not look.is_open(self.server.clock.now_ms()):
            return []
        return [] if await self._drawn(look.commitment) else [f"{sure} were in the lobby, and no line was drawn"]

    async def _drawn(self, commitment: str) -> Any:
        query = select(drawn_lines).where(
            drawn_lines.c.look_id == self.second_look, drawn_lines.c.commitment == commitment
        )
        return await self.parts.db.read(lambda c: c.execute(query).first())

    # ---- those who wait, and the room ----------------------------------------------------------

    async def _of_the_waiting(self) -> list[str]:
        wrong = []
        for sku in self.skus:
            await self._look_at_queue(sku)
            stay = dict(self.queues[sku])
            for buyer in self.buyers:
                mine = buyer.person, sku
                holds = int(await self.parts.redis.hget(keys.held(self.show), "|".join(mine)) or 0)
                if self.went_back:  # what was given back may be held again
                    self.wanted[mine] = max(holds, self.wanted.get(mine, 0))
                if holds > self.wanted.get(mine, 0):
                    wrong.append(f"{buyer.person} holds {holds} of {sku}, and wanted {self.wanted.get(mine, 0)}")
                if not holds and buyer.person not in stay:
                    self.wanted.pop(mine, None)
        self.left_a_queue.clear()
        self.went_back = False
        return wrong + self.out_of_turn

    async def _of_the_room(self) -> list[str]:
        await self._look()
        said = [f"I9: {text} was taken back and came later" for text in self.unsaid if self._was_heard(text)]
        return [one for watch in self.watches for one in watch.wrong] + said

    def _was_heard(self, text: str) -> bool:
        return any(text in watch.heard_since for watch in self.watches[:1])

    # ---- in the end ----------------------------------------------------------------------------

    async def _in_the_end(self) -> list[str]:
        """Nothing is held, nothing is pending, each charge is a sale or paid back, and everybody was told."""
        clock = asyncio.get_running_loop().time
        for _ in range(2):
            self.server.clock.advance(2_000_000)
            await self._round()
        deadline = clock() + SETTLES_WITHIN_S
        while wrong := [*await self._unsettled(), *await self._untold()]:
            if clock() > deadline:
                return wrong
            self._mend()
            self.server.clock.advance(400_000)  # past any hold, offer, lease and second try
            await self._round()
        if wrong := await self._wrong():
            return wrong
        before = await self._gate()
        await self.parts.gate.rebuild(self.show)
        after = await self._gate()
        if before != after:
            return [f"I10: the gate was {before}, made again from SQL it is {after}"]
        return await self._of_the_draw()

    async def _gate(self) -> dict[str, int]:
        """Levels, and what buyers own."""
        gate = await self.parts.redis.hgetall(keys.gate(self.show))
        owned = await self.parts.redis.hgetall(keys.owned(self.show))
        levels = {name.decode(): int(left) for name, left in gate.items() if name.startswith(b"n:")}
        return levels | {member.decode(): int(units) for member, units in owned.items() if int(units)}

    async def _unsettled(self) -> list[str]:
        wrong = []
        for answer in self.acknowledged.values():
            order = await self.parts.orders.by_id(answer["order"])
            charge = await self.parts.provider.fetch(ref_of(answer))
            kept = charge.captured_minor - charge.refunded_minor
            if order.paid_ms is None:
                right = order.status in ("cancelled", "refunded") and kept == 0
            else:
                asked = [one for one in order.refunds if one.status != "done"]
                right = not asked and kept == order.total.minor - order.refunded.minor
            if not right:
                wrong.append(f"{order.id} ends as {order.status}, and its provider keeps {kept}")
        if held := await self.parts.gate.held(self.show):
            wrong.append(f"{held} units are held for ever")
        return wrong

    async def _untold(self) -> list[str]:
        """I8: the merchant's books, which it keeps by what reached it alone, against ours."""
        heard = self.server.merchant.books(self.slug)
        return self.server.merchant.wrong(self.slug) + await self.parts.db.read(lambda c: self._in_books(c, heard))

    def _in_books(self, c: Any, heard: dict[str, Any]) -> list[str]:
        wrong = []
        events = {}
        last: dict[str, str] = {}  # of a SKU's changes the last one tells it all
        for row in c.execute(select(outbox).where(outbox.c.kind.in_(list(SHAPES))).order_by(outbox.c.id)):
            data = json.loads(row.body)
            if data.get("show") == self.show or data.get("brand") == self.brand:
                events[row.event_id] = (row.kind, data)
                if row.kind == "stock.changed":
                    last[data["sku"]] = row.event_id
        for event, (kind, data) in events.items():
            if event not in heard and (kind != "stock.changed" or last[data["sku"]] == event):
                wrong.append(f"I8: the merchant never heard of {kind} {event}")
        for event, said in heard.items():
            if events.get(event) != (said.kind, said.data):
                wrong.append(f"I8: the merchant heard {said}, which the outbox has as {events.get(event)}")
        if wrong:
            return wrong
        sold = set(
            c.execute(select(orders.c.id).where(orders.c.show_id == self.show, orders.c.paid_ms.is_not(None))).scalars()
        )
        paid = [said.data["order"] for said in heard.values() if said.kind == "order.paid"]
        if sorted(paid) != sorted(sold):
            wrong.append(f"I8: the merchant has {sorted(paid)} as paid, SQL has {sorted(sold)}")
        back: dict[str, int] = {}
        for said in heard.values():
            if said.kind in ("order.refunded", "order.refund_failed") and said.data["order"] in sold:
                amount = said.data["amount_minor"] if said.kind == "order.refunded" else -said.data["amount_minor"]
                back[said.data["order"]] = back.get(said.data["order"], 0) + amount
        done = select(refunds.c.order_id, func.sum(refunds.c.amount_minor)).where(
            refunds.c.order_id.in_(sold), refunds.c.status.in_(WENT_BACK)
        )
        ours = {order: int(amount) for order, amount in c.execute(done.group_by(refunds.c.order_id))}
        if {order: amount for order, amount in back.items() if amount} != ours:
            wrong.append(f"I8: the merchant has {back} as given back, SQL has {ours}")
        for sku, (on_hand, units) in stock_of(c, self.show).items():
            if sku in last:
                said = heard[last[sku]].data
                if (said["on_hand"], said["sold"]) != (on_hand, units):
                    wrong.append(f"I8: the merchant has {said} of {sku}, SQL has {on_hand} and {units} sold")
            elif units:
                wrong.append(f"I8: {units} of {sku} are sold, and the merchant was never told")
        return wrong

    async def _of_the_draw(self) -> list[str]:
        """Whoever was in the lobby for sure was drawn, nobody who was not, by the seed that was promised."""
        look = (await self.parts.runsheets.of(self.show)).look(self.second_look)
        drawn = await self._drawn(look.commitment)
        if drawn is None:
            return []  # it never opened, or was over before a round came
        entries = set(json.loads(drawn.entries))
        wrong = []
        if (
            draws.commitment(bytes.fromhex(drawn.seed)) != drawn.commitment
            or draws.digest(entries) != drawn.entries_digest
        ):
            wrong.append("the seed of the draw, or its entries, are not those that were said")
        if missed := {person for person, there in self.lobby.items() if there} - entries:
            wrong.append(f"{missed} were in the lobby and were not drawn")
        if strangers := entries - self.lobby.keys():
            wrong.append(f"{strangers} were drawn and had not come")
        return wrong


def _bought(c: Any, show: str) -> list[tuple[str, int]]:
    rows = c.execute(
        select(orders.c.cart, order_lines.c.sku, func.sum(order_lines.c.qty - order_lines.c.restocked))
        .join(order_lines, order_lines.c.order_id == orders.c.id)
        .where(orders.c.show_id == show, orders.c.paid_ms.is_not(None))
        .group_by(orders.c.cart, order_lines.c.sku)
    )
    return [(f"{cart}|{sku}", int(units)) for cart, sku, units in rows if units]
