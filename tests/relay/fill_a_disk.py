"""A recording process whose disk fills up and gets room again: `fill_a_disk.py FOLDER tmpfs|limit`.

`tmpfs`: FOLDER is a file system of 4 MB, all but 400 kB of it taken; what was recorded is copied out of it before it
goes. `limit`: where nothing may be mounted, the kernel's limit of a file's size refuses the write instead.
"""

from __future__ import annotations

import resource
import shutil
import sys
import threading
from pathlib import Path

from rtp_made import Numbering, audio_rtp, in_time, pictures, sounds, video_rtp

from live.relay.recorder import Recorder
from live.relay.recording_events import RecordingEvent, RecordingFailed

FREE = 400_000


def main(folder: str, out: str, way: str) -> None:
    disk, failed = Path(folder), threading.Event()
    filler = disk / "filler"
    if way == "tmpfs":
        with filler.open("wb") as file:
            while (left := shutil.disk_usage(disk).free - FREE) > 0:
                file.write(bytes(min(left, 4096)))
                file.flush()
    else:
        resource.setrlimit(resource.RLIMIT_FSIZE, (FREE, resource.RLIM_INFINITY))

    def told(event: RecordingEvent) -> None:
        print(event, flush=True)
        if isinstance(event, RecordingFailed):
            failed.set()

    frames, packets = pictures("h264", 20.0), sounds(20.0)
    sent = in_time(video_rtp("h264", frames, Numbering()), audio_rtp(packets, Numbering(seq=7, ts=123_456)))
    asked = threading.Event()
    recorder = Recorder(
        disk, "sho_1", video="h264", reserve_bytes=0, room_bytes=1 << 20, on_event=told, want_key_frame=asked.set,
        queue_packets_max=100_000,
    )  # fmt: skip
    freed = False
    for packet in sent:
        if packet.at_s > 9.0 and not freed:
            assert failed.wait(20), "the premise: the disk is full by now"
            assert way != "tmpfs" or shutil.disk_usage(disk).free < 65_536
            filler.unlink(missing_ok=True)
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            freed = True
        recorder.packet(packet.kind, packet.rtp, at_ms=packet.at_s * 1000)  # type: ignore[arg-type]
    recorder.close()
    print("asked for a key frame" if asked.is_set() else "asked for nothing", flush=True)
    shutil.copytree(disk / "recordings", Path(out), dirs_exist_ok=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
