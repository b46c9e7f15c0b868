"""What the relay's tests of limits share: cameras and viewers of `test_end_to_end.py`'s kind, with the packets each
got counted, and a crowd's odd one out who sends what she likes."""

from __future__ import annotations

from typing import Any

from relay_stage import Stage, until
from test_end_to_end import CERTIFICATE, Camera, Viewer, live

__all__ = ["CERTIFICATE", "Camera", "Viewer", "live", "watching"]


async def watching(running: Stage, **offer: Any) -> Viewer:
    """A viewer who has the key frame."""
    viewer = Viewer()
    await viewer.on(running, **offer)
    await until(lambda: viewer.order)
    return viewer
