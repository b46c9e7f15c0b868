"""What a recorder's thread does with each packet: into order, into frames, into a file; and what it does when that
can't go on. Blocking; not shared between threads.

    no file ──key frame──► writing ──full disk, error──► stopped ──room is back, a pause is over──► no file
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import structlog

from live.clock import Clock
from live.ids import new_id
from live.relay.depacketise import RATE, Frame, Frames, Kind, OpusFrames, Reorder, Rtp, VideoCodec, parse
from live.relay.fragments import DiskFull, FragmentFile, Reel, Unreadable, suffix
from live.relay.frames import video_frames
from live.relay.lipsync import Lips
from live.relay.recording_events import (
    FailedWhy,
    RecordingEvent,
    RecordingFailed,
    RecordingFinished,
    RecordingPlaced,
    RecordingStarted,
)

log = structlog.get_logger(__name__)

# The data folder holds the shop's books too: a recording stops before it takes their last space.
RESERVE_BYTES = 256 << 20
# What must be free beside the reserve before a stopped recording begins again: three minutes of 2.5 Mbit/s, so that
# a disk on the brink doesn't make a file a second.
ROOM_BYTES = 64 << 20
SPACE_CHECK_MS = 1000
# A timestamp that leaps so far is another stream, not a pause of this one.
LEAP_MS = 10 * 60 * 1000
WANT_KEY_EVERY_MS = 1000
# After a failure: the first pause, doubled up to the longest while it fails again and again.
RETRY_MS, RETRY_MS_MAX = 5_000.0, 300_000.0
PLACE_MS = 10  # a beginning that is known better by less is not told
STEADY_MS = 60_000  # a file that got so far was a success


@dataclass
class RecorderCounts:
    """Running counts, for the relay's stats. `dropped`: queue was full; `lost`: never came; `damaged`: no RTP."""

    packets: int = 0
    dropped: int = 0
    lost: int = 0
    damaged: int = 0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Arrived:
    """A packet of the forwarded stream, and the media time at which it came."""

    kind: Kind
    rtp: bytes | Rtp
    at_ms: float


@dataclass(frozen=True)
class Reported:
    """A sender report."""

    kind: Kind
    rtp_ts: int
    clock_ms: float


@dataclass(frozen=True)
class NewSource:
    """Who publishes from here on, and in which codecs."""

    video: VideoCodec | None
    audio: bool
    parameter_sets: tuple[bytes, ...]


class Writer:
    """Takes what was queued, in order. Whatever goes wrong is told by `on_event`, never raised."""

    def __init__(
        self,
        data_dir: Path,
        show: str,
        counts: RecorderCounts,
        on_event: Callable[[RecordingEvent], None],
        want_key_frame: Callable[[], None] | None,
        clock: Clock,
        reserve_bytes: int,
        room_bytes: int,
    ) -> None:
        self._data_dir, self._show, self._counts = data_dir, show, counts
        self._on_event, self._want_key_frame, self._clock = on_event, want_key_frame, clock
        self._reserve_bytes, self._room_bytes = reserve_bytes, room_bytes
        self._stopped = False
        self._again_ms, self._pause_ms = 0.0, RETRY_MS
        self._lips = Lips()
        self._order: dict[Kind, Reorder] = {kind: Reorder(rate) for kind, rate in RATE.items()}
        self._frames: dict[Kind, Frames] = {}
        self._plan: tuple[VideoCodec | None, bool] = (None, False)
        self._file: Reel | None = None
        self._starts_at_ms = 0
        self._at_ms = 0.0
        self._asked_ms = float("-inf")
        self._checked_ms = float("-inf")

    def tell(self, event: RecordingEvent) -> None:
        try:
            self._on_event(event)
        except Exception:
            # A listener that is gone (a loop that closed before us) must not cost the file its end.
            log.exception("nobody took a recording's event", show=self._show, told=event)

    def take(self, item: Arrived | Reported | NewSource) -> None:
        with_files = not self._stopped
        try:
            if isinstance(item, Arrived):
                self._packet(item)
            elif isinstance(item, Reported):
                ts = self._order[item.kind].place(item.rtp_ts)
                self._lips.readings[item.kind].report(ts, item.clock_ms)
            else:
                self._source(item)
        except DiskFull:
            self._stop("disk_full")
        except OSError:
            # Includes FFmpeg's own errors that stand for one of the system.
            log.exception("recording failed", show=self._show)
            self._stop("file")
        except Exception:
            # The last wall before the show: a stream that the muxer or our own code can't take stops the recording.
            log.exception("recording failed", show=self._show, writing=with_files)
            self._stop("media")

    def finish(self) -> None:
        """Writes what is still waited for, and ends the file."""
        try:
            for kind, order in self._order.items():
                for packet in order.flush():
                    for frame in self._frames[kind].push(packet) if kind in self._frames else []:
                        self._frame(kind, frame)
            self._end_file()
        except DiskFull:
            self._stop("disk_full")
        except Exception:
            log.exception("recording failed", show=self._show)
            self._stop("file")

    def _source(self, source: NewSource) -> None:
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

    def _packet(self, item: Arrived) -> None:
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
        if frames.wants_key:
            self._ask_for_key()

    def _ask_for_key(self) -> None:
        if self._want_key_frame and self._at_ms - self._asked_ms >= WANT_KEY_EVERY_MS:
            self._asked_ms = self._at_ms
            self._want_key_frame()

    def _read_arrival(self, item: Arrived, rtp: Rtp) -> None:
        ts = self._order[item.kind].place(rtp.timestamp)
        self._lips.readings[item.kind].arrived(ts, item.at_ms)

    def _frame(self, kind: Kind, frame: Frame) -> None:
        leads = "video" if self._plan[0] else "audio"
        if self._stopped and not self._may_go_on():
            return
        if kind == leads and self._file is None and not frame.key:
            self._ask_for_key()
        place_ms = self._lips.place_ms(kind, frame.ts)
        if kind == leads and self._begins_file(kind, frame, place_ms):
            self._end_file()
            try:
                self._begin_file(kind, frame)
                place_ms = 0.0
            except Unreadable:
                log.warning("a key frame can't be read, the recording waits for the next", show=self._show)
        if self._file is None:
            return
        self._check_space()
        if self._file.write(kind, frame, place_ms):
            self._counts.frames += 1

    def _begins_file(self, kind: Kind, frame: Frame, place_ms: float) -> bool:
        if not frame.key:
            return False
        if self._file is None:
            return True
        if suffix(self._plan[0]) == ".mp4" and frame.format != self._file.format:
            # MP4 states the parameter sets once, in front. VP8, VP9 and WebM take a new size in the stream.
            return True
        return not -1000 < place_ms - self._file.end_ms[kind] < LEAP_MS

    def _begin_file(self, kind: Kind, frame: Frame) -> None:
        video, audio = self._plan
        self._data_dir.mkdir(parents=True, exist_ok=True)
        self._check_space()
        recording, now_ms = new_id("rec"), self._clock.now_ms()
        path = Path("recordings") / self._show / (recording + suffix(video))
        self._lips.begin(kind, frame.ts)
        # Media time as of the frame, not of its last packet, where the arrival says so.
        self._starts_at_ms = round(self._lips.began_ms)
        first = frame if kind == "video" else None
        file = FragmentFile(self._data_dir / path, video=video, first=first, audio=audio)
        self._file = Reel(file, recording, frame.format)
        self.tell(RecordingStarted(recording, self._show, path.as_posix(), self._starts_at_ms, now_ms))

    def _end_file(self) -> None:
        if self._file is None:
            return
        self._tell_place()
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
        self._tell_place()
        if shutil.disk_usage(self._data_dir).free < self._reserve_bytes:
            raise DiskFull

    def _tell_place(self) -> None:
        starts_at_ms = round(self._lips.began_ms)
        if self._file is not None and abs(starts_at_ms - self._starts_at_ms) > PLACE_MS:
            self._starts_at_ms = starts_at_ms
            self.tell(RecordingPlaced(self._file.recording, self._show, starts_at_ms))

    def _may_go_on(self) -> bool:
        """Whether a stopped recording may begin another file: its pause is over, and there is room."""
        if self._at_ms < self._again_ms:
            return False
        if shutil.disk_usage(self._data_dir).free < self._reserve_bytes + self._room_bytes:
            self._again_ms = self._at_ms + SPACE_CHECK_MS
            return False
        log.info("recording begins again", show=self._show)
        self._stopped = False
        return True

    def _stop(self, why: FailedWhy) -> None:
        self._stopped = True
        recording, size, duration_ms = None, 0, 0
        if self._file is not None:
            self._file.file.abandon()
            recording, size = self._file.recording, self._file.file.bytes
            duration_ms = round(max(self._file.end_ms.values()))
            self._file = None
        if duration_ms >= STEADY_MS:
            self._pause_ms = RETRY_MS
        self._again_ms, self._pause_ms = self._at_ms + self._pause_ms, min(self._pause_ms * 2, RETRY_MS_MAX)
        log.error("recording stopped", show=self._show, why=why, recording=recording, bytes=size)
        self.tell(RecordingFailed(recording, self._show, why, self._clock.now_ms(), size, duration_ms))
