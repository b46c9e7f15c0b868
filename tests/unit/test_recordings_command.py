"""`frontrow recordings …` on a real folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner

from live import cli
from live.commands.start import Stop
from live.desk.wiring import services
from live.settings import Settings
from live.store.tables import brands, recordings, shows


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> Path:
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    async def fill() -> None:
        async with services(Settings(data_dir=tmp_path, redis_url=redis_url, _env_file=None)) as s:
            brand = {"id": "bra_1", "slug": "b", "name": "B", "currency": "EUR", "country": "FR", "created_ms": 0}
            show = {"id": "sho_1", "brand_id": "bra_1", "slug": "opening", "title": "S", "created_ms": 0}
            await s.db.write(lambda sql: sql.execute(insert(brands).values(brand)) and None)
            await s.db.write(lambda sql: sql.execute(insert(shows).values(show)) and None)
            for name, more in {
                "rec_1": {"state": "finished", "ended_ms": 1, "duration_ms": 3_723_000},
                "rec_2": {"state": "failed", "ended_ms": 2, "why": "disk_full"},
                "rec_3": {"state": "recording"},
            }.items():
                row = {"id": name, "show_id": "sho_1", "path": f"recordings/sho_1/{name}.mp4"}
                row |= {"starts_at_ms": 0, "started_ms": 0, "bytes": 2_500_000, **more}
                await s.db.write(lambda sql, row=row: sql.execute(insert(recordings).values(**row)) and None)  # type: ignore[misc]

    asyncio.run(fill())
    folder = tmp_path / "recordings" / "sho_1"
    folder.mkdir(parents=True)
    for name in ("rec_1", "rec_2", "rec_3"):
        (folder / f"{name}.mp4").write_bytes(b"film")
    return folder


def said(*arguments: str) -> str:
    answer = CliRunner().invoke(cli.app, ["recordings", *arguments])
    if isinstance(answer.exception, Stop):
        return answer.exception.sentence
    assert answer.exit_code == 0, answer.exception
    return answer.output


def test_recordings_are_listed_kept_and_removed(run: Path) -> None:
    first, second, third = said("list").splitlines()
    assert first.startswith("rec_1  opening")
    assert "1:02:03" in first
    assert "2.5 MB" in first
    assert second.endswith("failed: the disk was full")
    assert third.endswith("recording")
    assert said("list", "opening").splitlines() == [first, second, third]

    assert said("keep", "rec_1") == "rec_1 is kept.\n"
    assert said("list").splitlines()[0].endswith("finished, kept")

    assert said("remove", "rec_3") == "rec_3 is being recorded. End its show first."
    assert said("remove", "rec_2") == "rec_2 is removed, 2.5 MB.\n"
    assert said("remove", "rec_2") == "rec_2 was removed before."
    assert said("list").splitlines()[1].endswith("removed: by hand")
    assert sorted(path.name for path in run.iterdir()) == ["rec_1.mp4", "rec_3.mp4"]
