"""`frontrow audit verify` on a real folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from chat.ports import Act
from live import cli
from live.commands.start import Stop
from live.desk.wiring import services
from live.settings import Settings
from live.store.tables import audit


def _acts(settings: Settings, *, rewrite: bool) -> None:
    async def run() -> None:
        async with services(settings) as s:
            for n in range(3):
                await s.archive.act(Act("shw_one", "per_mod", "person.ban", f"per_{n}", "spam", "", "{}", n))
            if rewrite:
                query = update(audit).where(audit.c.target == "per_1").values(reason="none at all")
                await s.db.write(lambda sql: sql.execute(query) and None)

    asyncio.run(run())


@pytest.mark.parametrize("rewrite", [False, True])
def test_the_record_is_whole_until_somebody_rewrites_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_url: str, rewrite: bool
) -> None:
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    _acts(Settings(data_dir=tmp_path, redis_url=redis_url, _env_file=None), rewrite=rewrite)
    answer = CliRunner().invoke(cli.app, ["audit", "verify"])
    if rewrite:
        assert isinstance(answer.exception, Stop)
        assert answer.exception.sentence == "shw_one: act 2 does not follow from the one before."
    else:
        assert answer.output == "shw_one: 3 acts, whole.\n"
        assert answer.exit_code == 0
