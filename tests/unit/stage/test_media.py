from live.events import Picture
from live.stage.media import media_at


def test_media_time_runs_on_from_the_relays_last_beat():
    assert media_at(Picture("live", 60_000, 1_000), 1_250) == 60_250


def test_it_runs_on_through_a_slate():
    assert media_at(Picture("slate", 60_000, 1_000), 4_000) == 63_000


def test_it_stands_at_zero_before_the_first_frame():
    assert media_at(Picture("waiting", 0, 0), 9_999_999) == 0


def test_a_beat_from_a_clock_ahead_of_ours_does_not_turn_it_back():
    assert media_at(Picture("live", 60_000, 5_000), 4_900) == 60_000
