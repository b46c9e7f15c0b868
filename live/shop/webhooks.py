"""To the merchant's own system: the outbox's events by Standard Webhooks, with retries, a log, and a guarded way out.

fan_out() turns each event into one delivery an endpoint of its brand; deliver_due() posts them. Delivered at least
once; `webhook-id` tells a repeat. 2xx is taken, 410 disables the endpoint, anything else (3xx too) is tried again.
Source: standardwebhooks.com, docs/decisions/0032-webhooks-go-out-through-a-guarded-door.md
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import secrets
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
from sqlalchemy import Connection, Row, insert, select, update
from standardwebhooks import Webhook

from live.clock import Clock
from live.errors import Error, Invalid
from live.ids import new_id
from live.shop import outbox as box
from live.shop.payments.sandbox import EVENT_KIND
from live.store.sql import Database
from live.store.tables import outbox, shows, webhook_deliveries, webhook_endpoints

# The specification's example: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.
RETRY_AFTER_S = (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
JITTER = 0.2
POST_TIMEOUT_S = 15.0
AT_ONCE = 20


class BlockedAddress(Error):
    """The endpoint's name leads to an address that is not the public internet."""

    code = "blocked_address"


class Webhooks:
    """Endpoints of the brands and their deliveries. `allow_private` is for tests, whose receivers are on loopback."""

    def __init__(self, db: Database, client: httpx.AsyncClient, clock: Clock, *, allow_private: bool = False) -> None:
        self._db = db
        self._client = client
        self._clock = clock
        self._allow_private = allow_private

    async def add_endpoint(self, brand_id: str, url: str) -> tuple[str, str]:
        """A new endpoint's id and its signing secret. Raises Invalid."""
        parts = urlsplit(url)
        if parts.scheme not in (("https", "http") if self._allow_private else ("https",)) or not parts.hostname:
            raise Invalid("url", "must be an https:// address")
        if parts.username or parts.password:
            raise Invalid("url", "must not carry a name or password")
        endpoint, secret = new_id("whk"), "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        row = {
            "id": endpoint,
            "brand_id": brand_id,
            "url": url,
            "secret": secret,
            "created_ms": self._clock.now_ms(),
        }
        await self._db.write(lambda c: c.execute(insert(webhook_endpoints).values(row)))
        return endpoint, secret

    async def fan_out(self) -> int:
        """Turn events that are due into deliveries. Answers how many events."""
        return await self._db.write(lambda c: _fan_out(c, self._clock.now_ms()))

    async def deliver_due(self) -> int:
        """Post what is due, several at a time. Answers how many were taken."""
        due = await self._db.write(lambda c: _claim(c, self._clock.now_ms()))
        async with asyncio.TaskGroup() as group:  # bounded by the claim's limit
            tasks = [group.create_task(self._deliver(row)) for row in due]
        return sum(task.result() for task in tasks)

    async def _deliver(self, row: Row[Any]) -> bool:
        status = 0
        try:
            async with asyncio.timeout(POST_TIMEOUT_S):
                reply = await self._post(row)
            status, answer = reply.status_code, str(reply.status_code)
        except (httpx.HTTPError, OSError, TimeoutError, Error) as why:
            answer = type(why).__name__
        now = self._clock.now_ms()
        await self._db.write(lambda c: _record(c, row, status, answer, now))
        return 200 <= status < 300

    async def _post(self, row: Row[Any]) -> httpx.Response:
        created = datetime.fromtimestamp(row.created_ms / 1000, UTC)
        body = msgspec.json.encode(
            {"type": row.kind, "timestamp": created.isoformat(), "data": msgspec.Raw(row.body.encode())}
        )
        sent = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        url, host = await self._pinned(row.url)
        headers = {
            "host": host,
            "content-type": "application/json",
            "webhook-id": row.event_id,
            "webhook-timestamp": str(int(sent.timestamp())),
            "webhook-signature": Webhook(row.secret).sign(row.event_id, sent, body.decode()),
        }
        sni = {"sni_hostname": urlsplit(row.url).hostname}
        return await self._client.post(url, content=body, headers=headers, extensions=sni, follow_redirects=False)

    async def _pinned(self, url: str) -> tuple[str, str]:
        """The URL with its host's address in place of the name, and the Host header.

        The address that was checked is the one that is connected to: a name that changes in between gains nothing.
        """
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=1)
        addresses = [ipaddress.ip_address(entry[4][0]) for entry in found]
        if not self._allow_private and not all(_is_public(address) for address in addresses):
            raise BlockedAddress(host=parts.hostname)
        address = addresses[0]
        place = f"[{address}]" if address.version == 6 else str(address)
        return parts._replace(netloc=f"{place}:{port}").geturl(), parts.netloc


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and (mapped := address.ipv4_mapped or address.sixtofour):
        return _is_public(mapped)
    return address.is_global and not address.is_multicast


def _fan_out(connection: Connection, now: int) -> int:
    messages = box.claim(connection, now, but=[EVENT_KIND, *box.MAIL_KINDS])
    for message in messages:
        about = msgspec.json.decode(message.body)
        brand = select(shows.c.brand_id).where(shows.c.id == about.get("show", "")).scalar_subquery()
        endpoints = connection.execute(
            select(webhook_endpoints.c.id).where(
                webhook_endpoints.c.brand_id == (about.get("brand") or brand),
                webhook_endpoints.c.disabled_ms.is_(None),
            )
        ).scalars()
        for endpoint in endpoints.all():
            row = {"outbox_id": message.id, "endpoint_id": endpoint, "attempts": 0, "due_ms": now}
            connection.execute(insert(webhook_deliveries).values(row))
    if messages:  # in the same transaction: an event is fanned out once
        box.done(connection, [message.id for message in messages], now)
    return len(messages)


def _claim(connection: Connection, now: int) -> list[Row[Any]]:
    rows = connection.execute(
        select(
            webhook_deliveries,
            outbox.c.event_id,
            outbox.c.kind,
            outbox.c.body,
            outbox.c.created_ms,
            webhook_endpoints.c.url,
            webhook_endpoints.c.secret,
        )
        .join(outbox, outbox.c.id == webhook_deliveries.c.outbox_id)
        .join(webhook_endpoints, webhook_endpoints.c.id == webhook_deliveries.c.endpoint_id)
        .where(
            webhook_deliveries.c.done_ms.is_(None),
            webhook_deliveries.c.due_ms <= now,
            webhook_endpoints.c.disabled_ms.is_(None),
        )
        .order_by(webhook_deliveries.c.due_ms)
        .limit(AT_ONCE)
        .with_for_update(skip_locked=True, of=webhook_deliveries)
    ).all()
    for row in rows:
        connection.execute(_of(row).values(attempts=row.attempts + 1, due_ms=now + box.LEASE_MS))
    return list(rows)


def _record(connection: Connection, row: Row[Any], status: int, answer: str, now: int) -> None:
    if 200 <= status < 300 or row.attempts >= len(RETRY_AFTER_S):
        connection.execute(_of(row).values(done_ms=now, answer=answer))
        return
    if status == 410:  # gone: the specification's way to say "no more"
        connection.execute(
            update(webhook_endpoints).where(webhook_endpoints.c.id == row.endpoint_id).values(disabled_ms=now)
        )
    wait_s = RETRY_AFTER_S[row.attempts] * (1 + JITTER * secrets.SystemRandom().random())
    connection.execute(_of(row).values(due_ms=now + int(wait_s * 1000), answer=answer))


def _of(row: Row[Any]) -> Any:
    return update(webhook_deliveries).where(
        webhook_deliveries.c.outbox_id == row.outbox_id, webhook_deliveries.c.endpoint_id == row.endpoint_id
    )
