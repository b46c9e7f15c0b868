"""The catalogue changes while a show is on air: what open pages see of it, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from house import Served, settings_for
from sqlalchemy import func, select, update
from typer.testing import CliRunner

from live import cli
from live.clock import SetClock
from live.errors import Conflict, Invalid, WrongState
from live.shop.imports import DEAD_AFTER_MS, Import
from live.shop.pricing import Sale
from live.store.tables import imports, variants

HEAD = "id\ttitle\tprice\tsize\tcolor\titem_group_id\tquantity\n"
CHEAPER = f"{HEAD}L1-S\tCoat one\t99.00 EUR\tS\tInk\tcoat-1\t7\nL1-L\tCoat one\t99.00 EUR\tL\tInk\tcoat-1\t2\n"
MANY = HEAD + "".join(f"S{n}\tPiece\t9.00 EUR\tS\tInk\tpiece-{n}\t1\n" for n in range(1200))


async def brand_of(site: Served) -> str:
    return site.house.show.brand_id


async def sent(text: str) -> AsyncIterator[bytes]:
    for start in range(0, len(text), 1000):
        yield text[start : start + 1000].encode()


async def checked(site: Served, text: str, name: str = "feed.tsv") -> Import:
    s = site.services
    found = await s.imports.receive(await brand_of(site), name, "Stef", sent(text))
    assert found.state == "waiting"
    assert await s.imports.work(s.rail.changed)
    return await s.imports.by_id(found.id)


async def test_a_feed_brought_in_mid_show_changes_the_card_its_sizes_and_its_stock_on_open_pages(site: Served):
    await site.house.go_live(1)
    viewer = await site.viewer()
    s = site.services
    async with site.room(viewer) as page:
        await page.wait("welcome")
        found = await checked(site, CHEAPER)
        assert (found.state, found.said.new, found.said.changed) == ("checked", 1, 1)
        assert not page.seen("card.changed"), "a check changes nothing"
        await s.imports.bring_in(found.id, "Stef")
        assert await s.imports.work(s.rail.changed)
        told = await page.wait("card.changed")
        (piece,) = told["card"]["pieces"]
        assert piece["title"] == "Coat one"
        by_sku = {one["sku"]: one["price"]["minor"] for one in piece["variants"]}
        assert by_sku == {"L1-S": 9900, "L1-M": 12_900, "L1-L": 9900}
        assert (told["stock"]["L1-S"]["left"], told["stock"]["L1-L"]["left"]) == (7, 2)
    # Who joins now reads the same as those who heard.
    snapshot = (await viewer.client.get("/api/shows/aw26")).json()
    assert snapshot["cards"] == [told["card"]]
    done = await s.imports.by_id(found.id)
    assert (done.state, done.said.new, done.said.changed) == ("done", 1, 1)


def test_the_command_brings_a_feed_in_while_the_server_runs(tmp_path: Path, redis_url: str, monkeypatch):
    import asyncio

    from house import served

    feed = tmp_path / "feed.tsv"
    feed.write_text(CHEAPER)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("DATABASE_URL", raising=False)

    async def run() -> None:
        async with served(settings_for(tmp_path, redis_url)) as site:
            await site.house.go_live(1)
            async with site.room(await site.viewer()) as page:
                await page.wait("welcome")
                command = ["catalogue", "import", str(feed), "--brand", "atelier"]
                answer = await asyncio.to_thread(CliRunner().invoke, cli.app, command)
                assert "1 new, 1 changed, 0 the same, 0 rejected." in answer.output
                told = await page.wait("card.changed")
                assert told["card"]["pieces"][0]["title"] == "Coat one"
            (row,) = await site.services.imports.list(site.house.show.brand_id)
            assert (row.state, row.name, row.actor) == ("done", "feed.tsv", "CLI")

    asyncio.run(run())


async def test_a_sale_that_begins_is_told_to_open_pages_and_so_is_its_end(tmp_path: Path, redis_url: str):
    from house import served

    clock = SetClock()
    async with served(settings_for(tmp_path, redis_url), clock=clock) as site:
        await site.house.go_live(1)
        s, now = site.services, clock.now_ms()
        await s.catalogue.set_price("L1-S", 12_900, sale=Sale(9_900, now + 1_000, now + 3_000))
        async with site.room(await site.viewer()) as page:
            await page.wait("welcome")
            assert await s.rail.turn_prices() == 0
            clock.advance(1_000)
            assert await s.rail.turn_prices() == 1
            begun = await page.wait("card.changed")
            (price,) = [one for one in begun["card"]["pieces"][0]["variants"] if one["sku"] == "L1-S"]
            assert (price["price"]["minor"], price["was"]["minor"]) == (9_900, 12_900)
            clock.advance(2_000)
            assert await s.rail.turn_prices() == 1
            await page.wait("card.changed", lambda body: _prices(body) == {12_900})


def _prices(body: dict) -> set[int]:
    return {one["price"]["minor"] for one in body["card"]["pieces"][0]["variants"]}


async def test_of_two_imports_of_a_brand_at_once_the_second_is_refused_and_says_which_runs(site: Served):
    s = site.services
    one, two = await checked(site, CHEAPER, "one.tsv"), await checked(site, MANY, "two.tsv")
    await s.imports.bring_in(one.id, "Stef")
    with pytest.raises(Conflict) as refused:
        await s.imports.bring_in(two.id, "Kim")
    assert refused.value.facts == {"why": "import_under_way", "name": "one.tsv", "by": "Stef"}
    with pytest.raises(Conflict):
        async with s.imports.by_hand(await brand_of(site), "cron.tsv", "CLI"):
            pass
    assert await s.imports.work(s.rail.changed)
    await s.imports.bring_in(two.id, "Kim")
    assert await s.imports.work(s.rail.changed)
    assert (await s.imports.by_id(two.id)).state == "done"


async def test_an_import_whose_worker_died_is_begun_again_by_another_and_brings_in_each_row_once(site: Served):
    s = site.services
    found = await checked(site, MANY)
    await s.imports.bring_in(found.id, "Stef")

    async def dies(_: list[str]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await s.imports.work(dies)
    half = await s.imports.by_id(found.id)
    assert half.state == "importing"
    assert not await s.imports.work(s.rail.changed), "nobody takes it while it may be alive"
    dead = update(imports).values(beat_ms=s.clock.now_ms() - DEAD_AFTER_MS - 1)
    await s.db.write(lambda c: c.execute(dead))
    assert await s.imports.work(s.rail.changed)
    done = await s.imports.by_id(found.id)
    assert (done.state, done.said.new, done.said.same) == ("done", 700, 500)
    count = select(func.count()).select_from(variants).where(variants.c.sku.startswith("S"))
    assert await s.db.read(lambda c: c.execute(count).scalar_one()) == 1200


async def test_an_import_that_is_stopped_stops_and_keeps_what_it_brought(site: Served):
    s = site.services
    found = await checked(site, MANY)
    await s.imports.bring_in(found.id, "Stef")
    seen: list[int] = []

    async def stop(skus: list[str]) -> None:
        seen.append(len(skus))
        if len(seen) == 1:
            await s.imports.stop(found.id)
            await s.db.write(lambda c: c.execute(update(imports).values(beat_ms=0)))

    import live.shop.imports as module

    beat_s, module.BEAT_S = module.BEAT_S, 0
    try:
        assert await s.imports.work(stop)
    finally:
        module.BEAT_S = beat_s
    assert (await s.imports.by_id(found.id)).state == "stopped"
    assert seen == [500], "no batch after the one that was under way"
    with pytest.raises(WrongState):
        await s.imports.stop(found.id)


async def test_a_file_that_is_no_feed_is_refused_and_leaves_nothing(site: Served, tmp_path: Path):
    s = site.services
    with pytest.raises(Invalid):
        await s.imports.receive(await brand_of(site), "x.png", "Stef", sent("\x89PNG no feed at all"))
    assert list((tmp_path / "feeds").iterdir()) == []
    broken = await checked(site, HEAD + "A\tA\t1 EUR\tS\tInk\ta\t1\n" + '"' + "x" * 200_000)
    assert broken.state == "failed"
    assert "not a table" in broken.why
