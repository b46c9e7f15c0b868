"""A low-latency HLS tail made in the test's own process: a grey picture with the burnt-in timecode, silence, and the
playlists of RFC 8216bis with blocking reload and delta updates. What it serves can be broken at will."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import av
import numpy as np
from playwright.async_api import Route

from live.demo import timecode

FPS = 25
WIDTH, HEIGHT = 640, 360
PART_FRAMES = 8
PARTS = 5  # a segment: 40 frames, 1.6 s, one key frame
WINDOW = 8  # segments in the playlist
SKIP_S = 9.6
RATE = 48_000
CODECS = "avc1.42c01e,mp4a.40.2"


@dataclass
class Segment:
    pdt_ms: float
    parts: list[bytes] = field(default_factory=list)


class MadeTail:
    """`route` answers playwright; `segments` grow while `running` is entered."""

    def __init__(self) -> None:
        self.init = b""
        self.segments: dict[int, Segment] = {}
        self.first = 0
        self.ended = False
        self.asked: list[str] = []
        self.refuse: dict[str, int] = {}  # what an address contains -> the status it is answered with, once each
        self._grown = asyncio.Condition()
        self._parts = 0

    async def route(self, route: Route) -> None:
        url = urlsplit(route.request.url)
        name = url.path.rpartition("/")[2]
        self.asked.append(name + ("?" + url.query if url.query else ""))
        broken = next((part for part in self.refuse if part in self.asked[-1]), None)
        with suppress(Exception):  # the page may have gone meanwhile
            if broken is not None:
                await route.fulfill(status=self.refuse.pop(broken), headers={"Retry-After": "0"})
            elif name == "live.m3u8":
                await route.fulfill(body=f'#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000,CODECS="{CODECS}"\nmedia.m3u8\n')
            elif name == "media.m3u8":
                await self._playlist(route, {key: value[0] for key, value in parse_qs(url.query).items()})
            elif name == "init-1.mp4":
                await route.fulfill(body=self.init)
            else:
                msn, _, part = name.removesuffix(".m4s").partition(".")
                found = self.segments.get(int(msn)) if int(msn) >= self.first else None
                parts = found.parts if found else []
                body = b"".join(parts) if not part else parts[int(part)] if int(part) < len(parts) else b""
                await route.fulfill(body=body, status=200 if body else 404)

    async def _playlist(self, route: Route, asked: dict[str, str]) -> None:
        if "_HLS_msn" in asked:
            msn, part = int(asked["_HLS_msn"]), int(asked.get("_HLS_part", 0))
            async with self._grown, asyncio.timeout(6):
                await self._grown.wait_for(lambda: self._has(msn, part))
        await route.fulfill(body=self._told(skip=asked.get("_HLS_skip") == "YES"))

    def _has(self, msn: int, part: int) -> bool:
        newest = max(self.segments)
        return newest > msn or (newest == msn and len(self.segments[msn].parts) > part)

    def _told(self, *, skip: bool) -> str:
        shown = [msn for msn in sorted(self.segments) if msn >= self.first and self.segments[msn].parts]
        rows = ["#EXTM3U", "#EXT-X-VERSION:9", "#EXT-X-TARGETDURATION:2", f"#EXT-X-MEDIA-SEQUENCE:{shown[0]}"]
        rows += [f"#EXT-X-PART-INF:PART-TARGET={PART_FRAMES / FPS}"]
        rows += [f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.0,CAN-SKIP-UNTIL={SKIP_S}"]
        skipped = max(0, len(shown) - 4) if skip else 0
        rows += [f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"] if skipped else ['#EXT-X-MAP:URI="init-1.mp4"']
        for msn in shown[skipped:]:
            segment = self.segments[msn]
            moment = datetime.fromtimestamp(segment.pdt_ms / 1000, UTC).isoformat(timespec="milliseconds")
            rows.append(f"#EXT-X-PROGRAM-DATE-TIME:{moment.replace('+00:00', 'Z')}")
            if msn > shown[-1] - 3:
                for n in range(len(segment.parts)):
                    free = ",INDEPENDENT=YES" if n == 0 else ""
                    rows.append(f'#EXT-X-PART:DURATION={PART_FRAMES / FPS},URI="{msn}.{n}.m4s"{free}')
            if len(segment.parts) == PARTS:
                rows += [f"#EXTINF:{PART_FRAMES * PARTS / FPS},", f"{msn}.m4s"]
        rows += ["#EXT-X-ENDLIST"] if self.ended else []
        return "\n".join(rows) + "\n"

    async def _grow(self) -> None:
        """Encode in real time: what a page is given is never older or newer than a real tail's."""
        sink = io.BytesIO()
        cut_us = round(PART_FRAMES / FPS * 1_000_000) - 10_000
        flags = {"movflags": "empty_moov+default_base_moof+frag_keyframe", "frag_duration": str(cut_us)}
        with av.open(sink, "w", format="mp4", options=flags) as container:
            options = {
                "preset": "ultrafast",
                "tune": "zerolatency",
                "profile": "baseline",
                "bf": "0",
                "sc_threshold": "0",
            }
            video = container.add_stream("libx264", rate=FPS, options=options)
            video.width, video.height, video.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            video.bit_rate, video.gop_size = 600_000, PART_FRAMES * PARTS
            audio = container.add_stream("aac", rate=RATE, layout="stereo")
            begun, written, samples = time.time(), 0, 0
            for n in range(FPS * 3600):
                await asyncio.sleep(max(0.0, begun + n / FPS - time.time()))
                for packet in video.encode(_frame(n, begun)):
                    container.mux(packet)
                while samples / RATE <= n / FPS:
                    quiet = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
                    quiet.sample_rate, quiet.pts = RATE, samples
                    samples += 1024
                    for packet in audio.encode(quiet):
                        container.mux(packet)
                fragments, used = _fragments(sink.getvalue()[written:])
                for made in fragments:
                    await self._add(made, begun)
                written += used

    async def _add(self, made: bytes, begun: float) -> None:
        if not self.init:
            self.init = made
            return
        msn = self._parts // PARTS
        self._parts += 1
        async with self._grown:
            pdt_ms = (begun + msn * PART_FRAMES * PARTS / FPS) * 1000
            self.segments.setdefault(msn, Segment(pdt_ms)).parts.append(made)
            self.first = max(self.first, msn - WINDOW)
            self._grown.notify_all()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[MadeTail]:
        growing = asyncio.create_task(self._grow())
        try:
            async with self._grown:
                await self._grown.wait_for(lambda: len(self.segments) > 1 or growing.done())
            if growing.done():
                growing.result()
            yield self
        finally:
            growing.cancel()
            with suppress(asyncio.CancelledError):
                await growing


def _fragments(data: bytes) -> tuple[list[bytes], int]:
    """The init segment and the whole fragments at the head of `data`, and how many bytes they are."""
    found: list[bytes] = []
    begin = at = 0
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if at + size > len(data):
            break
        at += size
        if kind in (b"moov", b"mdat"):
            found.append(data[begin:at])
            begin = at
    return found, begin


def _frame(n: int, begun: float) -> av.VideoFrame:
    """Grey, with a bar that walks and the moment it was made."""
    picture: Any = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    picture[:HEIGHT, n * 4 % WIDTH : n * 4 % WIDTH + 4] = 200
    top, height = round(timecode.TOP * HEIGHT), round(timecode.CELL_HEIGHT * HEIGHT)
    for cell, white in enumerate(timecode.encode(round((begun + n / FPS) * 1000))):
        left = round((timecode.LEFT + cell * timecode.CELL_WIDTH) * WIDTH)
        picture[top : top + height, left : left + round(timecode.CELL_WIDTH * WIDTH)] = 235 if white else 16
    frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
    frame.pts = n
    return frame
