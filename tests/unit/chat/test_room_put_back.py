"""What a store has forgotten comes back from the archive as it was."""

from __future__ import annotations

import pytest
from room_process import until, web_process


@pytest.mark.parametrize("lost", ["nothing", "another pin", "taken down", "a pin after the return"])
async def test_what_the_archive_puts_back_is_as_it_was_said_and_what_was_pinned_last_is_pinned(
    own_store_server, house, archive, lost: str
) -> None:
    """Not only the store died: no process of before is there any more."""
    store = own_store_server
    async with web_process(store.url, house, archive) as web:
        ann = await web.join(house.person("ann", badge="buyer"))
        bob, mod = await web.join(house.person("bob")), await web.join(house.person("mod", "moderator"))
        first = (await bob.post("line.post", {"text": "which coat is it?"})).body["line"]
        answer = {"text": "@bob the long one", "reply": first, "mentions": ["per_bob"]}
        second = (await ann.post("line.post", answer)).body["line"]
        assert (await mod.post("line.pin", {"line": second})).ok
        said = [envelope["body"]["line"] for envelope in mod.envelopes if envelope["kind"] == "line.posted"]
        assert (said[1]["badge"], said[1]["reply"]["line"], said[1]["mentions"]) == (
            "buyer",
            first,
            [{"person": "per_bob", "name": "bob"}],
        )
        log_bytes = store.log_bytes
        if lost in ("another pin", "taken down"):
            assert (await mod.post("line.pin", {"line": first if lost == "another pin" else ""})).ok
        await until(lambda: len(archive.lines) == 2)
    store.stop(kill=True)
    store.lose_from(log_bytes)
    store.start()
    async with web_process(store.url, house, archive) as web:
        mod = await web.join(house.person("mod", "moderator"))
        if lost == "a pin after the return":
            assert (await mod.post("line.pin", {"line": first})).ok
        eve = await web.join(house.person("eve"))
        for room in [eve.welcome["room"], *([mod.welcome["room"]] if lost != "a pin after the return" else [])]:
            assert room["lines"] == said
            pinned = {"nothing": said[1], "another pin": said[0], "taken down": None, "a pin after the return": said[0]}
            assert room["pinned"] == pinned[lost]
        assert (await mod.post("line.remove", {"line": second})).ok
        fresh = await web.join(house.person("fay"))
        assert fresh.welcome["room"]["lines"] == said[:1]
        assert fresh.welcome["room"]["pinned"] == (None if lost in ("nothing", "taken down") else said[0])


async def test_a_line_that_the_store_lost_stays_though_numbers_go_on(own_store_server, house, archive) -> None:
    store = own_store_server
    async with web_process(store.url, house, archive) as web:
        ann = await web.join(house.person("ann"))
        assert (await ann.post("line.post", {"text": "kept"})).ok
        log_bytes = store.log_bytes
        lost = (await ann.post("line.post", {"text": "lost"})).body["line"]
        await until(lambda: len(archive.lines) == 2)
    store.stop(kill=True)
    store.lose_from(log_bytes)
    store.start()
    async with web_process(store.url, house, archive) as web:
        mod = await web.join(house.person("mod", "moderator"))
        assert [line["text"] for line in mod.welcome["room"]["lines"]] == ["kept", "lost"]
        for card in range(5):
            await web.bus.publish("shw_spring", "card.dropped", {"card": card})
        eve = await web.join(house.person("eve"))
        assert [line["text"] for line in eve.welcome["room"]["lines"]] == ["kept", "lost"]
        assert (await mod.post("line.remove", {"line": lost})).ok
        assert (await eve.wait("line.removed"))["line"] == lost
        ann = await web.join(house.person("ann"))
        assert (await ann.post("line.post", {"text": "new"})).ok
        assert len((await mod.post("person.ban", {"person": "per_ann"})).body["lines"]) == 2, "also what was put back"
