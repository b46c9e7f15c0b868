"""Admission at a real relay: by places, and by what it measures of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from relay_people import Viewer, let_in, live, watching
from relay_stage import stage, until

from live.relay import admission
from live.relay import relay as relay_module
from live.relay import show as show_module


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(show_module, "SILENCE_MS", 60_000)


async def test_the_third_viewer_of_two_places_is_sent_away_until_one_leaves(tmp_path: Path, redis_url: str) -> None:
    async with stage(tmp_path, redis_url=redis_url, relay_capacity=2) as up:
        camera = await live(up)
        first, second, third = await watching(up), await watching(up), Viewer()
        refused = await up.play(third.caller.offer("recvonly"))
        assert refused.status_code == 503
        assert 1 <= int(refused.headers["Retry-After"]) <= 10
        assert refused.headers["Access-Control-Expose-Headers"].find("Retry-After") >= 0
        assert up.relay.load() == 1.0
        camera.frame()
        await until(lambda: len(first.order) == len(second.order) == 6)
        await up.http.delete(f"{up.url}{first.session}")
        await let_in(up, third)
        await until(lambda: len(third.order) == 6)
        for one in (camera, first, second, third):
            await one.caller.close()


async def test_a_busy_relay_refuses_newcomers_keeps_who_is_on_and_opens_again(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "_MEASURED_EVERY", 1)
    monkeypatch.setattr(admission, "WINDOW_MS", 300)
    monkeypatch.setattr(admission, "SHUT_AT_LEAST_MS", 100)
    monkeypatch.setattr(admission, "LAG_SHUT_MS", 10_000.0)  # the machine's own load is not what is tested
    monkeypatch.setattr(admission, "LAG_OPEN_MS", 10_000.0)
    burnt = {"s": 0.0, "a_look": 0.0}

    def cpu_s() -> float:
        burnt["s"] += burnt["a_look"]
        return burnt["s"]

    async with stage(tmp_path, redis_url=redis_url, relay_busy_percent=85) as up:
        up.relay.cpu_s = cpu_s
        camera = await live(up)
        on = await watching(up)
        assert not up.relay.gate.shut, "premise: it takes viewers"
        burnt["a_look"] = 10.0
        await until(lambda: up.relay.gate.shut)
        late = Viewer()
        refused = await up.play(late.caller.offer("recvonly"))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) >= 1
        assert up.relay.load() == 1.0
        assert up.relay.stats()["shut"] == "cpu"
        camera.frame()
        await until(lambda: len(on.order) == 6)
        burnt["a_look"] = 0.0
        await until(lambda: not up.relay.gate.shut)
        await let_in(up, late)
        await until(lambda: len(late.order) == 6)
        for one in (camera, on, late):
            await one.caller.close()
