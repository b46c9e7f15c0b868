"""Frames in, parts and segments out. Pure: time comes with the frames.

A segment begins at a key frame when there is one in time, else where it would grow too long. A part ends where the next
frame would make it longer than PART-TARGET. Both follow the picture, or the sound where there is none. One frame is
held back until the next tells how long it lasted: its duration is then exact, and so is every part's.
RFC 8216bis section 4.4.4.9 (how long parts are), 6.2.1 (segments and what they hold).
"""

from __future__ import annotations

from typing import Protocol

from live.tail.boxes import (
    AAC_TICKS,
    AUDIO_HZ,
    AUDIO_TRACK,
    VIDEO_HZ,
    VIDEO_TRACK,
    Picture,
    Run,
    Sample,
    codecs,
    fragment,
    header,
)
from live.tail.window import PART_TICKS, Init, Part

PART_LEAST = PART_TICKS * 85 // 100 + 1
KEY_ENDS_SEGMENT = 3 * VIDEO_HZ // 2  # a key frame a second makes segments of two
SEGMENT_MOST = 24 * VIDEO_HZ // 10  # EXTINF must round to TARGETDURATION
SOUND_SEGMENT_MOST = 21 * VIDEO_HZ // 10
STEP_GUESS = VIDEO_HZ // 30
# Sound that comes without an end of its part (no picture follows): 10 s of AAC.
SOUND_WAITING_MAX = 10 * AUDIO_HZ // AAC_TICKS


class Shelves(Protocol):
    """Where parts go: a `Window`, or the way to one."""

    def begin(self, *, wall_ms: float, breaks: bool, init: Init) -> None: ...
    def add(self, part: Part) -> None: ...
    def finish(self) -> None: ...


class Packager:
    """One show's. Places are 90 kHz ticks since `zero_wall_ms` for the picture, 48 kHz for the sound; each grows."""

    def __init__(self, shelves: Shelves, zero_wall_ms: float) -> None:
        self.frame_rate = 30.0
        self._shelves = shelves
        self._zero_wall_ms = zero_wall_ms
        self.cut_at = 0  # where the newest part ends
        self._number = 0
        self._breaks = True  # also at the very first: what was there before this process is another stream
        self._init: Init | None = None
        self._picture = False
        self._sound_on = False
        self._reset()

    def _reset(self) -> None:
        self._held: tuple[int, bytes, bool] | None = None
        self._step = STEP_GUESS
        self._samples: list[Sample] = []
        self._samples_at = 0
        self._sounds: list[tuple[int, bytes]] = []
        self._stream_at: int | None = None
        self._part_at: int | None = None
        self._segment_at: int | None = None
        self._segment_keyed = False
        self._frames = 0

    @property
    def end(self) -> int | None:
        """How far the picture (or the sound, alone) has come; None before the first frame and after a break."""
        return self._held[0] if self._held is not None else self._part_at

    def begin(self, picture: Picture | None, sound: bool) -> None:
        """What follows is another stream: new set-up, new clock or a hole before it."""
        self.close()
        size = (picture.shape.width, picture.shape.height) if picture is not None else (0, 0)
        self._init = Init(header(picture, sound), codecs(picture, sound), size)
        self._picture, self._sound_on = picture is not None, sound

    def forget(self) -> None:
        """What is there can't be written; what comes next is a discontinuity."""
        self._shelves.finish()
        self._breaks = True
        self._reset()

    def close(self) -> None:
        """Everything out, as the last of its stream; what comes next is a discontinuity."""
        if self._picture and self._held is not None:
            self._advance(self._held[0] + min(self._step, PART_TICKS))
        if self._part_at is not None:
            end = self._end_of_samples()
            if end > self._part_at:
                self._cut(end)
        self.forget()

    def picture(self, at: int, payload: bytes, key: bool) -> None:
        """A frame, shown at `at`. The first after `begin` is a key frame."""
        assert self._init is not None
        if self._held is None:
            assert key
            self._part_at = self._segment_at = self._samples_at = self._stream_at = at
            self._segment_keyed = True
            self._sounds = [sound for sound in self._sounds if (sound[0] + AAC_TICKS) * 15 // 8 > at]
        else:
            self._step = at - self._held[0]
            self._advance(at)
            assert self._part_at is not None
            assert self._segment_at is not None
            if key and (not self._segment_keyed or at - self._segment_at >= KEY_ENDS_SEGMENT):
                self._end_segment(at, keyed=True)
            elif at - self._part_at >= PART_LEAST and at + self._step - self._part_at > PART_TICKS:
                self._cut(at)
                self._end_long_segment(at)
        if not self._samples:
            self._samples_at = at
        self._held = (at, payload, key)

    def sound(self, at: int, payload: bytes) -> None:
        """An AAC frame that begins at `at` (48 kHz); the next one's place is `at` + 1024."""
        assert self._init is not None
        if not self._sound_on:
            return
        if self._picture and self._stream_at is not None and (at + AAC_TICKS) * 15 // 8 <= self._stream_at:
            return  # of before the first picture
        self._sounds.append((at, payload))
        if self._picture:
            del self._sounds[:-SOUND_WAITING_MAX]
            return
        start, end = at * 15 // 8, (at + AAC_TICKS) * 15 // 8
        if self._part_at is None:
            self._part_at = self._segment_at = start
        if end + end - start - self._part_at > PART_TICKS:
            self._cut(end)
            self._end_long_segment(end)

    # ---- cutting -------------------------------------------------------------------------------

    def _advance(self, at: int) -> None:
        """The held frame ends at `at`. A frame longer than a part gets the parts it lasts through."""
        assert self._held is not None
        assert self._part_at is not None
        begun, payload, key = self._held
        self._samples.append(Sample(payload, at - begun, key))
        self._frames += 1
        while at - self._part_at > PART_TICKS:
            # Before this frame if that is enough for a part, else in the middle of its showing.
            cut = begun if begun - self._part_at >= PART_LEAST else self._part_at + PART_TICKS
            late = self._samples.pop() if cut == begun else None
            self._cut(cut)
            if late is not None:
                self._samples, self._samples_at = [late], begun
            self._end_long_segment(cut)

    def _end_long_segment(self, at: int) -> None:
        assert self._segment_at is not None
        most = SEGMENT_MOST if self._picture else SOUND_SEGMENT_MOST
        if at + PART_TICKS - self._segment_at > most:
            self._end_segment(at, keyed=False)

    def _end_segment(self, at: int, *, keyed: bool) -> None:
        assert self._part_at is not None
        assert self._segment_at is not None
        if at > self._part_at:
            self._cut(at)
        if self._picture and self._frames and at > self._segment_at:
            self.frame_rate = self._frames * VIDEO_HZ / (at - self._segment_at)
        self._shelves.finish()
        self._segment_at, self._segment_keyed, self._frames = at, keyed, 0

    def _cut(self, end: int) -> None:
        """A part from where the last ended until `end`, with the sound that is there by now: sound that comes later
        goes into the next part, so that no picture waits for it."""
        assert self._part_at is not None
        assert self._segment_at is not None
        assert self._init is not None
        due = [sound for sound in self._sounds if sound[0] * 15 // 8 < end]
        self._sounds = self._sounds[len(due) :]
        runs = []
        if self._picture:
            runs.append(Run(VIDEO_TRACK, self._samples_at, self._samples))
        if due:
            runs.append(Run(AUDIO_TRACK, due[0][0], [Sample(payload, AAC_TICKS) for _, payload in due]))
        independent = any(sample.key for sample in self._samples) if self._picture else bool(due)
        self._number += 1
        body = fragment(self._number, runs)
        if self._part_at == self._segment_at:
            wall_ms = self._zero_wall_ms + self._segment_at * 1000 / VIDEO_HZ
            self._shelves.begin(wall_ms=wall_ms, breaks=self._breaks, init=self._init)
            self._breaks = False
        self._shelves.add(Part(body, end - self._part_at, independent))
        self._part_at = self._samples_at = self.cut_at = end
        self._samples = []

    def _end_of_samples(self) -> int:
        if self._picture:
            return self._samples_at + sum(sample.ticks for sample in self._samples)
        return (self._sounds[-1][0] + AAC_TICKS) * 15 // 8 if self._sounds else self._part_at or 0
