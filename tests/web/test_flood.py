"""`frontrow flood` against a real server: the bots are pages, by the browser's own module."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from house import Served

ROOT = Path(__file__).parents[2]


async def flooded(site: Served, *more: str, show: str = "aw26") -> tuple[int, str, str]:
    command = [sys.executable, "-m", "live.cli", "flood", show, "--to", site.origin, *more]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=ROOT, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_a_crowd_talks_is_cut_off_and_comes_back_without_a_gap(site: Served):
    await site.house.go_live(1)
    viewer = await site.viewer()
    async with site.room(viewer) as room:
        code, out, err = await flooded(site, "--bots", "12", "--lines", "12", "--seconds", "2", "--cut")
        assert (code, err) == (0, "")
        assert "12 of 12 in the room" in out
        assert "12 resumed, 0 from a new snapshot" in out
        assert "all cut, all back   after " in out
        assert "refused             none" in out
        assert "gaps                0" in out
        assert room.seen("line.posted"), "it is real talk in a real room"


async def test_a_show_that_is_not_there_is_said_so(site: Served):
    code, _, err = await flooded(site, "--bots", "1", show="nope")
    assert code == 1
    assert err == "The bots could not go on: there is no show nope.\n"
