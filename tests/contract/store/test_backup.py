"""A backup of either store restores into either store, whole or not at all; and the restored shop adds up and sells."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path

import pytest
import shop_world
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis
from sqlalchemy import Connection, select
from typer.testing import CliRunner

from live import cli
from live.commands.start import Stop
from live.store import backup
from live.store.backup import Backup, BackupUnreadable
from live.store.migrate import upgrade
from live.store.sql import new_engine
from live.store.tables import metadata

PICTURE = bytes(range(256)) * 40


def everything(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    return {
        table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
        for table in metadata.sorted_tables
    }


@pytest.fixture
async def sold(world: shop_world.World) -> shop_world.World:
    """A shop in the middle of things: one order paid, one pending, one unit held."""
    await world.stock_a_show({"RED": 5, "BLUE": 3})
    await world.buy("per_ada", "RED", 2)
    await world.add("per_eve", "BLUE")
    await world.place("per_eve", "key-2")
    await world.add("per_bob", "RED")
    pictures = world.settings.data_dir / "pictures" / "coat"
    pictures.mkdir(parents=True)
    (pictures / "front.webp").write_bytes(PICTURE)
    (world.settings.data_dir / "secret_key").write_text("the key of the links")
    return world


async def made(world: shop_world.World, target: Path) -> Path:
    data_dir = world.settings.data_dir
    await world.db.read(lambda sql: backup.write(sql, data_dir, target, 1_700_000_000_000))
    return target


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
async def test_what_was_backed_up_comes_back_to_the_row(
    sold: shop_world.World, into: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    file = await made(sold, tmp_path / "shop.zip")
    before = await sold.db.read(everything)
    url = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    if into == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        shop_world.empty(url)
    it = Backup(file)
    it.prove()
    upgrade(url, tmp_path, it.manifest.migration)
    engine = new_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as sql:
        assert backup.first_row(sql) is None
        it.fill(sql)
    with engine.begin() as sql:
        assert everything(sql) == before
        # The next row of a counted table does not meet an old one's number.
        highest = sql.execute(select(metadata.tables["ledger"].c.id).order_by(metadata.tables["ledger"].c.id.desc()))
        last = highest.scalars().first()
        entry = {"order_id": before["orders"][0][0], "kind": "note", "wall_ms": 1, "facts": "{}"}
        written = sql.execute(metadata.tables["ledger"].insert().values(entry))
        assert written.inserted_primary_key is not None
        assert written.inserted_primary_key[0] > last
    engine.dispose()
    it.unpack(tmp_path / "elsewhere")
    it.close()
    assert (tmp_path / "elsewhere/pictures/coat/front.webp").read_bytes() == PICTURE
    key = tmp_path / "elsewhere/secret_key"
    assert key.read_text() == "the key of the links"
    assert key.stat().st_mode & 0o077 == 0
    assert file.stat().st_mode & 0o077 == 0, "names and addresses are nobody else's"


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
async def test_a_store_in_which_a_worker_only_looked_round_is_empty_still(
    sold: shop_world.World, into: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    await sold.after_sale.dispute_list.find_due(sold.checkout.settle)
    it = Backup(await made(sold, tmp_path / "shop.zip"))
    before = await sold.db.read(everything)
    assert before["dispute_reads"], "the premise: it notes how far it looked"
    url = f"sqlite:///{tmp_path / 'other.sqlite3'}"
    if into == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        shop_world.empty(url)
    upgrade(url, tmp_path, it.manifest.migration)
    engine = new_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as sql:
        sql.execute(metadata.tables["dispute_reads"].insert().values(**_of_another_time(before["dispute_reads"][0])))
        assert backup.first_row(sql) is None
        it.fill(sql)
    with engine.begin() as sql:
        assert everything(sql) == before, "and what it noted there goes for what was restored"
    engine.dispose()
    it.close()


def _of_another_time(row: tuple[object, ...]) -> dict[str, object]:
    names = [column.name for column in metadata.tables["dispute_reads"].c]
    return {**dict(zip(names, row, strict=True)), "since_ms": 1, "due_ms": 1}


async def test_a_file_that_was_touched_is_refused_before_anything_is_made_of_it(
    sold: shop_world.World, tmp_path: Path
) -> None:
    whole = (await made(sold, tmp_path / "shop.zip")).read_bytes()
    entries = zipfile.ZipFile(tmp_path / "shop.zip").infolist()
    # Inside the packed bytes of the entries: what a bad disk or a bad line spoils. zip's own directory is checked by
    # its reader, and a byte of it that nobody reads changes nothing.
    spans = [(e.header_offset + 30 + len(e.filename) + 20, e.compress_size) for e in entries if e.compress_size > 40]

    refused: list[int] = []

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(spans), st.integers(0, 10**6), st.integers(1, 255))
    def spoil(span: tuple[int, int], where: int, by: int) -> None:
        spoilt = bytearray(whole)
        spoilt[span[0] + where % (span[1] - 24)] ^= by
        (tmp_path / "spoilt.zip").write_bytes(spoilt)
        try:
            it = Backup(tmp_path / "spoilt.zip")
            it.prove()
        except BackupUnreadable:
            refused.append(where)
        else:  # a bit that says nothing: every entry still unpacks to what was written
            with zipfile.ZipFile(tmp_path / "spoilt.zip") as there, zipfile.ZipFile(tmp_path / "shop.zip") as here:
                assert all(there.read(e.filename) == here.read(e.filename) for e in entries)

    spoil()
    assert len(refused) > 40
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "short.zip").write_bytes(whole[:length])
        with pytest.raises(BackupUnreadable):
            Backup(tmp_path / "short.zip").prove()


@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "pictures/../../outside", "pictures\\..\\outside"])
def test_no_entry_leaves_the_data_folder(tmp_path: Path, name: str) -> None:
    import hashlib

    import msgspec

    entries = {name: backup.Entry(4, hashlib.sha256(b"evil").hexdigest())}
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as archive:
        archive.writestr(name, b"evil")
        archive.writestr(backup.MANIFEST, msgspec.json.encode(backup.Manifest(1, "0001", 0, entries)))
    with pytest.raises(BackupUnreadable):
        Backup(tmp_path / "bad.zip").prove()


async def test_a_backup_is_of_one_moment_while_people_buy(sold: shop_world.World, tmp_path: Path) -> None:
    """The sale that comes while the tables are being written is wholly in it or wholly not."""
    loop = asyncio.get_running_loop()
    sales: list[object] = []

    def tell(connection: Connection) -> backup.Manifest:
        # The snapshot begins with the first read; then somebody buys, from another connection, before the rest is read.
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        connection.execute(select(metadata.tables["brands"])).all()
        sales.append(asyncio.run_coroutine_threadsafe(sold.buy("per_zoe", "RED", 1, "key-9"), loop).result(30))
        data_dir = sold.settings.data_dir
        with zipfile.ZipFile(tmp_path / "moment.zip", "w") as archive:
            return backup._fill(archive, connection, data_dir, 1, backup.silence)

    manifest = await sold.db.read(tell)
    assert sales
    assert manifest.entries["tables/orders.jsonl"].rows == 2, "the third order came after the moment"
    it = Backup(tmp_path / "moment.zip")
    rows = [row for batch in it._rows("tables/variants.jsonl") for row in batch]
    it.close()
    assert {row["sku"]: row["sold"] for row in rows} == {"RED": 2, "BLUE": 0}


def _run(*words: str) -> str:
    answer = CliRunner().invoke(cli.app, list(words))
    if answer.exception is not None and not isinstance(answer.exception, SystemExit):
        raise answer.exception
    return answer.output


def test_the_drill_by_hand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    """Backed up, lost, restored, and the invariants hold; nothing that is there is ever overwritten."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    data, file = tmp_path / "data", tmp_path / "shop.zip"
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(data))

    async def trade() -> None:
        async with shop_world.world(redis_url, data) as shop:
            await shop.stock_a_show({"RED": 5})
            await shop.buy("per_ada", "RED", 2)
            await shop.add("per_bob", "RED")

    asyncio.run(trade())
    assert "rows" in _run("backup", str(file))
    with pytest.raises(Stop, match="there already"):
        _run("backup", str(file))
    with pytest.raises(Stop, match="not empty"):
        _run("restore", str(file))
    assert "is whole" in _run("restore", str(file), "--check")

    async def forget() -> None:
        redis = Redis.from_url(redis_url)
        await redis.flushall()
        await redis.aclose()

    asyncio.run(forget())
    said = _run("restore", str(file), "--aside")
    assert "add up" in said
    kept = [path.name for path in data.iterdir() if ".before-" in path.name]
    assert any(name.startswith("frontrow.sqlite3.before-") for name in kept)

    async def sells_on() -> int:
        async with shop_world.world(redis_url, data) as shop:
            [shop.show] = await shop.gate.shows_open()
            assert await shop.left("RED") == 3, "two are sold; the unit that was held is free again"
            await shop.buy("per_cyd", "RED", 3, "key-7")
            assert await shop.wrong() == []
            return await shop.sold("RED")

    assert asyncio.run(sells_on()) == 5


@pytest.mark.parametrize("into", ["sqlite", "postgresql"])
async def test_the_drill_under_load(
    world: shop_world.World,
    into: str,
    tmp_path: Path,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Backed up while people buy, all lost, restored by the command into either store: it adds up, and sells on."""
    await world.stock_a_show({"RED": 60})
    acknowledged: list[str] = []
    some = asyncio.Event()

    async def trade(street: int) -> None:
        for n in range(10):
            acknowledged.append((await world.buy(f"per_{street}_{n}", "RED")).order_id)
            if len(acknowledged) == 8:
                some.set()

    file = tmp_path / "shop.zip"
    async with asyncio.TaskGroup() as group:
        buying = [group.create_task(trade(street)) for street in range(4)]
        await some.wait()  # in the middle of it
        before = len(acknowledged)
        await made(world, file)
        assert not all(task.done() for task in buying), "the premise: they bought while it was written"
    await world.redis.flushall()
    url = None
    if into == "postgresql":
        url = str(request.getfixturevalue("postgres_url"))
        shop_world.empty(url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path / "after"))
    monkeypatch.setenv("FRONTROW_SECRET_KEY", "k" * 32)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    if url:
        monkeypatch.setenv("DATABASE_URL", url)
    assert "add up" in await asyncio.to_thread(_run, "restore", str(file))

    async with shop_world.world(redis_url, tmp_path / "after", database_url=url) as after:
        [after.show] = await after.gate.shows_open()
        for order_id in acknowledged[:before]:
            assert (await after.orders.by_id(order_id)).status == "paid", "what was acknowledged before it is in it"
        sold = await after.sold("RED")
        assert before <= sold <= 40
        assert await after.left("RED") == 60 - sold, "the gate was made again from SQL"
        assert (await after.buy("per_zoe", "RED", 1, "key-after")).status == "paid"
        assert await after.sold("RED") == sold + 1
        assert await after.wrong() == []
