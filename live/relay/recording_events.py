"""What a recorder tells: facts for its rows, and alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

FailedWhy = Literal["disk_full", "file", "media"]


@dataclass(frozen=True)
class RecordingStarted:
    """A file began: a row of `recordings` in state recording. `path` is below the data folder; `starts_at_ms` is the
    media time of its first frame."""

    recording: str
    show: str
    path: str
    starts_at_ms: int
    started_ms: int


@dataclass(frozen=True)
class RecordingPlaced:
    """Where the file begins is known better than when it did."""

    recording: str
    show: str
    starts_at_ms: int


@dataclass(frozen=True)
class RecordingFinished:
    """The file is whole. A show has several when its publisher came back with another codec or size."""

    recording: str
    show: str
    ended_ms: int
    bytes: int
    duration_ms: int


@dataclass(frozen=True)
class RecordingFailed:
    """An alarm: the recording stopped, and begins another file when it can. The one that `recording` names, if any,
    plays up to where it broke."""

    recording: str | None
    show: str
    why: FailedWhy
    ended_ms: int
    bytes: int
    duration_ms: int = 0


@dataclass(frozen=True)
class RecordingBehind:
    """An alarm: the disk is too slow, `dropped` packets so far were not recorded; picture goes on at a key frame."""

    show: str
    dropped: int


@dataclass(frozen=True)
class RecordingCaughtUp:
    """The disk keeps up again."""

    show: str
    dropped: int


RecordingEvent = (
    RecordingStarted | RecordingPlaced | RecordingFinished | RecordingFailed | RecordingBehind | RecordingCaughtUp
)
