"""Records a show's forwarded stream as it comes, without re-encoding, in files that survive a crash.

The relay hands each decrypted packet to `Recorder.packet`, which only puts it into a bounded queue; a thread of
its own does the rest. Whatever goes wrong with a file ends the recording and is told by an event, never the show.
What is lost by kill -9: at most the open fragment (1 s), the interleaving (0.3 s), a hole that was still waited for
(0.4 s) and the beat of the thread (0.1 s), so less than two seconds.
Source: docs/decisions/0060-recording-follows-the-picture.md, 0061-vp8-is-recorded-as-webm.md
"""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import structlog

from live.clock import Clock, SystemClock
from live.ids import new_id
from live.relay.depacketise import (
    RATE,
    Frame,
    Frames,
    Kind,
    OpusFrames,
    Reorder,
    Rtp,
    VideoCodec,
    parse,
)
from live.relay.fragments import DiskFull, FragmentFile, Reel, Unreadable, suffix
from live.relay.frames import video_frames
from live.relay.lipsync import Lips

log = structlog.get_logger(__name__)

# About 16 s of 720p at 2.5 Mbit/s with sound, 10 MB: a disk that hangs longer costs picture, not memory.
QUEUE_PACKETS_MAX = 4096
BEAT_S = 0.1
# The data folder holds the shop's books too: a recording stops before it takes their last space.
RESERVE_BYTES = 256 << 20
SPACE_CHECK_MS = 1000
# A timestamp that leaps so far is another stream, not a pause of this one.
LEAP_MS = 10 * 60 * 1000
WANT_KEY_EVERY_MS = 1000

FailedWhy = Literal["disk_full", "file", "media"]


@dataclass(frozen=True)
class RecordingStarted:
    """A file began: a row of `recordings` in state recording. `path` is below the data folder; `starts_at_ms` is the
    media time of its first frame."""

    recording: str
    show: str
    path: str
    starts_at_ms: int
    started_ms: int


@dataclass(frozen=True)
class RecordingFinished:
    """The file is whole. A show has several when its publisher came back with another codec or size."""

    recording: str
    show: str
    ended_ms: int
    bytes: int
    duration_ms: int


@dataclass(frozen=True)
class RecordingFailed:
    """An alarm: this show is recorded no further. The file, if `recording` names one, plays up to where it broke."""

    recording: str | None
    show: str
    why: FailedWhy
    ended_ms: int
    bytes: int


@dataclass(frozen=True)
class RecordingBehind:
    """An alarm: the disk is too slow, `dropped` packets so far were not recorded; picture goes on at a key frame."""

    show: str
    dropped: int


RecordingEvent = RecordingStarted | RecordingFinished | RecordingFailed | RecordingBehind


@dataclass
class RecorderCounts:
    """Running counts, for the relay's stats. `dropped`: queue was full; `lost`: never came; `damaged`: no RTP."""

    packets: int = 0
    dropped: int = 0
    lost: int = 0
    damaged: int = 0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class _Packet:
    kind: Kind
    rtp: bytes | Rtp
    at_ms: float


@dataclass(frozen=True)
class _Report:
    kind: Kind
    rtp_ts: int
    clock_ms: float


@dataclass(frozen=True)
class _Source:
    video: VideoCodec | None
    audio: bool
    parameter_sets: tuple[bytes, ...]


class Recorder:
    """Records one show from its making to `close`.

    `on_event` and `want_key_frame` (asked for at most once a second, when nothing can be written before one comes)
    are called on the recorder's thread: hand over with `loop.call_soon_threadsafe`.
    """

    def __init__(
        self,
        data_dir: Path,
        show: str,
        *,
        video: VideoCodec | None,
        audio: bool = True,
        parameter_sets: tuple[bytes, ...] = (),
        on_event: Callable[[RecordingEvent], None],
        want_key_frame: Callable[[], None] | None = None,
        clock: Clock | None = None,
        reserve_bytes: int = RESERVE_BYTES,
        queue_packets_max: int = QUEUE_PACKETS_MAX,
    ) -> None:
        self.counts = RecorderCounts()
        self._queue: deque[_Packet | _Report | _Source] = deque()
        self._queue_max = queue_packets_max
        self._show = show
        self._behind = False
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._writer = _Writer(
            data_dir, show, self.counts, on_event, want_key_frame, clock or SystemClock(), reserve_bytes
        )
        self._queue.append(_Source(video, audio, parameter_sets))
        self._thread = threading.Thread(target=self._run, name=f"recorder-{show}", daemon=True)
        self._thread.start()

    def packet(self, kind: Kind, rtp: bytes | Rtp, *, at_ms: float | None = None) -> None:
        """Take a packet of the forwarded stream: decrypted RTP, whole or as its parts, numbered continuously over
        publishers.

        `at_ms` is the show's media time now; by default ms since the recorder was made. Never blocks: a full queue
        drops the packet, and with it the picture up to the next key frame, counts it and raises an alarm.
        """
        if len(self._queue) >= self._queue_max:
            self._behind = True
            self.counts.dropped += 1
            return
        if self._behind and len(self._queue) > self._queue_max // 2:
            # Room for a few packets is no help: wait until a good stretch fits.
            self.counts.dropped += 1
            return
        if at_ms is None:
            at_ms = (time.monotonic() - self._began) * 1000
        self._queue.append(_Packet(kind, rtp, at_ms))

    def report(self, kind: Kind, rtp_ts: int, clock_ms: float) -> None:
        """A sender report: the forwarded timestamp `rtp_ts` (32 bits) is `clock_ms` on the publisher's clock (its NTP
        time in ms). Once both kinds were reported, lips follow these instead of the packets' arrival."""
        if len(self._queue) < self._queue_max:
            self._queue.append(_Report(kind, rtp_ts, clock_ms))

    def source(self, *, video: VideoCodec | None, audio: bool = True, parameter_sets: tuple[bytes, ...] = ()) -> None:
        """Another publisher took over. The same codecs go on in the same file; others begin a new one."""
        # Not bounded by the queue's length: there is one per publisher, and it must not be lost.
        self._queue.append(_Source(video, audio, parameter_sets))

    def close(self, timeout_s: float = 10.0) -> None:
        """Writes what was taken and ends the file. Blocks until then, at most `timeout_s`: from a loop, call it by
        `asyncio.to_thread`."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        told = 0
        while not self._stopping.wait(BEAT_S):
            self._drain()
            if self._behind and len(self._queue) <= self._queue_max // 2:
                self._behind = False
            if self.counts.dropped > told:
                told = self.counts.dropped
                log.warning("recording is behind", show=self._show, dropped=told)
                self._writer.tell(RecordingBehind(self._show, told))
        self._drain()
        self._writer.finish()

    def _drain(self) -> None:
        # Only what is there now: a packet that comes meanwhile is the next beat's.
        for _ in range(len(self._queue)):
            self._writer.take(self._queue.popleft())


class _Writer:
    """What the thread does with each item. Not shared between threads."""

    def __init__(
        self,
        data_dir: Path,
        show: str,
        counts: RecorderCounts,
        on_event: Callable[[RecordingEvent], None],
        want_key_frame: Callable[[], None] | None,
        clock: Clock,
        reserve_bytes: int,
    ) -> None:
        self._data_dir, self._show, self._counts = data_dir, show, counts
        self._on_event, self._want_key_frame, self._clock = on_event, want_key_frame, clock
        self._reserve_bytes = reserve_bytes
        self._failed = False
        self._lips = Lips()
        self._order: dict[Kind, Reorder] = {kind: Reorder(rate) for kind, rate in RATE.items()}
        self._frames: dict[Kind, Frames] = {}
        self._plan: tuple[VideoCodec | None, bool] = (None, False)
        self._file: Reel | None = None
        self._at_ms = 0.0
        self._asked_ms = float("-inf")
        self._checked_ms = float("-inf")

    def tell(self, event: RecordingEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            # A listener that is gone (a loop that closed before us) must not cost the file its end.
            log.exception("nobody took a recording's event", show=self._show, told=event)

    def take(self, item: _Packet | _Report | _Source) -> None:
        if self._failed:
            return
        try:
            if isinstance(item, _Packet):
                self._packet(item)
            elif isinstance(item, _Report):
                ts = self._order[item.kind].place(item.rtp_ts)
                self._lips.readings[item.kind].report(ts, item.clock_ms)
            else:
                self._source(item)
        except DiskFull:
            self._fail("disk_full")
        except OSError:
            # Includes FFmpeg's own errors that stand for one of the system.
            log.exception("recording failed", show=self._show)
            self._fail("file")
        except Exception:
            # The last wall before the show: a stream that the muxer or our own code can't take ends the recording.
            log.exception("recording failed", show=self._show)
            self._fail("media")

    def finish(self) -> None:
        if self._failed:
            return
        try:
            for kind, order in self._order.items():
                for packet in order.flush():
                    for frame in self._frames[kind].push(packet) if kind in self._frames else []:
                        self._frame(kind, frame)
            self._end_file()
        except DiskFull:
            self._fail("disk_full")
        except Exception:
            log.exception("recording failed", show=self._show)
            self._fail("file")

    def _source(self, source: _Source) -> None:
        plan = (source.video, source.audio)
        if plan != self._plan:
            self._end_file()
        self._plan = plan
        self._lips.new_source()
        self._frames = {}
        if source.video is not None:
            self._frames["video"] = video_frames(source.video, source.parameter_sets)
        if source.audio:
            self._frames["audio"] = OpusFrames()

    def _packet(self, item: _Packet) -> None:
        self._counts.packets += 1
        rtp = parse(item.rtp) if isinstance(item.rtp, bytes) else item.rtp
        if rtp is None:
            self._counts.damaged += 1
            return
        frames = self._frames.get(item.kind)
        if frames is None:
            return
        self._at_ms = item.at_ms
        self._read_arrival(item, rtp)
        for packet in self._order[item.kind].push(rtp):
            self._counts.lost += packet.lost
            for frame in frames.push(packet):
                self._frame(item.kind, frame)
        if frames.wants_key and self._want_key_frame and item.at_ms - self._asked_ms >= WANT_KEY_EVERY_MS:
            self._asked_ms = item.at_ms
            self._want_key_frame()

    def _read_arrival(self, item: _Packet, rtp: Rtp) -> None:
        ts = self._order[item.kind].place(rtp.timestamp)
        self._lips.readings[item.kind].arrived(ts, item.at_ms)

    def _frame(self, kind: Kind, frame: Frame) -> None:
        leads = "video" if self._plan[0] else "audio"
        if kind == leads and self._begins_file(kind, frame):
            self._end_file()
            try:
                self._begin_file(kind, frame)
            except Unreadable:
                log.warning("a key frame can't be read, the recording waits for the next", show=self._show)
        if self._file is None:
            return
        self._check_space()
        if self._file.write(kind, frame, self._lips.place_ms(kind, frame.ts)):
            self._counts.frames += 1

    def _begins_file(self, kind: Kind, frame: Frame) -> bool:
        if not frame.key:
            return False
        if self._file is None:
            return True
        if suffix(self._plan[0]) == ".mp4" and frame.format != self._file.format:
            # MP4 states the parameter sets once, in front. VP8, VP9 and WebM take a new size in the stream.
            return True
        ahead_ms = self._lips.place_ms(kind, frame.ts) - self._file.end_ms[kind]
        return not -1000 < ahead_ms < LEAP_MS

    def _begin_file(self, kind: Kind, frame: Frame) -> None:
        video, audio = self._plan
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._check_space()
        recording, now_ms = new_id("rec"), self._clock.now_ms()
        path = Path("recordings") / self._show / (recording + suffix(video))
        self._lips.begin(kind, frame.ts)
        # Media time as of the frame, not of its last packet, where the arrival says so.
        starts_at_ms = round(frame.ts * 1000 / RATE[kind] + self._lips.readings[kind].offset_ms(reported=False))
        first = frame if kind == "video" else None
        file = FragmentFile(self._data_dir / path, video=video, first=first, audio=audio)
        self._file = Reel(file, recording, frame.format)
        self.tell(RecordingStarted(recording, self._show, path.as_posix(), starts_at_ms, now_ms))

    def _end_file(self) -> None:
        if self._file is None:
            return
        self._file.close()
        ended, self._file = self._file, None
        self.tell(
            RecordingFinished(
                ended.recording,
                self._show,
                self._clock.now_ms(),
                ended.file.bytes,
                round(max(ended.end_ms.values())),
            )
        )

    def _check_space(self) -> None:
        if self._at_ms - self._checked_ms < SPACE_CHECK_MS:
            return
        self._checked_ms = self._at_ms
        if shutil.disk_usage(self._data_dir).free < self._reserve_bytes:
            raise DiskFull

    def _fail(self, why: FailedWhy) -> None:
        self._failed = True
        recording, size = None, 0
        if self._file is not None:
            self._file.file.abandon()
            recording, size = self._file.recording, self._file.file.bytes
            self._file = None
        log.error("recording stopped", show=self._show, why=why, recording=recording, bytes=size)
        self.tell(RecordingFailed(recording, self._show, why, self._clock.now_ms(), size))
