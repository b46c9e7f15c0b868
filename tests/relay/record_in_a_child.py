"""A recording process to be starved of disk: `record_in_a_child.py FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

from rtp_made import Numbering, audio_rtp, in_time, pictures, sounds, video_rtp

from live.relay.recorder import Recorder
from live.relay.recording_events import RecordingEvent


def main(folder: str) -> None:
    frames, packets = pictures("h264", 6.0), sounds(6.0)
    sent = in_time(video_rtp("h264", frames, Numbering()), audio_rtp(packets, Numbering(seq=7, ts=123_456)))
    recorder = Recorder(Path(folder), "sho_1", video="h264", reserve_bytes=0, on_event=tell)
    for packet in sent:
        recorder.packet(packet.kind, packet.rtp, at_ms=packet.at_s * 1000)  # type: ignore[arg-type]
    recorder.close()
    recorder.packet("video", sent[-1].rtp)
    print("the show goes on", flush=True)


def tell(event: RecordingEvent) -> None:
    print(event, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
