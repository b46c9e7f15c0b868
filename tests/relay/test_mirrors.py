"""One show on several relays: real processes, real sockets, kill -9. Viewers are back by themselves within 3 s."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
from ports import free_port
from relay_stage import Stage, front, relay_child
from relay_stage import until as until_true
from test_end_to_end import Camera, Viewer

from chat import keys as chat_keys
from live.ids import sign
from live.media.relays import Entry, Relays
from live.media.watch import RelayWatch
from live.relay import rtcp
from live.relay.pipe import PipeClient, folder_of
from live.relay.piped import PipedPacket
from live.store import keys

FEW = {"FRONTROW_RELAY_CAPACITY": "8", "FRONTROW_RELAY_KERNEL": "0"}  # so that a viewer more is a load to be told


async def until(condition: Callable[[], Awaitable[Any]], within_s: float = 60.0) -> Any:
    """Wait for something that has to be asked for."""
    async with asyncio.timeout(within_s):
        while not (found := await condition()):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.02)
        return found


class Troupe:
    """A front, its watch over the relays, and a camera that films on its own."""

    def __init__(self, running: Stage) -> None:
        self.running = running
        self.relays = Relays(running.redis, running.settings.key)
        self.processes: dict[str, asyncio.subprocess.Process] = {}
        self.camera: Camera | None = None
        self.people: list[Camera | Viewer] = []
        self.films = True

    async def entry(self, relay_id: str) -> Entry:
        return next(entry for entry in await self.relays.all() if entry.id == relay_id)

    async def origin(self) -> str:
        origin = await until(lambda: self.relays.origin("shw_one"))
        return str(origin.id)

    async def stats(self, relay_id: str) -> Any:
        bearer = sign(self.running.settings.key, "relay-control", "v1")
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            control = (await self.entry(relay_id)).control
            return (await http.get(f"{control}/stats", headers={"Authorization": f"Bearer {bearer}"})).json()

    async def kill(self, relay_id: str) -> float:
        """kill -9; when."""
        process = self.processes.pop(relay_id)
        process.kill()
        killed = time.monotonic()
        await process.wait()
        return killed

    async def film(self) -> None:
        """A camera that is always on: it publishes anew when its relay died, as `frontrow publish` and pages do."""
        frame = 0
        while self.films:
            if self.camera is None or self.camera.caller.closed.is_set():
                await self._camera()
            assert self.camera is not None
            self.camera.frame(key=frame % 30 == 0 or bool(self.camera.heard.keyframe))
            self.camera.heard = rtcp.Feedback()
            frame += 1
            await asyncio.sleep(0.033)

    async def _camera(self) -> None:
        while True:
            self.camera = Camera()
            self.people.append(self.camera)
            try:
                async with asyncio.timeout(1):
                    await self.camera.on(self.running)
                return
            except (AssertionError, TimeoutError, httpx.HTTPError):
                await asyncio.sleep(0.1)


def relay_of(viewer: Viewer) -> str:
    return viewer.session.rpartition("/")[2].partition(".")[0]


@contextlib.asynccontextmanager
async def troupe(tmp_path: Path, redis_url: str, count: int = 2, **settings: str) -> AsyncIterator[Troupe]:
    async with front(tmp_path, redis_url) as running, contextlib.AsyncExitStack() as stack:
        made = Troupe(running)
        ports = [free_port() for _ in range(count)]
        over = asyncio.Event()
        stack.push_async_callback(_all_over, over, tasks := [])
        # Side by side: a process takes a second or more to load.
        started = [asyncio.get_running_loop().create_future() for _ in ports]
        for port, process in zip(ports, started, strict=True):
            more = FEW | settings | {"FRONTROW_RELAY_CONTROL_PORT": str(port)}
            tasks.append(asyncio.create_task(_kept(process, over, running, redis_url, more)))
        processes = dict(zip(ports, await asyncio.gather(*started), strict=True))

        async def all_there() -> list[Entry]:
            found = await made.relays.all()
            return found if len(found) == count else []

        for entry in await until(all_there):
            made.processes[entry.id] = processes[int(entry.control.rpartition(":")[2])]
        filming = asyncio.create_task(made.film())
        watching = asyncio.create_task(RelayWatch(made.relays).run())
        try:
            yield made
        finally:
            for task in (filming, watching):
                task.cancel()
            await asyncio.gather(filming, watching, return_exceptions=True)
            for person in made.people:
                await person.caller.close()
            await made.relays.close()


async def _kept(
    process: asyncio.Future[Any], over: asyncio.Event, running: Stage, redis_url: str, settings: dict[str, str]
) -> None:
    try:
        async with relay_child(running, redis_url, **settings) as child:
            process.set_result(child)
            await over.wait()
    except Exception as error:
        if process.done():
            raise
        process.set_exception(error)


async def _all_over(over: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    over.set()
    await asyncio.gather(*tasks)


async def on(made: Troupe, wanted: str | None = None) -> Viewer:
    """A viewer who has picture, on `wanted` if given."""

    async def tried() -> Viewer | None:
        viewer = Viewer()
        made.people.append(viewer)
        response = await made.running.play(viewer.caller.offer("recvonly"))
        if response.status_code == 201:
            viewer.session = response.headers["Location"]
            await viewer.caller.connect(response.text)
            await until_true(lambda: viewer.order, 15)
            if wanted in (None, relay_of(viewer)):
                return viewer
            await viewer.caller.close()
        return None

    found: Viewer = await until(tried)
    return found


async def back(made: Troupe, viewer: Viewer, dead: str) -> float:
    """As the player does on `relay.gone`: join anew at once, until there is moving picture. When it moves."""
    await viewer.caller.close(silently=True)
    again = await on(made)
    assert relay_of(again) != dead
    count = len(again.order)
    await until_true(lambda: len(again.order) > count + 3)
    return time.monotonic()


async def test_viewers_are_spread_and_a_mirror_takes_the_show_once_however_many_watch(
    tmp_path: Path, redis_url: str
) -> None:
    async with troupe(tmp_path, redis_url) as made:
        origin = await made.origin()
        (mirror,) = made.processes.keys() - {origin}
        viewers = [await on(made) for _ in range(6)]
        spread = [relay_of(viewer) for viewer in viewers]
        assert {spread.count(origin), spread.count(mirror)} <= {2, 3, 4}
        facts = await made.stats(origin)
        assert facts["pipe"]["subscribers"] == 1
        assert (await made.stats(mirror))["shows"]["shw_one"]["viewers"] == spread.count(mirror)
        for viewer in viewers:
            count = len(viewer.order)
            await until_true(lambda viewer=viewer, count=count: len(viewer.order) > count + 10)
            assert viewer.gaps() == []
        await until(lambda: _mirrors(made, mirror))
        # Its entry says so; the show's key and clock stay the origin's.
        assert (await made.entry(mirror)).shows == frozenset()
        assert await made.origin() == origin
        # The show's end reaches every relay.
        await made.relays.end("shw_one")
        for viewer in viewers:
            await asyncio.wait_for(viewer.caller.closed.wait(), 5)
        assert (await made.stats(mirror))["shows"] == {}


async def _mirrors(made: Troupe, relay_id: str) -> bool:
    return (await made.entry(relay_id)).mirrors == {"shw_one"}


async def test_a_mirror_that_is_killed_costs_its_viewers_less_than_three_seconds(
    tmp_path: Path, redis_url: str
) -> None:
    async with troupe(tmp_path, redis_url) as made:
        origin = await made.origin()
        (mirror,) = made.processes.keys() - {origin}
        viewer = await on(made, mirror)
        await until(lambda: _mirrors(made, mirror))
        told = made.running.redis.pubsub()
        await told.execute_command("SSUBSCRIBE", chat_keys.channel("shw_one"))
        hint = asyncio.create_task(_hint(told))
        killed = await made.kill(mirror)
        assert await asyncio.wait_for(hint, 3) == mirror.encode()
        heard = time.monotonic()
        assert heard - killed < 1.0
        moving = await back(made, viewer, mirror)
        assert moving - killed < 3.0
        print(f"\nmirror killed: told after {heard - killed:.3f} s, moving after {moving - killed:.3f} s")
        # Nothing stale is left of it, and the origin never stopped.
        assert not await made.running.redis.exists(keys.relay(mirror))
        assert not await made.running.redis.sismember(keys.RELAYS, mirror)
        assert await made.origin() == origin
        await told.aclose()


async def _hint(told: Any) -> bytes:
    while True:
        _, _, data = await told.parse_response(block=True)
        if isinstance(data, bytes) and data.startswith(b"v relay.gone"):
            return bytes(data.partition(b'"relay":"')[2].partition(b'"')[0])


async def test_an_origin_that_is_killed_comes_back_on_the_mirror_in_the_same_numbering(
    tmp_path: Path, redis_url: str
) -> None:
    async with troupe(tmp_path, redis_url) as made:
        origin = await made.origin()
        (mirror,) = made.processes.keys() - {origin}
        theirs, hers = await on(made, mirror), await on(made, origin)
        before = {**theirs.video}
        camera = made.camera
        assert camera is not None
        killed = await made.kill(origin)
        camera.caller.closed.set()  # as ICMP, `relay.gone` or its own silence tells it
        stayed = len(theirs.order)
        moving = await back(made, hers, origin)
        await until_true(lambda: len(theirs.order) > stayed + 6)
        print(f"\norigin killed: moving after {moving - killed:.3f} s")
        assert moving - killed < 3.0
        # Who watched on the mirror stayed: the same session, the same stream, no number left out.
        assert theirs.gaps() == []
        assert not theirs.caller.closed.is_set()
        assert {packet.ssrc for packet in theirs.video.values()} == {theirs.ssrc}
        assert set(before) < set(theirs.video)
        assert await made.origin() == mirror
        assert not await made.running.redis.exists(keys.relay(origin))


async def test_a_third_relay_follows_to_the_next_origin_by_itself(tmp_path: Path, redis_url: str) -> None:
    async with troupe(tmp_path, redis_url, 3) as made:
        origin = await made.origin()
        mirrors = sorted(made.processes.keys() - {origin})
        viewers = [await on(made, mirrors[0])]
        # The other one is asked by its pipe, as the HLS tail of a machine without the origin does.
        leaf: list[PipedPacket] = []
        tail = PipeClient(
            made.relays.pipe_of,
            "shw_one",
            sign(made.running.settings.key, "relay-pipe", "v1"),
            folder_of(made.running.settings.data_dir),
            on_start=lambda info: None,
            on_packets=leaf.extend,
        )
        following = asyncio.create_task(tail.follow((await made.entry(mirrors[1])).pipe))
        await until_true(lambda: len(leaf) > 10)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        viewers.append(await on(made, mirrors[1]))
        camera = made.camera
        assert camera is not None
        await made.kill(origin)
        camera.caller.closed.set()
        counts = [len(viewer.order) for viewer in viewers]
        for viewer, count in zip(viewers, counts, strict=True):
            await until_true(lambda viewer=viewer, count=count: len(viewer.order) > count + 10, 5)
            assert viewer.gaps() == []
        assert await made.origin() in mirrors


async def test_a_relay_on_another_machine_pulls_the_show_and_loses_nothing(tmp_path: Path, redis_url: str) -> None:
    # Another machine has another folder; a file where the sockets' folder should be makes this one have no pipe at all.
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "pipes").touch()
    async with troupe(tmp_path, redis_url, 1) as made, contextlib.AsyncExitStack() as stack:
        origin = await made.origin()
        settings = FEW | {"FRONTROW_DATA_DIR": str(elsewhere), "FRONTROW_SECRET_KEY": made.running.settings.key}
        process = await stack.enter_async_context(relay_child(made.running, redis_url, **settings))
        (pulling,) = await until(lambda: _others(made, origin))
        made.processes[pulling] = process
        assert (await made.entry(pulling)).pipe == ""
        viewer = await on(made, pulling)
        count = len(viewer.order)
        await until_true(lambda: len(viewer.order) > count + 30)
        assert viewer.gaps() == []
        here, there = await made.stats(pulling), await made.stats(origin)
        assert there["pipe"]["subscribers"] == 0
        assert here["shows"]["shw_one"]["codec"] == "H264"
        assert abs(here["shows"]["shw_one"]["media_ms"] - there["shows"]["shw_one"]["media_ms"]) < 500
        # A second viewer costs the origin nothing more.
        watched = there["shows"]["shw_one"]["viewers"]
        await on(made, pulling)
        assert (await made.stats(origin))["shows"]["shw_one"]["viewers"] <= watched + 1
        # Its origin dies: it takes the show when the publisher comes, and its viewer stays.
        camera = made.camera
        assert camera is not None
        await made.kill(origin)
        camera.caller.closed.set()
        count = len(viewer.order)
        await until_true(lambda: len(viewer.order) > count + 10, 5)
        assert viewer.gaps() == []
        assert await made.origin() == pulling


async def _others(made: Troupe, relay_id: str) -> set[str]:
    return {entry.id for entry in await made.relays.all()} - {relay_id}
