"""Records a show's forwarded stream as it comes, without re-encoding, in files that survive a crash.

The relay hands each decrypted packet to `Recorder.packet`, which only puts it into a bounded queue; a thread of
its own does the rest (recording_writer.py). Whatever goes wrong with a file stops the recording, never the show; it is
told by an event, and the recording begins another file as soon as it can.
What is lost by kill -9: at most the open fragment (1 s), the interleaving (0.3 s), a hole that was still waited for
(0.4 s) and the beat of the thread (0.1 s), so less than two seconds.
Source: docs/decisions/0060-recording-follows-the-picture.md, 0061-vp8-is-recorded-as-webm.md,
0086-a-recording-keeps-the-servers-time.md, 0087-a-recording-ends-well.md
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import structlog

from live.clock import Clock, SystemClock
from live.relay.depacketise import Kind, Rtp, VideoCodec
from live.relay.recording_events import RecordingBehind, RecordingCaughtUp, RecordingEvent
from live.relay.recording_writer import (
    RESERVE_BYTES,
    ROOM_BYTES,
    Arrived,
    NewSource,
    RecorderCounts,
    Reported,
    Writer,
)

log = structlog.get_logger(__name__)

# About 16 s of 720p at 2.5 Mbit/s with sound, 10 MB: a disk that hangs longer costs picture, not memory.
QUEUE_PACKETS_MAX = 4096
BEAT_S = 0.1
# A publisher who is away for so long gets another file when she is back: the worker takes a file that nobody wrote to
# for a minute (QUIET_MS) for one whose relay died, and puts another in its place.
QUIET_S = 30.0


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
        room_bytes: int = ROOM_BYTES,
        queue_packets_max: int = QUEUE_PACKETS_MAX,
        quiet_s: float = QUIET_S,
    ) -> None:
        self.counts = RecorderCounts()
        self._queue: deque[Arrived | Reported | NewSource] = deque()
        self._queue_max = queue_packets_max
        self._quiet_s = quiet_s
        self._show = show
        self._behind = False
        self._began = time.monotonic()
        self._stopping = threading.Event()
        self._writer = Writer(
            data_dir, show, self.counts, on_event, want_key_frame, clock or SystemClock(), reserve_bytes, room_bytes
        )
        self._queue.append(NewSource(video, audio, parameter_sets))
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
        self._queue.append(Arrived(kind, rtp, at_ms))

    def report(self, kind: Kind, rtp_ts: int, clock_ms: float) -> None:
        """A sender report: the forwarded timestamp `rtp_ts` (32 bits) is `clock_ms` on the publisher's clock (its NTP
        time in ms). Once both kinds were reported, lips follow these instead of the packets' arrival."""
        if len(self._queue) < self._queue_max:
            self._queue.append(Reported(kind, rtp_ts, clock_ms))

    def source(self, *, video: VideoCodec | None, audio: bool = True, parameter_sets: tuple[bytes, ...] = ()) -> None:
        """Another publisher took over. The same codecs go on in the same file; others begin a new one."""
        # Not bounded by the queue's length: there is one per publisher, and it must not be lost.
        self._queue.append(NewSource(video, audio, parameter_sets))

    def close(self, timeout_s: float = 10.0) -> None:
        """Writes what was taken and ends the file. Blocks until then, at most `timeout_s`: from a loop, call it by
        `asyncio.to_thread`."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        told, heard = 0, time.monotonic()
        while not self._stopping.wait(BEAT_S):
            if self._drain():
                heard = time.monotonic()
            elif time.monotonic() - heard >= self._quiet_s:
                self._writer.finish()
                heard = float("inf")  # said once; the next packet begins another file with its key frame
            if self.counts.dropped > told:
                told = self.counts.dropped
                log.warning("recording is behind", show=self._show, dropped=told)
                self._writer.tell(RecordingBehind(self._show, told))
            if self._behind and len(self._queue) <= self._queue_max // 2:
                self._behind = False
                self._writer.tell(RecordingCaughtUp(self._show, told))
        self._drain()
        self._writer.finish()

    def _drain(self) -> int:
        # Only what is there now: a packet that comes meanwhile is the next beat's.
        count = len(self._queue)
        for _ in range(count):
            self._writer.take(self._queue.popleft())
        return count
