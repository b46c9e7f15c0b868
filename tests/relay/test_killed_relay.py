"""A relay that is killed -9: who asked for it is sent on at once, and pages have picture again by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from relay_stage import KEY, Stage, front, relay_child, until
from test_end_to_end import Camera, Viewer
from test_in_a_browser import CHROMIUM, frames, page_of, play

from chat import keys as chat_keys
from live.media.relays import Relays
from live.media.watch import RelayWatch
from live.store import keys


async def registered(running: Stage, count: int) -> None:
    async with asyncio.timeout(15):
        while await running.redis.scard(keys.RELAYS) < count:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.01)


async def on_air(running: Stage, camera: Camera) -> None:
    """The camera's picture can be watched."""
    async with asyncio.timeout(15):
        while True:
            camera.frame(key=True)
            probe = Viewer()
            response = await running.play(probe.caller.offer("recvonly"))
            await probe.caller.close()
            if response.status_code == 201:
                return
            await asyncio.sleep(0.05)


async def test_a_killed_relay_is_forgotten_at_the_first_try_and_another_takes_the_show(
    tmp_path: Path, redis_url: str
) -> None:
    async with front(tmp_path, redis_url) as running, relay_child(running, redis_url) as first:
        await registered(running, 1)
        camera, viewer = Camera(), Viewer()
        session = await camera.on(running)
        await on_air(running, camera)
        async with relay_child(running, redis_url):
            await registered(running, 2)
            (dead,) = [(await running.redis.get(keys.relay_of_show("shw_one"))).decode()]
            first.kill()
            await first.wait()
            # The offer comes before the publisher is back: it waits for her.
            waiting = asyncio.create_task(viewer.on(running))
            again = Camera()
            async with asyncio.timeout(10):
                while await running.redis.exists(keys.relay(dead)):  # noqa: ASYNC110 - Redis tells nobody
                    await asyncio.sleep(0.01)
            await again.on(running)
            while not waiting.done():
                again.frame(key=True)
                await asyncio.sleep(0.03)
            await waiting
            assert not await running.redis.sismember(keys.RELAYS, dead)
            assert (await running.redis.get(keys.relay_of_show("shw_one"))).decode() != dead
            await until(lambda: viewer.order)
            # What is left of the dead one's sessions is not found, and harms nobody.
            authorised = {"Authorization": f"Bearer {KEY}"}
            assert (await running.http.delete(running.url + session, headers=authorised)).status_code == 404
            count = len(viewer.order)
            again.frame()
            await until(lambda: len(viewer.order) >= count + 3)
            for person in (camera, again, viewer):
                await person.caller.close()


async def test_a_relay_that_got_a_dead_ones_port_refuses_its_orders(tmp_path: Path, redis_url: str) -> None:
    async with front(tmp_path, redis_url) as running, relay_child(running, redis_url):
        await registered(running, 1)
        (member,) = await running.redis.smembers(keys.RELAYS)
        facts: dict[Any, Any] = await running.redis.hgetall(keys.relay(member.decode()))
        await running.redis.hset(keys.relay("relay_dead"), mapping=facts | {b"load": b"0", b"pipe": b""})
        await running.redis.sadd(keys.RELAYS, "relay_dead")
        await running.redis.set(keys.relay_of_show("shw_one"), "relay_dead")
        viewer = Viewer()
        response = await running.play(viewer.caller.offer("recvonly"))
        await viewer.caller.close()
        assert (response.status_code, response.headers["Retry-After"]) == (409, "1")
        assert not await running.redis.exists(keys.relay("relay_dead"), keys.relay_of_show("shw_one"))


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Debian's chromium is not installed")
async def test_pages_have_picture_again_without_reload_when_the_relay_was_killed(
    tmp_path: Path, redis_url: str
) -> None:
    async with front(tmp_path, redis_url) as running, page_of(running) as page:
        async with relay_child(running, redis_url) as first:
            await registered(running, 1)
            await play(page)
            await page.evaluate(
                """async (key) => {
                    const { Publisher } = await import('/js/publisher.js');
                    window.publisher = new Publisher(null, { url: '/whip/one', key });
                    await publisher.start();
                }""",
                KEY,
            )
            await frames(page, 30)
            first.kill()
            await first.wait()
        async with relay_child(running, redis_url):  # as the supervisor does after half a second
            ready = time.monotonic()  # how long a process takes to start is the machine's affair
            await page.wait_for_function("player.state === 'slate' || player.joins > 1")
            await page.wait_for_function("player.joins > 1 && player.state === 'live'", timeout=60_000)
            assert time.monotonic() - ready < 15
            await page.evaluate("Promise.all([player.stop(), publisher.stop()])")


@pytest.mark.skipif(not Path(CHROMIUM).exists(), reason="Debian's chromium is not installed")
async def test_a_page_moves_to_another_relay_within_three_seconds_of_the_kill(tmp_path: Path, redis_url: str) -> None:
    """The publisher is a page, too, so both have to come back. The room's word is carried by hand: its socket has
    tests of its own."""
    async with (
        front(tmp_path, redis_url) as running,
        page_of(running) as page,
        relay_child(running, redis_url) as first,
        contextlib.AsyncExitStack() as stack,
    ):
        await registered(running, 1)
        await page.evaluate(
            """async (key) => {
                const { Publisher } = await import('/js/publisher.js');
                window.publisher = new Publisher(null, { url: '/whip/one', key });
                await publisher.start();
            }""",
            KEY,
        )
        await play(page)
        await frames(page, 30)
        await stack.enter_async_context(relay_child(running, redis_url))
        await registered(running, 2)
        (dead,) = [(await running.redis.get(keys.relay_of_show("shw_one"))).decode()]
        relays = Relays(running.redis, running.settings.key)
        bus = running.redis.pubsub()
        await bus.execute_command("SSUBSCRIBE", chat_keys.channel("shw_one"))
        watching = asyncio.create_task(RelayWatch(relays).run())
        await until(lambda: relays_watched(watching), 5)
        first.kill()
        killed = time.monotonic()
        while "relay.gone" not in str((await bus.parse_response(block=True))[2]):
            continue
        await page.evaluate("(relay) => { player.relayGone(relay); publisher.relayGone(relay); }", dead)
        await page.wait_for_function("player.joins > 1 && player.state === 'live'", timeout=10_000, polling=20)
        shown = (await page.evaluate("player.stats()"))["framesDecoded"]  # of the new session: it may have begun slowly
        await frames(page, shown + 3)
        moving = time.monotonic()
        print(f"\na page: moving {moving - killed:.3f} s after the kill")
        assert moving - killed < 3.0
        await page.evaluate("Promise.all([player.stop(), publisher.stop()])")
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await bus.aclose()


def relays_watched(watching: asyncio.Task[None]) -> bool:
    """Both have their idle connection: the tasks that hold one are named after them."""
    assert not watching.done()
    return sum(task.get_name().startswith("relay_") for task in asyncio.all_tasks()) == 2
