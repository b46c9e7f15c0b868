"""The worker: what must happen though nobody asks. Any number of them may run, since each job claims what it takes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx
import structlog
from redis.exceptions import RedisError

from chat.moderation.review import FINISH_AFTER_MS
from chat.moderation.store import Decisions
from live.clock import Clock
from live.desk.person_data import retire
from live.desk.wiring import Services, services
from live.errors import Error
from live.settings import Settings
from live.shop import outbox
from live.shop.payments.sandbox import SandboxProvider
from live.shop.payments.sandbox_post import post_due
from live.shop.webhooks.postbox import Postbox
from live.shop.webhooks.stock import tell_stock
from live.shop.webhooks.way_out import WayOut, networks_of
from live.worker.letters import Letters
from live.worker.postman import postman_of
from live.worker.recordings import Reels

log = structlog.get_logger("worker")

POST_TIMEOUT_S = 10.0
DRAIN_S = 10.0  # how long a job under way may take to finish after SIGTERM


@dataclass(frozen=True)
class Job:
    """Something to be done again and again. `every_s` is the rest between two runs."""

    name: str
    every_s: float
    run: Callable[[], Awaitable[object]]


async def run(settings: Settings, *, clock: Clock | None = None) -> None:
    """Work until SIGTERM or SIGINT, then finish what is under way."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with (
            services(settings, clock=clock) as parts,
            httpx.AsyncClient(timeout=POST_TIMEOUT_S) as client,
            WayOut(networks_of(settings.webhook_networks)) as out,
        ):
            log.info("worker.started")
            await work(jobs(parts, client, Postbox(parts.db, out, parts.clock, stop=stop)), stop)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    log.info("worker.stopped")


def jobs(parts: Services, client: httpx.AsyncClient, webhooks: Postbox) -> list[Job]:
    """Every job of the worker, with its pace."""
    db, clock, desk = parts.db, parts.clock, parts.desk
    reels = Reels(db, clock, parts.settings)
    letters = Letters(db, parts.orders, postman_of(parts.settings), parts.settings, clock)
    return [
        Job("lapse holds", 0.5, desk.lapse),  # invariant I6: no hold lives a second past its time
        Job("move lines", 0.25, parts.drops.advance),  # of hot drops: draw, let in, tell
        Job("settle payments", 1.0, desk.settle_due),
        Job("turn prices", 1.0, parts.rail.turn_prices),  # of sales that begin or end now
        Job("import feeds", 0.5, lambda: parts.imports.work(parts.rail.changed)),
        Job("ask for refunds", 5.0, parts.order_desk.after_sale.refunds.ask_due),
        Job("look at refunds", 20.0, parts.order_desk.after_sale.refunds.look_due),
        Job("look at disputes", 60.0, parts.order_desk.after_sale.disputes.look_due),
        Job("look for disputes", 60.0, lambda: parts.order_desk.after_sale.dispute_list.find_due(desk.settle)),
        Job("close games", 1.0, parts.play.close_due),  # and tell how the votes stand, at most once a second
        *_sandbox(parts, client),
        Job("send letters", 2.0, letters.send_due),
        Job("tell stock", 3.0, lambda: tell_moved(parts)),
        Job("fan out events", 1.0, webhooks.fan_out),
        Job("deliver webhooks", 1.0, webhooks.deliver_due),
        Job("reconcile stock", 10.0, lambda: reconcile(parts)),
        Job("look at pictures", 5.0, desk.look_at_pictures),  # of an engine that doesn't tell the room itself
        Job("close recordings", 30.0, reels.close),
        Job("index recordings", 5.0, reels.index),
        Job("retire recordings", 600.0, reels.retire),
        Job("reconcile recordings", 600.0, reels.reconcile),
        Job("forget old imports", 3600.0, parts.imports.prune),
        Job("write what was taken out", 30.0, lambda: settle_talk(parts)),
        Job("retire talk", 3600.0, lambda: retire_talk(parts)),
        Job("forget old pictures", 3600.0, parts.pictures.prune),
        Job("prune", 3600.0, lambda: db.write(lambda c: outbox.prune(c, clock.now_ms()))),
        Job("forget buyers", 3600.0, parts.saved.prune),  # who has not bought for a year
    ]


def _sandbox(parts: Services, client: httpx.AsyncClient) -> list[Job]:
    """The sandbox provider's own work, where it is the provider."""
    provider, url = parts.provider, parts.settings.base_url
    if not isinstance(provider, SandboxProvider):
        return []
    return [Job("sandbox events", 0.25, lambda: post_due(parts.db, provider, client, url, parts.clock))]


async def tell_moved(parts: Services) -> int:
    """Tell merchants of the stock that sales moved."""
    shows, now = await parts.gate.shows_open(), parts.clock.now_ms()
    return await parts.db.write(lambda c: tell_stock(c, shows, now)) if shows else 0


async def reconcile(parts: Services) -> None:
    """Set the gates of open shows right from SQL; what moved is told."""
    for show_id in await parts.gate.shows_open():
        moved = await parts.gate.reconcile(show_id, owners=True)
        if moved:
            log.warning("stock.reconciled", show=show_id, skus=sorted(moved))
            await parts.desk.stock_rebuilt(show_id)


async def settle_talk(parts: Services) -> None:
    """What was taken out of a room is told and booked, also where no web process has the room open to see to it."""
    decisions = Decisions(parts.bus, parts.archive, parts.clock.now_ms)
    for show_id in await parts.gate.shows_open():
        await decisions.settle_taken(show_id, parts.clock.now_ms() - FINISH_AFTER_MS)


async def retire_talk(parts: Services) -> None:
    """Forget what the room no longer has to know."""
    now, days = parts.clock.now_ms(), parts.settings.room_days
    before_ms = now - days * 86_400_000 if days else 0
    gone = await parts.db.write(lambda sql: retire(sql, before_ms, now))
    if gone:
        log.info("talk.retired", rows=gone)


async def work(jobs: list[Job], stop: asyncio.Event) -> None:
    """Run the jobs side by side until `stop`; those under way may finish, but not for ever."""
    try:
        async with asyncio.timeout(None) as limit, asyncio.TaskGroup() as group:
            for job in jobs:
                group.create_task(_again_and_again(job, stop), name=job.name)
            await stop.wait()
            limit.reschedule(asyncio.get_running_loop().time() + DRAIN_S)
    except TimeoutError:
        log.warning("worker.gave_up_waiting", after_s=DRAIN_S)


async def _again_and_again(job: Job, stop: asyncio.Event) -> None:
    """One that fails is logged and runs again at its pace."""
    while not stop.is_set():
        try:
            await job.run()
        except (Error, RedisError, OSError, httpx.HTTPError) as why:
            # Fails closed: nothing was done, and it is asked again.
            log.warning("job.failed", job=job.name, why=str(why))
        except Exception:
            log.exception("job.broken", job=job.name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(job.every_s):
                await stop.wait()
