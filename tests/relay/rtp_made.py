"""Real media as RTP: PyAV's encoders, and a packetiser written from the RFCs apart from the relay's reader.

Picture and sound carry a mark at each whole second: a white flash of three frames and a beep of 100 ms.
"""

from __future__ import annotations

import os
import struct
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

FPS = 30
MTU = 1100


@dataclass(frozen=True)
class Sent:
    """A packet and the moment, in s of the media, at which it was sent."""

    kind: str
    at_s: float
    rtp: bytes


def at_ease() -> None:
    """Undo what libsvtav1 does to a root's process: it makes the calling thread SCHED_FIFO 99, for good, and whatever
    is started from it inherits that. A browser then takes a core from everything else."""
    if sys.platform == "linux":
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_OTHER, os.sched_param(0))


def pictures(codec: str, seconds: float, *, size: tuple[int, int] = (320, 240), gop: int = 30) -> list[bytes]:
    """Encoded frames, 30 a second; H.264 as Annex B."""
    names = {"h264": "libx264", "vp8": "libvpx", "vp9": "libvpx-vp9", "av1": "libsvtav1"}
    encoder = av.CodecContext.create(names[codec], "w")
    encoder.width, encoder.height = size
    encoder.pix_fmt, encoder.time_base, encoder.framerate = "yuv420p", Fraction(1, FPS), Fraction(FPS)
    encoder.bit_rate = 800_000
    if codec == "h264":
        encoder.options = {
            "profile": "baseline", "tune": "zerolatency", "preset": "ultrafast", "g": str(gop), "sc_threshold": "0"
        }  # fmt: skip
    elif codec == "av1":
        os.environ["SVT_LOG"] = "0"
        encoder.options = {"preset": "11", "g": str(gop), "svtav1-params": "pred-struct=1:rc=2:lookahead=0:lp=1"}
    else:
        encoder.options = {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0", "g": str(gop)}
    noise = np.random.default_rng(1).integers(16, 60, (size[1] * 3 // 2, size[0]), dtype=np.uint8)
    out = []
    for number in range(round(seconds * FPS)):
        planes = np.roll(noise, number * 7, axis=1)
        planes[size[1] :] = 128
        if number % FPS < 3:
            planes[: size[1]] = 235
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts = number
        out += [bytes(packet) for packet in encoder.encode(frame)]
    out += [bytes(packet) for packet in encoder.encode(None)]
    if codec == "av1":
        del encoder  # its threads are gone with it
        at_ease()
    assert len(out) == round(seconds * FPS)  # no lag, no dropped frames: number n is frame n
    return out


def sounds(seconds: float) -> list[bytes]:
    """Opus packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "stereo", "flt"
    time = np.arange(round(seconds * 48_000)) / 48_000
    wave = (np.sin(time * 2 * np.pi * 1000) * 0.5 * (time % 1 < 0.1)).astype(np.float32)
    out = []
    for number in range(len(wave) // 960):
        part = np.repeat(wave[number * 960 : (number + 1) * 960], 2).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(part, format="flt", layout="stereo")
        frame.sample_rate, frame.pts = 48_000, number * 960
        out += [bytes(packet) for packet in encoder.encode(frame)]
    return out


def rtp(seq: int, ts: int, payload: bytes, *, marker: bool, padding: int = 0, extension: bool = False) -> bytes:
    flags = 0x80 | (0x20 if padding else 0) | (0x10 if extension else 0)
    head = struct.pack("!BBHII", flags, 96 | marker << 7, seq & 0xFFFF, ts & 0xFFFFFFFF, 0x1234)
    more = struct.pack("!HHI", 0xBEDE, 1, 0x10FF0000) if extension else b""
    return head + more + payload + (bytes(padding - 1) + bytes([padding]) if padding else b"")


def h264_payloads(access_unit: bytes) -> list[bytes]:
    """RFC 6184 mode 1: parameter sets and SEI in a STAP-A, small units alone, big ones as FU-A."""
    nals = [nal.rstrip(b"\0") for nal in access_unit.replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1") if nal]
    small = [nal for nal in nals if nal[0] & 31 in (6, 7, 8)]
    out = []
    if small:
        out.append(b"\x78" + b"".join(struct.pack("!H", len(nal)) + nal for nal in small))
    for nal in nals:
        if nal in small:
            continue
        if len(nal) <= MTU:
            out.append(nal)
            continue
        parts = [nal[1:][start : start + MTU] for start in range(0, len(nal) - 1, MTU)]
        for number, part in enumerate(parts):
            edge = (0x80 if number == 0 else 0) | (0x40 if number == len(parts) - 1 else 0)
            out.append(bytes([nal[0] & 0xE0 | 28, edge | nal[0] & 31]) + part)
    return out


def vp8_payloads(frame: bytes, number: int) -> list[bytes]:
    """RFC 7741 with a 15 bit picture id, as browsers send it."""
    out = []
    for start in range(0, len(frame), MTU):
        descriptor = bytes([0x80 | (0x10 if start == 0 else 0), 0x80, 0x80 | number >> 8 & 0x7F, number & 255])
        out.append(descriptor + frame[start : start + MTU])
    return out


def vp9_payloads(frame: bytes, number: int, *, key: bool, flexible: bool = False) -> list[bytes]:
    """RFC 9628 as browsers send it: a 15 bit picture id, layer indices, and the scalability structure with a key."""
    parts = [frame[start : start + MTU] for start in range(0, len(frame), MTU)]
    out = []
    for index, part in enumerate(parts):
        structure = key and index == 0
        flags = 0x80 | 0x20 | (0 if key else 0x40) | (0x10 if flexible else 0) | (0x02 if structure else 0)
        flags |= (0x08 if index == 0 else 0) | (0x04 if index == len(parts) - 1 else 0)
        head = bytes([flags, 0x80 | number >> 8 & 0x7F, number & 255, 0])
        if not flexible:
            head += bytes([number & 255])
        elif not key:
            head += bytes([1 << 1 | 1, 2 << 1])  # two references
        if structure:
            head += bytes([0x18]) + struct.pack("!HH", 320, 240) + bytes([1, 1 << 2, 1])
        out.append(head + part)
    return out


def av1_obus(unit: bytes) -> list[bytes]:
    """The OBUs of a temporal unit as RTP wants them: without their sizes, and without temporal delimiters."""
    out, at = [], 0
    while at < len(unit):
        head = 2 if unit[at] & 4 else 1
        assert unit[at] & 2, "the encoder states sizes"
        size, shift, body = 0, 0, at + head
        while True:
            size |= (unit[body] & 0x7F) << shift
            shift, body = shift + 7, body + 1
            if not unit[body - 1] & 0x80:
                break
        if unit[at] >> 3 & 15 != 2:
            out.append(bytes([unit[at] & 0xFD]) + unit[at + 1 : at + head] + unit[body : body + size])
        at = body + size
    return out


def av1_payloads(unit: bytes, *, key: bool, counted: bool = True, mtu: int = MTU) -> list[bytes]:
    """AV1's RTP format: small OBUs together, big ones in fragments. `counted`: W says how many elements there are."""

    def leb(value: int) -> bytes:
        low, rest = value & 0x7F, value >> 7
        return bytes([low | 0x80]) + leb(rest) if rest else bytes([low])

    packets: list[tuple[list[bytes], bool, bool]] = [([], False, False)]  # elements, Z, Y
    for obu in av1_obus(unit):
        rest = obu
        while rest:
            elements, continued, _ = packets[-1]
            room = mtu - 1 - sum(len(element) + 2 for element in elements)
            if room < 16 or len(elements) == 3:
                packets.append(([], rest is not obu, False))
                continue
            elements.append(rest[: room - 2])
            rest = rest[room - 2 :]
            packets[-1] = (elements, continued, bool(rest))
            if rest:
                packets.append(([], True, False))
    out = []
    for number, (elements, continued, goes_on) in enumerate(packets):
        head = (0x80 if continued else 0) | (0x40 if goes_on else 0) | (0x08 if key and number == 0 else 0)
        body = b"".join(leb(len(element)) + element for element in elements[:-1])
        body += (b"" if counted else leb(len(elements[-1]))) + elements[-1]
        out.append(bytes([head | (len(elements) << 4 if counted else 0)]) + body)
    return out


@dataclass
class Numbering:
    """Where seq and ts of a kind begin: by default just before both wrap."""

    seq: int = 65_500
    ts: int = 0xFFFFFFFF - 45_000


def payloads_of(codec: str, frame: bytes, number: int) -> list[bytes]:
    """A frame of `pictures`, in pieces that fit a packet."""
    if codec == "h264":
        return h264_payloads(frame)
    if codec == "vp8":
        return vp8_payloads(frame, number)
    if codec == "vp9":
        return vp9_payloads(frame, number, key=not frame[0] & 0x04)
    return av1_payloads(frame, key=any(obu[0] >> 3 & 15 == 1 for obu in av1_obus(frame)))


def video_rtp(
    codec: str, frames: list[bytes], numbering: Numbering, *, start_s: float = 0.0, pace: float = 1.0
) -> list[Sent]:
    """`pace` is how fast the sender's RTP clock runs against its wall clock."""
    out = []
    for number, frame in enumerate(frames):
        at_s = start_s + number / FPS
        payloads = payloads_of(codec, frame, number)
        for index, payload in enumerate(payloads):
            last = index == len(payloads) - 1
            ts = numbering.ts + round(at_s * 90_000 * pace)
            out.append(Sent("video", at_s, rtp(numbering.seq, ts, payload, marker=last)))
            numbering.seq += 1
    return out


def audio_rtp(packets: list[bytes], numbering: Numbering, *, start_s: float = 0.0, pace: float = 1.0) -> list[Sent]:
    out = []
    for number, packet in enumerate(packets):
        at_s = start_s + number * 0.02
        ts = numbering.ts + round(at_s * 48_000 * pace)
        out.append(Sent("audio", at_s, rtp(numbering.seq, ts, packet, marker=False)))
        numbering.seq += 1
    return out


def in_time(*streams: list[Sent]) -> list[Sent]:
    return sorted((sent for stream in streams for sent in stream), key=lambda sent: sent.at_s)


@dataclass(frozen=True)
class Played:
    """What a player makes of a file: times in s of all frames, of the flashes and of the beeps."""

    video_s: list[float]
    audio_s: list[float]
    flashes_s: list[float]
    beeps_s: list[float]
    size: tuple[int, int]


def play(path: Path, *, torn: bool = False) -> Played:
    """Decodes the whole file. `torn`: it was cut off, so its last frame may be half; only that is forgiven."""
    video, bright, size = [], [], (0, 0)
    for frame in _decoded(path, "video", torn):
        assert isinstance(frame, av.VideoFrame)
        size = (frame.width, frame.height)
        video.append(float(frame.time))
        luma = frame.to_ndarray(format="gray")
        bright.append(float(luma.mean()) > 140)
    audio, loud = [], []
    for frame in _decoded(path, "audio", torn):
        assert isinstance(frame, av.AudioFrame)
        audio.append(float(frame.time))
        samples = np.abs(frame.to_ndarray()).max(axis=0)
        # To the sample: where in the frame it gets loud.
        heard = np.nonzero(samples > 0.1)[0]
        loud.append(float(frame.time) + heard[0] / 48_000 if len(heard) else None)
    flashes = [at for at, now, before in zip(video, bright, [False, *bright], strict=False) if now and not before]
    beeps: list[float] = []
    last = -1.0
    for at in loud:
        if at is not None:
            if at - last > 0.5:
                beeps.append(at)
            last = at
    return Played(video, audio, flashes, beeps, size)


def _decoded(path: Path, kind: str, torn: bool) -> list[av.VideoFrame | av.AudioFrame]:
    out: list[av.VideoFrame | av.AudioFrame] = []
    with av.open(str(path)) as container:
        streams = [stream for stream in container.streams if stream.type == kind]
        if not streams:
            return out
        try:
            for frame in container.decode(streams[0]):
                out.append(frame)
        except av.error.InvalidDataError:
            if not torn:
                raise
    return out
