"""Which recordings go, and that nothing outside of their folder is ever touched."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from live.clock import SetClock
from live.settings import Settings
from live.stage.recordings import DAY_MS, Recording, Recordings, to_remove
from live.store.sql import Database

NOW_MS = 1_000 * DAY_MS
GB = 1 << 30


def a_recording(name: str = "rec_1", **more: object) -> Recording:
    facts = {
        "id": name, "show_id": "sho_1", "path": f"recordings/sho_1/{name}.mp4", "state": "finished", "starts_at_ms": 0,
        "started_ms": NOW_MS - 2 * DAY_MS, "ended_ms": NOW_MS - DAY_MS, "bytes": GB, "duration_ms": 1_000, "why": "",
        "kept": False, "indexed_ms": None,
    }  # fmt: skip
    return msgspec.convert({**facts, **more}, Recording)


def aged(name: str, days: int, **more: object) -> Recording:
    ended_ms = NOW_MS - days * DAY_MS
    return a_recording(name, started_ms=ended_ms - 1, ended_ms=ended_ms, **more)


def going(rows: list[Recording], days: int = 30, most_bytes: int = 0) -> list[tuple[str, str]]:
    return [(one.id, why) for one, why in to_remove(rows, now_ms=NOW_MS, days=days, most_bytes=most_bytes)]


def test_what_is_older_than_the_days_goes() -> None:
    assert going([aged("young", 29), aged("old", 31), aged("older", 40)]) == [("older", "age"), ("old", "age")]


def test_days_of_zero_keep_for_ever() -> None:
    assert going([aged("old", 9_000)], days=0) == []


def test_over_the_limit_the_oldest_go_first_and_no_more_than_needed() -> None:
    rows = [aged("c", 1), aged("a", 20), aged("b", 10)]
    assert going(rows, most_bytes=2 * GB) == [("a", "space")]
    assert going(rows, most_bytes=GB) == [("a", "space"), ("b", "space")]
    assert going(rows, most_bytes=3 * GB) == []


def test_one_that_is_written_or_kept_stays_and_counts() -> None:
    written = a_recording("written", state="recording", ended_ms=None, started_ms=NOW_MS - 99 * DAY_MS)
    rows = [written, aged("kept", 99, kept=True), aged("free", 1)]
    assert going(rows, most_bytes=1) == [("free", "space")]


def test_one_that_is_gone_already_counts_for_nothing() -> None:
    assert going([aged("gone", 99, state="removed"), aged("there", 1)], most_bytes=GB) == []


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.booleans(), st.sampled_from(["recording", "finished", "failed", "removed"])),
        max_size=12,
    ),
    st.integers(0, 60),
    st.integers(0, 12),
)
def test_nothing_is_removed_that_must_stay_and_the_limit_is_kept_where_it_can_be(
    facts: list[tuple[int, bool, str]], days: int, most_gb: int
) -> None:
    rows = [aged(f"r{n}", age, kept=kept, state=state) for n, (age, kept, state) in enumerate(facts)]
    taken = [one for one, _ in to_remove(rows, now_ms=NOW_MS, days=days, most_bytes=most_gb * GB)]
    assert all(one.state in ("finished", "failed") and not one.kept for one in taken)
    left = [one for one in rows if one not in taken and one.state != "removed"]
    free = [one for one in left if one.state != "recording" and not one.kept]
    if most_gb:
        assert len(left) <= most_gb or not free
    if days:
        assert all((one.ended_ms or 0) >= NOW_MS - days * DAY_MS for one in free)


@pytest.mark.parametrize(
    "path", ["../secret_key", "secret_key", "recordings/../secret_key", "/etc/passwd", "recordings/sho_1/link.mp4"]
)
async def test_a_row_names_no_file_outside_of_the_recordings(path: str, tmp_path: Path) -> None:
    db = await Database.open(Settings(data_dir=tmp_path, database_url=None))
    try:
        recordings = Recordings(db, SetClock(), tmp_path)
        folder = tmp_path / "recordings" / "sho_1"
        folder.mkdir(parents=True)
        (tmp_path / "secret_key").write_text("s")
        (folder / "link.mp4").symlink_to(tmp_path / "secret_key")
        (folder / "rec_1.mp4").write_text("film")
        assert recordings.file(a_recording()) is not None, "the premise"
        assert recordings.file(a_recording(path=path)) is None
    finally:
        await db.close()
