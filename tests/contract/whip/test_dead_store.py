"""Redis killed and back, on the whole server: the picture goes on for who has it, the room is read-only and says so,
buying and joining are put off with a time to ask again; all of it recovers with nobody's help."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from house import until
from store_server import StoreServer
from test_end_to_end import Camera, Viewer
from whip_house import WhipHouse, whip_house

FRAME_S = 1 / 30
OUTAGE_FRAMES = 75  # two and a half seconds, twice: the relay's beat misses the store each time
ADDING = {"sku": "L1-S", "op": "1"}


@contextlib.asynccontextmanager
async def filming(camera: Camera) -> AsyncIterator[None]:
    """A camera that is always on: a key frame a second."""

    async def film() -> None:
        for frame in range(1_000_000):
            camera.frame(key=frame % 30 == 0)
            await asyncio.sleep(FRAME_S)

    async with asyncio.TaskGroup() as tasks:
        rolling = tasks.create_task(film())
        try:
            yield
        finally:
            rolling.cancel()


async def watched_on(viewer: Viewer, frames: int) -> None:
    """She gets that many more of the camera's frames, of three packets each."""
    enough = len(viewer.order) + 3 * frames

    async def came() -> bool:
        return len(viewer.order) >= enough

    await until(came)


async def joined(house: WhipHouse, viewer: Viewer) -> list[httpx.Response]:
    """She asks until she is let in, as the page's player does. What she was told before."""
    refused = []
    offer = viewer.caller.offer("recvonly")
    async with asyncio.timeout(120):
        while (answer := await house.play(offer)).status_code != 201:
            assert answer.status_code in (409, 503), answer.text
            refused.append(answer)
            await asyncio.sleep(0.1)
    viewer.session = answer.headers["Location"]
    await viewer.caller.connect(answer.text)
    return refused


def refusal(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and when to ask again."""
    return answer.status_code, answer.json()["code"], answer.headers["Retry-After"]


@pytest.mark.parametrize("empty", [False, True], ids=["with-its-data", "empty"])
async def test_the_picture_goes_on_while_the_store_is_dead_and_all_else_comes_back_with_it(
    tmp_path: Path, own_store_server: StoreServer, empty: bool
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        house = await stack.enter_async_context(whip_house(tmp_path, own_store_server.url))
        site, show = house.site, house.site.house.show
        await site.services.desk.drop(show.id, site.house.looks[0], "test")
        buyer = await site.viewer()
        room = await stack.enter_async_context(site.room(buyer))
        camera, viewer, latecomer = Camera(), Viewer(), Viewer()
        for person in (camera, viewer, latecomer):
            stack.push_async_callback(person.caller.close)
        await camera.on(house)  # type: ignore[arg-type]
        await stack.enter_async_context(filming(camera))
        await joined(house, viewer)
        sessions = set(house.relay.sessions)

        own_store_server.stop(kill=True)
        await watched_on(viewer, OUTAGE_FRAMES)
        await room.wait("service.changed", lambda body: body["service"]["read_only"])
        assert (await room.post("line.post", {"text": "anybody?"})).code == "store_down"
        down = (503, "store_down", "5")
        assert refusal(await buyer.send("POST", "/api/shows/aw26/cart", ADDING)) == down
        joining = await house.play(latecomer.caller.offer("recvonly"))
        assert refusal(joining) == down
        assert joining.headers["Access-Control-Allow-Origin"] == "*", "players of other sites read when to ask again"
        assert (await buyer.client.get("/shows/aw26")).status_code == 200
        waiting = asyncio.create_task(joined(house, latecomer))
        await watched_on(viewer, OUTAGE_FRAMES)
        assert not waiting.done()
        if empty:
            own_store_server.forget()
        own_store_server.start()

        refused = await waiting
        assert refused
        await watched_on(latecomer, 1)
        await watched_on(viewer, 1)
        assert sessions < set(house.relay.sessions), "those who were there are the same as before"
        assert house.show.state == "live"
        assert (await site.services.media.picture(show.id)).state == "live"
        await room.wait("service.changed", lambda body: not body["service"]["read_only"])

        async def said() -> bool:
            return bool((await room.post("line.post", {"text": "here again"})).ok)

        await until(said)
        newcomer = await site.viewer()

        async def bought() -> bool:
            return (await newcomer.send("POST", "/api/shows/aw26/cart", ADDING)).status_code == 200

        await until(bought)
        room.envelopes.clear()
        before_ms = await site.services.media.media_now(show.id)
        await site.services.desk.drop(show.id, site.house.looks[1], "test")
        assert (await room.wait_envelope("card.dropped"))["at"] >= before_ms > OUTAGE_FRAMES * FRAME_S * 1000
