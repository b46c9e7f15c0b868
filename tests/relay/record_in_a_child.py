"""A recording process to be starved of disk or killed: `record_in_a_child.py FOLDER fast|live`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from rtp_made import Numbering, audio_rtp, in_time, pictures, sounds, video_rtp

from live.relay.recorder import Recorder
from live.relay.recording_events import RecordingEvent


def main(folder: str, pace: str) -> None:
    frames, packets = pictures("h264", 6.0), sounds(6.0)
    sent = in_time(video_rtp("h264", frames, Numbering()), audio_rtp(packets, Numbering(seq=7, ts=123_456)))
    recorder = Recorder(Path(folder), "sho_1", video="h264", reserve_bytes=0, on_event=tell)
    began, told = time.monotonic(), 0.0
    for packet in sent:
        while pace == "live" and time.monotonic() - began < packet.at_s:
            time.sleep(0.005)  # the pace of a real show is the point here
        if packet.at_s - told >= 0.1:
            told = packet.at_s
            print(f"fed {told:.2f}", flush=True)
        recorder.packet(packet.kind, packet.rtp, at_ms=packet.at_s * 1000)  # type: ignore[arg-type]
    recorder.close()
    recorder.packet("video", sent[-1].rtp)
    print("the show goes on", flush=True)


def tell(event: RecordingEvent) -> None:
    print(event, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
