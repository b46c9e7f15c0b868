"""A made show for the tail: RTP of `rtp_made` as a pipe hands it over, straight into an `Assembly`."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg
from rtp_made import FPS, Numbering, Sent, audio_rtp, in_time, pictures, sounds, video_rtp

from live.relay.depacketise import Frame, VideoCodec, parse
from live.relay.piped import PipedPacket, PipedTrack, StreamInfo
from live.tail.assembly import Assembly
from live.tail.window import Window

FIRST_WALL_MS = 1_780_000_000_000
BEGAN_MS = 5_000.0  # media time at which the made show's packets begin


class NoTranscoder:
    """For shows that need none."""

    def __init__(self, codec: VideoCodec) -> None:
        raise AssertionError(f"{codec} was to be transcoded")

    def push(self, frame: Frame) -> bool:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@dataclass
class MadeShow:
    """`window` is what the assembly filled; `keys`: how often a key frame was asked for."""

    window: Window = field(default_factory=lambda: Window(1000, window_s=60))
    keys: int = 0

    def __post_init__(self) -> None:
        self.assembly = Assembly(self.window, want_key=self._key, transcoder=NoTranscoder)

    def _key(self) -> None:
        self.keys += 1

    def start(self, *kinds: str, codec: str = "H264", first_wall_ms: int | None = FIRST_WALL_MS) -> None:
        tracks = {
            "video": PipedTrack("video", codec, 90_000, {}),
            "audio": PipedTrack("audio", "opus", 48_000, {"stereo": "1"}),
        }
        self.assembly.start(StreamInfo("show", "live", first_wall_ms, [tracks[kind] for kind in kinds]))
        self.numbers = {kind: number for number, kind in enumerate(kinds)}

    def send(self, sent: list[Sent], *, late_ms: float = 0.0) -> None:
        for one in sent:
            if one.kind in self.numbers:
                self.assembly.packets([self.piped(one, late_ms)])

    def piped(self, one: Sent, late_ms: float = 0.0) -> PipedPacket:
        rtp = parse(one.rtp)
        assert rtp is not None
        wall_ms = round(FIRST_WALL_MS + BEGAN_MS + one.at_s * 1000 + late_ms)
        return PipedPacket(self.numbers[one.kind], rtp.seq, rtp.timestamp, rtp.marker, False, rtp.payload, wall_ms)


def show_of(seconds: float, *, gop: int = 60, fps: int = FPS, pace: float = 1.0, start_s: float = 0.0) -> list[Sent]:
    """Picture (thinned out to `fps`) and sound of a made show."""
    video = video_rtp("h264", pictures("h264", seconds, gop=gop), Numbering(), start_s=start_s, pace=pace)
    if fps != FPS:
        step = FPS // fps
        video = video_rtp("h264", pictures("h264", seconds * fps / FPS, gop=gop), Numbering(), pace=pace)
        video = [
            Sent(one.kind, one.at_s * step, one.rtp[:4] + _later(one.rtp[4:8], one.at_s, step) + one.rtp[8:])
            for one in video
        ]
    return in_time(video, audio_rtp(sounds(seconds), Numbering(7, 1234), start_s=start_s))


def _later(timestamp: bytes, at_s: float, step: int) -> bytes:
    ticks = int.from_bytes(timestamp, "big") + round(at_s * 90_000) * (step - 1)
    return (ticks & 0xFFFFFFFF).to_bytes(4, "big")


def one_file(window: Window, path: Path) -> Path:
    """The listed segments behind their init segment."""
    segments = list(window.listed)
    assert len({segment.init for segment in segments}) == 1
    path.write_bytes(window.inits[segments[0].init].body + b"".join(segment.body for segment in segments))
    return path


def ffmpeg_says(path: Path | str) -> str:
    """What FFmpeg finds wrong when it decodes all of it."""
    run = subprocess.run(
        # Times as they are: rounded to a frame rate, two frames of an uneven picture may fall on one tick.
        [
            imageio_ffmpeg.get_ffmpeg_exe(),
            "-v",
            "warning",
            "-i",
            str(path),
            "-fps_mode",
            "passthrough",
            "-enc_time_base:v",
            "1:90000",
            "-f",
            "null",
            "-",
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return run.stderr if run.returncode == 0 else f"exit code {run.returncode}\n{run.stderr}"
