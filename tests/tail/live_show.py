"""A whole installation with a show on air, published by FFmpeg, and a player that follows its playlist."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
from hls_rules import Playlist, follows, read
from house import House
from processes import ShowServer, until
from relay_stage import ffmpeg

FLASHES = "color=black:size=320x240:rate=30,drawbox=color=white:t=fill:enable='lt(mod(t,1),0.1)'"
BEEPS = "aevalsrc='0.5*sin(2000*PI*t)*lt(mod(t,1),0.1)':s=48000"
H264 = (
    "-c:v", "libx264", "-profile:v", "baseline", "-tune", "zerolatency", "-preset", "ultrafast", "-g", "60",
    "-b:v", "800k", "-pix_fmt", "yuv420p",
)  # fmt: skip


@contextlib.asynccontextmanager
async def on_air(folder: Path, **more: Any) -> AsyncIterator[tuple[ShowServer, str]]:
    """The server and the show's publishing key; the show is live, nobody publishes yet."""
    with ShowServer(folder, relay=True, tail=True, **more) as server:
        async with server.services() as parts:
            house = await House(parts).seed()
            await house.go_live(1)
            key = await parts.shows.set_publish_key(house.show.id)
        yield server, key


@contextlib.asynccontextmanager
async def published(server: ShowServer, key: str, *arguments: str) -> AsyncIterator[None]:
    async with ffmpeg(f"{server.url}/whip/aw26", *(arguments or H264), key=key, picture=FLASHES, sound=BEEPS):
        yield


class Player:
    """Follows `…/media.m3u8` part by part, and holds each version to the rules."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.http = httpx.AsyncClient(timeout=60, trust_env=False, base_url=url)
        self.playlist: Playlist | None = None
        self.inits: dict[str, bytes] = {}
        self.parts: dict[str, bytes] = {}
        self.part_walls_ms: dict[str, float] = {}
        self.got_at_ms: dict[str, float] = {}

    async def join(self, within_s: float = 60.0) -> Playlist:
        """Until there is a playlist."""

        async def there() -> bool:
            try:
                answer = await self.http.get("media.m3u8")
            except httpx.HTTPError:
                return False
            if answer.status_code != 200:
                return False
            self.playlist = read(answer.text)
            return True

        await until(there, within_s)
        assert self.playlist is not None
        return self.playlist

    async def step(self) -> list[str]:
        """The hinted part and the playlist that has it; the parts that were new."""
        assert self.playlist is not None
        before, hint = self.playlist, self.playlist.hint
        msn, part = hint.removesuffix(".m4s").split(".")
        answer = await self.http.get("media.m3u8", params={"_HLS_msn": msn, "_HLS_part": part})
        if answer.status_code == 503:
            return []
        assert answer.status_code == 200, (answer.status_code, answer.text)
        self.playlist = read(answer.text)
        if self.playlist.segments[0].msn <= before.segments[-1].msn:
            follows(before, self.playlist)
        return await self._fetch()

    async def _fetch(self) -> list[str]:
        assert self.playlist is not None
        new = []
        for segment in self.playlist.segments:
            at_ms = segment.wall_ms
            for part in segment.parts:
                if part.uri not in self.parts and (self.parts or part.independent):
                    if segment.init not in self.inits:
                        self.inits[segment.init] = await self._bytes(segment.init)
                    self.parts[part.uri] = await self._bytes(part.uri)
                    self.part_walls_ms[part.uri] = at_ms
                    self.got_at_ms[part.uri] = time.time() * 1000
                    new.append(part.uri)
                at_ms += part.s * 1000
        return new

    async def _bytes(self, name: str) -> bytes:
        answer = await self.http.get(name)
        assert answer.status_code == 200, name
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        return answer.content

    def file(self, path: Path) -> Path:
        """What was played, for FFmpeg."""
        (init,) = self.inits.values()
        path.write_bytes(init + b"".join(self.parts.values()))
        return path

    async def close(self) -> None:
        await self.http.aclose()
