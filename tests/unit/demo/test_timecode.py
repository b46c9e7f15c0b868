from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from live.demo import timecode


@given(st.integers(min_value=0, max_value=4_000_000_000_000))
def test_what_was_written_is_read(wall_ms: int) -> None:
    row = [235.0 if white else 16.0 for white in timecode.encode(wall_ms)]
    assert timecode.decode(row) == wall_ms % timecode.MODULO


@given(st.integers(min_value=0, max_value=timecode.MODULO - 1), st.integers(min_value=4, max_value=timecode.CELLS - 1))
def test_one_cell_misread_is_no_time(wall_ms: int, cell: int) -> None:
    row = [235.0 if white else 16.0 for white in timecode.encode(wall_ms)]
    row[cell] = 251 - row[cell]
    assert timecode.decode(row) is None


def test_a_picture_without_a_strip_has_no_time() -> None:
    assert timecode.decode_picture([[90.0] * 1280] * 720) is None


@pytest.mark.parametrize(("width", "height"), [(1280, 720), (1920, 1080), (854, 480), (640, 360)])
def test_the_strip_is_read_from_a_picture_of_another_size(width: int, height: int) -> None:
    picture = np.full((720, 1280), 120, dtype=np.uint8)
    top, left = round(timecode.TOP * 720), round(timecode.LEFT * 1280)
    cells = np.where(timecode.encode(123_456_789), 235, 16).astype(np.uint8)
    picture[top : top + 12, left : left + 8 * timecode.CELLS] = np.repeat(cells, 8)
    received = np.asarray(Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR))
    assert timecode.decode_picture(received.tolist()) == 123_456_789 % timecode.MODULO


def test_an_age_runs_over_the_end_of_the_count() -> None:
    assert timecode.age_ms(timecode.MODULO - 40, timecode.MODULO * 3 + 60) == 100
    assert timecode.age_ms(50, 20) == -30
