"""The playlists keep the rules of RFC 8216bis, whatever the publisher sends."""

from __future__ import annotations

from pathlib import Path

import pytest
from hls_rules import follows, merged, read
from made_show import BEGAN_MS, FIRST_WALL_MS, MadeShow, ffmpeg_says, one_file, show_of
from rtp_made import Sent, play

from live.tail import playlist
from live.tail.window import Window


def seconds_of(window: Window) -> float:
    return sum(segment.ticks for segment in window.listed) / 90_000


@pytest.mark.parametrize("gop", [30, 105, 1000])
def test_every_version_keeps_the_rules_and_a_delta_says_the_same(gop: int) -> None:
    made, sent = MadeShow(Window(77, window_s=20)), show_of(26, gop=gop)
    made.start("video", "audio")
    version, before, deltas = made.window.version, None, 0
    for one in sent:
        made.send([one])
        if made.window.version == version or made.window.newest is None:
            continue
        version = made.window.version
        full = read(playlist.media(made.window))
        if before is not None:
            follows(before, full)
            delta = read(playlist.media(made.window, skip=True), init=before.segments[0].init)
            assert merged(before, delta) == full.segments
            deltas += delta.skipped > 0
        before = full
    assert before is not None
    assert deltas > 10
    assert before.first_msn > 77, "the premise: segments left the window"
    assert 17 < seconds_of(made.window) < 25
    keyed = [segment.parts[0].independent for segment in before.segments if segment.parts]
    assert all(keyed) or gop > 72  # a segment begins with a key frame, unless that is too far away


@pytest.mark.parametrize("fps", [15, 10, 5, 2])
def test_parts_are_as_long_as_promised_at_every_frame_rate(fps: int, tmp_path: Path) -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send(show_of(12, gop=max(2 * fps, 2), fps=fps))
    made.assembly.close()
    read(_ended(made.window))
    assert ffmpeg_says(one_file(made.window, tmp_path / "all.mp4")) == ""
    assert abs(seconds_of(made.window) - 12) < 1.1 / fps + 0.1


def _ended(window: Window) -> str:
    window.end()
    return playlist.media(window)


def test_a_picture_of_uneven_pace_keeps_the_rules() -> None:
    made = MadeShow()
    made.start("video", "audio")
    # Every third frame is missing and every seventh is late by a third of a frame: a phone that is busy.
    frames = {one.at_s for one in show_of(14) if one.kind == "video"}
    gone = set(sorted(frames)[2::3]) - set(sorted(frames)[::60])
    seq, sent = 0, []
    for one in show_of(14, gop=1):
        if one.at_s in gone and one.kind == "video":
            continue
        if one.kind == "video":
            seq += 1
            one = Sent(one.kind, one.at_s, one.rtp[:2] + (seq & 0xFFFF).to_bytes(2, "big") + one.rtp[4:])
        sent.append(one)
    made.send(sent)
    made.assembly.close()
    read(_ended(made.window))


def test_sound_alone_and_picture_alone_are_shows(tmp_path: Path) -> None:
    for kinds, codecs in ((("audio",), "mp4a.40.2"), (("video",), "avc1.")):
        made = MadeShow()
        made.start(*kinds)
        made.send(show_of(8))
        made.assembly.close()
        said = read(_ended(made.window))
        assert made.window.inits[said.segments[0].msn].codecs.startswith(codecs)
        assert len(said.segments) >= 4
        path = one_file(made.window, tmp_path / f"{kinds[0]}.mp4")
        assert ffmpeg_says(path) == ""
        played = play(path)
        assert bool(played.video_s) == (kinds == ("video",))
        assert bool(played.audio_s) == (kinds == ("audio",))


def test_the_master_playlist_names_codecs_size_and_rate() -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send(show_of(5))
    text = playlist.master(made.window, frame_rate=made.assembly.frame_rate)
    assert 'CODECS="avc1.42c0' in text
    assert ',mp4a.40.2"' in text
    assert "RESOLUTION=320x240,FRAME-RATE=30.000" in text
    assert text.endswith("\nmedia.m3u8\n")


def test_dates_are_the_servers_clock_at_forwarding() -> None:
    made = MadeShow()
    made.start("video", "audio")
    made.send(show_of(6))
    first = next(made.window.listed)
    assert abs(first.wall_ms - (FIRST_WALL_MS + BEGAN_MS)) < 2
    assert playlist.date_time(1_780_000_005_000.4) == "2026-05-28T20:26:45.000Z"
