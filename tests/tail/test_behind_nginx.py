"""Debian's nginx in front, set up as docs/operations.md says: many players, one question to the origin a thing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
from hls_rules import read
from house import Served, served, settings_for
from ports import free_port
from processes import until
from tail_stage import made, tail_stage

PLAYERS, PROBES, PART_S = 50, 30, 1 / 3
OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


@contextlib.asynccontextmanager
async def nginx(folder: Path, origin: str) -> AsyncIterator[str]:
    """nginx with the snippet of the docs before `origin`; its address."""
    (snippet,) = (s for s in re.findall(r"```nginx\n(.*?)```", OPERATIONS.read_text(), re.S) if "proxy_cache_lock" in s)
    snippet = snippet.replace("http://127.0.0.1:8000", origin).replace(
        "/var/cache/nginx/frontrow", str(folder / "cache")
    )
    outside, location = snippet.split("\n\n", 1)
    port = free_port()
    temps = "\n".join(
        f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config = folder / "nginx.conf"
    user = "user root root;" if os.getuid() == 0 else ""  # it would give up root, and pytest's folders are root's
    config.write_text(
        f"{user} daemon off; worker_processes 1; pid {folder / 'nginx.pid'}; error_log stderr warn;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; {temps}\n{outside}\nserver {{ listen 127.0.0.1:{port};\n{location}\n}} }}\n"
    )
    process = await asyncio.to_thread(_start, config, folder / "nginx.log")

    async def up() -> bool:
        assert process.poll() is None, (folder / "nginx.log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    try:
        await until(up)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await asyncio.to_thread(process.wait, 60)


def _start(config: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(["/usr/sbin/nginx", "-c", str(config), "-e", "stderr"], stdout=out, stderr=out)


class Follower:
    """Asks like a low-latency player: the newest playlist once, then each hinted part and the playlist that has it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http
        self.parts: list[str] = []

    async def run(self, stop: asyncio.Event) -> None:
        master = await self.http.get("live.m3u8")
        assert master.status_code == 200
        playlist = read((await self.http.get("media.m3u8")).text)
        await self._take(playlist.segments[-1].init)
        while not stop.is_set():
            hint = playlist.hint
            msn, part = hint.removesuffix(".m4s").split(".")
            query = {"_HLS_msn": msn, "_HLS_part": part, "_HLS_skip": "YES"}
            _, answer = await asyncio.gather(self._take(hint), self.http.get("media.m3u8", params=query))
            assert answer.status_code == 200, answer.status_code
            self.parts.append(hint)
            playlist = read(answer.text, init="known")

    async def _take(self, name: str) -> None:
        answer = await self.http.get(name)
        assert answer.status_code == 200, (name, answer.status_code)
        assert "immutable" in answer.headers["cache-control"]


async def players_for(http: httpx.AsyncClient) -> int:
    """As many as this machine can do for while the parts come, fifty at most: who falls behind by twelve seconds, for
    which nginx keeps an answer, asks for it again."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    for _ in range(PROBES):
        await http.get("live.m3u8")
    each_s = (loop.time() - began) / PROBES
    return max(10, min(PLAYERS, int(PART_S / 2 / (2 * each_s))))  # by half its time; two questions a part


async def test_many_players_behind_nginx_cost_the_origin_one(tmp_path: Path, redis_url: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        site = await stack.enter_async_context(served(settings_for(tmp_path, redis_url)))
        await site.house.go_live()
        redis, key = site.services.redis, site.services.settings.key
        stage = await stack.enter_async_context(tail_stage(redis, key, site.house.show.id))
        front = await stack.enter_async_context(nginx(tmp_path, site.origin))
        http = await stack.enter_async_context(
            httpx.AsyncClient(
                base_url=f"{front}/hls/aw26/", timeout=60, trust_env=False, limits=httpx.Limits(max_connections=None)
            )
        )
        sent, stop = made(20), asyncio.Event()  # for as long as fifty players take to come here
        async with asyncio.TaskGroup() as tasks:
            feeding = tasks.create_task(stage.feed(sent))

            async def packaged() -> bool:
                return stage.tail.shelf.window.position[1] > 1

            await until(packaged)
            players = [Follower(http) for _ in range(await players_for(http))]
            playing = [tasks.create_task(player.run(stop)) for player in players]
            await until(lambda: _all(player.parts for player in players))
            # What counts is from when all are here: how long that takes is the machine's affair.
            before, web_before = stage.asked.copy(), _at_web(site)
            enough = [len(player.parts) + 7 for player in players]
            while not all(len(player.parts) >= count for player, count in zip(players, enough, strict=True)):
                assert not feeding.done()
                await asyncio.sleep(0.05)
            stop.set()
            await asyncio.gather(*playing)
            feeding.cancel()
        asked = {path.rpartition("/")[2]: count for path, count in (stage.asked - before).items()}
        parts = {name: count for name, count in asked.items() if name.endswith(".m4s")}
        waited = {name: count for name, count in asked.items() if "_HLS_msn" in name}
        assert len(parts) >= 5, asked
        assert len(waited) >= 5, asked
        assert set(parts.values()) == {1}, parts
        assert set(waited.values()) == {1}, waited
        assert [count for name, count in stage.asked.items() if "/init-" in name] == [1]
        # The same at web, which collapses by itself too: nginx asked it for nothing twice but what is kept a second.
        assert _at_web(site) - web_before <= sum(asked.values()) + 6, asked
        assert sum(len(player.parts) for player in players) > 5 * len(players)


def _at_web(site: Served) -> float:
    return float(site.app.state.figures.requests.labels("hls.take", "200")._value.get())


async def _all(lists: object) -> bool:
    return all(lists)  # type: ignore[call-overload]
