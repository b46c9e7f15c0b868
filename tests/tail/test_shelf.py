"""What players ask for is there at once or as soon as it is made, and asking wrongly or for ever costs nothing."""

from __future__ import annotations

import asyncio

import pytest
from hls_rules import read

from live.tail import shelf as shelves
from live.tail.shelf import Refused, Shelf
from live.tail.window import Init, Part

INIT = Init(b"init", "avc1.42e01f", (320, 240))
PART = Part(b"part", 30_000, False)


def shelf_with(parts: int = 0, *, whole: int = 0) -> Shelf:
    """`whole` segments of six parts, then an open one with `parts`."""
    shelf = Shelf(10, window_s=30)
    for number in range(whole + (parts > 0)):
        shelf.begin(wall_ms=1_780_000_000_000 + number * 2000, breaks=number == 0, init=INIT)
        for index in range(6 if number < whole else parts):
            shelf.add(Part(b"%d.%d" % (number, index), 30_000, index == 0))
        if number < whole:
            shelf.finish()
    return shelf


async def refusal(asking: object) -> str:
    with pytest.raises(Refused) as refused:
        await asking  # type: ignore[misc]
    return refused.value.why


async def test_a_playlist_that_has_the_part_is_given_at_once_and_one_that_has_it_not_when_it_comes() -> None:
    shelf = shelf_with(2, whole=1)
    assert read((await shelf.media(11, 1)).decode()).segments[-1].parts[-1].uri == "11.1.m4s"
    waiting = asyncio.ensure_future(shelf.media(11, 2))
    await asyncio.sleep(0)
    assert not waiting.done()
    assert shelf.waiting == 1
    shelf.add(PART)
    assert read((await waiting).decode()).segments[-1].parts[-1].uri == "11.2.m4s"
    assert shelf.waiting == 0


async def test_a_segment_is_waited_for_until_it_is_whole() -> None:
    shelf = shelf_with(5)
    waiting = asyncio.ensure_future(shelf.media(10))
    shelf.add(PART)
    await asyncio.sleep(0)
    assert not waiting.done()
    shelf.finish()
    assert read((await waiting).decode()).segments[-1].s == pytest.approx(2.0)


async def test_a_part_beyond_its_segments_last_is_the_first_of_the_next() -> None:
    shelf = shelf_with(5)
    waiting = asyncio.ensure_future(shelf.media(10, 5))
    await asyncio.sleep(0)
    shelf.finish()
    await asyncio.sleep(0)
    assert not waiting.done()
    shelf.begin(wall_ms=1_780_000_001_667, breaks=False, init=INIT)
    shelf.add(Part(b"", 30_000, True))
    assert read((await waiting).decode()).segments[-1].parts[-1].uri == "11.0.m4s"


async def test_the_hinted_part_is_waited_for_and_others_are_there_or_not() -> None:
    shelf = shelf_with(2)
    waiting = asyncio.ensure_future(shelf.part(10, 2))
    await asyncio.sleep(0)
    assert not waiting.done()
    shelf.add(Part(b"new", 30_000, False))
    assert await waiting == b"new"
    assert await shelf.part(10, 0) == b"0.0"
    for msn, number in ((10, 4), (11, 0), (9, 0), (12, 0)):
        assert await refusal(shelf.part(msn, number)) == "missing"


async def test_a_hinted_part_that_never_comes_is_missing_the_moment_that_is_known() -> None:
    shelf = shelf_with(2)
    waiting = asyncio.ensure_future(shelf.part(10, 2))
    await asyncio.sleep(0)
    shelf.finish()
    assert await refusal(waiting) == "missing"


async def test_who_asks_too_far_ahead_is_refused_at_once() -> None:
    shelf = shelf_with(2)
    for msn, part in ((13, None), (13, 0), (10, 6), (11, 4), (12, 99), (999_999_999_999, 0)):
        assert await refusal(shelf.media(msn, part)) == "too_far"
    assert shelf.waiting == 0


async def test_nobody_waits_for_ever_and_only_so_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = shelf_with(2)
    monkeypatch.setattr(shelves, "WAITING_MAX", 3)
    patient = [asyncio.ensure_future(shelf.media(10, 2)) for _ in range(3)]
    await asyncio.sleep(0)
    assert await refusal(shelf.media(10, 2)) == "too_many"
    assert await refusal(shelf.part(10, 2)) == "too_many"
    patient[0].cancel()
    await asyncio.gather(patient[0], return_exceptions=True)
    monkeypatch.setattr(shelves, "WAIT_S", 0.02)
    assert await refusal(shelf.media(10, 2)) == "too_late"
    shelf.add(PART)
    await asyncio.gather(*patient[1:])
    assert shelf.waiting == 0


async def test_the_end_of_the_show_wakes_all_who_wait() -> None:
    shelf = shelf_with(2)
    waiting = asyncio.ensure_future(shelf.media(11, 3))
    await asyncio.sleep(0)
    shelf.end()
    assert read((await waiting).decode()).ended
    assert read((await shelf.media(50, 0)).decode()).ended
    assert await refusal(shelf.part(11, 0)) == "missing"


async def test_a_tail_that_leaves_its_show_to_another_wakes_all_and_never_says_that_it_is_over() -> None:
    shelf = shelf_with(2)
    waiting = asyncio.ensure_future(refusal(shelf.media(11, 3)))
    hinted = asyncio.ensure_future(refusal(shelf.part(10, 2)))
    await asyncio.sleep(0)
    shelf.leave()
    assert (await waiting, await hinted) == ("too_late", "too_late")
    assert await refusal(shelf.media(10, 3)) == "too_late"
    assert not read((await shelf.media()).decode()).ended


async def test_an_empty_show_has_nothing_yet() -> None:
    shelf = shelf_with()
    assert await refusal(shelf.media()) == "empty"
    with pytest.raises(Refused):
        shelf.master()


async def test_segments_stay_for_those_who_read_an_old_playlist_and_then_go() -> None:
    shelf = shelf_with(whole=60)
    listed = [segment.msn for segment in shelf.window.listed]
    assert listed == list(range(54, 70))  # 30 s of two each, and the newest
    assert shelf.segment(listed[0] - 14).startswith(b"30.0")
    with pytest.raises(Refused):
        shelf.segment(30)
    assert set(shelf.window.inits) == {10}
