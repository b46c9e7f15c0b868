"""What a publisher sends: H.264 without B-frames and Opus, as packets in the order and at the pace they are due.

`RunwayFeed` draws and encodes; `FileFeed` passes a file's H.264 through untouched, in a loop without a seam. What
WebRTC can't carry (another codec, B-frames, AAC) is encoded once, into the cache, before going on air.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import av
from av.audio.fifo import AudioFifo
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from live.demo import runway, sound
from live.errors import Error

OPUS_BITS = 128_000
VIDEO_BITS = 2_500_000
# Time stamps start here, not at 0: an encoder's priming may lie before its first frame.
START_S = 1
PROBE_PACKETS = 400
LONG_GOP_S = 4.0
Say = Callable[[str], None]


class Unplayable(Error):
    """The file is no video that FFmpeg can read."""

    code = "unplayable"

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(path=str(path), why=why)


if TYPE_CHECKING:
    Coded = Packet[Any]


class Due(NamedTuple):
    """A packet and when it is due: seconds from the feed's start."""

    at_s: float
    packet: Coded


class Feed(Protocol):
    """A source of packets. `open` adds its streams to a fresh output; `packets` goes on where the last output ended."""

    def open(self, output: OutputContainer) -> None: ...

    def packets(self) -> Iterator[Due]: ...

    def close(self) -> None: ...


# ---- the generated runway ----------------------------------------------------------------------


class RunwayFeed:
    """The runway of now: each frame is drawn when it is due, so that the time burnt in is the time it was made."""

    def __init__(self, folder: Path) -> None:
        self._runway = runway.Runway(folder)
        self._video: VideoStream | None = None
        self._audio: AudioStream | None = None

    def open(self, output: OutputContainer) -> None:
        self._runway.warm(time.time_ns() // 1_000_000)
        self._video = add_h264(output, runway.WIDTH, runway.HEIGHT, Fraction(runway.FPS))
        self._audio = output.add_stream("libopus", rate=sound.RATE, layout="stereo", bit_rate=OPUS_BITS)

    def packets(self) -> Iterator[Due]:
        assert self._video is not None
        assert self._audio is not None
        began = time.monotonic()
        frame = heard = 0
        while True:
            at = frame / runway.FPS
            # Fallen behind (a busy machine): leave frames out rather than be late for good.
            late = int((time.monotonic() - began - at) * runway.FPS)
            if late > runway.FPS // 2:
                frame += late
                at = frame / runway.FPS
            time.sleep(max(0.0, began + at - time.monotonic()))
            picture = VideoFrame.from_ndarray(self._runway.frame(time.time_ns() // 1_000_000), format="yuv420p")
            picture.pts, picture.time_base = frame + START_S * runway.FPS, Fraction(1, runway.FPS)
            for packet in self._video.encode(picture):
                yield Due(at, packet)
            frame += 1
            while heard / sound.RATE <= at + 0.02:
                block = AudioFrame.from_ndarray(
                    sound.samples(heard, sound.FRAME).reshape(1, -1), format="s16", layout="stereo"
                )
                block.sample_rate, block.pts = sound.RATE, heard + START_S * sound.RATE
                block.time_base = Fraction(1, sound.RATE)
                for packet in self._audio.encode(block):
                    yield Due(at, packet)
                heard += sound.FRAME

    def close(self) -> None:
        self._runway.close()


def add_h264(output: OutputContainer, width: int, height: int, rate: Fraction) -> VideoStream:
    """A stream of H.264 as WebRTC takes it everywhere: constrained baseline, a key frame a second, no delay."""
    video = output.add_stream("libx264", rate=rate)
    video.width, video.height, video.pix_fmt = width, height, "yuv420p"
    video.bit_rate = VIDEO_BITS
    video.time_base = 1 / rate
    video.options = {
        "preset": "superfast", "tune": "zerolatency", "profile": "baseline", "g": str(round(rate)),
        "maxrate": str(VIDEO_BITS), "bufsize": str(VIDEO_BITS), "threads": "1",
    }  # fmt: skip
    return video


# ---- a file ------------------------------------------------------------------------------------


class Ready(NamedTuple):
    """A file's parts as they go out. `sound` is None for a silent film. `length_s` is one turn of the loop."""

    video: Path
    sound: Path | None
    length_s: float


class FileFeed:
    """`ready` in a loop, packet by packet, nothing decoded."""

    def __init__(self, ready: Ready) -> None:
        self._ready = ready
        self._video_input: InputContainer | None = None
        self._outputs: dict[str, Stream] = {}

    def open(self, output: OutputContainer) -> None:
        with av.open(str(self._ready.video)) as source:
            self._outputs["video"] = output.add_stream_from_template(source.streams.video[0])
        if self._ready.sound is not None:
            with av.open(str(self._ready.sound)) as source:
                self._outputs["audio"] = output.add_stream_from_template(source.streams.audio[0])

    def packets(self) -> Iterator[Due]:
        began = time.monotonic()
        turn = 0
        while True:
            for at, stream, packet in self._one_turn():
                due = at + turn * self._ready.length_s
                time.sleep(max(0.0, began + due - time.monotonic()))
                shift = turn * self._ready.length_s + START_S
                base = packet.time_base
                assert base is not None
                first = self._outputs[stream]
                packet.stream = first
                packet.dts = packet.pts = round((at + shift) / base)
                yield Due(due, packet)
            turn += 1

    def close(self) -> None:
        pass

    def _one_turn(self) -> Iterator[tuple[float, str, Coded]]:
        """The packets of one turn, both kinds in the order of their times, each from 0."""
        parts = [(self._ready.video, "video")]
        if self._ready.sound is not None:
            parts.append((self._ready.sound, "audio"))
        heads = []
        for path, kind in parts:
            steps = _packets(path, kind)
            head = next(steps, None)
            if head is not None:
                heads.append((head, kind, steps))
        while heads:
            index = min(range(len(heads)), key=lambda number: heads[number][0][0])
            (at, packet), kind, steps = heads[index]
            if at < self._ready.length_s:
                yield at, kind, packet
            following = next(steps, None)
            if following is None:
                del heads[index]
            else:
                heads[index] = (following, kind, steps)


def _packets(path: Path, kind: str) -> Iterator[tuple[float, Coded]]:
    with av.open(str(path)) as source:
        stream = source.streams.video[0] if kind == "video" else source.streams.audio[0]
        first: float | None = None
        for packet in source.demux(stream):
            if packet.pts is None or packet.time_base is None:
                continue
            at = float(packet.pts * packet.time_base)
            first = at if first is None else first
            yield max(0.0, at - first), packet


def prepare(path: Path, cache: Path, say: Say) -> Ready:
    """The file's parts as WebRTC can carry them; what it can't is encoded here, once, and kept in `cache`.

    Raises: Unplayable.
    """
    try:
        with av.open(str(path)) as source:
            # FFmpeg takes any text for a terminal's recording and would film it.
            if not source.streams.video or source.format.name == "tty":
                raise Unplayable(path, "it has no picture")
            found = _look_at(source)
        video = path if found.why is None else _encoded(path, cache, found, say)
        heard = _sound_of(path, cache, say)
        if found.why is None and found.gop_s > LONG_GOP_S:
            say(f"{path.name} has a key frame every {found.gop_s:.0f} s only: who joins waits up to that long.")
        return Ready(video, heard, _length_of(video))
    except (FFmpegError, OSError) as error:
        raise Unplayable(path, error.strerror or str(error)) from error


class _Found(NamedTuple):
    why: str | None  # why the picture can't go out as it is, or None
    gop_s: float
    rate: Fraction
    width: int
    height: int


def _look_at(source: InputContainer) -> _Found:
    stream = source.streams.video[0]
    codec = stream.codec_context
    rate = stream.average_rate or Fraction(25)
    key_times, reordered, last = [], bool(codec.has_b_frames), None
    for number, packet in enumerate(source.demux(stream)):
        if number >= PROBE_PACKETS or packet.pts is None or packet.time_base is None:
            break
        if packet.is_keyframe:
            key_times.append(float(packet.pts * packet.time_base))
        reordered = reordered or (last is not None and packet.pts < last)
        last = packet.pts
    why = None
    if codec.name != "h264":
        why = f"its picture is {codec.name}, not H.264"
    elif codec.pix_fmt not in ("yuv420p", "yuvj420p"):
        why = f"its picture is {codec.pix_fmt}, and browsers take 4:2:0 with 8 bits only"
    elif reordered:
        why = "its H.264 has B-frames, and WebRTC can't show them"
    steps = [later - earlier for earlier, later in pairwise(key_times)]
    return _Found(why, max(steps, default=0.0), rate, codec.width, codec.height)


def _encoded(path: Path, cache: Path, found: _Found, say: Say) -> Path:
    kept = cache / f"{_fingerprint(path)}.mkv"
    if kept.exists():
        return kept
    say(f"{path.name}: {found.why}. It is encoded once; the next run takes the result.")
    cache.mkdir(parents=True, exist_ok=True)
    draft = kept.with_suffix(".part")
    width, height = found.width // 2 * 2, found.height // 2 * 2
    with av.open(str(path)) as source, av.open(str(draft), "w", format="matroska") as output:
        length = float((source.duration or 0) / av.time_base)
        video = add_h264(output, width, height, found.rate)
        # Encoded once and looked at often: more care than live, and every core.
        video.options = {**video.options, "preset": "veryfast", "threads": "0"}
        told = 0
        first: float | None = None
        last = -1
        for frame in source.decode(source.streams.video[0]):
            if frame.time is None:
                continue
            first = frame.time if first is None else first
            position = max(round((frame.time - first) * found.rate), last + 1)
            last = position
            picture = frame.reformat(width, height, "yuv420p")
            picture.pts, picture.time_base = position, 1 / found.rate
            picture.pict_type = 0  # the file's key frames are not ours
            output.mux(video.encode(picture))
            share = int(frame.time / length * 10) if length else 0
            if share > told:
                told = share
                say(f"  encoding {path.name}: {min(share * 10, 100)} %")
        output.mux(video.encode(None))
    draft.replace(kept)
    return kept


def _sound_of(path: Path, cache: Path, say: Say) -> Path | None:
    with av.open(str(path)) as source:
        if not source.streams.audio:
            return None
        stream = source.streams.audio[0]
        if stream.codec_context.name in ("opus", "libopus") and stream.codec_context.layout.nb_channels == 2:
            return path
        kept = cache / f"{_fingerprint(path)}.sound.mka"
        if kept.exists():
            return kept
        say(f"{path.name}: its sound is {stream.codec_context.name}; WebRTC carries Opus. It is encoded once.")
        cache.mkdir(parents=True, exist_ok=True)
        draft = kept.with_suffix(".part")
        with av.open(str(draft), "w", format="matroska") as output:
            opus = output.add_stream("libopus", rate=sound.RATE, layout="stereo", bit_rate=OPUS_BITS)
            resampler = AudioResampler(format="s16", layout="stereo", rate=sound.RATE)
            fifo = AudioFifo()
            written = 0
            for frame in [*source.decode(stream), None]:
                for block in resampler.resample(frame):
                    block.pts = None
                    fifo.write(block)
                while (piece := fifo.read(sound.FRAME, partial=frame is None)) is not None:
                    piece.pts, piece.time_base = written, Fraction(1, sound.RATE)
                    written += piece.samples
                    output.mux(opus.encode(piece))
            output.mux(opus.encode(None))
        draft.replace(kept)
        return kept


def _length_of(path: Path) -> float:
    """Seconds from the first frame's beginning to the last one's end."""
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        times = [
            float(p.pts * p.time_base) for p in source.demux(stream) if p.pts is not None and p.time_base is not None
        ]
        step = float(1 / (stream.average_rate or 25))
    if not times:
        raise Unplayable(path, "it has no frames")
    return max(times) - times[0] + step


def _fingerprint(path: Path) -> str:
    facts = path.stat()
    return hashlib.sha256(f"{path.absolute()}|{facts.st_size}|{facts.st_mtime_ns}".encode()).hexdigest()[:16]
