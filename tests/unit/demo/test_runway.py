from __future__ import annotations

from pathlib import Path

import pytest

from live.demo import pictures, programme, runway, sound, timecode
from live.demo.looks import LOOKS

MORNING_MS = 1_750_000_020_000


def test_each_look_has_its_slot_and_one_drop() -> None:
    begins = MORNING_MS // 300_000 * 300_000
    seen = [programme.look_at(begins + slot * 30_000, 10) for slot in range(10)]
    assert sorted(seen) == list(range(1, 11))
    drops = [programme.next_drop_ms(begins + ms) for ms in range(0, 300_000, 1000)]
    assert len(set(drops)) in (10, 11)
    assert all(drop > begins + ms for drop, ms in zip(drops, range(0, 300_000, 1000), strict=True))


def test_the_look_that_is_dropped_is_the_one_on_the_runway() -> None:
    drop = programme.next_drop_ms(MORNING_MS)
    on_stage = {number for _, number, _, _ in programme.walks_at(drop, 10)}
    assert programme.look_at(drop, 10) in on_stage


@pytest.fixture(scope="module")
def hall(tmp_path_factory: pytest.TempPathFactory) -> runway.Runway:
    made = runway.Runway(tmp_path_factory.mktemp("runway"))
    made.warm(MORNING_MS)
    yield made
    made.close()


def test_a_frame_bears_the_moment_it_was_made(hall: runway.Runway) -> None:
    luma = hall.frame(MORNING_MS + 3_217)[: runway.HEIGHT]
    assert timecode.decode_picture(luma.tolist()) == (MORNING_MS + 3_217) % timecode.MODULO


def test_the_model_walks(hall: runway.Runway) -> None:
    before = hall.frame(MORNING_MS + 5_000)[150:680, 500:780].astype(int)
    after = hall.frame(MORNING_MS + 5_400)[150:680, 500:780].astype(int)
    assert (abs(after - before) > 12).mean() > 0.05


def test_a_title_with_accents_is_drawn_in_letters_and_not_in_boxes() -> None:
    assert (runway._title(9, "Opéra ball gown") == runway._title(9, "Opera ball gown")).all()


def test_sprites_are_kept_for_the_next_run(tmp_path: Path) -> None:
    first = runway.Runway(tmp_path)
    first.warm(MORNING_MS)
    first.close()
    made = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert made
    second = runway.Runway(tmp_path)
    second.warm(MORNING_MS)
    second.close()
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == made


def test_the_sound_is_endless_and_not_silent() -> None:
    length = len(sound.loop())
    across = sound.samples(length - 10, 20)
    assert across.shape == (20, 2)
    assert (across[10:] == sound.loop()[:10]).all()
    assert abs(sound.samples(0, 48_000)).max() > 2_000
    # The seam is no louder step than the loop has anyway.
    assert (
        abs(int(across[10, 0]) - int(across[9, 0])) <= abs(sound.loop()[1:, 0].astype(int) - sound.loop()[:-1, 0]).max()
    )


def test_every_look_has_its_own_picture() -> None:
    drawn = [pictures.look_picture(look) for look in (LOOKS[0], LOOKS[8])]
    assert all(picture.size == (900, 1200) for picture in drawn)
    assert drawn[0].tobytes() != drawn[1].tobytes()
    assert len({pictures.name_of(look) for look in LOOKS}) == len(LOOKS) >= 8
    assert all(look.title in pictures.alt_of(look) for look in LOOKS)
