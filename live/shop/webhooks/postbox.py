"""Posts deliveries: several at a time, few to one endpoint, so that one that hangs delays nobody else.

2xx is taken; 410 disables the endpoint; anything else, 3xx too, is tried again at the specification's pace.
Source: standardwebhooks.com, docs/decisions/0032-webhooks-go-out-through-a-guarded-door.md
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from datetime import UTC, datetime

import httpcore
import msgspec
import structlog
from standardwebhooks import Webhook

from live.clock import Clock
from live.errors import Error
from live.shop.webhooks import deliveries
from live.shop.webhooks.deliveries import Due
from live.shop.webhooks.way_out import Answer, BlockedAddress, WayOut
from live.store.sql import Database

log = structlog.get_logger()

POST_TIMEOUT_S = 15.0  # name, connection, request and answer together
AT_ONCE = 64
EACH = 4  # of them to one endpoint
LOOK_AGAIN_S = 0.5  # while some are under way, for what came due meanwhile
USER_AGENT = "Frontrow-Webhooks/1"
_WHY = {  # of no answer, in the log
    BlockedAddress: "the address is not on the public internet",
    TimeoutError: f"no answer in {POST_TIMEOUT_S:.0f} s",
    socket.gaierror: "its name leads nowhere",
    httpcore.ConnectError: "no connection",
    httpcore.RemoteProtocolError: "the answer is not HTTP",
}


class Postbox:
    """Fans events out and posts what is due. Any number of workers may."""

    def __init__(self, db: Database, out: WayOut, clock: Clock, *, stop: asyncio.Event | None = None) -> None:
        self._db = db
        self._out = out
        self._clock = clock
        self._stop = stop or asyncio.Event()

    async def fan_out(self) -> int:
        """Turn events that are due into deliveries. Answers how many events."""
        return await self._db.write(lambda sql: deliveries.fan_out(sql, self._clock.now_ms()))

    async def deliver_due(self) -> int:
        """Post what is due, until nothing is and nothing is under way. Answers how many were taken."""
        busy: Counter[str] = Counter()
        under_way: set[asyncio.Task[bool]] = set()
        taken = 0
        async with asyncio.TaskGroup() as group:  # owns them; bounded by what is claimed
            while True:
                for due in await self._claim(busy, AT_ONCE - len(under_way)):
                    busy[due.endpoint_id] += 1
                    under_way.add(group.create_task(self._deliver(due, busy)))
                if not under_way:
                    return taken
                done, under_way = await asyncio.wait(
                    under_way, timeout=LOOK_AGAIN_S, return_when=asyncio.FIRST_COMPLETED
                )
                taken += sum(task.result() for task in done)

    async def _claim(self, busy: Counter[str], most: int) -> list[Due]:
        if most <= 0 or self._stop.is_set():
            return []
        now = self._clock.now_ms()
        return await self._db.write(lambda sql: deliveries.claim(sql, now, busy=dict(busy), each=EACH, most=most))

    async def _deliver(self, due: Due, busy: Counter[str]) -> bool:
        started = time.monotonic()
        try:
            answer = await self._post(due)
            said, reply = str(answer.status), answer.start.decode(errors="replace").replace("\0", "")
        except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError, Error) as why:
            answer = Answer(0, b"")
            said, reply = next((words for kind, words in _WHY.items() if isinstance(why, kind)), _name(why)), ""
        except Exception as why:  # a bug of ours in one message must not hold up all the others
            log.exception("webhook.broken", endpoint=due.endpoint_id, event=due.event_id)
            answer, said, reply = Answer(0, b""), type(why).__name__, ""
        took_ms, now = int((time.monotonic() - started) * 1000), self._clock.now_ms()
        await self._db.write(
            lambda sql: deliveries.record(
                sql, due, status=answer.status, answer=said, reply=reply, took_ms=took_ms, now=now
            )
        )
        busy[due.endpoint_id] -= 1
        return 200 <= answer.status < 300

    async def _post(self, due: Due) -> Answer:
        sent = datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)
        body = body_of(due.kind, due.created_ms, due.body)
        headers = {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": due.event_id,
            "webhook-timestamp": str(int(sent.timestamp())),
            # While a secret changes, the old one signs too: a receiver takes the message when either is right.
            "webhook-signature": " ".join(
                Webhook(secret).sign(due.event_id, sent, body.decode()) for secret in due.secrets
            ),
        }
        return await self._out.post(due.url, body, headers, within_s=POST_TIMEOUT_S)


def body_of(kind: str, created_ms: int, data: str) -> bytes:
    """What is posted: {"type", "timestamp", "data"}."""
    created = datetime.fromtimestamp(created_ms / 1000, UTC)
    return msgspec.json.encode({"type": kind, "timestamp": created.isoformat(), "data": msgspec.Raw(data.encode())})


def _name(why: Exception) -> str:
    if isinstance(why, httpcore.TimeoutException):
        return _WHY[TimeoutError]
    said = (why.strerror or str(why))[:80] if isinstance(why, OSError) else ""  # without the system's number
    return said or type(why).__name__
