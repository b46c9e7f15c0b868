"""A show in another codec comes out as H.264, by a child that is niced, bounded, and started again when it dies."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from made_show import MadeShow, ffmpeg_says, one_file
from processes import until
from rtp_made import Numbering, Sent, audio_rtp, in_time, pictures, play, sounds, video_rtp

from live.relay.depacketise import Frame, VideoCodec
from live.tail.assembly import Assembly
from live.tail.transcode import NICE, WAITING_FRAMES_MAX, ChildTranscoder


class Handed:
    """Frames that came back, taken up by the assembly on the test's thread."""

    def __init__(self, made: MadeShow) -> None:
        self.frames: list[tuple[ChildTranscoder, Frame]] = []
        self.child: ChildTranscoder | None = None
        made.assembly = Assembly(made.window, want_key=made._key, transcoder=self.start)
        self.assembly = made.assembly

    def start(self, codec: VideoCodec) -> ChildTranscoder:
        self.child = ChildTranscoder(codec, lambda by, frame: self.frames.append((by, frame)))
        return self.child

    def take(self) -> None:
        while self.frames:
            self.assembly.transcoded(*self.frames.pop(0))

    async def pid(self) -> int:
        async def there() -> int | None:
            return self.child.pid if self.child is not None else None

        found = await until(there)
        assert found is not None
        return found


AHEAD = WAITING_FRAMES_MAX - 15


async def publish(made: MadeShow, handed: Handed, sent: list[Sent]) -> None:
    """As fast as the child takes it, whatever the machine: of a picture that is sent faster it would drop some. A child
    that gave nothing back before the end would be waited for in vain."""
    frames: set[float] = set()

    async def taken() -> bool:
        handed.take()
        return len(frames) - made.assembly.frames <= AHEAD

    for one in sent:
        if one.kind == "video":
            frames.add(one.at_s)
        await until(taken)
        made.send([one])


@pytest.mark.parametrize("codec", ["vp8", "vp9", "av1"])
async def test_another_codec_is_h264_by_hls_with_lips_in_step(codec: str, tmp_path: Path) -> None:
    made = MadeShow()
    handed = Handed(made)
    made.start("video", "audio", codec=codec.upper())
    pid = await handed.pid()
    frames = pictures(codec, 4, gop=60)
    await publish(made, handed, in_time(video_rtp(codec, frames, Numbering()), audio_rtp(sounds(4), Numbering(7, 9))))

    async def all_back() -> bool:
        handed.take()
        return made.assembly.frames >= 120

    await until(all_back)
    assert os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, 0) + NICE
    made.assembly.close()
    path = one_file(made.window, tmp_path / "all.mp4")
    assert ffmpeg_says(path) == ""
    played = play(path)
    assert len(played.video_s) == 120
    apart = [min(abs(flash - beep) for beep in played.beeps_s) for flash in played.flashes_s[1:]]
    assert len(apart) >= 2
    assert max(apart) <= 0.04, apart
    segments = list(made.window.listed)
    assert all(segment.parts[0].independent for segment in segments)
    assert 1.9 < segments[0].ticks / 90_000 < 2.1  # its own key frames, whatever the publisher's


async def test_a_child_that_dies_is_started_again_and_the_picture_goes_on(tmp_path: Path) -> None:
    made = MadeShow()
    handed = Handed(made)
    made.start("video", "audio", codec="VP8")
    first = await handed.pid()
    numbering, film = Numbering(), pictures("vp8", 4, gop=15)
    await publish(made, handed, video_rtp("vp8", film, numbering))
    assert made.assembly.frames > 60
    os.kill(first, signal.SIGKILL)
    before = made.assembly.frames
    # The publisher knows nothing of it and goes on: twice as fast as it happened, for as long as a start takes here.
    began = asyncio.get_running_loop().time()
    for turn in range(1, 30):
        for one in video_rtp("vp8", film, numbering, start_s=4.0 * turn):
            await asyncio.sleep(max(0.0, began + (one.at_s - 4) / 2 - asyncio.get_running_loop().time()))
            made.send([one])
            handed.take()
        if made.assembly.frames > before + 20:
            break
    assert handed.child is not None
    assert handed.child.restarts == 1
    assert handed.child.pid not in (None, first)
    assert made.assembly.frames > before + 20
    made.assembly.close()

    async def gone() -> bool:
        return handed.child is not None and handed.child._thread.is_alive() is False

    assert await until(gone)


async def test_a_child_that_is_behind_drops_up_to_the_next_key_frame() -> None:
    child = ChildTranscoder("vp8", lambda by, frame: None)

    async def there() -> bool:
        return child.pid is not None

    await until(there)
    assert child.pid is not None
    os.kill(child.pid, signal.SIGSTOP)
    taken = [child.push(Frame(number * 3000, b"x" * 100_000, key=number == 0)) for number in range(90)]
    assert taken[0]
    assert not taken[-1], "the queue has a bound"
    assert not child.push(Frame(90 * 3000, b"x", key=False))
    child.close()

    async def gone() -> bool:
        return not child._thread.is_alive()

    assert await until(gone)
