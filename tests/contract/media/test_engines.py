"""What any engine keeps to (live/media/port.py): held by our relays with a real publisher, and by LiveKit's API."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from livekit_server import KEY, SECRET, livekit_server
from relay_stage import ffmpeg, stage, until

from live.clock import SystemClock
from live.errors import Invalid
from live.media.embedded import EmbeddedEngine
from live.media.livekit import LiveKitEngine
from live.media.port import Channel, MediaEngine, Viewer, ways
from live.media.relays import Relays
from live.settings import Settings

SHOW = Channel("shw_one", "one")
Publishing = Callable[[], contextlib.AbstractAsyncContextManager[None]]


@dataclass
class Case:
    """An engine, and a publisher that comes to the address it was given."""

    engine: MediaEngine
    publishing: Publishing


@contextlib.asynccontextmanager
async def embedded(tmp_path: Path) -> AsyncIterator[Case]:
    async with stage(tmp_path) as running:
        relays = Relays(running.redis, running.settings.key)
        settings = running.settings.model_copy(update={"public_url": running.url})
        engine = EmbeddedEngine(settings, relays, SystemClock())

        @contextlib.asynccontextmanager
        async def publishing() -> AsyncIterator[None]:
            async with ffmpeg((await engine.publish_endpoint(SHOW)).url):
                await until(lambda: "shw_one" in running.relay.shows and running.show.state == "live")
                yield

        yield Case(engine, publishing)
        await engine.close()
        await relays.close()


@contextlib.asynccontextmanager
async def livekit(tmp_path: Path) -> AsyncIterator[Case]:
    async with livekit_server() as server:
        settings = Settings(
            _env_file=None,
            data_dir=tmp_path,
            media_engine="livekit",
            livekit_url=server.url,
            livekit_key=KEY,
            livekit_secret=SECRET,
        )  # type: ignore[call-arg]
        engine = LiveKitEngine(settings, SystemClock())

        @contextlib.asynccontextmanager
        async def publishing() -> AsyncIterator[None]:
            server.publishes((await engine.publish_endpoint(SHOW)).url)
            yield

        yield Case(engine, publishing)
        await engine.close()


@pytest.fixture(params=[embedded, livekit], ids=["embedded", "livekit"])
async def case(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Case]:
    async with request.param(tmp_path) as made:
        yield made


async def test_the_publishers_address_stays_until_it_is_revoked(case: Case):
    first = await case.engine.publish_endpoint(SHOW)
    assert first.url.startswith("http")
    assert await case.engine.publish_endpoint(SHOW) == first


async def test_each_way_to_watch_is_one_it_is_capable_of_and_there_is_an_end_of_them(case: Case):
    found = await ways(case.engine, SHOW, Viewer("per_1", "Ada"))
    kinds = [way.kind for way in found]
    assert kinds
    assert len(set(kinds)) == len(kinds)
    assert set(kinds) == case.engine.capabilities.kinds
    assert await case.engine.play_endpoint(SHOW, Viewer(), without=frozenset(kinds)) is None


async def test_a_viewer_without_a_session_gets_a_way_too(case: Case):
    assert await case.engine.play_endpoint(SHOW, Viewer()) is not None


async def test_a_show_nobody_publishes_stands_still_and_has_no_viewers(case: Case):
    facts = await case.engine.stats(SHOW)
    assert (facts.viewers, facts.publishing) == (0, False)
    assert await case.engine.state(SHOW) == "slate"


async def test_a_publisher_is_seen_and_a_revoked_one_is_gone(case: Case):
    async with case.publishing():
        assert (await case.engine.stats(SHOW)).publishing
        assert await case.engine.state(SHOW) == "live"
        await case.engine.revoke(SHOW)
        assert not (await case.engine.stats(SHOW)).publishing
        assert await case.engine.state(SHOW) == "slate"


async def test_the_end_of_a_show_lets_everybody_go_and_may_be_told_twice(case: Case):
    async with case.publishing():
        await case.engine.end(SHOW)
        await case.engine.end(SHOW)
        facts = await case.engine.stats(SHOW)
        assert (facts.viewers, facts.publishing) == (0, False)


async def test_an_event_that_is_not_the_engines_is_refused(case: Case):
    with pytest.raises(Invalid):
        await case.engine.events(b"{}", {"authorization": "Bearer forged"})


async def test_revoking_what_is_not_there_is_no_error(case: Case):
    await case.engine.revoke(SHOW)
    await case.engine.revoke(SHOW, "per_nobody")
