"""Fragmented MP4 of one picture and one sound track, written box by box: a part of HLS is one `moof` and `mdat`. Pure.

Our own writer and not FFmpeg's, because a part ends where we say, at the very tick, and begins at a decode time that we
state. ISO/IEC 14496-12 (boxes), 14496-14 (AAC), 14496-15 (H.264), 23000-19 (CMAF).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from live.tail.h264 import Sps, avc_configuration

VIDEO_TRACK, AUDIO_TRACK = 1, 2
VIDEO_HZ, AUDIO_HZ = 90_000, 48_000
AAC_TICKS = 1024  # samples of an AAC-LC frame
AAC_LC_48K_STEREO = b"\x11\x90"  # AudioSpecificConfig, 14496-3 section 1.6.2.1

_KEY, _DELTA = 0x02000000, 0x01010000  # sample_depends_on, sample_is_non_sync_sample: 14496-12 section 8.8.3.1
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


class Picture(NamedTuple):
    """What a decoder of the picture is set up with."""

    sps: tuple[bytes, ...]
    pps: tuple[bytes, ...]
    shape: Sps


class Sample(NamedTuple):
    """A coded frame: H.264 with NAL lengths in front, or a raw AAC frame. `ticks`: how long it lasts, on its clock."""

    payload: bytes
    ticks: int
    key: bool = True


class Run(NamedTuple):
    """Samples of one track, one after the other, the first decoded at `at` ticks of the track's clock."""

    track: int
    at: int
    samples: Sequence[Sample]


def header(picture: Picture | None, sound: bool) -> bytes:
    """The init segment (`EXT-X-MAP`): which tracks there are."""
    tracks, extends = b"", b""
    if picture is not None:
        tracks += _track(VIDEO_TRACK, VIDEO_HZ, b"vide", _avc1(picture), picture.shape)
        extends += _full(b"trex", 0, 0, struct.pack(">5I", VIDEO_TRACK, 1, 0, 0, 0))
    if sound:
        tracks += _track(AUDIO_TRACK, AUDIO_HZ, b"soun", _mp4a(), None)
        extends += _full(b"trex", 0, 0, struct.pack(">5I", AUDIO_TRACK, 1, AAC_TICKS, 0, _KEY))
    zeros = struct.pack(">4I", 0, 0, 1000, 0)
    movie = _full(b"mvhd", 0, 0, zeros + struct.pack(">IH10x", 0x10000, 0x100) + _MATRIX + bytes(24) + b"\0\0\0\3")
    return _box(b"ftyp", b"iso6\0\0\0\1iso6cmfcmp41") + _box(b"moov", movie + tracks + _box(b"mvex", extends))


def fragment(number: int, runs: Sequence[Run]) -> bytes:
    """A part: `moof` and `mdat`. `number` counts on over all fragments of a stream."""
    sized = _moof(number, runs, 0)
    bodies = b"".join(sample.payload for run in runs for sample in run.samples)
    return _moof(number, runs, len(sized) + 8) + _box(b"mdat", bodies)


def codecs(picture: Picture | None, sound: bool) -> str:
    """The tracks as RFC 6381 names them: `avc1.42e01f,mp4a.40.2`."""
    names = [f"avc1.{picture.sps[0][1:4].hex()}"] if picture is not None else []
    return ",".join([*names, "mp4a.40.2"] if sound else names)


def _moof(number: int, runs: Sequence[Run], data_at: int) -> bytes:
    out = _full(b"mfhd", 0, 0, struct.pack(">I", number))
    for run in runs:
        # default-base-is-moof: offsets count from the moof, so a part is whole by itself (CMAF section 7.5.16)
        traf = _full(b"tfhd", 0, 0x020000, struct.pack(">I", run.track))
        traf += _full(b"tfdt", 1, 0, struct.pack(">Q", run.at))
        if run.samples:
            table = b"".join(
                struct.pack(">3I", s.ticks, len(s.payload), _KEY if s.key else _DELTA) for s in run.samples
            )
            traf += _full(b"trun", 0, 0x701, struct.pack(">II", len(run.samples), data_at) + table)
            data_at += sum(len(s.payload) for s in run.samples)
        out += _box(b"traf", traf)
    return _box(b"moof", out)


def _track(track: int, rate: int, handler: bytes, entry: bytes, shape: Sps | None) -> bytes:
    width, height = (shape.width, shape.height) if shape is not None else (0, 0)
    volume = 0 if shape is not None else 0x100
    head = struct.pack(">5I8xHHHH", 0, 0, track, 0, 0, 0, 0, volume, 0) + _MATRIX
    head = _full(b"tkhd", 0, 7, head + struct.pack(">II", width << 16, height << 16))
    media = _full(b"mdhd", 0, 0, struct.pack(">4IHH", 0, 0, rate, 0, 0x55C4, 0))  # language: undetermined
    media += _full(b"hdlr", 0, 0, bytes(4) + handler + bytes(12) + b"frontrow\0")
    kind = _full(b"vmhd", 0, 1, bytes(8)) if shape is not None else _full(b"smhd", 0, 0, bytes(4))
    where = _box(b"dinf", _full(b"dref", 0, 0, b"\0\0\0\1" + _full(b"url ", 0, 1, b"")))
    tables = _full(b"stsd", 0, 0, b"\0\0\0\1" + entry)
    for name in (b"stts", b"stsc", b"stco"):
        tables += _full(name, 0, 0, bytes(4))
    tables += _full(b"stsz", 0, 0, bytes(8))
    return _box(b"trak", head + _box(b"mdia", media + _box(b"minf", kind + where + _box(b"stbl", tables))))


def _avc1(picture: Picture) -> bytes:
    shape = picture.shape
    entry = struct.pack(">6xH16xHHIII", 1, shape.width, shape.height, 0x480000, 0x480000, 0)
    entry += struct.pack(">H32xHh", 1, 24, -1)
    return _box(b"avc1", entry + _box(b"avcC", avc_configuration(picture.sps, picture.pps, shape)))


def _mp4a() -> bytes:
    entry = struct.pack(">6xH8xHHIHH", 1, 2, 16, 0, AUDIO_HZ, 0)
    info = _descriptor(5, AAC_LC_48K_STEREO)
    config = _descriptor(4, b"\x40\x15" + bytes(3) + struct.pack(">II", 192_000, 128_000) + info)
    return _box(b"mp4a", entry + _full(b"esds", 0, 0, _descriptor(3, b"\0\2\0" + config + _descriptor(6, b"\2"))))


def _descriptor(tag: int, body: bytes) -> bytes:
    """14496-1 section 7.2.6; all of ours are shorter than 128 bytes."""
    return bytes((tag, len(body))) + body


def _box(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body) + 8) + name + body


def _full(name: bytes, version: int, flags: int, body: bytes) -> bytes:
    return _box(name, struct.pack(">I", version << 24 | flags) + body)
