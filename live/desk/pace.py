"""How fast one buyer may act on her bag and her place, over all her tabs and both ways in, the socket and HTTP.

By person, and by device with twice as much: a new session every second is a new person, on the same device. Each act is
an event for everyone in the show, so a thousand a second of one person would be everybody's storm. Fails open: what the
limits guard, the stock, has its own checks (decision 0119).
"""

from __future__ import annotations

import asyncio

from live.accounts.throttle import Throttle
from live.errors import Throttled

BURST, EVERY_MS = 40, 1_500
DEVICE_BURST, DEVICE_EVERY_MS = 80, 750


async def pace(throttle: Throttle, person: str, device: str) -> None:
    """Count one act. Raises: Throttled."""
    waits = await asyncio.gather(
        throttle.pace("cart", person, burst=BURST, every_ms=EVERY_MS),
        throttle.pace("device", device, burst=DEVICE_BURST, every_ms=DEVICE_EVERY_MS),
    )
    if max(waits):
        raise Throttled(-(-max(waits) // 1000))
