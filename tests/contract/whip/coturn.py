"""Debian's coturn as a network without UDP leaves it to us: TCP alone, credentials by shared secret."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from ports import free_port

SECRET = "north"
READY_WITHIN_S = 60.0


@contextlib.asynccontextmanager
async def coturn(folder: Path) -> AsyncIterator[str]:
    """The address of a running one (RFC 7065). Fails where coturn isn't installed: `make packages` does it."""
    server = shutil.which("turnserver")
    assert server is not None, "coturn is not here: scripts/packages installs it"
    port = free_port()
    options = [
        "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-p", str(port), "--no-udp", "--no-tls", "--no-dtls", "--no-cli",
        "--realm", "shop.test", "--use-auth-secret", "--static-auth-secret", SECRET,
        # As docs/operations.md says: to the relay's address and nowhere else. Loopback has to be asked for twice.
        "--denied-peer-ip", "0.0.0.0-255.255.255.255",
        "--denied-peer-ip", "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        "--allowed-peer-ip", "127.0.0.1", "--allow-loopback-peers", "--log-file", "stdout", "--simple-log",
        "--userdb", str(folder / "turndb"), "--pidfile", str(folder / "turn.pid"),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        server, *options, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, cwd=folder
    )
    assert process.stdout is not None
    told: list[bytes] = []
    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(_read(process.stdout, told))
        try:
            await _listens(port, process, told)
            yield f"turn:127.0.0.1:{port}?transport=tcp"
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
            await reading


async def _read(stream: asyncio.StreamReader, told: list[bytes]) -> None:
    async for line in stream:  # a pipe that nobody reads would stop it
        told.append(line)


async def _listens(port: int, process: asyncio.subprocess.Process, told: list[bytes]) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while True:
            assert process.returncode is None, b"".join(told).decode()
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                await writer.wait_closed()
                return
            await asyncio.sleep(0.05)
