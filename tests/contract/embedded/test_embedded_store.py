"""The embedded store against the real server: who starts it, who finds it, what it keeps, how it fails."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from live.settings import Settings
from live.store import embedded
from live.store.embedded import (
    SOCKET_PATH_BYTES,
    FolderNotWritable,
    StoreCorrupt,
    embedded_store,
    find_server,
    running_store,
)


def settings_in(folder: Path) -> Settings:
    return Settings(_env_file=None, data_dir=folder, redis_url=None)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[Redis]:
    redis = Redis.from_url(url)
    try:
        yield redis
    finally:
        await redis.aclose()


async def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.02)


async def server_pid(url: str) -> int:
    async with client(url) as redis:
        return int((await redis.info("server"))["process_id"])


def mode_of(path: Path) -> int:
    return path.lstat().st_mode & 0o777


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_server_found_is_seven_or_newer() -> None:
    assert int(find_server().version.split(".")[0]) >= 7


def test_an_old_server_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.2.7 sha=00000000:0 malloc=libc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert shutil.which("redis-server") == str(old)
    assert find_server().path != old


def test_a_new_server_on_the_path_comes_before_the_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = tmp_path / "valkey-server"
    new.write_text("#!/bin/sh\necho 'Valkey server v=8.0.1 sha=00000000:0 malloc=libc bits=64'\n")
    new.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert find_server() == (new, "8.0.1", False)


async def test_redis_url_is_used_when_it_is_set(tmp_path: Path) -> None:
    settings = Settings(_env_file=None, data_dir=tmp_path, redis_url="redis://elsewhere:6379/0")
    async with embedded_store(settings) as url:
        assert url == "redis://elsewhere:6379/0"
    assert not (tmp_path / "redis").exists()


async def test_data_is_kept_between_runs_and_the_server_is_stopped(tmp_path: Path) -> None:
    async with embedded_store(settings_in(tmp_path)) as url:
        pid = await server_pid(url)
        async with client(url) as redis:
            assert (await redis.config_get("appendfsync"))["appendfsync"] == "always"
            assert (await redis.config_get("port"))["port"] == "0"
            await redis.set("kept", "yes")
    assert not runs(pid)
    assert await running_store(settings_in(tmp_path)) is None
    async with embedded_store(settings_in(tmp_path)) as url, client(url) as redis:
        assert await redis.get("kept") == b"yes"


async def test_the_socket_is_for_its_owner_alone(tmp_path: Path) -> None:
    async with embedded_store(settings_in(tmp_path)):
        assert mode_of(tmp_path / "redis" / "store.sock") == 0o700


async def test_a_second_starter_finds_the_running_one(tmp_path: Path) -> None:
    async with embedded_store(settings_in(tmp_path)) as first:
        async with embedded_store(settings_in(tmp_path)) as second:
            assert first == second
            assert await server_pid(first) == await server_pid(second)
        assert await running_store(settings_in(tmp_path)) == first


async def test_of_many_that_start_at_once_one_starts_it(tmp_path: Path) -> None:
    arrived = 0
    everyone = asyncio.Event()
    pids: set[int] = set()

    async def one() -> None:
        nonlocal arrived
        async with embedded_store(settings_in(tmp_path)) as url:
            pids.add(await server_pid(url))
            arrived += 1
            if arrived == 6:
                everyone.set()
            await everyone.wait()

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(one())
    assert len(pids) == 1


async def test_one_who_stands_by_takes_over_when_the_owner_is_killed(tmp_path: Path) -> None:
    owner = _owner_process(tmp_path)
    try:
        url = await asyncio.to_thread(_line, owner)
        async with embedded_store(settings_in(tmp_path)) as ours:
            assert ours == url
            old = await server_pid(url)
            async with client(url) as redis:
                await redis.set("held", "1")
            owner.kill()
            await until(lambda: not runs(old))
            await _until_answers(url)
            assert await server_pid(url) != old
            async with client(url) as redis:
                assert await redis.get("held") == b"1"
    finally:
        owner.kill()
        owner.communicate()


async def test_the_server_dies_with_an_owner_that_is_killed(tmp_path: Path) -> None:
    owner = _owner_process(tmp_path)
    try:
        url = await asyncio.to_thread(_line, owner)
        pid = await server_pid(url)
        assert runs(pid)
        owner.send_signal(signal.SIGKILL)
        await until(lambda: not runs(pid))
    finally:
        owner.kill()
        owner.communicate()


async def test_a_folder_with_a_long_path_gets_a_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    async with embedded_store(settings_in(folder)) as url:
        path = Path(url.removeprefix("unix://"))
        assert len(os.fsencode(path)) <= SOCKET_PATH_BYTES < len(os.fsencode(folder))
        assert path.parent.stat().st_mode & 0o777 == 0o700
        async with embedded_store(settings_in(folder)) as second:
            assert second == url
    assert not path.parent.exists()


async def test_a_corrupt_file_is_named_with_the_command_that_mends_it(tmp_path: Path) -> None:
    async with embedded_store(settings_in(tmp_path)) as url, client(url) as redis:
        for number in range(50):
            await redis.set(f"key:{number}", "x" * 40)
    [increments] = (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")
    whole = increments.read_bytes()
    increments.write_bytes(whole[:600] + b"\x00broken\x00" + whole[609:])

    with pytest.raises(StoreCorrupt) as caught:
        async with embedded_store(settings_in(tmp_path)):
            pass
    assert "redis-check-aof" in caught.value.facts["repair"]

    mended = await asyncio.to_thread(
        subprocess.run, caught.value.facts["repair"], shell=True, input=b"y\n", capture_output=True
    )
    assert mended.returncode == 0, mended.stdout + mended.stderr
    async with embedded_store(settings_in(tmp_path)) as url, client(url) as redis:
        assert await redis.get("key:0") == b"x" * 40


async def test_a_file_cut_short_by_a_power_failure_is_loaded_up_to_the_cut(tmp_path: Path) -> None:
    async with embedded_store(settings_in(tmp_path)) as url, client(url) as redis:
        await redis.set("first", "1")
        await redis.set("last", "2")
    [increments] = (tmp_path / "redis" / "appendonlydir").glob("*.incr.aof")
    increments.write_bytes(increments.read_bytes()[:-7])
    async with embedded_store(settings_in(tmp_path)) as url, client(url) as redis:
        assert await redis.get("first") == b"1"
        assert await redis.get("last") is None


async def test_a_folder_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FolderNotWritable) as caught:
        async with embedded_store(settings_in(tmp_path / "file" / "data")):
            pass
    assert caught.value.facts["path"].startswith(str(tmp_path))


def _owner_process(folder: Path) -> subprocess.Popen[bytes]:
    program = (
        "import asyncio, sys, pathlib\n"
        "from live.settings import Settings\n"
        "from live.store.embedded import embedded_store\n"
        "async def main():\n"
        "    s = Settings(_env_file=None, data_dir=pathlib.Path(sys.argv[1]), redis_url=None)\n"
        "    async with embedded_store(s) as url:\n"
        "        print(url, flush=True)\n"
        "        await asyncio.Event().wait()\n"
        "asyncio.run(main())\n"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE)


def _line(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


async def _until_answers(url: str) -> None:
    deadline = time.monotonic() + 60
    while not await embedded._answers(Path(url.removeprefix("unix://"))):
        assert time.monotonic() < deadline, "nobody took over"
        await asyncio.sleep(0.05)
