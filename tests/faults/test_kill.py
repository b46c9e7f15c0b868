"""kill -9 of the web process between payment and settlement: the order is settled by the worker, once."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from processes import ShowServer, until
from shopping import SLUG, Buyer, go_on_air
from sqlalchemy import select

from chat.client import RoomClient
from live.shop import invariants
from live.store.tables import audit, chat_lines, ledger, outbox


async def test_a_payment_whose_web_process_was_killed_is_settled_by_the_worker_once(tmp_path: Path) -> None:
    with ShowServer(tmp_path) as server:
        async with server.services() as parts:
            show = await go_on_air(parts, {"COAT-38": 1})
            buyer = await Buyer.arrive(parts, server.url)
            assert (await buyer.hold("COAT-38"))[0] == 200
            status, order = await buyer.place("key-1")
            assert status == 201, order
            # Captured at the provider, its answer never arrives and its event is late.
            status, choice = await buyer.pay(str(order["pay_url"]), "timeout_after_success")
            assert (status, choice["status"], choice["step"]) == (200, "captured", "silent"), choice
            await buyer.leave()
            server.kill("web")
            assert (await parts.orders.by_token(str(order["token"]))).status == "pending", "the premise"

            server.start("worker")

            async def paid() -> bool:
                return (await parts.orders.by_token(str(order["token"]))).status == "paid"

            await until(paid, within_s=40)

            # The web process comes back and hears the provider's events after all: twice, the first thing last.
            server.start("web")

            async def all_told() -> bool:
                query = select(outbox.c.id).where(outbox.c.kind == "sandbox.event", outbox.c.done_ms.is_(None))
                return not await parts.db.read(lambda c: c.execute(query).all())

            await until(all_told, within_s=60)
            kinds = await parts.db.read(lambda c: list(c.execute(select(ledger.c.kind)).scalars()))
            assert kinds == ["order.placed", "order.paid"]
            assert (await parts.gate.levels(show))["COAT-38"].left == 0
            assert await invariants.check(parts.db, parts.redis, show) == []
            assert server.stop("worker") == 0


async def test_a_line_that_was_taken_out_is_told_and_booked_though_its_web_process_was_killed_before_it_could(
    tmp_path: Path,
) -> None:
    """SQL is kept busy, so that the process is between the two when it dies."""
    with ShowServer(tmp_path) as server:
        async with server.services() as parts:
            show = await go_on_air(parts, {"COAT-38": 1})
            ann = await Buyer.arrive(parts, server.url)
            cookie, address = f"frontrow={ann.cookie}", f"{server.url.replace('http', 'ws')}/ws/{SLUG}"
            async with RoomClient.open(address, cookie, server.url) as page:
                line = (await page.post("line.post", {"text": "never mind"})).body["line"]
                with closing(sqlite3.connect(tmp_path / "frontrow.sqlite3", isolation_level=None)) as busy:
                    busy.execute("begin immediate")
                    await page.send({"kind": "line.remove", "op": "op1", "body": {"line": line}})
                    await page.wait("line.removed")
                    server.kill("web")
                    busy.execute("rollback")
            query = select(outbox.c.body).where(outbox.c.kind == "line.removed")
            assert not await parts.db.read(lambda c: c.execute(query).all()), "the premise"
            server.start("web")
            async with RoomClient.open(address, cookie, server.url) as page:
                assert page.welcome["room"]["lines"] == []

                async def told() -> bool:
                    return bool(await parts.db.read(lambda c: c.execute(query).all()))

                await until(told, within_s=60)
            acts = select(audit.c.act, audit.c.target).where(audit.c.room == show, audit.c.act == "line.remove")
            assert await parts.db.read(lambda c: [tuple(row) for row in c.execute(acts)]) == [("line.remove", line)]
            gone = select(chat_lines.c.removed_by).where(chat_lines.c.id == line)
            assert await parts.db.read(lambda c: c.execute(gone).scalar()) == ann.person


async def test_a_store_that_is_killed_comes_back_with_every_hold(tmp_path: Path) -> None:
    with ShowServer(tmp_path) as server:
        async with server.services() as parts:
            show = await go_on_air(parts, {"COAT-38": 5})
            buyers = [await Buyer.arrive(parts, server.url) for _ in range(3)]
            for buyer in buyers:
                assert (await buyer.hold("COAT-38"))[0] == 200
            server.kill("store")
            assert (await buyers[0].hold("COAT-38"))[0] == 503, "without Redis nothing is held"
            server.start("store")
            level = (await parts.gate.levels(show))["COAT-38"]
            assert level.left == 2, "appendfsync always: what was answered is on disk"

            async def holds_again() -> bool:
                return (await buyers[0].hold("COAT-38"))[0] == 200

            await until(holds_again)
            for buyer in buyers:
                await buyer.leave()
            assert await invariants.check(parts.db, parts.redis, show) == []
