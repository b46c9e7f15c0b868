"""A talking crowd on two web processes and one store, all of which are killed and frozen under it; the store also
forgets what it answered last.

`make faults` runs it for FRONTROW_FAULTS_S seconds; `make test` goes through each fault once. A failure prints the
seed, which is always the same in the short run; FRONTROW_FAULTS_SEED repeats another.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from typing import Any

from crowd import LINES_KEPT, ROOM, Facts, Page, WebProcess, talk, twice
from store_server import StoreServer, redis_client

from chat import keys
from chat.history import History

FAULTS_S = float(os.environ.get("FRONTROW_FAULTS_S", "0"))
SEED = int(os.environ.get("FRONTROW_FAULTS_SEED", "0")) or (time.time_ns() % 1_000_000 if FAULTS_S else 97)
AUDIENCE, TALKERS = 16, 4


async def test_a_crowd_misses_nothing_and_sees_nothing_removed_whatever_dies(own_store_server: StoreServer) -> None:
    chance, facts = random.Random(SEED), Facts()
    webs = [WebProcess(own_store_server.url) for _ in range(2)]
    await asyncio.gather(*(web.start() for web in webs))
    talkers = [Page(f"talker{n}", webs, facts, random.Random(SEED + n), "moderator") for n in range(TALKERS)]
    audience = [Page(f"viewer{n}", webs, facts, random.Random(SEED + 100 + n)) for n in range(AUDIENCE)]
    pages = [*talkers, *audience]
    try:
        async with asyncio.TaskGroup() as crowd:
            lives = [crowd.create_task(page.live()) for page in pages]
            async with asyncio.TaskGroup() as fire:
                enough = asyncio.Event()
                for page in talkers:
                    fire.create_task(talk(page, facts, page._chance, 0.05, enough))
                await _all_in(pages)
                await _burn(webs, own_store_server, facts, chance)
                # Each is answered first: what is still asked of a store that was frozen would be said after the end.
                enough.set()
            await _settle(own_store_server, pages)
            for task in lives:
                task.cancel()
        log = await _log(own_store_server)
        comings = f"{facts.returns} returns, {facts.resumes} resumes, {facts.resets} resets"
        print(f"seed {SEED}: {len(facts.posted)} lines, {comings}, {facts.losses} times the store forgot some")
        assert facts.wrong == [], f"seed {SEED}"
        assert twice(log) == [], f"seed {SEED}: a line asked for again was posted again"
        # A store that forgot some makes resets of them.
        assert facts.returns >= len(pages), "the premise: everybody did lose a socket"
        assert facts.resumes, "the premise: some were given what they missed"
        assert facts.posted
        # The law: what each has, by snapshot and events, is what a newcomer would be given.
        newcomer = Page("newcomer", webs, facts, chance)
        joined = asyncio.create_task(newcomer.live())
        await _all_in([newcomer])
        joined.cancel()
        await asyncio.gather(joined, return_exceptions=True)
        for page in pages:
            assert list(page.lines.items())[-LINES_KEPT:] == list(newcomer.lines.items()), f"seed {SEED}: {page.name}"
            assert not page.lines.keys() & facts.removed, f"seed {SEED}: {page.name}"
    finally:
        for web in webs:
            await web.kill()


async def _burn(webs: list[WebProcess], store: StoreServer, facts: Facts, chance: random.Random) -> None:
    """Each fault once, or at random for as long as asked. Between two of them the crowd talks on."""
    in_turn = itertools.cycle(chance.sample(webs, len(webs)))

    async def web_killed() -> None:
        """One after the other: two kills and nobody has the socket she began with."""
        web = next(in_turn)
        await web.kill()
        await web.start()

    async def web_frozen() -> None:
        web = chance.choice(webs)
        web.signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        web.signal(signal.SIGCONT)

    async def store_killed() -> None:
        await asyncio.to_thread(lambda: store.stop(kill=True))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(store.start)

    async def store_loses_its_end() -> None:
        """As a machine that lost its power under `everysec`: what was answered last is gone, a command torn in two."""
        kept = store.log_bytes
        await _talked(facts)
        await asyncio.to_thread(lambda: store.stop(kill=True))
        store.lose_from(chance.randrange(kept, store.log_bytes))
        facts.losses += 1
        await asyncio.to_thread(store.start)

    async def store_frozen() -> None:
        store.signal(signal.SIGSTOP)
        await asyncio.sleep(1.0)
        store.signal(signal.SIGCONT)

    faults: list[Callable[[], Awaitable[None]]] = [
        web_killed,
        store_killed,
        web_frozen,
        store_loses_its_end,
        store_frozen,
        web_killed,
    ]
    ends = time.monotonic() + FAULTS_S
    for fault in faults:
        await _talked(facts)
        await fault()
    while time.monotonic() < ends:
        await _talked(facts)
        await chance.choice(faults)()


async def _talked(facts: Facts) -> None:
    """Until the crowd has said more: what came before is over."""
    so_far = len(facts.posted)
    async with asyncio.timeout(180):
        while len(facts.posted) < so_far + 5:  # noqa: ASYNC110 - counting is all there is
            await asyncio.sleep(0.02)


async def _all_in(pages: list[Page]) -> None:
    async with asyncio.timeout(120):
        while any(page.client is None for page in pages):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def _settle(store: StoreServer, pages: list[Page]) -> None:
    """Until everyone is there and stands where the log stands."""
    redis = redis_client(store.url)
    try:
        history = History(redis)
        async with asyncio.timeout(180):
            while True:
                position = await history.position(ROOM)
                if all(page.client is not None and page.stood == position for page in pages):
                    return
                await asyncio.sleep(0.05)
    finally:
        await redis.aclose()


async def _log(store: StoreServer) -> list[dict[str, Any]]:
    """Everything in it, in no order."""
    redis = redis_client(store.url)
    try:
        return [json.loads(entry) for entry in await redis.hvals(keys.log(ROOM))]
    finally:
        await redis.aclose()
