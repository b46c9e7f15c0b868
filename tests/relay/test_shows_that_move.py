"""A show that goes from one relay to another while both live: by a publisher who comes elsewhere, and by SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import httpx
from relay_stage import until as until_true
from soon import soon
from test_end_to_end import Camera
from test_mirrors import _mirrors, on, relay_of, troupe, until

from chat import keys as chat_keys
from live.ids import sign
from live.store import keys


async def test_who_publishes_on_another_relay_has_the_show_and_the_first_relay_mirrors_it(
    tmp_path: Path, redis_url: str
) -> None:
    async with troupe(tmp_path, redis_url) as made:
        origin = await made.origin()
        (mirror,) = made.processes.keys() - {origin}
        hers, theirs = await on(made, origin), await on(made, mirror)
        first = made.camera
        assert first is not None
        made.films = False
        # As web would send her, had it not known of the first publisher.
        second = Camera()
        made.people.append(second)
        bearer = sign(made.running.settings.key, "relay-control", "v1")
        order = {"show": "shw_one", "offer": second.caller.offer("sendonly", codecs=("H264",))}
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            control = (await made.entry(mirror)).control
            answer = await http.post(f"{control}/publish", json=order, headers={"Authorization": f"Bearer {bearer}"})
        await second.caller.connect(answer.json()["answer"])
        counts = len(hers.order), len(theirs.order)
        filming = asyncio.create_task(_film(second))
        await asyncio.wait_for(first.caller.closed.wait(), 60)  # the one from before is sent away
        await until(lambda: _mirrors(made, origin))
        await until_true(lambda: len(hers.order) > counts[0] + 10 and len(theirs.order) > counts[1] + 10)
        assert hers.gaps() == theirs.gaps() == []
        assert await made.origin() == mirror
        filming.cancel()
        await asyncio.gather(filming, return_exceptions=True)


async def test_a_relay_that_drains_hands_its_show_over_and_nobody_is_told_of_a_death(
    tmp_path: Path, redis_url: str
) -> None:
    async with troupe(tmp_path, redis_url) as made:
        origin = await made.origin()
        (mirror,) = made.processes.keys() - {origin}
        hers, theirs = await on(made, origin), await on(made, mirror)
        bus = made.running.redis.pubsub()
        await bus.execute_command("SSUBSCRIBE", chat_keys.channel("shw_one"))
        draining = made.processes.pop(origin)
        draining.terminate()

        async def handed_over() -> None:
            assert await draining.wait() == 0
            await hers.caller.closed.wait()
            again = await on(made)
            assert relay_of(again) == mirror
            count = len(theirs.order)
            await until_true(lambda: len(theirs.order) > count + 10)

        await soon(handed_over(), within_s=12)
        assert theirs.gaps() == []
        assert await made.origin() == mirror
        assert not await made.running.redis.exists(keys.relay(origin))
        async with asyncio.timeout(60):
            heard = [str((await bus.parse_response(block=True))[2])]  # the premise: the room hears
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                while True:
                    heard.append(str((await bus.parse_response(block=True))[2]))
        assert not any("relay.gone" in word for word in heard)
        await bus.aclose()


async def _film(camera: Camera) -> None:
    frame = 0
    while True:
        camera.frame(key=frame % 20 == 0)
        frame += 1
        await asyncio.sleep(0.033)


async def test_a_show_that_nobody_has_any_more_is_adopted_where_its_viewers_wait(
    tmp_path: Path, redis_url: str
) -> None:
    async with troupe(tmp_path, redis_url) as made:
        origin = await made.origin()
        (mirror,) = made.processes.keys() - {origin}
        theirs = await on(made, mirror)
        made.films = False  # her line is gone, too
        clock = await made.running.redis.hgetall(keys.media("shw_one"))
        await made.kill(origin)

        async def adopted() -> bool:
            found = await made.relays.origin("shw_one")
            return found is not None and found.id == mirror

        await until(adopted)
        later = await made.running.redis.hgetall(keys.media("shw_one"))
        assert later[b"state"] == b"slate"
        # Media time counts from the same first frame.
        first, still = (int(one[b"wall_ms"]) - int(one[b"media_ms"]) for one in (clock, later))
        assert abs(first - still) <= 2
        # Whoever comes now sees the last picture; and the publisher, when she is back, finds her viewers.
        await on(made, mirror)
        count = len(theirs.order)
        assert made.camera is not None
        made.camera.caller.closed.set()
        made.films = True
        filming = asyncio.create_task(made.film())
        await until_true(lambda: len(theirs.order) > count + 10)
        assert await made.origin() == mirror
        assert theirs.gaps() == []
        made.films = False
        await filming
