"""VP8, VP9 and AV1 to H.264, once a show, in a process of its own: `python -m live.tail.transcode vp8`.

On both its pipes a frame is 4 bytes size, 8 bytes RTP time (unwrapped), 1 byte "is key", payload. The child is niced,
dies with its parent, keeps no frame back, and writes a key frame every two seconds of the picture's own time. What the
parent can't hand over (the child is slower than the picture) is dropped up to the next key frame; a child that dies is
started again, at most once a second.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from fractions import Fraction
from typing import IO, cast

import structlog

from live.relay.depacketise import START_CODE, VIDEO_HZ, Frame, VideoCodec
from live.tail import h264

log = structlog.get_logger(__name__)

NICE = 5
WAITING_FRAMES_MAX = 60  # two seconds of picture: the child's start takes half of that
RESTART_AFTER_S = 1.0
KEY_EVERY = 2 * VIDEO_HZ
RATE_FACTOR, MOST_BPS = 23, 3_000_000
FRAME_BYTES_MAX = 8 << 20
_HEAD = struct.Struct("!Iq?")


class ChildTranscoder:
    """The parent's end. `on_frame(self, frame)` is called on a thread of its own."""

    def __init__(self, codec: VideoCodec, on_frame: Callable[[ChildTranscoder, Frame], None]) -> None:
        self.restarts = 0
        self._codec = codec
        self._on_frame = on_frame
        self._queue: queue.Queue[Frame | None] = queue.Queue(WAITING_FRAMES_MAX)
        self._needs_key = True
        self._closing = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._run, name=f"transcoder {codec}", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int | None:
        child = self._child
        return child.pid if child is not None else None

    def push(self, frame: Frame) -> bool:
        """False: the frame was dropped, since the child is behind or starts; a key frame is needed."""
        if self._needs_key and not frame.key:
            return False
        try:
            self._queue.put_nowait(frame)
        except queue.Full:
            self._needs_key = True
            return False
        self._needs_key = False
        return True

    def close(self) -> None:
        """The child ends; nothing is waited for."""
        self._closing.set()
        with contextlib.suppress(queue.Full):
            self._queue.put_nowait(None)
        child = self._child
        if child is not None:
            with contextlib.suppress(ProcessLookupError):
                child.kill()

    def _run(self) -> None:
        while not self._closing.is_set():
            began = time.monotonic()
            self._once()
            if not self._closing.is_set():
                self.restarts += 1
                log.warning("tail.transcoder_died", codec=self._codec)
                self._closing.wait(max(0.0, RESTART_AFTER_S - (time.monotonic() - began)))

    def _once(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                self._queue.get_nowait()  # of before it died
        self._needs_key = True
        from live.store.embedded import die_with_parent  # not for the child, which is to start quickly

        with subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-m", "live.tail.transcode", self._codec],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        ) as child:
            self._child = child
            assert child.stdin is not None
            assert child.stdout is not None
            reader = threading.Thread(target=self._read, args=(child.stdout,), daemon=True)
            reader.start()
            with contextlib.suppress(BrokenPipeError):
                while not self._closing.is_set() and child.poll() is None:
                    try:
                        frame = self._queue.get(timeout=0.5)
                    except queue.Empty:
                        continue
                    if frame is None:
                        break
                    write_frame(child.stdin, frame)
            child.kill()
            reader.join()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()

    def _read(self, pipe: IO[bytes]) -> None:
        while True:
            frame = read_frame(pipe)
            if frame is None or self._closing.is_set():
                return
            sets: tuple[bytes, ...] = ()
            if frame.key:
                sps, pps = h264.parameter_sets(h264.units(frame.payload))
                sets = (*sps, *pps)
            self._on_frame(self, frame._replace(format=b"".join(START_CODE + nal for nal in sets)))


def write_frame(pipe: IO[bytes], frame: Frame) -> None:
    pipe.write(_HEAD.pack(len(frame.payload), frame.ts, frame.key) + frame.payload)
    pipe.flush()


def read_frame(pipe: IO[bytes]) -> Frame | None:
    """None at the end of the pipe."""
    head = pipe.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    size, ts, key = _HEAD.unpack(head)
    payload = pipe.read(size) if size <= FRAME_BYTES_MAX else b""
    return Frame(ts, payload, key) if len(payload) == size else None


# ---- the child ---------------------------------------------------------------------------------


def main(codec: str) -> None:
    """Frames of `codec` on stdin, H.264 (Annex B) on stdout, until stdin ends."""
    import av
    import av.error
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import PictureType, VideoFrame

    os.nice(NICE)
    name = {"vp8": "vp8", "vp9": "vp9", "av1": "libdav1d"}[codec]
    decoder = cast(VideoCodecContext, VideoCodecContext.create(name, "r"))
    # Threads that work on frames keep frames back; those that work on slices don't.
    decoder.thread_type = "SLICE"
    decoder.options = {"flags": "+low_delay"}
    encoder: VideoCodecContext | None = None
    keyed: int | None = None
    while (frame := read_frame(sys.stdin.buffer)) is not None:
        packet = av.Packet(frame.payload)
        packet.pts = packet.dts = frame.ts
        packet.time_base = Fraction(1, VIDEO_HZ)
        try:
            pictures = decoder.decode(packet)
        except av.error.FFmpegError:
            continue  # shown again from the next frame that can be read
        for picture in pictures:
            if not isinstance(picture, VideoFrame):
                continue
            size = (picture.width // 2 * 2, picture.height // 2 * 2)
            if encoder is None or (encoder.width, encoder.height) != size:
                encoder = VideoCodecContext.create("libx264", "w")
                encoder.width, encoder.height = size
                encoder.pix_fmt, encoder.time_base = "yuv420p", Fraction(1, VIDEO_HZ)
                encoder.framerate = Fraction(30)
                encoder.thread_count = 2
                encoder.options = {
                    "preset": "superfast",
                    "tune": "zerolatency",
                    "profile": "main",
                    "crf": str(RATE_FACTOR),
                    "maxrate": str(MOST_BPS),
                    "bufsize": str(MOST_BPS),
                    "g": "100000",  # we say when
                    "sc_threshold": "0",
                    "forced-idr": "1",
                }
                keyed = None
            ts = picture.pts if picture.pts is not None else frame.ts
            due = keyed is None or ts - keyed >= KEY_EVERY
            if (picture.width, picture.height, picture.format.name) != (*size, "yuv420p"):
                picture = picture.reformat(*size, format="yuv420p")
            picture.pts, picture.time_base = ts, Fraction(1, VIDEO_HZ)
            picture.pict_type = PictureType.I if due else PictureType.NONE
            keyed = ts if due else keyed
            for coded in encoder.encode(picture):
                write_frame(sys.stdout.buffer, Frame(coded.pts or ts, bytes(coded), coded.is_keyframe))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError, KeyboardInterrupt):
        main(sys.argv[1])
