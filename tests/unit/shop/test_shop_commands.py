"""The shop's commands, on real stores."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from fresh_store import lay
from house import House
from typer.testing import CliRunner

from live import cli
from live.desk.wiring import Services, services
from live.settings import Settings


@pytest.fixture
def house_id(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A show on air with units held; the settings name its stores. Its id."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    monkeypatch.setenv("FRONTROW_DATA_DIR", str(tmp_path))
    lay(tmp_path)

    async def seed(s: Services) -> str:
        house = await House(s).seed()
        await house.go_live(1)
        await s.desk.add_to_cart(house.show.id, "per_a", "L1-S", 2, op="1")
        return house.show.id

    return str(on_services(seed))


def on_services(job: Callable[[Services], object]) -> object:
    async def run() -> object:
        async with services(Settings()) as s:
            return await job(s)  # type: ignore[misc]

    return asyncio.run(run())


def test_a_rebuilt_gate_sells_what_sql_has_and_holds_nothing(house_id: str) -> None:
    answer = CliRunner().invoke(cli.app, ["stock", "rebuild", "aw26"])
    assert answer.exit_code == 0, answer.output
    assert "30 units to sell. 2 units were held." in answer.output

    async def look(s: Services) -> tuple[int, int, str]:
        cart = await s.carts.view(house_id, "per_a")
        level = (await s.gate.levels(house_id))["L1-S"]
        return await s.gate.held(house_id), level.left, cart.lines[0].state

    assert on_services(look) == (0, 5, "lapsed")


def test_a_show_that_is_not_there_is_said(house_id: str) -> None:
    answer = CliRunner().invoke(cli.app, ["stock", "rebuild", "nowhere"])
    assert answer.exit_code == 1


def test_terms_of_a_drop_and_a_products_cap_are_set_by_command(house_id: str) -> None:
    run = CliRunner().invoke
    assert run(cli.app, ["show", "terms", "aw26", "2", "--limit", "2", "--hot", "--work", "8"]).exit_code == 0
    assert run(cli.app, ["stock", "cap", "coat-1", "3", "--brand", "atelier"]).exit_code == 0

    async def look(s: Services) -> tuple[object, dict[str, int]]:
        programme = await s.programmes.of(house_id)
        return programme.runsheet.looks[1].drop, programme.product_caps

    drop, caps = on_services(look)  # type: ignore[misc]
    assert (drop.limit, drop.hot, drop.work_bits) == (2, True, 8)
    assert list(caps.values()) == [3]
    assert "look 9" in str(run(cli.app, ["show", "terms", "aw26", "9"]).exception)
    assert "coat-1" in str(run(cli.app, ["stock", "cap", "gloves", "1", "--brand", "atelier"]).exception)
