"""kill -9 at a named step, one test each, on both stores: of a refund that staff decided, and of a piece that is
offered to who waits for it. What is left behind is taken up by who comes after, once.

The schedules of test_any_order.py get to most of these steps too, by chance and among everything else.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from faulty import FaultyServer, faulty_server
from processes import until
from shopping import Buyer
from sqlalchemy import func, select, update

from chat.client import RoomClient
from live.desk.wiring import Services
from live.ids import new_id
from live.shop import invariants
from live.shop.catalogue import NewVariant
from live.shop.order_sheet import ASK_AFTER_MS
from live.shop.waitlist import OFFER_TTL_S
from live.store import keys
from live.store.tables import ledger, orders, outbox, payments, refunds, shows

PRICE, BACK = 12_900, 2_900
HOLD_MS, DAYS_MS = 300_000, 3 * 86_400_000


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyServer]:
    """Two web processes, a worker and their stores."""
    with faulty_server(Path(tmp_path_factory.mktemp("faulty")) / "server", request.param, webs=2) as it:
        yield it


@dataclass
class Stage:
    """A show of its own with one coat. Its staff come with a token, to the second web process; `killed` is true of a
    request that was never answered."""

    server: FaultyServer
    parts: Services
    slug: str
    sku: str
    show: str = ""
    token: str = ""
    people: list[Buyer] = field(default_factory=list)
    pages: list[RoomClient] = field(default_factory=list)

    async def arrive(self, *, at: int = 0) -> Buyer:
        buyer = await Buyer.arrive(self.parts, self.server.url, slug=self.slug)
        buyer.at = self.server.urls[at]
        self.people.append(buyer)
        return buyer

    async def page(self, buyer: Buyer) -> RoomClient:
        """Her page, at the first web process."""
        url = self.server.url.replace("http", "ws", 1) + f"/ws/{self.slug}"
        page = await RoomClient.connect(url, f"frontrow={buyer.cookie}", self.server.url)
        self.pages.append(page)
        return page

    async def ask(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Staff, at the second web process. None: it was killed."""
        till = Buyer(self.server.url, "", "", "", slug=self.slug, at=self.server.urls[1])
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.token}"}
        try:
            return await till.send("POST", path, json.dumps(body).encode(), headers)
        except (OSError, EOFError):
            return None
        finally:
            await till.leave()

    async def round(self) -> None:
        """Each of the worker's jobs, begun after this moment, is over."""
        ring = self.server.bell.ring()

        async def over() -> bool:
            return self.server.bell.answered() >= ring

        await until(over)

    async def died_at(self, step: str, who: str) -> None:
        async def died() -> bool:
            return step in self.server.died() and not self.server.lives(who)

        await until(died)
        self.server.heard_of()

    async def well(self) -> None:
        """What every quiet moment must be, once the worker had its turn."""

        async def nothing_wrong() -> bool:
            await self.round()
            return not await invariants.check(self.parts.db, self.parts.redis, self.show)

        await until(nothing_wrong)


@pytest.fixture
async def stage(server: FaultyServer) -> AsyncIterator[Stage]:
    server.forgive()
    server.heard_of()
    server.mend()
    async with server.services() as parts:
        slug = new_id("s").replace("_", "-")
        it = Stage(server, parts, slug, f"{slug}-38")
        brand = await parts.catalogue.add_brand(slug=slug, name="Atelier Nord", currency="EUR", country="DE")
        coat = [NewVariant(it.sku, "38", "Ink", "#111122", PRICE, 1)]
        product = await parts.catalogue.add_product(brand, slug="coat", title="Long coat", variants=coat)
        it.token, _ = await parts.tokens.make("Till", ["orders:write", "stock:write"], by="test", brand_id=brand)
        it.show = (await parts.shows.create(brand, slug, "Autumn")).id
        look = await parts.runsheets.add_look(it.show, 1, "Look 1", [product])
        await parts.desk.open_show(it.show, "stf_host")
        await parts.desk.drop(it.show, look, "stf_host")
        try:
            yield it
        finally:
            for page in it.pages:
                await page.aclose()
            for buyer in it.people:
                await buyer.leave()
            ended = {"status": "ended", "ended_ms": server.clock.now_ms() - DAYS_MS}  # no worker looks after it
            over = update(shows).where(shows.c.id == it.show).values(**ended)
            await parts.db.write(lambda c: c.execute(over) and None)


async def bought(stage: Stage, buyer: Buyer) -> dict[str, Any]:
    """What she holds, ordered, paid and sold."""
    status, order = await buyer.place(new_id("key"))
    assert status == 201, order
    assert (await buyer.pay(str(order["pay_url"]), "success"))[0] == 200

    async def sold() -> bool:
        return (await stage.parts.orders.by_token(str(order["token"]))).status == "paid"

    await until(sold)
    return order


# ---- a refund that staff decided ---------------------------------------------------------------------


async def in_our_books(stage: Stage, order: str) -> tuple[list[str], dict[str, int]]:
    """The refunds, and how often each thing about them is in the ledger and told outside."""

    def read(c: Any) -> tuple[list[str], dict[str, int]]:
        rows = c.execute(select(refunds.c.status).where(refunds.c.order_id == order).order_by(refunds.c.id))
        noted = select(ledger.c.kind, func.count()).where(ledger.c.order_id == order).group_by(ledger.c.kind)
        told = select(outbox.c.kind, func.count()).where(outbox.c.body.contains(order)).group_by(outbox.c.kind)
        counts = dict(c.execute(noted).all()) | {f"told {kind}": n for kind, n in c.execute(told)}
        wanted = ("refund.asked", "order.refunded", "told order.refunded", "told mail.order_repaid")
        return list(rows.scalars()), {kind: counts[kind] for kind in wanted if kind in counts}

    return await stage.parts.db.read(read)


@pytest.mark.parametrize(
    ("step", "decided", "at_the_provider"),
    [
        ("act.written", [], 0),  # the row and the ledger's entry are in a transaction that never ended
        ("refund.decided", ["asked"], 0),  # they stand, and the provider was not asked yet
        ("refund.paid", ["asked"], BACK),  # the provider did it, and its answer never came
        ("act.repaid", ["asked"], BACK),  # it came, and was not written down
    ],
)
async def test_a_refund_of_staffs_is_made_once_wherever_its_process_is_killed(
    stage: Stage, step: str, decided: list[str], at_the_provider: int
) -> None:
    server, provider = stage.server, stage.parts.provider
    ada = await stage.arrive()
    assert (await ada.hold(stage.sku))[0] == 200
    token = str((await bought(stage, ada))["token"])
    order = await stage.parts.orders.by_token(token)
    server.end("worker")  # it would take it up at once, where this takes half a minute
    path, body = f"/api/staff/orders/{order.number}/refunds", {"op": new_id("op"), "amount_minor": BACK}
    server.die_at(step)
    assert await stage.ask(path, body) is None
    await stage.died_at(step, "web.2")
    asked = len(decided)
    assert await in_our_books(stage, order.id) == (decided, {"refund.asked": 1} if asked else {})
    assert (await provider.fetch(order.payment_ref)).refunded_minor == at_the_provider

    server.mend()
    again = await stage.ask(path, body)
    assert again is not None, "she hits the button again"
    assert again[0] == 200
    server.clock.advance(ASK_AFTER_MS)

    async def made() -> bool:
        await stage.round()
        return (await in_our_books(stage, order.id))[0] == ["done"]

    await until(made)
    await stage.round()
    once = {"refund.asked": 1, "order.refunded": 1, "told order.refunded": 1, "told mail.order_repaid": 1}
    assert await in_our_books(stage, order.id) == (["done"], once)
    charge = await provider.fetch(order.payment_ref)
    assert (charge.refunded_minor, len(charge.refunds)) == (BACK, 1)
    now = await stage.parts.orders.by_token(token)
    assert now.refunded is not None
    assert (now.status, now.refunded.minor) == ("part_refunded", BACK)
    rest = await stage.ask(path, {"op": new_id("op"), "amount_minor": PRICE - BACK})
    assert rest is not None, "and what is left can go back too"
    assert rest[0] == 200
    assert (await provider.fetch(order.payment_ref)).refunded_minor == PRICE
    await stage.well()


# ---- a piece that is offered to who waits ------------------------------------------------------------


def has_it(body: dict[str, Any]) -> bool:
    """Whether a `cart.changed` tells her that her bag has the coat."""
    return any(line["state"] == "held" for line in body["cart"]["lines"])


async def held_by(stage: Stage) -> list[str]:
    """Whose bags have the coat."""
    members = await stage.parts.redis.zrange(keys.holds(stage.show), 0, -1)
    return [member.decode().partition("|")[0] for member in members]


async def waiting(stage: Stage) -> list[str]:
    return [one.decode() for one in await stage.parts.redis.zrange(keys.queue(stage.show, stage.sku), 0, -1)]


@pytest.mark.parametrize("step", ["offer.made", "offer.told"])
@pytest.mark.parametrize("comes_back", ["by removal", "by lapse", "by delivery"])
async def test_a_piece_is_offered_once_and_told_of_wherever_its_process_is_killed(
    stage: Stage, comes_back: str, step: str
) -> None:
    """A web process offers what its buyer put back; what lapsed, and what was delivered, the worker."""
    server = stage.server
    ada, bea, cleo = await stage.arrive(at=1), await stage.arrive(), await stage.arrive()
    assert (await ada.hold(stage.sku))[0] == 200
    pages = {}
    for one in (bea, cleo):
        pages[one.person] = await stage.page(one)
        assert (await one.post(f"/api/shows/{stage.slug}/waitlist", {"sku": stage.sku}))[0] == 200
    assert await waiting(stage) == [bea.person, cleo.person]

    if comes_back == "by removal":
        server.end("worker")  # else it may be the one who offers
    server.die_at(step)
    if comes_back == "by removal":
        with pytest.raises((OSError, EOFError)):
            await ada.send("DELETE", f"/api/shows/{stage.slug}/cart/{stage.sku}", b"", {})
    elif comes_back == "by lapse":
        server.clock.advance(HOLD_MS + 1_000)
    else:
        assert await stage.ask("/api/stock/adjust", {"sku": stage.sku, "change": 1, "op": new_id("op")}) is not None
    await stage.died_at(step, "web.2" if comes_back == "by removal" else "worker")
    untold = [one.decode() for one in await stage.parts.redis.zrange(keys.untold(stage.show), 0, -1)]
    assert bea.person in untold, "the premise: she has it, and nobody has noted that she knows"
    owners = {bea.person, ada.person} if comes_back == "by delivery" else {bea.person}
    assert set(await held_by(stage)) == owners
    assert await waiting(stage) == [cleo.person]

    server.mend()
    await pages[bea.person].wait("cart.changed", has_it)
    await stage.round()
    assert set(await held_by(stage)) == owners
    assert await waiting(stage) == [cleo.person], "one came back, so one was offered"
    assert not any(map(has_it, pages[cleo.person].seen("cart.changed")))
    assert (await stage.parts.gate.levels(stage.show))[stage.sku].left == 0

    server.clock.advance(OFFER_TTL_S * 1_000 + 1_000)  # Bea lets it go by
    await pages[cleo.person].wait("cart.changed", has_it)
    assert set(await held_by(stage)) == {*owners, cleo.person} - {bea.person}
    assert await waiting(stage) == []
    await bought(stage, cleo)
    sold = select(func.count()).select_from(orders.join(payments)).where(orders.c.show_id == stage.show)
    assert await stage.parts.db.read(lambda c: c.execute(sold.where(payments.c.captured_minor > 0)).scalar_one()) == 1
    await stage.well()
