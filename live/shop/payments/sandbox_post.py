"""Posts the sandbox provider's messages to the shop, as a real provider's servers would: from outside, over HTTP."""

from __future__ import annotations

import httpx

from live.clock import Clock
from live.shop import outbox
from live.shop.payments.sandbox import EVENT_KIND, EVENTS_PATH, SandboxProvider
from live.store.sql import Database

GIVEN_UP_AFTER = 20  # attempts; the worker polls pending payments anyway
LONGEST_WAIT_MS = 300_000


async def post_due(
    db: Database, provider: SandboxProvider, client: httpx.AsyncClient, base_url: str, clock: Clock
) -> int:
    """Send what is due; what the shop did not take is sent again later. Answers how many it took."""
    messages = await db.write(lambda c: outbox.claim(c, clock.now_ms(), only=[EVENT_KIND]))
    taken = 0
    for message in messages:
        body = message.body.encode()
        try:
            reply = await client.post(base_url + EVENTS_PATH, content=body, headers=provider.signed_headers(body))
            accepted = reply.is_success
        except httpx.HTTPError:
            accepted = False
        now = clock.now_ms()
        if accepted or message.attempts >= GIVEN_UP_AFTER:
            await db.write(lambda c, message=message, now=now: outbox.done(c, [message.id], now))  # type: ignore[misc]
            taken += accepted
        else:
            later = now + min(1000 * 2**message.attempts, LONGEST_WAIT_MS)
            await db.write(lambda c, message=message, later=later: outbox.put_off(c, message.id, later))  # type: ignore[misc]
    return taken
