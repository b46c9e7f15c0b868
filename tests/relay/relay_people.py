"""What the relay's tests of limits share: cameras and viewers of `test_end_to_end.py`'s kind, with the packets each
got counted, and a crowd's odd one out who sends what she likes."""

from __future__ import annotations

import asyncio
from typing import Any

from relay_stage import Stage, until
from test_end_to_end import CERTIFICATE, Camera, Viewer, live

__all__ = ["CERTIFICATE", "Camera", "Viewer", "let_in", "live", "watching"]


async def watching(running: Stage, **offer: Any) -> Viewer:
    """A viewer who has the key frame."""
    viewer = Viewer()
    await viewer.on(running, **offer)
    await until(lambda: viewer.order)
    return viewer


async def let_in(running: Stage, viewer: Viewer) -> None:
    """She asks again while she is told that the relay is full: web believes its refusal until its next beat."""
    async with asyncio.timeout(60):
        while (response := await running.play(viewer.caller.offer("recvonly"))).status_code == 503:  # noqa: ASYNC110 - as a player does
            await asyncio.sleep(0.1)
    assert response.status_code == 201, response.text
    viewer.session = response.headers["Location"]
    await viewer.caller.connect(response.text)
