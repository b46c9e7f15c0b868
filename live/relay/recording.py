"""What the relay feeds its recorder with: the forwarded stream, and who its source is."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import structlog

from live.clock import Clock
from live.relay.depacketise import VideoCodec
from live.relay.recorder import Recorder, RecordingEvent
from live.relay.rtp import Packet, build
from live.relay.sdp import Kind
from live.relay.show import RelayedShow

log = structlog.get_logger(__name__)

_CODECS: dict[str, VideoCodec] = {"H264": "h264", "VP8": "vp8", "VP9": "vp9", "AV1": "av1"}
_TOLD = {"RecordingStarted": "info", "RecordingFinished": "info"}


class ShowRecording:
    """Starts with the first key frame, so that it knows the codecs; other codecs are not recorded, and say so once."""

    def __init__(self, data_dir: Path, clock: Clock, note: Callable[[RecordingEvent], None]) -> None:
        """`note` writes an event down; it is called on the recorder's thread and may block."""
        self._data_dir = data_dir
        self._note = note
        self._clock = clock
        self._recorder: Recorder | None = None
        self._codec: str | None = None
        self._refused = False
        self._source: object = None
        self._reported: dict[Kind, tuple[float, int]] = {}

    def packet(self, show: RelayedShow, kind: Kind, packet: Packet) -> None:
        codec = show.tracks["video"].format.codec if "video" in show.tracks else None
        if self._recorder is None:
            if show.first_wall_ms is None or not self._can(codec):
                return
            self._codec = codec
            video = _CODECS[codec] if codec else None
            self._recorder = Recorder(self._data_dir, show.name, video=video, on_event=self._told, clock=self._clock)
            self._source = show.ingest
        elif (codec != self._codec or show.ingest is not self._source) and self._can(codec):
            # Also for the same codec: another publisher's sender reports are read on another clock.
            self._codec, self._source, self._reported = codec, show.ingest, {}
            self._recorder.source(video=_CODECS[codec] if codec else None)
        self._report(show, kind)
        wire = build(packet, payload_type=96, ssrc=1, seq=packet.seq, timestamp=packet.timestamp)
        self._recorder.packet(kind, wire, at_ms=show.media_ms(self._clock.now_ms()))

    def _report(self, show: RelayedShow, kind: Kind) -> None:
        """Hand on the publisher's newest sender report, its timestamp as the relay forwards it."""
        layer = show.ingest.forwarded(kind) if show.ingest is not None else None
        if self._recorder is None or layer is None or layer.sender_clock is None:
            return
        if self._reported.get(kind) != layer.sender_clock:
            self._reported[kind] = layer.sender_clock
            ntp_ms, timestamp = layer.sender_clock
            forwarded = (timestamp + show.tracks[kind].numbering.timestamp_offset) & 0xFFFFFFFF
            self._recorder.report(kind, forwarded, ntp_ms)

    def close(self) -> None:
        """Ends the file on a thread of its own: the loop must not wait for a disk."""
        if self._recorder is not None:
            threading.Thread(target=self._recorder.close, name="recorder-close").start()
            self._recorder = None

    def _told(self, event: RecordingEvent) -> None:
        _log(event)
        self._note(event)

    def _can(self, codec: str | None) -> bool:
        if codec is None or codec in _CODECS:
            return True
        if not self._refused:
            self._refused = True
            log.warning("relay.not_recorded", codec=codec)
        return False


def _log(event: RecordingEvent) -> None:
    name = type(event).__name__
    getattr(log, _TOLD.get(name, "warning"))("relay.recording", told=name, show=event.show)
