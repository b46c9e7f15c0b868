"""One show's packets in, parts out: order, frames, places on the show's clock, sound as AAC. Blocking, for one thread.

A discontinuity is made where players must set up anew: another codec or size, a hole longer than `HOLE_MS` (a slate),
another origin or zero of media time. After one, parts go on at the next key frame.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import structlog

from live.relay.depacketise import RATE, Frame, Frames, Kind, OpusFrames, Reorder, Rtp, VideoCodec
from live.relay.frames import video_frames
from live.relay.piped import PipedPacket, PipedTrack, StreamInfo
from live.tail import h264
from live.tail.boxes import AUDIO_HZ, VIDEO_HZ, Picture
from live.tail.packager import Packager, Shelves
from live.tail.sound import Sound
from live.tail.timeline import Clocks, Timeline

log = structlog.get_logger(__name__)

HOLE_MS = 1500  # as long as the relay waits before it says "slate"
BACK_MS = 20
SOUND_FAR_MS = 3000
# Silence takes the place of sound that is so much behind the picture; less than a player holds back.
SOUND_LATE_MS = 300
ASK_KEY_EVERY_MS = 1000
SETTLE_MS, BURST_MAX = 400, 120
EARLY_SOUNDS_MAX = 100  # two seconds: what waits for the first picture out of a transcoder

VIDEO_CODECS: dict[str, VideoCodec] = {"H264": "h264", "VP8": "vp8", "VP9": "vp9", "AV1": "av1"}


class Transcoder(Protocol):
    """Takes frames of another codec; H.264 comes back by `Assembly.transcoded`."""

    def push(self, frame: Frame) -> bool:
        """False: it is behind, the frame was dropped and a key frame is needed."""
        ...

    def close(self) -> None: ...


class Assembly:
    """`want_key()` asks the origin for a key frame; `transcoder(codec)` starts one that turns `codec` into H.264."""

    def __init__(
        self,
        shelves: Shelves,
        *,
        want_key: Callable[[], None],
        transcoder: Callable[[VideoCodec], Transcoder],
    ) -> None:
        self.key_every_ms = 2000  # a publisher that sends key frames only when asked is asked so often
        self.frames = 0
        self._shelves = shelves
        self._want_key = want_key
        self._new_transcoder = transcoder
        self._transcoder: Transcoder | None = None
        self._plan: tuple[VideoCodec | None, bool] = (None, False)
        self._zero_ms: float | None = None
        self._packager: Packager | None = None
        self._kinds: dict[int, Kind] = {}
        self._order: dict[Kind, Reorder] = {}
        self._frames: dict[Kind, Frames] = {}
        self._clocks = Clocks()
        self._timeline: Timeline | None = None
        self._sound: Sound | None = None
        self._early: deque[Frame] = deque(maxlen=EARLY_SOUNDS_MAX)
        self._burst: list[Frame] = []
        self._end_wall_ms = 0.0  # of all that was packaged
        self._format = b""
        self._key_ms = self._asked_ms = float("-inf")

    @property
    def frame_rate(self) -> float:
        return self._packager.frame_rate if self._packager is not None else 30.0

    # ---- what the pipe says --------------------------------------------------------------------

    def start(self, info: StreamInfo) -> None:
        """The show's description. One that changes nothing for us goes unnoticed."""
        picture = next(((n, t) for n, t in enumerate(info.tracks) if t.kind == "video" and not t.rid), None)
        sound = next(((n, t) for n, t in enumerate(info.tracks) if t.kind == "audio" and _is_opus(t)), None)
        codec = VIDEO_CODECS.get(picture[1].codec.upper()) if picture is not None else None
        plan = (codec, sound is not None)
        zero_ms = info.first_wall_ms
        same = plan == self._plan and self._order and (zero_ms is None or zero_ms == self._zero_ms)
        self._kinds = {}
        if picture is not None and codec is not None:
            self._kinds[picture[0]] = "video"
        if sound is not None:
            self._kinds[sound[0]] = "audio"
        if same:
            return
        self._break()
        self._early.clear()
        self._burst.clear()
        self._plan = plan
        self._close_transcoder()
        self._order = {kind: Reorder(RATE[kind]) for kind in self._kinds.values()}
        self._frames = {}
        self._clocks = Clocks()
        if picture is not None and codec is not None:
            self._frames["video"] = video_frames(codec, tuple(picture[1].sets))
            if codec != "h264":
                self._transcoder = self._new_transcoder(codec)
        if sound is not None:
            self._frames["audio"] = OpusFrames()
        if zero_ms is not None:
            self.zero(zero_ms)

    def zero(self, first_wall_ms: int) -> None:
        """Server time of media time's zero."""
        if first_wall_ms != self._zero_ms:
            self._break()
            self._zero_ms = first_wall_ms
            self._packager = Packager(self._shelves, first_wall_ms)

    def packets(self, packets: list[PipedPacket]) -> None:
        for packet in packets:
            kind = self._kinds.get(packet.track)
            if kind is None or kind not in self._order:
                continue
            order, frames = self._order[kind], self._frames[kind]
            rtp = Rtp(packet.seq, packet.timestamp, packet.marker, packet.payload)
            ordered = order.push(rtp)
            self._clocks.arrived(kind, order.place(packet.timestamp), packet.wall_ms)
            for one in ordered:
                for frame in frames.push(one):
                    self._frame(kind, frame)
            if kind == "video":
                self._ask_for_key(packet.wall_ms, frames.wants_key)

    def clock(self, track: int, wall_ms: float, timestamp: int) -> None:
        """At server time `wall_ms` the track's clock stood at `timestamp`."""
        kind = self._kinds.get(track)
        if kind is not None and kind in self._order:
            self._clocks.report(kind, self._order[kind].place(timestamp), wall_ms)

    def recover(self) -> None:
        """Something in here failed: what was begun is dropped, and it goes on at the next key frame."""
        if self._packager is not None and self._zero_ms is not None:
            self._packager.forget()
            self._end_wall_ms = max(self._end_wall_ms, self._zero_ms + self._packager.cut_at / 90)
        self._timeline, self._sound, self._format = None, None, b""
        self._burst.clear()
        self._want_key()

    def gone(self) -> None:
        """The origin is gone; the next one's packets are numbered anew."""
        self._break()
        self._early.clear()
        self._burst.clear()
        self._close_transcoder()
        self._order = {}

    def close(self) -> None:
        self._break()
        self._close_transcoder()

    # ---- frames --------------------------------------------------------------------------------

    def transcoded(self, by: Transcoder, frame: Frame) -> None:
        """H.264 of what was pushed to the transcoder, with its timestamp."""
        if by is self._transcoder:
            self._picture(frame)

    def _frame(self, kind: Kind, frame: Frame) -> None:
        if kind == "audio":
            self._hear(frame)
            return
        if frame.key:
            self._key_ms = self._clocks.offset_ms("video") + frame.ts * 1000 / VIDEO_HZ
        if self._transcoder is None:
            self._picture(frame)
        elif not self._transcoder.push(frame):
            self._want_key()

    def _picture(self, frame: Frame) -> None:
        """A publisher often begins with a burst of what waited for its connection, and a pipe with what was kept: only
        after it the clocks are known, so the first frames wait for that."""
        if self._timeline is not None:
            self._place(frame)
        elif frame.key or self._burst:
            self._burst.append(frame)
            if self._clocks.read_ms >= SETTLE_MS or len(self._burst) >= BURST_MAX:
                burst, self._burst = self._burst, []
                for one in burst:
                    self._place(one)

    def _place(self, frame: Frame) -> None:
        packager = self._packager
        if packager is None or self._zero_ms is None:
            return
        if frame.key and frame.format != self._format:
            self._break()
        at = last = None
        if self._timeline is not None and packager.end is not None:
            at, last = self._ticks("video", frame.ts, VIDEO_HZ), packager.end
            if not -BACK_MS * 90 < at - last < HOLE_MS * 90 or (frame.key and self._timeline.is_lost):
                self._break()
                self._clocks.restart()
                self._burst = [frame] if frame.key else []
                return
        if at is None or last is None:
            if not frame.key or not self._begin_picture(frame):
                return
            at = self._begin_at("video", frame.ts, VIDEO_HZ)
            last = at - 1
            packager.picture(at, h264.by_length(frame.payload), frame.key)
            self.frames += 1
            self._hear_early()
            return
        self.frames += 1
        if self._sound is not None:
            late = (at * AUDIO_HZ // VIDEO_HZ) - SOUND_LATE_MS * AUDIO_HZ // 1000
            if self._sound.end is not None or late >= 0:
                self._out(self._sound.fill(late))
        packager.picture(max(at, last + 1), h264.by_length(frame.payload), frame.key)

    def _begin_picture(self, frame: Frame) -> bool:
        sps, pps = h264.parameter_sets(h264.units(frame.format))
        if not sps or not pps:
            return False
        try:
            shape = h264.read_sps(sps[0])
        except h264.BadSps:
            log.warning("a key frame's set-up can't be read; the tail waits for the next")
            return False
        assert self._packager is not None
        self._format = frame.format
        self._packager.begin(Picture(sps, pps, shape), self._plan[1])
        self._timeline = Timeline("video", self._clocks, frame.ts)
        self._sound = Sound() if self._plan[1] else None
        return True

    def _hear_early(self) -> None:
        """The sound of a picture that came out of its transcoder later."""
        early = list(self._early)
        self._early.clear()
        for frame in early:
            self._hear(frame)

    def _hear(self, frame: Frame) -> None:
        if self._packager is None:
            return
        if self._plan[0] is None:
            self._hear_alone(frame)
        if self._timeline is None or self._sound is None:
            self._early.append(frame)
            return
        at = self._ticks("audio", frame.ts, AUDIO_HZ)
        end = self._packager.end
        if end is not None and abs(at * 1000 / AUDIO_HZ - end * 1000 / VIDEO_HZ) > SOUND_FAR_MS:
            return
        self._out(self._sound.push(frame.payload, at))

    def _hear_alone(self, frame: Frame) -> None:
        """Without a picture the sound leads."""
        assert self._packager is not None
        if self._timeline is not None and self._sound is not None and self._sound.end is not None:
            ahead = self._ticks("audio", frame.ts, AUDIO_HZ) - self._sound.end
            if abs(ahead) < HOLE_MS * AUDIO_HZ // 1000:
                return
            self._break()
        if self._timeline is None and self._clocks.read_ms >= SETTLE_MS:
            self._early.clear()
            self._packager.begin(None, True)
            self._timeline = Timeline("audio", self._clocks, frame.ts)
            self._begin_at("audio", frame.ts, AUDIO_HZ)
            self._sound = Sound()

    def _out(self, frames: list[tuple[int, bytes]]) -> None:
        assert self._packager is not None
        for at, payload in frames:
            if at >= 0:
                self._packager.sound(at, payload)

    def _begin_at(self, kind: Kind, ts: int, rate: int) -> int:
        """Where the first frame goes: not before media time began, nor before the end of what is there."""
        assert self._timeline is not None
        assert self._zero_ms is not None
        earliest_ms = max(0.0, self._end_wall_ms - self._zero_ms)
        at_ms = self._ticks(kind, ts, rate) * 1000 / rate
        if at_ms < earliest_ms:
            self._timeline.put_off(earliest_ms - at_ms + 1)
        return max(0, self._ticks(kind, ts, rate))

    def _ticks(self, kind: Kind, ts: int, rate: int) -> int:
        assert self._timeline is not None
        assert self._zero_ms is not None
        return round((self._timeline.wall_ms(kind, ts) - self._zero_ms) * rate / 1000)

    def _break(self) -> None:
        """What is there goes out; a discontinuity follows."""
        if self._packager is not None and self._timeline is not None and self._zero_ms is not None:
            self._packager.close()
            self._end_wall_ms = max(self._end_wall_ms, self._zero_ms + self._packager.cut_at / 90)
        self._timeline, self._sound, self._format = None, None, b""

    def _close_transcoder(self) -> None:
        if self._transcoder is not None:
            self._transcoder.close()
            self._transcoder = None

    def _ask_for_key(self, now_ms: float, needed: bool) -> None:
        due = now_ms - self._key_ms >= self.key_every_ms
        if (needed or due or self._timeline is None) and now_ms - self._asked_ms >= ASK_KEY_EVERY_MS:
            self._asked_ms = now_ms
            self._want_key()


def _is_opus(track: PipedTrack) -> bool:
    return track.codec.upper() == "OPUS"
