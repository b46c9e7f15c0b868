"""A whole show for the browser tests: the real processes, a seeded house, and publishers."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
from house import House
from processes import ShowServer, until
from sqlalchemy import Row, Select

from live.accounts.staff import Staff
from live.desk.wiring import Services
from live.stage.show import Show

# A file as an encoder makes it for WebRTC: no B-frames, a key frame a second, Opus.
MAKE_FILE = [
    *(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25",
        "-f",
        "lavfi",
        "-i",
        "sine=frequency=330:sample_rate=48000",
    ),
    *("-t", "120", "-c:v", "libx264", "-profile:v", "baseline", "-preset", "ultrafast", "-g", "25", "-b:v", "600k"),
    *("-pix_fmt", "yuv420p", "-c:a", "libopus", "-ac", "2"),
]


class Theatre:
    """A running server with the house of tests/house.py in it."""

    def __init__(self, server: ShowServer, house: House, folder: Path) -> None:
        self.server = server
        self.house = house
        self.services: Services = house.services
        self.show: Show = house.show
        self.slug = house.show.slug
        self.looks = house.looks
        self.host = house.host
        self.moderator = house.moderator
        self.url = server.url
        self.page = f"{server.url}/shows/{house.show.slug}"
        self._folder = folder
        self._children: list[asyncio.subprocess.Process] = []

    async def sign_in_link(self, staff: Staff, then: str) -> str:
        token = await self.services.signin.issue_link(staff_id=staff.id, ttl_s=600)
        return f"{self.url}/sign-in/{token}?next={then}"

    async def publish_file(self) -> asyncio.subprocess.Process:
        """FFmpeg sends a real file by WHIP, as it is."""
        file = self._folder / "show.mp4"
        ffmpeg = imageio_ffmpeg.get_ffmpeg_exe()
        await self._done(ffmpeg, "-v", "error", "-y", *MAKE_FILE, str(file))
        key = await self.services.shows.set_publish_key(self.show.id)
        whip = ["-f", "whip", "-whip_flags", "dtls_active", "-authorization", key, f"{self.url}/whip/{self.slug}"]
        child = await self._child(ffmpeg, "-v", "error", "-re", "-i", str(file), "-c", "copy", *whip)
        await self._on_air()
        return child

    async def publish_runway(self) -> asyncio.subprocess.Process:
        """The demo's own publisher sends the generated runway."""
        key = await self.services.shows.set_publish_key(self.show.id)
        child = await self._child(
            sys.executable,
            *("-m", "live.cli", "publish", "--to", f"{self.url}/whip/{self.slug}"),
            environment={"FRONTROW_PUBLISH_KEY": key},
        )
        await self._on_air()
        return child

    async def _on_air(self) -> None:
        """Until the relay has a key frame of the publisher."""

        async def live() -> bool:
            return (await self.services.media.picture(self.show.id)).state == "live"

        try:
            await until(live, within_s=60)
        except AssertionError:
            raise AssertionError(f"no picture: {(self._folder / 'publisher.log').read_text()}") from None

    async def kill(self, child: asyncio.subprocess.Process) -> None:
        child.send_signal(signal.SIGKILL)
        await child.wait()

    async def one(self, query: Select[Any]) -> Row[Any]:
        return await self.services.db.read(lambda sql: sql.execute(query).one())

    async def all(self, query: Select[Any]) -> Sequence[Row[Any]]:
        return await self.services.db.read(lambda sql: sql.execute(query).all())

    async def aclose(self) -> None:
        for child in self._children:
            if child.returncode is None:
                child.kill()
                await child.wait()

    async def _child(self, *command: str, environment: dict[str, str] | None = None) -> asyncio.subprocess.Process:
        with (self._folder / "publisher.log").open("ab") as log:
            child = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **(environment or {})},
            )
        self._children.append(child)
        return child

    async def _done(self, *command: str) -> None:
        child = await self._child(*command)
        assert await child.wait() == 0, (self._folder / "publisher.log").read_text()


@asynccontextmanager
async def theatre(
    folder: Path, environment: dict[str, str] | None = None, *, tail: bool = False
) -> AsyncIterator[Theatre]:
    server = ShowServer(folder / "data", worker=True, relay=True, tail=tail, environment=environment)
    try:
        # Started beside the loop: waiting for processes blocks, and playwright's own traffic must go on.
        await asyncio.to_thread(server.__enter__)
        async with server.services() as parts:
            stage = Theatre(server, await House(parts).seed(), folder)
            try:
                yield stage
            finally:
                await stage.aclose()
    finally:
        await asyncio.to_thread(server.stop_all)
