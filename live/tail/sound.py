"""Opus in, AAC-LC out, on one unbroken line of samples: holes become silence, drift is stretched away.

Browsers' HLS players all take AAC-LC; Opus in MP4 they don't. Blocks for some tenths of a millisecond a packet:
for the packaging thread.
"""

from __future__ import annotations

from fractions import Fraction

import av
import av.error
import numpy as np
import structlog
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

from live.tail.boxes import AAC_TICKS, AUDIO_HZ

log = structlog.get_logger(__name__)

AAC_BPS = 128_000
# Beyond JUMP the line is cut or filled; below it a packet is stretched by at most STRETCH samples, and as
# little as keeps up; within SLACK nothing is done.
JUMP = AUDIO_HZ * 40 // 1000
SLACK = AUDIO_HZ * 2 // 1000
STRETCH = 64
CALM = 8  # packets in which a difference is taken back
FILL_MOST = 2 * AUDIO_HZ  # silence at a time: a longer hole is a discontinuity, not silence

Pcm = NDArray[np.float32]


class Sound:
    """From one discontinuity to the next. Places are 48 kHz samples; frames come out with theirs, 1024 apart."""

    def __init__(self) -> None:
        self._decoder = AudioCodecContext.create("libopus", "r")
        self._decoder.sample_rate = AUDIO_HZ
        self._decoder.layout = "stereo"
        self._encoder = AudioCodecContext.create("aac", "w")
        self._encoder.sample_rate = AUDIO_HZ
        self._encoder.layout = "stereo"
        self._encoder.format = "fltp"
        self._encoder.bit_rate = AAC_BPS
        self._encoder.time_base = Fraction(1, AUDIO_HZ)
        self._pending: list[Pcm] = []
        self._waiting = 0  # samples in `_pending`
        self._at: int | None = None  # place of the next sample to be encoded
        self._silent = True  # what was last put on the line is silence
        self.damaged = 0

    @property
    def end(self) -> int | None:
        """Where the line ends: place of the sample that comes next."""
        return None if self._at is None else self._at + self._waiting

    def push(self, opus: bytes, place: int) -> list[tuple[int, bytes]]:
        """AAC frames that are ready now, with their places."""
        try:
            frames = self._decoder.decode(av.Packet(opus))
        except av.error.FFmpegError:
            self.damaged += 1  # its time is filled with silence when the next one is there
            return []
        pcm = [_stereo(frame) for frame in frames if isinstance(frame, av.AudioFrame)]
        if not pcm:
            return []
        samples = np.concatenate(pcm, axis=1)
        if self._at is None:
            self._at = place
        off = place - (self._at + self._waiting)
        # After silence it may be put in its place at once: nothing sounds that could click.
        at_once = JUMP if not self._silent else 0
        if off >= max(at_once, 1):
            self._append(np.zeros((2, min(off, FILL_MOST)), np.float32))
        elif off <= -max(at_once, 1):
            samples = samples[:, -off:]
        elif abs(off) > SLACK:
            samples = _stretched(samples, max(-STRETCH, min(STRETCH, round(off / CALM))))
        if samples.shape[1]:
            self._silent = False
        self._append(samples)
        return self._encode()

    def fill(self, until: int) -> list[tuple[int, bytes]]:
        """Silence up to `until`, if the line isn't there yet: a microphone that is off must not stop the picture."""
        if self._at is None:
            self._at = until
        missing = until - (self._at + self._waiting)
        if missing <= 0:
            return []
        self._silent = True
        self._append(np.zeros((2, min(missing, FILL_MOST)), np.float32))
        return self._encode()

    def _append(self, samples: Pcm) -> None:
        if samples.shape[1]:
            self._pending.append(samples)
            self._waiting += samples.shape[1]

    def _encode(self) -> list[tuple[int, bytes]]:
        if self._waiting < AAC_TICKS:
            return []
        assert self._at is not None
        whole = np.concatenate(self._pending, axis=1)
        out: list[tuple[int, bytes]] = []
        for start in range(0, whole.shape[1] - AAC_TICKS + 1, AAC_TICKS):
            piece = np.ascontiguousarray(whole[:, start : start + AAC_TICKS])
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = AUDIO_HZ, self._at, Fraction(1, AUDIO_HZ)
            self._at += AAC_TICKS
            for packet in self._encoder.encode(frame):
                # The encoder looks one frame ahead, and says so in the packet's time.
                out.append((packet.pts or 0, bytes(packet)))
        used = whole.shape[1] // AAC_TICKS * AAC_TICKS
        rest = whole[:, used:]
        self._pending, self._waiting = ([rest] if rest.shape[1] else []), rest.shape[1]
        return out


def _stereo(frame: av.AudioFrame) -> Pcm:
    raw = frame.to_ndarray()
    if raw.dtype == np.int16:
        raw = raw.astype(np.float32) / 32768
    if not frame.format.is_planar:
        raw = raw.reshape(-1, len(frame.layout.channels)).T
    return np.ascontiguousarray(np.repeat(raw, 2, axis=0) if raw.shape[0] == 1 else raw[:2], dtype=np.float32)


def _stretched(samples: Pcm, by: int) -> Pcm:
    """The same sound in `by` more samples."""
    count = samples.shape[1]
    where = np.linspace(0, count - 1, count + by)
    return np.stack([np.interp(where, np.arange(count), channel) for channel in samples]).astype(np.float32)
