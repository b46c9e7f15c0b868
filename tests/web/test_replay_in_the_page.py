"""The replay law over the real wire: what the page's own model makes of the server's events is what the server says to
somebody who joins now."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from house import until

ROOT = Path(__file__).resolve().parents[2]
MODEL = """
import { readFileSync } from "node:fs";
import { applyEvent, applySnapshot } from "./static/js/models/show.js";
import { applyGame } from "./static/js/models/games.js";

const { before, events, after } = JSON.parse(readFileSync("told.json", "utf8"));
const replayed = events.reduce(applyEvent, applySnapshot(null, before));
const play = events.reduce(applyGame, before.live.play);
const told = (state, games) => {
  const { show, cards, pinned, stock, cart, runsheet } = state.live;
  const { lines, mode, you } = state;
  // The rev of a bag that never held anything is the moment it was asked for.
  return { show, cards, pinned, stock, bag: cart.lines, runsheet, play: games, lines, mode, you };
};
console.log(JSON.stringify([told(replayed, play), told(applySnapshot(null, after), after.live.play)]));
"""


def told(folder: Path, before: Any, events: list[Any], after: Any) -> tuple[Any, Any]:
    """(the state of the page that heard every event, the state of the page that joined last)"""
    node = shutil.which("node")
    assert node, "node is missing: `make test` installs it (Debian's package nodejs)"
    shutil.copytree(ROOT / "static/js", folder / "static/js", dirs_exist_ok=True)
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "told.json").write_text(json.dumps({"before": before, "events": events, "after": after}))
    (folder / "replay.js").write_text(MODEL)
    run = subprocess.run([node, "replay.js"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    replayed, fresh = json.loads(run.stdout)
    return replayed, fresh


async def test_a_page_that_heard_everything_and_a_page_that_joins_now_show_the_same(site, tmp_path: Path):
    await site.house.go_live(1)
    one, other = await site.viewer(), await site.viewer()
    host = await site.signed_in(site.house.host)
    looks = site.house.looks
    async with site.room(one) as page, site.room(host) as desk, site.room(other) as neighbour:
        for kind, body in (
            ("card.drop", {"look": looks[1]}),
            ("mode.set", {"slow_s": 7, "links": "on"}),
            ("card.drop", {"look": looks[2]}),
            ("poll.open", {"question": "Coat or cape?", "choices": ["coat", "cape"], "seconds": 60}),
            ("card.withdraw", {"look": looks[1]}),
        ):
            assert (await desk.post(kind, body)).ok, kind
        assert (await page.post("cart.add", {"sku": "L1-S"})).ok
        assert (await neighbour.post("cart.add", {"sku": "L3-M"})).ok
        assert (await page.post("cart.add", {"sku": "L3-M"})).ok
        assert (await page.post("cart.remove", {"sku": "L1-S"})).ok
        said = await neighbour.post("line.post", {"text": "what a coat"})
        gone = await page.post("line.post", {"text": "never mind"})
        assert said.ok
        assert (await page.post("line.remove", {"line": gone.body["line"]})).ok
        assert (await desk.post("card.drop", {"look": looks[1]})).ok

        for reader, heard in ((one, page), (host, desk)):
            async with site.room(reader) as late:
                after = late.welcome
                await until(lambda heard=heard, late=late: _caught_up(heard, late))
                replayed, fresh = told(tmp_path, heard.welcome, list(heard.envelopes), after)
            assert fresh["cards"], "the premise: there is something to compare"
            assert fresh["play"]
            assert reader is host or fresh["bag"]
            assert fresh["lines"]
            assert replayed == fresh


async def _caught_up(heard: Any, late: Any) -> bool:
    return heard.seq >= late.seq and _private(heard) == _private_of(late.welcome)


def _private_of(welcome: Any) -> tuple[Any, Any]:
    live = welcome["live"]
    return live["cart"]["lines"], live["runsheet"]


def _private(heard: Any) -> tuple[Any, Any]:
    """The newest bag and run of show that this page was told: private news has no number to wait for."""
    cart, runsheet = _private_of(heard.welcome)
    for envelope in heard.envelopes:
        if envelope["kind"] == "cart.changed":
            cart = envelope["body"]["cart"]["lines"]
        if envelope["kind"] == "runsheet.changed":
            runsheet = envelope["body"]["runsheet"]
    return cart, runsheet
