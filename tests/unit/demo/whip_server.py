"""A WHIP server for tests of the publisher: aiortc receives and decodes what arrives, as a browser would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import uvicorn
from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


@dataclass
class Received:
    """What came: the last picture's luma, how many frames, the sound's blocks, the requests' keys."""

    luma: np.ndarray | None = None
    frames: int = 0
    blocks: int = 0
    pts: list[int] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    deleted: int = 0
    offers: list[str] = field(default_factory=list)


class WhipServer:
    def __init__(self, key: str = "a-key") -> None:
        self.received = Received()
        self._key = key
        self._peers: list[RTCPeerConnection] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.app = Starlette(
            routes=[
                Route("/whip/show", self._post, methods=["POST"]),
                Route("/whip/show/1", self._delete, methods=["DELETE"]),
            ]
        )

    async def _post(self, request: Request) -> Response:
        self.received.keys.append(request.headers.get("authorization", ""))
        if request.headers.get("authorization") != f"Bearer {self._key}":
            return Response(status_code=401)
        offer = (await request.body()).decode()
        self.received.offers.append(offer)
        peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._peers.append(peer)
        peer.on("track", self._track)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        return Response(peer.localDescription.sdp, 201, {"Location": "/whip/show/1"}, media_type="application/sdp")

    async def _delete(self, request: Request) -> Response:
        self.received.deleted += 1
        return Response()

    def _track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.create_task(self._read(track)))

    async def _read(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                if track.kind == "video":
                    self.received.luma = frame.to_ndarray(format="gray")
                    self.received.frames += 1
                    self.received.pts.append(frame.pts)
                else:
                    self.received.blocks += 1
        except MediaStreamError:
            pass

    async def close(self) -> None:
        for peer in self._peers:
            await peer.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def whip_server(key: str = "a-key") -> AsyncIterator[tuple[str, WhipServer]]:
    """The address to publish to, and what arrives there."""
    whip = WhipServer(key)
    server = uvicorn.Server(uvicorn.Config(whip.app, port=0, log_level="warning", lifespan="off", ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/whip/show", whip
    finally:
        await whip.close()
        server.should_exit = True
        await serving
