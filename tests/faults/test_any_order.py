"""Anything in any order at a real server, on both stores: nothing is oversold, lost, charged twice or told wrongly.

`SCHEDULES` and `WAYS` in the environment say how many a store, and new ones are drawn each time; without them they are
always the same. `FAULTS_SEED` draws the same ones again. A failing run says both.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import last_unit
import machine
import pytest
from faulty import FaultyServer, faulty_server

SCHEDULES = int(os.environ.get("SCHEDULES", "25"))
EVERY_STEP_FROM = 400  # schedules: fewer need not reach each step
WAYS = int(os.environ.get("WAYS", "4"))
USUAL_SEED = 2_147


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultyServer]:
    """Two web processes, a worker and their stores, which all of this file's schedules share."""
    with faulty_server(Path(tmp_path_factory.mktemp("faulty")) / "server", request.param, webs=2) as it:
        yield it


async def test_one_buyer_owns_the_last_unit_whichever_way_it_is_raced(server: FaultyServer) -> None:
    with _again(server.kind) as seed:
        await last_unit.race(server, WAYS, seed)


def test_whatever_happens_the_invariants_hold(server: FaultyServer) -> None:
    with _again(server.kind) as seed:
        killed = machine.run(server, SCHEDULES, seed)
    if SCHEDULES >= EVERY_STEP_FROM:
        assert killed.keys() == machine.STEPS.keys(), "the premise: a process was killed at each step"
    heard = server.merchant.figures()
    print(f"{SCHEDULES} schedules on {server.kind}, seed {seed}; killed at {killed}; the merchant heard {heard}")


@contextlib.contextmanager
def _again(kind: str) -> Iterator[int]:
    """A seed; a failure says how to draw it again."""
    drawn = random.SystemRandom().randrange(2**32) if {"SCHEDULES", "WAYS"} & os.environ.keys() else USUAL_SEED
    seed = int(os.environ.get("FAULTS_SEED") or drawn)
    try:
        yield seed
    except BaseException as why:
        how = f"FAULTS_SEED={seed} SCHEDULES={SCHEDULES} WAYS={WAYS} pytest tests/faults/test_any_order.py -k {kind}"
        why.add_note(f"again: {how}")
        raise
