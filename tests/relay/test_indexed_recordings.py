"""A finished recording gets its index: same pictures, same times, a length that players know, and never half a file."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from rtp_made import Numbering, Played, audio_rtp, in_time, pictures, play, sounds, video_rtp

from live.relay.recorder import Recorder
from live.worker import remux
from live.worker.remux import PART, index


def recorded(folder: Path, codec: str) -> Path:
    """Five seconds and, after a slate of ten, five more."""
    film, opus = pictures(codec, 5.0), sounds(5.0)
    recorder = Recorder(folder, "sho_1", video=codec, on_event=lambda event: None, reserve_bytes=0)  # type: ignore[arg-type]
    video, audio = Numbering(), Numbering(seq=7, ts=123_456)
    for start_s in (0.0, 15.0):
        both = video_rtp(codec, film, video, start_s=start_s), audio_rtp(opus, audio, start_s=start_s)
        for sent in in_time(*both):
            recorder.packet(sent.kind, sent.rtp, at_ms=sent.at_s * 1000)  # type: ignore[arg-type]
    recorder.close(60)
    (path,) = (folder / "recordings" / "sho_1").iterdir()
    return path


def boxes(path: Path) -> list[str]:
    """An MP4's outer boxes."""
    out, at, whole = [], 0, path.read_bytes()
    while at < len(whole):
        out.append(whole[at + 4 : at + 8].decode())
        at += int.from_bytes(whole[at : at + 4], "big")
    return out


def same(before: Played, after: Played) -> None:
    assert after.video_s == pytest.approx(before.video_s, abs=0.002)
    assert after.audio_s == pytest.approx(before.audio_s, abs=0.002)
    assert after.size == before.size


@pytest.mark.parametrize("codec", ["h264", "vp8", "vp9", "av1"])
def test_an_indexed_file_plays_the_same_and_knows_its_length(codec: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, codec)
    before = play(path)
    found = index(path)
    assert found is not None
    assert found.duration_ms == pytest.approx(20_000, abs=50)
    assert found.bytes == path.stat().st_size
    same(before, play(path))
    with av.open(str(path)) as file:
        assert file.duration == pytest.approx(20_000_000, abs=50_000)
        # A seek lands on the key frame before it, without reading what lies between.
        file.seek(17_500_000)
        frame = next(file.decode(video=0))
        assert 16.0 <= float(frame.time) <= 17.5
    if path.suffix == ".mp4":
        assert boxes(path).index("moov") < boxes(path).index("mdat")
        assert "moof" not in boxes(path)
    assert sorted(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("codec", ["h264", "vp9"])
def test_a_file_that_was_cut_off_is_indexed_up_to_there(codec: str, tmp_path: Path) -> None:
    path = recorded(tmp_path, codec)
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10])
    before = play(path, torn=True)
    found = index(path)
    assert found is not None
    after = play(path)
    assert len(after.video_s) >= len(before.video_s) - 1
    assert found.duration_ms == pytest.approx(max(after.video_s[-1], after.audio_s[-1]) * 1000, abs=1100)


def test_a_file_in_which_nothing_can_be_read_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "rec_1.mp4"
    path.write_bytes(b"no film at all")
    assert index(path) is None
    assert path.read_bytes() == b"no film at all"
    assert sorted(tmp_path.iterdir()) == [path]


def test_of_two_workers_one_does_it(tmp_path: Path) -> None:
    path = recorded(tmp_path, "h264")
    path.with_name(path.name + PART).touch()
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        index(path)
    assert path.read_bytes() == before


def test_a_disk_that_fills_up_leaves_the_recording_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = recorded(tmp_path, "h264")
    before = path.read_bytes()

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(remux.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        index(path)
    assert path.read_bytes() == before
    assert sorted(path.parent.iterdir()) == [path]
