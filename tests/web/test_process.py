"""The web process as a supervisor sees it: started, told to stop, gone with exit code 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

import httpx
import pytest
import structlog
from house import Browser, settings_for, until
from ports import free_port

from chat.client import RoomClient
from chat.hub import Hub
from live.web.process import new_server

START = "from live.settings import Settings; from live.web.process import run; run(Settings(_env_file=None))"


@pytest.fixture
async def process(tmp_path, redis_url):
    """The process, its address, and its end."""
    port = free_port()
    environment = {
        **os.environ,
        "REDIS_URL": redis_url,
        "PORT": str(port),
        "FRONTROW_DATA_DIR": str(tmp_path),
        "FRONTROW_LOG_FORMAT": "json",
    }
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", START, env=environment, stderr=asyncio.subprocess.PIPE
    )
    origin = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(base_url=origin, trust_env=False, timeout=60) as client:

        async def answers() -> bool:
            assert child.returncode is None, await child.stderr.read()
            try:
                return (await client.get("/readyz")).status_code == 200
            except httpx.TransportError:
                return False

        await until(answers, within_s=60)
        yield child, origin, client
    if child.returncode is None:
        child.kill()
    await child.communicate()


async def test_told_to_stop_it_sends_its_sockets_elsewhere_and_exits_with_0(process, tmp_path):
    child, origin, client = process
    browser = Browser(client, origin)
    await browser.open("/")
    await _seed_show(tmp_path)
    room = await RoomClient.connect(origin.replace("http", "ws") + "/ws/aw26", browser.cookie, origin)
    child.send_signal(signal.SIGTERM)
    going = await room.wait("going")
    assert 0 <= going["retry_ms"] <= 2_000
    await until(lambda: _closed(room))
    assert room.close_code == 1012
    await room.aclose()
    async with asyncio.timeout(60):
        assert await child.wait() == 0
    with pytest.raises(httpx.TransportError):
        await client.get("/healthz")


async def test_a_request_in_flight_finishes_before_the_process_goes(process):
    child, origin, client = process
    browser = Browser(client, origin)
    await browser.open("/")
    sent = asyncio.Event()

    async def slowly():
        """The rest of the body comes only after the process was told to stop."""
        yield b'{"name": '
        sent.set()
        await asyncio.sleep(0.3)  # lets SIGTERM take hold: there is nothing to see of it from outside
        yield b'"Vera"}'

    headers = {"Origin": origin, "X-CSRF": browser.csrf, "Content-Type": "application/json"}
    asking = asyncio.create_task(client.post("/api/name", content=slowly(), headers=headers))
    await sent.wait()
    child.send_signal(signal.SIGTERM)
    answer = await asking
    assert (answer.status_code, answer.json()) == (200, {"name": "Vera"})
    async with asyncio.timeout(60):
        assert await child.wait() == 0


async def test_a_process_whose_hub_ended_goes_so_that_it_is_started_again(tmp_path, redis_url, monkeypatch):
    async def ends(_hub: Hub) -> None:
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr(Hub, "run", ends)
    with structlog.testing.capture_logs() as lines:
        server = new_server(settings_for(tmp_path, redis_url, port=free_port()))
        async with asyncio.timeout(60):
            await server.serve()
    assert server.crashed
    assert [line["task"] for line in lines if line["event"] == "owned_task.ended"] != []


async def test_it_does_not_say_what_it_runs_on(process):
    _, _, client = process
    assert "server" not in (await client.get("/healthz")).headers


async def _closed(room: RoomClient) -> bool:
    return room.close_code is not None


async def _seed_show(folder) -> None:
    from live.clock import SystemClock
    from live.shop.catalogue import Catalogue
    from live.stage.shows import Shows
    from live.store.sql import Database

    db = Database(f"sqlite:///{folder}/frontrow.sqlite3")
    brand = await Catalogue(db).add_brand(slug="a", name="A", currency="EUR", country="FR")
    await Shows(db, SystemClock()).create(brand, "aw26", "AW26")
    await db.close()
