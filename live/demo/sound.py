"""The demo's sound: a slow arpeggio over a soft pad, made of sines; LOOP_S long and seamless."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

RATE = 48_000
FRAME = 960  # samples: 20 ms, Opus's own frame
NOTE_S = 0.375
CHORDS = (  # Am9, Fmaj9, Cmaj9, Em7: semitones from A3
    (0, 3, 7, 10, 14, 10, 7, 3),
    (-4, 0, 3, 7, 12, 7, 3, 0),
    (-9, -5, 2, 7, 10, 7, 2, -5),
    (-5, -2, 2, 7, 10, 7, 2, -2),
)
LOOP_S = NOTE_S * 8 * len(CHORDS)
ROOT_HZ = 220.0


@lru_cache(maxsize=1)
def loop() -> NDArray[np.int16]:
    """The whole loop, shape (samples, 2), 16 bits."""
    length = int(LOOP_S * RATE)
    both = np.zeros((length, 2), dtype=np.float64)
    step = int(NOTE_S * RATE)
    for bar, chord in enumerate(CHORDS):
        start = bar * 8 * step
        _add(both, start, _pad([ROOT_HZ * 2 ** (note / 12) / 2 for note in chord[:4]], 8 * step), 0.0)
        for beat, note in enumerate(chord):
            pan = 0.5 * np.sin(2 * np.pi * (beat / 8 + bar / 4))
            _add(both, start + beat * step, _pluck(ROOT_HZ * 2 ** (note / 12) * 2), pan)
    # Tails that ran over the end come back at the beginning, so that nobody hears the seam.
    return (np.tanh(both * 0.9) * 11_000).astype(np.int16)


def samples(first: int, count: int) -> NDArray[np.int16]:
    """`count` samples from position `first` of the endless loop, shape (count, 2)."""
    whole = loop()
    return np.take(whole, np.arange(first, first + count) % len(whole), axis=0)


def _pluck(hertz: float) -> NDArray[np.float64]:
    t = np.arange(int(1.6 * RATE)) / RATE
    tone = np.sin(2 * np.pi * hertz * t) + 0.35 * np.sin(4 * np.pi * hertz * t) * np.exp(-6 * t)
    voice: NDArray[np.float64] = 0.16 * tone * np.exp(-2.6 * t) * np.minimum(1, t / 0.006)
    return voice


def _pad(hertz: list[float], length: int) -> NDArray[np.float64]:
    t = np.arange(length + RATE // 2) / RATE
    rise = np.minimum(1, t / 0.8) * np.minimum(1, (t[-1] - t) / 0.8)
    chord = [np.sin(2 * np.pi * pitch * t) + np.sin(2 * np.pi * pitch * 1.003 * t) for pitch in hertz]
    voice: NDArray[np.float64] = 0.05 * rise * np.sum(chord, axis=0)
    return voice


def _add(both: NDArray[np.float64], start: int, voice: NDArray[np.float64], pan: float) -> None:
    at = np.arange(start, start + len(voice)) % len(both)
    both[at, 0] += voice * (1 - pan) / 2 * 1.4
    both[at, 1] += voice * (1 + pan) / 2 * 1.4
