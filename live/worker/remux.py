"""Gives a finished recording its index, so that a player knows its length and can seek: the same packets in another
wrapping, never decoded. Blocking.

As it is recorded a file may be cut off anywhere, and pays with having no table of what is where. The new one is written
aside, synced and renamed over the old: at any moment there is one whole file under the name.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from av.stream import Stream

PART = ".part"
_OPTIONS = {
    ".mp4": {"movflags": "faststart"},
    ".webm": {"cues_to_front": "1"},
}


class Indexed(NamedTuple):
    duration_ms: int
    bytes: int


def index(path: Path) -> Indexed | None:
    """What became of the file; None when nothing in it can be read, and then it stays as it is.

    Raises: FileExistsError while another process is at it; OSError.
    """
    import av
    import av.error

    part = path.with_name(path.name + PART)
    # O_EXCL is the claim: of two workers one does it.
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    try:
        try:
            duration_ms = _copy(path, part)
        except (av.error.InvalidDataError, av.error.EOFError, IndexError):
            duration_ms = 0
        if not duration_ms:
            return None
        with part.open("rb") as file:
            os.fsync(file.fileno())
        size = part.stat().st_size
        part.rename(path)
        _sync_folder(path.parent)
        return Indexed(duration_ms, size)
    finally:
        part.unlink(missing_ok=True)


def _copy(path: Path, part: Path) -> int:
    """Every whole packet of the file. Answers how long it plays, in ms."""
    import av
    import av.error

    end_ms = 0.0
    with (
        av.open(str(path)) as source,
        av.open(str(part), "w", format=path.suffix[1:], container_options=_OPTIONS[path.suffix]) as target,
    ):
        streams: dict[int, Stream] = {
            stream.index: target.add_stream_from_template(stream, opaque=True)
            for stream in source.streams
            if stream.type in ("video", "audio")
        }
        # A file whose relay was killed ends in the middle of a packet: what is before it counts.
        with contextlib.suppress(av.error.InvalidDataError):
            for packet in source.demux():
                stream = streams.get(packet.stream.index)
                if stream is None or packet.dts is None or packet.pts is None or packet.is_corrupt:
                    continue
                end = packet.pts + (packet.duration or 0)
                assert packet.time_base is not None, "demuxed packets have one"
                end_ms = max(end_ms, float(end * packet.time_base * 1000))
                packet.stream = stream
                target.mux(packet)
    return round(end_ms)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
