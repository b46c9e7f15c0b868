"""A frame's place in the tail is the server's time at which it was forwarded, lips in step, whatever clocks do."""

from __future__ import annotations

from pathlib import Path

import pytest
from hls_rules import read
from made_show import BEGAN_MS, FIRST_WALL_MS, MadeShow, ffmpeg_says, one_file, show_of
from rtp_made import Numbering, Played, audio_rtp, in_time, pictures, play, sounds, video_rtp

from live.tail import playlist

LIPS_S = 0.04


def whole(made: MadeShow, folder: Path) -> Played:
    made.assembly.close()
    path = one_file(made.window, folder / "all.mp4")
    assert ffmpeg_says(path) == ""
    return play(path)


def apart_s(played: Played) -> list[float]:
    return [min((beep - flash for beep in played.beeps_s), key=abs) for flash in played.flashes_s]


def test_frames_carry_media_time_and_lips_are_in_step(tmp_path: Path) -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send(show_of(8))
    played = whole(made, tmp_path)
    assert len(played.video_s) == 240
    # The flash at the second n of the made show is at media time BEGAN + n.
    for number, flash in enumerate(played.flashes_s):
        assert flash == pytest.approx(BEGAN_MS / 1000 + number, abs=0.005)
    assert max(map(abs, apart_s(played)[1:])) <= LIPS_S
    gaps = [after - before for before, after in zip(played.audio_s, played.audio_s[1:], strict=False)]
    assert max(gaps) < 0.0215  # one unbroken line of sound


def test_an_hour_of_drift_moves_neither_lips_nor_dates(tmp_path: Path) -> None:
    """Two minutes with thirty times the drift of bad crystals: 1,500 ppm is what 50 ppm make of an hour."""
    made = MadeShow()
    made.start("video")
    pace = 1.0015
    frames = [pictures("h264", 2.0, gop=60)] * 60
    sent = video_rtp("h264", [frame for part in frames for frame in part], Numbering(), pace=pace)
    off_ms = []
    for number, one in enumerate(sent):
        made.send([one])
        if number % 500 == 499:
            newest = made.window.newest
            assert newest is not None
            end_ms = newest.wall_ms + newest.ticks / 90
            off_ms.append(end_ms - (FIRST_WALL_MS + BEGAN_MS + one.at_s * 1000))
    assert one.at_s > 110
    # A part that is not out yet and the frame held back, 0.4 s at most, and 100 ms of truth.
    assert all(-500 < off < 100 for off in off_ms), off_ms
    read(playlist.media(made.window))


def test_sound_that_drifts_from_the_picture_is_held_in_step_by_sender_reports(tmp_path: Path) -> None:
    made = MadeShow()
    made.start("video", "audio")
    pace = 0.9995  # half a per mille: 10 ms in 20 s
    video = video_rtp("h264", pictures("h264", 20, gop=60), Numbering())
    audio = audio_rtp(sounds(20), Numbering(7, 1234), pace=pace)
    reported = -1
    for one in in_time(video, audio):
        made.send([one], late_ms=120 if one.kind == "audio" else 0)  # the network holds the sound up
        if int(one.at_s) > reported and one.at_s > 0.1:
            reported = int(one.at_s)
            wall_ms = FIRST_WALL_MS + BEGAN_MS + one.at_s * 1000
            made.assembly.clock(0, wall_ms, Numbering().ts + round(one.at_s * 90_000) & 0xFFFFFFFF)
            made.assembly.clock(1, wall_ms, 1234 + round(one.at_s * 48_000 * pace) & 0xFFFFFFFF)
    played = whole(made, tmp_path)
    late = [apart for apart, flash in zip(apart_s(played), played.flashes_s, strict=True) if flash > 13]
    assert len(late) >= 8
    assert max(map(abs, late)) <= LIPS_S, late


def test_a_microphone_that_is_off_is_silence_and_comes_back_in_step(tmp_path: Path) -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send([one for one in show_of(9) if one.kind == "video" or not 2.5 < one.at_s < 5.5])
    played = whole(made, tmp_path)
    gaps = [after - before for before, after in zip(played.audio_s, played.audio_s[1:], strict=False)]
    assert max(gaps) < 0.0215
    assert [round(beep - BEGAN_MS / 1000) for beep in played.beeps_s] == [0, 1, 2, 6, 7, 8]
    assert max(abs(beep - round(beep)) for beep in played.beeps_s[1:]) <= LIPS_S


def test_a_lost_packet_freezes_until_the_next_key_frame_and_breaks_nothing(tmp_path: Path) -> None:
    made, sent = MadeShow(), show_of(10, gop=60)
    made.start("video", "audio")
    at = next(number for number, one in enumerate(sent) if one.kind == "video" and one.at_s > 3.5)
    made.send(sent[:at] + sent[at + 1 :])
    played = whole(made, tmp_path)
    assert 200 < len(played.video_s) < 290
    assert made.keys > 1
    read(_ended(made))


def test_a_slate_and_another_size_are_discontinuities(tmp_path: Path) -> None:
    made = MadeShow()
    made.start("video", "audio")
    picture, sound = Numbering(), Numbering(7, 1234)  # the relay numbers on, whoever publishes
    for start_s, size in ((0, (320, 240)), (10, (480, 270))):
        video = video_rtp("h264", pictures("h264", 4, size=size, gop=60), picture, start_s=start_s)
        made.send(in_time(video, audio_rtp(sounds(4), sound, start_s=start_s)))
    made.assembly.close()
    said = read(_ended(made))
    breaks = [segment for segment in said.segments if segment.breaks]
    assert len(breaks) == 2
    assert breaks[1].wall_ms == pytest.approx(FIRST_WALL_MS + BEGAN_MS + 10_000, abs=60)
    assert len({segment.init for segment in said.segments}) == 2
    assert {init.size for init in made.window.inits.values()} == {(320, 240), (480, 270)}


def test_another_origin_numbers_anew_and_goes_on_in_the_same_time() -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send(show_of(4))
    made.assembly.gone()
    made.start("video", "audio")
    again = in_time(
        video_rtp("h264", pictures("h264", 4, gop=60), Numbering(1, 5), start_s=5),
        audio_rtp(sounds(4), Numbering(3, 77), start_s=5),
    )
    made.send(again)
    made.assembly.close()
    said = read(_ended(made))
    breaks = [segment for segment in said.segments if segment.breaks]
    assert [round(segment.wall_ms - FIRST_WALL_MS - BEGAN_MS, -2) for segment in breaks] == [0, 5000]
    assert len({segment.init for segment in said.segments}) == 1  # the same set-up needs no other init


def test_a_key_frame_is_asked_for_every_two_seconds_at_most_once_a_second() -> None:
    made = MadeShow()
    made.start("video")
    made.send(show_of(10, gop=1000))
    assert 4 <= made.keys <= 10


def _ended(made: MadeShow) -> str:
    made.window.end()
    return playlist.media(made.window)


def test_dates_never_go_back_when_another_origin_tells_old_pictures_again() -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send(show_of(4))
    made.assembly.gone()
    made.start("video", "audio")
    made.send(show_of(9, start_s=3))  # two seconds of them were there already
    made.assembly.close()
    said = read(_ended(made))
    assert len([segment for segment in said.segments if segment.breaks]) == 2
    # What was put off is made up for.
    last = said.segments[-1]
    assert last.s is not None
    assert last.wall_ms + last.s * 1000 == pytest.approx(FIRST_WALL_MS + BEGAN_MS + 12_000, abs=900)
