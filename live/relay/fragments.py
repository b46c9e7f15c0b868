"""A recording's file: packets as they were encoded, in fragments that are on disk within a second.

H.264 and AV1 go into fragmented MP4, VP8 and VP9 into WebM: FFmpeg's MP4 muxer takes no VP8, and WebM lets a size
change on the way, which VP9 does by itself. Both may be cut off anywhere after their header and still play up to
there. Blocking: only for the recorder's thread.
"""

from __future__ import annotations

import errno
import io
import os
import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
import av.error

from live.relay.depacketise import RATE, VIDEO_HZ, Frame, Kind, VideoCodec

if TYPE_CHECKING:
    from av.stream import Stream

# A fragment closes with the first frame after this, and a stream that is silent holds the other up for so long.
# With HOLE_S and the recorder's beat the sum stays below the two seconds that a crash may cost.
FRAGMENT_MS = 1000
INTERLEAVE_MS = 300

OPUS_SILENCE = b"\xfc\xff\xfe"  # 20 ms

_MP4 = {
    "movflags": "empty_moov+default_base_moof",
    "frag_duration": str(FRAGMENT_MS * 1000),
    "flush_packets": "1",
    "max_interleave_delta": str(INTERLEAVE_MS * 1000),
}
_WEBM = {
    "live": "0",
    "cluster_time_limit": str(FRAGMENT_MS),
    "flush_packets": "1",
    "max_interleave_delta": str(INTERLEAVE_MS * 1000),
}
_FOURCC = {"vp8": b"VP80", "vp9": b"VP90", "av1": b"AV01"}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class DiskFull(Exception):
    """The file can't grow: no space, over quota, or over the size that the system allows a file."""


def suffix(video: VideoCodec | None) -> str:
    return ".webm" if video in ("vp8", "vp9") else ".mp4"


class Unreadable(Exception):
    """The key frame can't be decoded, so a file can't begin with it."""


class FragmentFile:
    """One file being written. Raises: DiskFull, OSError (other trouble with the file), and Unreadable when made."""

    def __init__(self, path: Path, *, video: VideoCodec | None, first: Frame | None, audio: bool) -> None:
        """`first` is the key frame that the video begins with; its codec must be `video`."""
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._sink = _Sink(path)
        try:
            self._container = av.open(
                self._sink,
                "w",
                format=suffix(video)[1:],
                container_options=_WEBM if suffix(video) == ".webm" else _MP4,
            )
            self._streams: dict[Kind, Stream] = {}
            if video is not None:
                assert first is not None
                self._add("video", _probed(video, first))
            if audio:
                self._add("audio", _opus())
        except BaseException:
            self._sink.close()
            path.unlink(missing_ok=True)
            raise

    @property
    def bytes(self) -> int:
        return self._sink.size

    def write(self, kind: Kind, frame: Frame, *, pts: int, ticks: int) -> None:
        """`pts` in ticks of the kind's clock, must grow; `ticks` is how long the frame is expected to last."""
        packet = av.Packet(frame.payload)
        packet.stream = self._streams[kind]
        packet.time_base = Fraction(1, RATE[kind])
        packet.pts = packet.dts = pts
        packet.duration = ticks
        packet.is_keyframe = frame.key
        with self._as_disk_full():
            self._container.mux_one(packet)

    def close(self) -> None:
        """Writes what is still held and the end of the file."""
        try:
            with self._as_disk_full():
                self._container.close()
                self._sink.sync()
        finally:
            self._sink.close()

    def abandon(self) -> None:
        """After an error: leaves the file as it is, playable up to the last whole fragment."""
        # A closed sink keeps PyAV from writing a trailer, now or when it is collected.
        self._sink.close()

    def _add(self, kind: Kind, template: Stream) -> None:
        stream = self._container.add_stream_from_template(template, opaque=True)
        stream.time_base = Fraction(1, RATE[kind])
        self._streams[kind] = stream

    def _as_disk_full(self) -> _AsDiskFull:
        return _AsDiskFull(self._sink)


class Reel:
    """The file being written and how far each kind is in it.

    One frame a kind is held back until the next is there: only then is it known how long it lasts, and FFmpeg's muxer
    puts a frame that opens a fragment where the one before it was said to end.
    """

    def __init__(self, file: FragmentFile, recording: str, form: bytes) -> None:
        self.file, self.recording, self.format = file, recording, form
        self.end_ms: dict[Kind, float] = {"video": 0.0, "audio": 0.0}
        self._held: dict[Kind, tuple[int, Frame]] = {}
        self._step: dict[Kind, int] = {"video": VIDEO_HZ // 30, "audio": 960}

    def write(self, kind: Kind, frame: Frame, place_ms: float) -> bool:
        """False: the frame belongs before what is written and is left out."""
        pts = round(place_ms * RATE[kind] / 1000)
        if kind == "audio" and kind not in self._held and pts > 0:
            # A track begins with its first packet, wherever that says it is: silence leads in from 0.
            self._held[kind] = (0, Frame(0, OPUS_SILENCE, key=True))
        if kind in self._held:
            last, before = self._held[kind]
            if kind == "audio" and pts <= last:
                return False
            # The picture's order is its coding order; without B-frames, which WebRTC doesn't send, that of showing too.
            pts = max(pts, last + 1)
            self._step[kind] = pts - last
            self.file.write(kind, before, pts=last, ticks=pts - last)
        elif pts < 0:
            return False
        self._held[kind] = (pts, frame)
        self.end_ms[kind] = (pts + (frame.ticks or min(self._step[kind], VIDEO_HZ))) * 1000 / RATE[kind]
        return True

    def close(self) -> None:
        for kind, (pts, frame) in self._held.items():
            self.file.write(kind, frame, pts=pts, ticks=round(self.end_ms[kind] * RATE[kind] / 1000) - pts)
        self._held.clear()
        self.file.close()


class _AsDiskFull:
    """Turns the errors of a full disk into `DiskFull`, also where FFmpeg reports them in its own words."""

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        cause = self._sink.error or error
        if error is not None and isinstance(cause, OSError) and cause.errno in _FULL:
            raise DiskFull from error


class _Sink:
    """What PyAV writes into: append only, so that a fragment on disk is never touched again."""

    def __init__(self, path: Path) -> None:
        # O_EXCL: a recording never overwrites another.
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640)
        self.size = 0
        self.error: OSError | None = None
        self.closed = False

    def write(self, chunk: bytes) -> int:
        rest = memoryview(chunk)
        try:
            while rest:
                written = os.write(self._fd, rest)
                self.size += written
                rest = rest[written:]
        except OSError as error:
            self.error = error
            raise
        return len(chunk)

    def sync(self) -> None:
        os.fsync(self._fd)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            os.close(self._fd)


def _probed(video: VideoCodec, first: Frame) -> Stream:
    """A stream with size and set-up of the key frame `first`, for the muxer to copy."""
    if video == "h264":
        whole, form = first.payload, "h264"
    else:
        # AV1's size is read from its own header; the other two need it said.
        width, height = struct.unpack_from("<HH", first.format) if video != "av1" else (0, 0)
        if video == "vp8":
            width, height = width & 0x3FFF, height & 0x3FFF  # its two highest bits ask for scaling
        header = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, _FOURCC[video], width, height, 90_000, 1, 1, 0)
        whole, form = header + struct.pack("<IQ", len(first.payload), 0) + first.payload, "ivf"
    try:
        stream = av.open(io.BytesIO(whole), "r", format=form).streams.video[0]
    except (av.error.FFmpegError, IndexError) as error:
        raise Unreadable from error
    if not stream.width or not stream.height:
        raise Unreadable
    return stream


def _opus() -> Stream:
    """An Opus stream (48 kHz, stereo, as RFC 7587 has it), for the muxer to copy. Without pre-skip: a recording
    begins in the middle of a stream, where there is no encoder's delay to cut off."""
    head = struct.pack("<8sBBHIhB", b"OpusHead", 1, 2, 0, 48_000, 0, 0)  # RFC 7845 section 5.1
    tags = struct.pack("<8sI8sI", b"OpusTags", 8, b"frontrow", 0)
    ogg = _ogg_page(2, 0, 0, head) + _ogg_page(0, 1, 0, tags) + _ogg_page(4, 2, 960, OPUS_SILENCE)
    return av.open(io.BytesIO(ogg), "r", format="ogg").streams.audio[0]


def _ogg_page(flags: int, number: int, granule: int, body: bytes) -> bytes:
    """RFC 3533 section 6, for one packet below 255 bytes."""
    raw = struct.pack("<4sBBqIIIBB", b"OggS", 0, flags, granule, 1, number, 0, 1, len(body)) + body
    return raw[:22] + struct.pack("<I", _ogg_crc(raw)) + raw[26:]


def _ogg_crc(raw: bytes) -> int:
    crc = 0
    for byte in raw:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x80000000 else crc << 1) & 0xFFFFFFFF
    return crc
