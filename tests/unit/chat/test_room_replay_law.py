"""The replay law: a snapshot and the events after it give the same as a fresh snapshot."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from room_process import House, Web, web_process

from chat.client import Answer, RoomClient

ROOM = "shw_spring"

# What one list holds happens at the same time, in whatever order it comes to.
acts = st.lists(
    st.one_of(
        st.tuples(st.just("post"), st.sampled_from(["ann", "bob", "host"])),
        st.tuples(st.just("remove"), st.integers(0, 20)),
        st.tuples(st.just("ban"), st.sampled_from(["ann", "bob"])),
        st.tuples(st.just("mode"), st.booleans()),
        st.tuples(st.just("card"), st.integers(1, 9)),
        st.tuples(st.just("come back"), st.integers(0, 3)),
        st.tuples(st.just("join"), st.just("")),
        st.tuples(st.just("cut"), st.just("")),
    ),
    min_size=1,
    max_size=6,
)
# "lose": the store is killed, comes back without what it answered last, and numbers go on before anyone has noticed.
steps = st.lists(st.one_of(acts, acts, acts, acts, st.just("lose")), min_size=2, max_size=8)


class Page:
    """What a browser keeps."""

    def __init__(self, client) -> None:
        self.lines: dict[str, str] = {}
        self.mode: dict = {}
        self.cards: list[int] = []
        self.seq = 0
        self.taken = 0
        self.turn = asyncio.Lock()
        self.follow(client)

    def follow(self, client) -> None:
        self.client, self.taken = client, 0

    def read(self) -> None:
        for envelope in list(self.client.envelopes)[self.taken :]:
            self.taken += 1
            kind, body = envelope["kind"], envelope["body"]
            if "seq" in envelope:
                assert envelope["seq"] == self.seq + 1, "a gap or a duplicate"
                self.seq = envelope["seq"]
            if kind in ("welcome", "reset"):
                self.seq = body["seq"]
                self.lines = {line["id"]: line["text"] for line in body["room"]["lines"]}
                self.mode, self.cards = body["room"]["mode"], list(body["live"]["cards"])
            elif kind == "line.posted":
                self.lines[body["line"]["id"]] = body["line"]["text"]
            elif kind == "line.removed":
                self.lines.pop(body["line"], None)
            elif kind == "lines.removed":
                for line in body["lines"]:
                    self.lines.pop(line, None)
            elif kind == "mode.changed":
                self.mode = body["mode"]
            elif kind == "card.dropped":
                self.cards = body["cards"]

    def state(self) -> tuple:
        return self.lines, self.mode, self.cards, self.seq


def new_words() -> str:
    """Never the same twice: what is said again and again is refused."""
    return secrets.token_hex(8)


@given(script=steps)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_snapshot_and_events_equal_a_fresh_snapshot(own_store_server, script) -> None:
    from contract.chat.archive_contract import MemoryArchive

    store_server = own_store_server

    async def run() -> None:
        house, archive = House(), MemoryArchive()
        house.state["cards"] = []
        async with (
            web_process(store_server.url, house, archive) as one,
            web_process(store_server.url, house, archive) as two,
        ):
            cookies = {name: house.person(name) for name in ("ann", "bob", "page")}
            cookies["host"] = house.person("host", "host", "moderator")
            people = {name: await one.join(cookies[name]) for name in ("ann", "bob", "host")}
            pages = [Page(await two.join(cookies["page"]))]
            lines: list[str] = []
            in_turn = asyncio.Lock()

            async def joined(web: Web, cookie: str, **more: Any) -> RoomClient:
                """As a browser: closed for now (1013, a store that was away), she comes again."""
                async with asyncio.timeout(60):
                    while True:
                        with contextlib.suppress(ConnectionError):
                            return await web.join(cookie, **more)
                        await asyncio.sleep(0.05)

            async def asked(who: str, kind: str, body: dict[str, Any]) -> Answer | None:
                try:
                    return await people[who].post(kind, body, timeout=60)
                except ConnectionError:  # banned: she comes back, silent; or the store was away
                    people[who] = await joined(one, cookies[who])
                    return None

            async def back(page: Page, web: Web) -> None:
                page.read()
                await page.client.aclose()
                page.read()
                page.follow(await joined(web, cookies["page"], resume_from=(page.client.epoch, page.seq)))

            async def stands_at(page: Page, epoch: str, seq: int) -> None:
                async with asyncio.timeout(60):
                    while (page.client.epoch, page.client.seq) != (epoch, seq):
                        if page.client.close_code is not None:
                            await back(page, two)
                        await asyncio.sleep(0.01)

            async def act(step: str, what: Any) -> None:
                if step == "post":
                    answer = await asked(what, "line.post", {"text": f"line {len(lines)} {new_words()}"})
                    if answer is not None and answer.ok:
                        lines.append(answer.body["line"])
                elif step == "remove" and lines:
                    await asked("host", "line.remove", {"line": lines[what % len(lines)]})
                elif step == "ban":
                    await asked("host", "person.ban", {"person": f"per_{what}"})
                elif step == "mode":
                    await asked("host", "mode.set", {"links": what})
                elif step == "card":
                    async with in_turn:  # the show's acts take turns, as the desk's do
                        house.state["cards"] = [*house.state["cards"], what]
                        await two.bus.publish(ROOM, "card.dropped", {"cards": house.state["cards"]})
                elif step == "come back":
                    page = pages[what % len(pages)]
                    async with page.turn:
                        await back(page, (one, two)[what % 2])
                elif step == "join" and len(pages) < 4:
                    pages.append(Page(await joined(two, cookies["page"])))
                elif step == "cut":
                    await one.bus.redis.execute_command("CLIENT", "KILL", "TYPE", "pubsub")

            async def lose(log_bytes: int) -> None:
                store_server.stop(kill=True)
                store_server.lose_from(log_bytes)
                store_server.start()
                for web in (one, two):
                    await web.bus.redis.connection_pool.disconnect()  # else each fails once more by a dead connection
                async with in_turn:
                    house.state["cards"] = [*house.state["cards"], 0]
                    for _ in range(7):
                        await two.bus.publish(ROOM, "card.dropped", {"cards": house.state["cards"]})

            before = store_server.log_bytes
            for together in script:
                if together == "lose":
                    await lose(before)
                else:
                    before = store_server.log_bytes
                    await asyncio.gather(*(act(step, what) for step, what in together))
            fresh = Page(await joined(one, cookies["page"]))
            fresh.read()
            for page in pages:
                await stands_at(page, fresh.client.epoch, fresh.seq)
                page.read()
                assert page.state() == fresh.state()

    store_server.flush()
    asyncio.run(run())
