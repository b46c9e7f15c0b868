"""What the relay feeds its recorder with: the forwarded stream, and who its source is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import structlog

from live.clock import Clock
from live.relay.depacketise import VideoCodec
from live.relay.recorder import Recorder
from live.relay.recording_events import RecordingEvent
from live.relay.recording_news import RecordingNews
from live.relay.rtp import Packet, build
from live.relay.sdp import Kind
from live.relay.show import RelayedShow

log = structlog.get_logger(__name__)

_CODECS: dict[str, VideoCodec] = {"H264": "h264", "VP8": "vp8", "VP9": "vp9", "AV1": "av1"}
_TOLD = {"RecordingStarted": "info", "RecordingFinished": "info", "RecordingCaughtUp": "info"}


class ShowRecording:
    """Records a show where its publisher is, and only there: a relay that gets it by pipe or pull records nothing.

    Starts with the first key frame on air, so that it knows the codecs; other codecs are not recorded, and say so once.
    A preview is nobody's to see again: `on_air` says that the show is open.
    """

    def __init__(
        self, data_dir: Path, clock: Clock, news: RecordingNews, on_air: Callable[[], bool] = lambda: True
    ) -> None:
        self._data_dir = data_dir
        self._on_air = on_air
        self._news = news
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._recorder: Recorder | None = None
        self._codec: str | None = None
        self._refused = False
        self._source: object = None
        self._reported: dict[Kind, tuple[float, int]] = {}
        self.state = ""  # recording | behind | disk_full, file, media (an alarm: why it stopped) | ""

    def packet(self, show: RelayedShow, kind: Kind, packet: Packet) -> None:
        if show.mirrored:
            self.close()
            return
        codec = show.tracks["video"].format.codec if "video" in show.tracks else None
        if self._recorder is None:
            if show.first_wall_ms is None or not self._on_air() or not self._can(codec):
                return
            self._codec, self._source, self._reported = codec, show.source, {}
            self._recorder = Recorder(
                self._data_dir,
                show.name,
                video=_CODECS[codec] if codec else None,
                on_event=self._told,
                want_key_frame=lambda: self._on_loop(show.want_key),
                clock=self._clock,
            )
        elif (codec != self._codec or show.source is not self._source) and self._can(codec):
            # Also for the same codec: another publisher's sender reports are read on another clock.
            self._codec, self._source, self._reported = codec, show.source, {}
            self._recorder.source(video=_CODECS[codec] if codec else None)
        self._report(show, kind)
        wire = build(packet, payload_type=96, ssrc=1, seq=packet.seq, timestamp=packet.timestamp)
        self._recorder.packet(kind, wire, at_ms=show.media_ms(self._clock.now_ms()))

    def _report(self, show: RelayedShow, kind: Kind) -> None:
        """Hand on the publisher's newest sender report, its timestamp as the relay forwards it."""
        layer = show.source.forwarded(kind) if show.source is not None else None
        if self._recorder is None or layer is None or layer.sender_clock is None:
            return
        # The show's numbering moves under a report when the same publisher comes back from a pause.
        ntp_ms, timestamp = layer.sender_clock
        report = (ntp_ms, (timestamp + show.tracks[kind].numbering.timestamp_offset) & 0xFFFFFFFF)
        if self._reported.get(kind) != report:
            self._reported[kind] = report
            self._recorder.report(kind, report[1], report[0])

    def close(self) -> None:
        """Ends the file."""
        if self._recorder is not None:
            self._news.end(self._recorder.close)
            self._recorder = None

    def _on_loop(self, ask: Callable[[], None]) -> None:
        """From the recorder's thread."""
        if self._loop.is_running():
            self._loop.call_soon_threadsafe(ask)

    def _told(self, event: RecordingEvent) -> None:
        name = type(event).__name__
        getattr(log, _TOLD.get(name, "warning"))("relay.recording", told=name, show=event.show)
        self.state = {"RecordingStarted": "recording", "RecordingCaughtUp": "recording", "RecordingFinished": "",
                      "RecordingBehind": "behind"}.get(name, getattr(event, "why", self.state))  # fmt: skip
        self._news(event)

    def _can(self, codec: str | None) -> bool:
        if codec is None or codec in _CODECS:
            return True
        if not self._refused:
            self._refused = True
            log.warning("relay.not_recorded", codec=codec)
        return False
