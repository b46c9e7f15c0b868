"""Events to merchants' systems: signed, tried again, logged, sent again; an endpoint that hangs is alone."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
from shop_world import World
from sqlalchemy import select, update
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from live.clock import SetClock, SystemClock
from live.errors import Invalid, NotFound, OverLimit, WrongState
from live.shop import outbox as box
from live.shop.adjust import Adjustments
from live.shop.after_sale import By
from live.shop.webhooks import deliveries, kinds
from live.shop.webhooks.deliveries import RETRY_AFTER_S, Delivery
from live.shop.webhooks.endpoints import OVERLAP_MS, Endpoint, Endpoints
from live.shop.webhooks.postbox import EACH, Postbox
from live.shop.webhooks.stock import tell_stock
from live.shop.webhooks.way_out import SNIPPET, WayOut, networks_of
from live.store.sql import Database
from live.store.tables import outbox, shows, variants, webhook_endpoints
from live.store.telling import tell

LOOPBACK = networks_of("127.0.0.0/8")


class Receiver:
    """A merchant's server on loopback: answers with what it was told, then 204. `gate` holds its answers back."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[bytes | int] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Condition()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        async with self.arrived:
            self.got.append((headers, body))
            self.arrived.notify_all()
        await self.gate.wait()
        answer = self.answers.pop(0) if self.answers else 204
        if isinstance(answer, int):
            answer = f"HTTP/1.1 {answer} X\r\ncontent-length: 0\r\n\r\n".encode()
        writer.write(answer)
        await writer.drain()
        return b"connection: close" not in answer

    async def has(self, count: int) -> None:
        async with asyncio.timeout(60), self.arrived:  # a process of its own takes its time on a busy machine
            await self.arrived.wait_for(lambda: len(self.got) >= count)

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.got]

    @property
    def told(self) -> list[dict]:
        return [json.loads(body) for _, body in self.got]


@asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    merchant = Receiver()
    server = await asyncio.start_server(merchant.serve, "127.0.0.1", 0)
    try:
        merchant.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hooks"
        yield merchant
    finally:
        merchant.gate.set()
        server.close()


@asynccontextmanager
async def postbox(world: World, clock=None) -> AsyncIterator[tuple[Endpoints, Postbox]]:
    clock = clock or world.clock
    async with WayOut(LOOPBACK) as out:
        yield Endpoints(world.db, clock, LOOPBACK), Postbox(world.db, out, clock)


@pytest.fixture
async def brand(world: World) -> str:
    await world.stock_a_show({"COAT-38": 30, "COAT-40": 30})
    return await world.db.read(lambda c: c.execute(select(shows.c.brand_id)).scalar_one())


async def happen(world: World, brand: str, count: int = 1, kind: str = "drop.opened") -> None:
    now = world.clock.now_ms()
    for n in range(count):
        body = {"brand": brand, "show": world.show, "look": f"l{n}", "number": n, "title": "", "at_ms": 0}
        await world.db.write(lambda c, body=body: tell(c, kind, body, now))


async def log_of(world: World, endpoint: str, **which) -> list[Delivery]:
    return await world.db.read(lambda c: deliveries.log(c, endpoint, **which))


async def only(endpoints: Endpoints) -> Endpoint:
    (endpoint,) = await endpoints.list()
    return endpoint


async def test_a_paid_order_is_told_signed_and_once(world: World, brand: str) -> None:
    async with receiver() as merchant, postbox(world, SystemClock()) as (endpoints, box_):
        _, secret = await endpoints.add(brand, merchant.url, ["order.paid"])
        settled = await world.buy("per_ada", "COAT-38")
        assert await box_.fan_out() >= 1
        assert sum(await asyncio.gather(*(box_.deliver_due() for _ in range(3)))) == 1
        assert await box_.fan_out() == 0
        assert await box_.deliver_due() == 0
        ((headers, body),) = merchant.got
        told = Webhook(secret).verify(body, headers)
        assert told["type"] == "order.paid"
        assert told["data"]["order"] == settled.order_id
        assert told["data"]["total"]["currency"] == "EUR"
        assert json.loads(body)["timestamp"].endswith("+00:00")


async def test_what_was_not_taken_is_tried_again_and_410_ends_it(world: World, brand: str) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    async with receiver() as merchant, postbox(world) as (endpoints, box_):
        endpoint, _ = await endpoints.add(brand, merchant.url)
        await happen(world, brand)
        merchant.answers = [500, 302, 410]
        await box_.fan_out()
        for wait_s in (0, 5 * 1.2, 300 * 1.2):
            clock.advance(int(wait_s * 1000) + 1)
            assert await box_.deliver_due() == 0
        assert len(merchant.got) == 3
        assert len(set(merchant.ids)) == 1
        clock.advance(10**9)
        assert await box_.deliver_due() == 0
        assert len(merchant.got) == 3, "an endpoint that said 410 hears no more"
        (entry,) = await log_of(world, endpoint)
        assert (entry.attempts, entry.answer, entry.outcome) == (3, "410", "waiting")
        assert (await only(endpoints)).disabled_why == "gone"
        with pytest.raises(WrongState):
            await world.db.write(lambda c: deliveries.replay(c, endpoint, entry.id, clock.now_ms()))
        await endpoints.enable(endpoint)
        assert await box_.deliver_due() == 1, "what waited goes out once it is on again"


async def test_ten_tries_over_three_days_and_then_it_is_given_up_and_the_silent_endpoint_is_off(
    world: World, brand: str
) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    async with receiver() as merchant, postbox(world) as (endpoints, box_):
        endpoint, _ = await endpoints.add(brand, merchant.url)
        await happen(world, brand)
        await box_.fan_out()
        merchant.answers = [503] * 10
        waits = []
        for _ in range(9):
            assert await box_.deliver_due() == 0
            (entry,) = await log_of(world, endpoint)
            waits.append((entry.due_ms - clock.now_ms()) / 1000)
            clock.advance(entry.due_ms - clock.now_ms() - 1)
            assert await box_.deliver_due() == 0, "not before its time"
            clock.advance(1)
        assert all(least <= wait <= least * 1.2 for least, wait in zip(RETRY_AFTER_S, waits, strict=True))
        await box_.deliver_due()
        (entry,) = await log_of(world, endpoint)
        assert (entry.attempts, entry.outcome, entry.answer, len(merchant.got)) == (10, "failed", "503", 10)
        assert (await only(endpoints)).disabled_why == "failing"


async def test_an_endpoint_that_took_something_meanwhile_stays_on(world: World, brand: str) -> None:
    async with postbox(world) as (endpoints, _):
        endpoint, _ = await endpoints.add(brand, "http://127.0.0.1:9/")
        await happen(world, brand)
        now = world.clock.now_ms() + 1
        await world.db.write(lambda c: deliveries.fan_out(c, now))
        (due,) = await world.db.write(lambda c: deliveries.claim(c, now, busy={}, each=1, most=1))
        last = type(due)(**{**{f: getattr(due, f) for f in due.__struct_fields__}, "attempts": 9})
        change = update(webhook_endpoints).values(last_taken_ms=now)
        await world.db.write(lambda c: c.execute(change) and None)
        await world.db.write(
            lambda c: deliveries.record(c, last, status=500, answer="500", reply="", took_ms=1, now=now)
        )
        assert (await log_of(world, endpoint))[0].outcome == "failed"
        assert (await only(endpoints)).disabled_ms is None


async def test_an_endpoint_that_hangs_delays_nobody_else_and_holds_few_of_ours(world: World, brand: str) -> None:
    async with receiver() as stuck, receiver() as well, postbox(world) as (endpoints, box_):
        stuck.gate.clear()
        await endpoints.add(brand, stuck.url)
        await endpoints.add(brand, well.url)
        await happen(world, brand, 12)
        await box_.fan_out()
        posting = asyncio.create_task(box_.deliver_due())
        await well.has(12)
        await stuck.has(EACH)
        await happen(world, brand, 1)
        await box_.fan_out()
        await well.has(13)
        assert not posting.done()
        assert len(stuck.got) == EACH
        stuck.gate.set()
        assert await posting == 26
        assert sorted(stuck.ids) == sorted(well.ids)


async def test_while_a_secret_changes_both_sign_and_a_day_later_only_the_new_one(world: World, brand: str) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    clock.advance(int(datetime.now(UTC).timestamp() * 1000) - clock.now_ms())
    async with receiver() as merchant, postbox(world) as (endpoints, box_):
        endpoint, old = await endpoints.add(brand, merchant.url)
        new = await endpoints.rotate(endpoint)
        assert new != old
        await happen(world, brand)
        await box_.fan_out()
        await box_.deliver_due()
        headers, body = merchant.got[0]
        assert len(headers["webhook-signature"].split()) == 2
        for secret in (old, new):
            Webhook(secret).verify(body, headers)
        newest = await endpoints.rotate(endpoint)  # the page was loaded again: nobody knows which one the receiver has
        await happen(world, brand)
        await box_.fan_out()
        await box_.deliver_due()
        headers, body = merchant.got.pop()
        for secret in (old, new, newest):
            Webhook(secret).verify(body, headers)
        await world.db.write(
            lambda c: c.execute(update(webhook_endpoints).values(old_secret_until_ms=clock.now_ms() - 1)) and None
        )
        await happen(world, brand)
        await box_.fan_out()
        await box_.deliver_due()
        headers, body = merchant.got[1]
        Webhook(newest).verify(body, headers)
        for secret in (old, new):
            with pytest.raises(WebhookVerificationError):
                Webhook(secret).verify(body, headers)
    assert OVERLAP_MS == 86_400_000


async def test_each_endpoint_hears_the_kinds_it_chose_of_its_own_brand_and_none_while_it_is_off(
    world: World, brand: str
) -> None:
    other = await world.catalogue.add_brand(slug="other", name="Other", currency="EUR", country="DE")
    async with postbox(world) as (endpoints, box_):
        every, _ = await endpoints.add(brand, "https://a.example/")
        some, _ = await endpoints.add(brand, "https://b.example/", ["drop.opened"])
        off, _ = await endpoints.add(brand, "https://c.example/")
        elsewhere, _ = await endpoints.add(other, "https://d.example/")
        await endpoints.disable(off)
        await happen(world, brand, kind="drop.opened")
        await happen(world, brand, kind="drop.withdrawn")
        await happen(world, brand, kind="mail.order_paid")
        await box_.fan_out()
        heard = {one: [entry.kind for entry in await log_of(world, one)] for one in (every, some, off, elsewhere)}
        assert heard == {every: ["drop.withdrawn", "drop.opened"], some: ["drop.opened"], off: [], elsewhere: []}
        await endpoints.choose(some, ["order.paid", "drop.withdrawn"])
        assert [one.kinds for one in await endpoints.list([brand])][1] == ("order.paid", "drop.withdrawn")
        with pytest.raises(Invalid):
            await endpoints.choose(some, ["mail.order_paid"])
        with pytest.raises(NotFound):
            await endpoints.choose("none", [])


async def test_the_log_says_what_was_answered_and_any_entry_goes_again_under_its_own_id(
    world: World, brand: str
) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    async with receiver() as merchant, postbox(world) as (endpoints, box_):
        endpoint, _ = await endpoints.add(brand, merchant.url)
        begun = clock.now_ms()
        await happen(world, brand, 3)
        await box_.fan_out()
        said = b"no such table: orders"
        merchant.answers = [b"HTTP/1.1 500 X\r\ncontent-length: %d\r\n\r\n%s" % (len(said), said)]
        await box_.deliver_due()
        failing = [entry for entry in await log_of(world, endpoint) if entry.outcome == "waiting"]
        assert [(entry.answer, entry.reply, entry.tried_ms) for entry in failing] == [
            ("500", said.decode(), clock.now_ms())
        ]
        taken = await log_of(world, endpoint, outcome="taken")
        assert len(taken) == 2
        await world.db.write(lambda c: deliveries.replay(c, endpoint, taken[0].id, clock.now_ms()))
        await box_.deliver_due()
        assert merchant.ids.count(taken[0].event_id) == 2
        # Given up, then sent again all at once.
        give_up = update(deliveries.rows).where(deliveries.rows.c.outcome == "waiting")
        await world.db.write(lambda c: c.execute(give_up.values(outcome="failed", done_ms=begun)) and None)
        again = await world.db.write(lambda c: deliveries.replay_failed(c, endpoint, begun + 1, clock.now_ms()))
        assert again == 0, "it happened before then"
        assert await world.db.write(lambda c: deliveries.replay_failed(c, endpoint, begun, clock.now_ms())) == 1
        assert await box_.deliver_due() == 1
        assert {entry.outcome for entry in await log_of(world, endpoint)} == {"taken"}
        with pytest.raises(NotFound):
            await world.db.write(lambda c: deliveries.replay(c, endpoint, 10**9, clock.now_ms()))


async def test_a_test_event_goes_to_that_endpoint_alone(world: World, brand: str) -> None:
    async with receiver() as merchant, receiver() as other, postbox(world) as (endpoints, box_):
        endpoint, _ = await endpoints.add(brand, merchant.url, ["order.paid"])
        await endpoints.add(brand, other.url)
        await world.db.write(lambda c: deliveries.test(c, endpoint, brand, world.clock.now_ms()))
        assert await box_.fan_out() == 0
        assert await box_.deliver_due() == 1
        assert [told["type"] for told in merchant.told] == ["webhook.test"]
        assert other.got == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 70_000,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"2000\r\n" + b"y" * 0x2000 + b"\r\n",
    ],
)
async def test_an_answer_without_end_is_read_no_further_than_the_log_keeps_it(
    world: World, brand: str, answer: bytes
) -> None:
    async with receiver() as merchant, postbox(world) as (endpoints, box_):
        endpoint, _ = await endpoints.add(brand, merchant.url)
        merchant.answers = [answer]
        await happen(world, brand)
        await box_.fan_out()
        assert await box_.deliver_due() == 1
        assert len((await log_of(world, endpoint))[0].reply) == SNIPPET


async def test_what_is_no_answer_is_said_in_the_log(world: World, brand: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("live.shop.webhooks.postbox.POST_TIMEOUT_S", 0.2)
    async with receiver() as merchant, receiver() as silent, postbox(world) as (endpoints, box_):
        silent.gate.clear()
        merchant.answers = [b"SSH-2.0-OpenSSH_9.2\r\n\r\nconnection: close"]
        nobody, nowhere = "http://127.0.0.1:9/", "http://nowhere.invalid/"  # RFC 2606: a name that is none
        found = [(await endpoints.add(brand, url))[0] for url in (merchant.url, silent.url, nobody, nowhere)]
        await happen(world, brand)
        await box_.fan_out()
        assert await box_.deliver_due() == 0
        said = [(await log_of(world, endpoint))[0].answer for endpoint in found]
        assert said[0] == "the answer is not HTTP"
        assert said[1].startswith("no answer in")
        assert said[2:] == ["no connection", "its name leads nowhere"]


async def test_an_endpoint_is_an_https_address_without_secrets_in_it_and_a_brand_has_so_many(
    world: World, brand: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    guarded = Endpoints(world.db, world.clock)
    for url in (
        "http://example.org/", "https://", "ftp://example.org/", "https://u:p@example.org/", "https://u@example.org/",
        "https://example.org:99999/", "https://[::1/", "https://ex ample.org/", "https://127.0.0.1/", "https://[fd00::1]/",
        "https://example.org/#x", "https://example.org/" + "x" * 2000, "https://exämple.org/", "", "javascript:x",
    ):  # fmt: skip
        with pytest.raises(Invalid):
            await guarded.add(brand, url)
    monkeypatch.setattr("live.shop.webhooks.endpoints.MOST", 1)
    await guarded.add(brand, "https://example.org/hooks?brand=1")
    with pytest.raises(OverLimit):
        await guarded.add(brand, "https://example.org/")
    with pytest.raises(NotFound):
        await guarded.add("none", "https://example.org/")


async def test_several_changes_of_a_sku_at_once_are_told_as_the_last(world: World, brand: str) -> None:
    adjustments = Adjustments(world.db, world.clock)
    async with receiver() as merchant, postbox(world) as (endpoints, box_):
        await endpoints.add(brand, merchant.url, ["stock.changed"])
        for n in range(4):
            await adjustments.adjust("COAT-38", 1, op=f"{n}", by="till")
        await adjustments.adjust("COAT-40", 5, op="x", by="till")
        assert await box_.fan_out() == 5
        await box_.deliver_due()
        told = {one["data"]["sku"]: one["data"]["on_hand"] for one in merchant.told}
        assert (len(merchant.told), told) == (2, {"COAT-38": 34, "COAT-40": 35})


async def test_what_sales_moved_is_told_once_whoever_looks(world: World, brand: str) -> None:
    async with postbox(world) as (endpoints, _):
        await world.buy("per_ada", "COAT-38", key="k1")

        async def look() -> int:
            return await world.db.write(lambda c: tell_stock(c, [world.show], world.clock.now_ms()))

        assert await look() == 0, "nobody listens yet"
        await endpoints.add(brand, "https://a.example/")
        assert sum(await asyncio.gather(*(look() for _ in range(4)))) == 1
        assert await look() == 0
        await world.buy("per_bob", "COAT-38", 2, key="k2")
        await world.buy("per_bob", "COAT-40", 1, key="k3")
        assert await look() == 2
        await Adjustments(world.db, world.clock).adjust("COAT-40", 1, op="x", by="till")
        assert await look() == 0, "who changed it by hand told of it"
        query = select(outbox.c.body).where(outbox.c.kind == "stock.changed").order_by(outbox.c.id)
        rows = await world.db.read(lambda c: list(c.execute(query).scalars()))
        seen = [(told["sku"], told["sold"], told["on_hand"]) for told in map(json.loads, rows)]
        assert seen == [("COAT-38", 1, 30), ("COAT-38", 3, 30), ("COAT-40", 1, 30), ("COAT-40", 1, 31)]


async def test_one_of_several_workers_that_look_at_once_tells_of_a_change(world: World, brand: str) -> None:
    async with postbox(world) as (endpoints, _):
        await endpoints.add(brand, "https://a.example/")

        async def look() -> int:
            return await world.db.write(lambda c: tell_stock(c, [world.show], world.clock.now_ms()))

        sold = update(variants).where(variants.c.sku == "COAT-38").values(sold=variants.c.sold + 1)
        for _ in range(30):  # one in twenty was told twice
            await world.db.write(lambda c: c.execute(sold))
            assert sum(await asyncio.gather(*(look() for _ in range(4)))) == 1


async def test_what_staff_put_back_and_is_sold_again_before_anybody_looks_is_told(world: World, brand: str) -> None:
    async with postbox(world) as (endpoints, _):
        await endpoints.add(brand, "https://a.example/")

        async def look() -> int:
            return await world.db.write(lambda c: tell_stock(c, [world.show], world.clock.now_ms()))

        first = await world.buy("per_ada", "COAT-38", key="k1")
        assert await look() == 1
        await world.after_sale.cancel(first.order_id, By("stf_ada", "cancel-1"), None)
        await world.buy("per_bob", "COAT-38", key="k2")
        assert await look() == 1, "one is sold, as was told before the other came back, and then none"
        query = select(outbox.c.body).where(outbox.c.kind == "stock.changed").order_by(outbox.c.id)
        rows = await world.db.read(lambda c: list(c.execute(query).scalars()))
        assert [json.loads(row)["sold"] for row in rows] == [1, 0, 1]


async def test_a_lapsed_hold_is_told(world: World, brand: str) -> None:
    clock = world.clock
    assert isinstance(clock, SetClock)
    await world.add("per_ada", "COAT-38", 2)
    clock.advance(301_000)
    assert len(await world.gate.lapse(world.show)) == 1
    assert await world.gate.lapse(world.show) == []
    rows = await world.db.read(
        lambda c: list(c.execute(select(outbox.c.body).where(outbox.c.kind == "hold.lapsed")).scalars())
    )
    assert [json.loads(row) for row in rows] == [{"show": world.show, "sku": "COAT-38", "qty": 2}]
    assert set(kinds.SHAPES) == set(kinds.WORDS)


def _post_and_die(url: str) -> None:
    """A worker of its own, for the test to kill while its request is under way."""

    async def run() -> None:
        db = Database(url)
        async with WayOut(LOOPBACK) as out:
            await Postbox(db, out, SystemClock()).deliver_due()

    asyncio.run(run())


async def test_a_postman_who_is_killed_with_a_letter_in_the_hand_loses_none_and_the_receiver_knows_the_repeat(
    world: World, brand: str
) -> None:
    async with receiver() as merchant:
        endpoints = Endpoints(world.db, SystemClock(), LOOPBACK)
        await endpoints.add(brand, merchant.url)
        await happen(world, brand, 3)
        await world.db.write(lambda c: deliveries.fan_out(c, SystemClock().now_ms()))
        merchant.gate.clear()
        child = multiprocessing.get_context("spawn").Process(target=_post_and_die, args=(world.db.url,))
        child.start()
        await merchant.has(3)
        assert child.pid is not None
        os.kill(child.pid, signal.SIGKILL)
        await asyncio.to_thread(child.join, 10)
        merchant.gate.set()
        lease_later = SetClock()
        lease_later.advance(SystemClock().now_ms() + box.LEASE_MS + 1 - lease_later.now_ms())
        async with WayOut(LOOPBACK) as out:
            second = Postbox(world.db, out, lease_later)
            assert await second.deliver_due() == 3
            assert await second.deliver_due() == 0
        assert len(merchant.got) == 6, "the premise: each was sent twice"
        effects = {headers["webhook-id"]: body for headers, body in merchant.got}
        assert len(effects) == 3, "and has one effect, by its id"
