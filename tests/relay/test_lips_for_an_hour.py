"""Sixty minutes of packets with drifting clocks, jitter, losses and a publisher who comes back, through the recorder
into a file; the file's timestamps are read and compared with when each frame was seen and heard."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import av
import pytest
from rtp_made import h264_payloads, pictures, sounds

from live.clock import SetClock
from live.relay.depacketise import Rtp
from live.relay.recording_events import RecordingEvent, RecordingFinished, RecordingPlaced, RecordingStarted
from live.relay.recording_writer import Arrived, NewSource, RecorderCounts, Reported, Writer

LIPS_MS = 40
CARDS_MS = 100  # of the 250 that a card may be away from its frame, those that the file may take
HOUR_S = 3600
PICTURE_S, SOUND_S = 0.2, 0.06  # few and long, so that an hour takes seconds: 5 pictures/s, Opus of 60 ms
PPM = 200


@dataclass
class Publisher:
    """What one connection sends: two RTP clocks from zeros of their own, and a wall clock that is wrong."""

    begins_s: float
    ends_s: float
    video_hz: float = 90_000 * (1 - PPM * 1e-6)
    audio_hz: float = 48_000 * (1 + PPM * 1e-6)
    wall_ppm: float = 50.0
    wall_off_ms: float = 7_000_000.0
    path_ms: dict[str, float] = field(default_factory=lambda: {"video": 30.0, "audio": 18.0})

    def wall_ms(self, at_s: float) -> float:
        return self.wall_off_ms + at_s * 1000 * (1 + self.wall_ppm * 1e-6)


@dataclass(frozen=True)
class Seen:
    """A frame as it happened: when, and the timestamp that the relay forwarded it under."""

    kind: str
    at_s: float
    ts: int
    seq: int
    comes_s: float
    payload: bytes


class Relayed:
    """Numbers of one kind as the relay forwards them: continuous over publishers, by arrival (numbering.py)."""

    def __init__(self, kind: str, seq: int, ts: int) -> None:
        self.kind, self.seq, self.ts = kind, seq, ts
        self.rate = 90_000 if kind == "video" else 48_000
        self.last_s: float | None = None
        self.offset = 0

    def switch(self, source_ts: float, comes_s: float) -> None:
        passed = 0 if self.last_s is None else round((comes_s - self.last_s) * self.rate)
        self.offset = self.ts + passed - round(source_ts)


def hour(publishers: list[Publisher], reported: bool, dice: random.Random) -> list[tuple[float, object]]:
    """Everything that reaches the recorder, by the moment it comes; and what was seen (`Seen`)."""
    numbers = {"video": Relayed("video", 65_000, 0xFFFFFF00), "audio": Relayed("audio", 10, 77)}
    pictures_ = [h264_payloads(unit) for unit in pictures("h264", 2.0, size=(64, 64), gop=30)]
    opus = [bytes([packet[0] | 3, 3]) + packet[1:] for packet in sounds(0.2)]  # says: three frames of 20 ms
    out: list[tuple[float, object]] = []
    for publisher in publishers:
        for kind, step_s in (("video", PICTURE_S), ("audio", SOUND_S)):
            number, relayed = 0, numbers[kind]
            hz = publisher.video_hz if kind == "video" else publisher.audio_hz
            zero = dice.randrange(1 << 31)
            while (at_s := publisher.begins_s + number * step_s) < publisher.ends_s:
                source_ts = zero + at_s * hz
                comes_s = at_s + (publisher.path_ms[kind] + dice.expovariate(1 / 12)) / 1000
                if number == 0:
                    relayed.switch(source_ts, comes_s)
                ts = round(source_ts) + relayed.offset
                payloads = pictures_[number % 30] if kind == "video" else [opus[number % len(opus)]]
                for index, payload in enumerate(payloads):
                    lost = kind == "audio" and dice.random() < 0.005
                    if not lost:
                        packet = Rtp(relayed.seq & 0xFFFF, ts & 0xFFFFFFFF, index == len(payloads) - 1, payload)
                        out.append((comes_s, Seen(kind, at_s, ts, relayed.seq, comes_s, b"")))
                        out.append((comes_s, Arrived(kind, packet, comes_s * 1000)))  # type: ignore[arg-type]
                    relayed.seq += 1
                if reported and number * step_s % 5 < step_s and number:
                    said = Reported(kind, ts & 0xFFFFFFFF, publisher.wall_ms(at_s))  # type: ignore[arg-type]
                    out.append((comes_s + 0.001, said))
                relayed.ts, relayed.last_s = ts, comes_s
                number += 1
        out.append((publisher.begins_s, NewSource("h264", True, ())))
    return sorted(out, key=lambda item: item[0])


@pytest.mark.parametrize("reported", [True, False])
def test_lips_and_cards_stay_in_step_for_an_hour(reported: bool, tmp_path: Path) -> None:
    publishers = [Publisher(0.0, 1500.0), Publisher(1520.0, HOUR_S, wall_ppm=-50.0, wall_off_ms=99.0)]
    told: list[RecordingEvent] = []
    counts = RecorderCounts()
    writer = Writer(tmp_path, "sho_1", counts, told.append, None, SetClock(), 0, 0)
    seen: dict[str, dict[int, Seen]] = {"video": {}, "audio": {}}
    for _, item in hour(publishers, reported, random.Random(3)):
        if isinstance(item, Seen):
            seen[item.kind][item.ts] = item
        else:
            writer.take(item)  # type: ignore[arg-type]
    writer.finish()

    (started,) = (event for event in told if isinstance(event, RecordingStarted))
    (finished,) = (event for event in told if isinstance(event, RecordingFinished))
    starts_at_ms = [event.starts_at_ms for event in told if isinstance(event, RecordingPlaced | RecordingStarted)][-1]
    assert abs(finished.duration_ms - HOUR_S * 1000) < 1000
    in_file = {kind: places(tmp_path / started.path, kind) for kind in ("video", "audio")}
    shown = sorted(seen["video"].values(), key=lambda one: one.at_s)
    assert len(in_file["video"]) == len(shown)
    apart: list[float] = []
    late: list[float] = []
    for one, place_ms in zip(shown, in_file["video"], strict=True):
        # A player that is at this place shows this frame: the server's media time as it was forwarded.
        late.append(starts_at_ms + place_ms - (one.at_s * 1000 + publishers[0].path_ms["video"]))
    heard = sorted(seen["audio"].values(), key=lambda one: one.at_s)
    heard = [one for one in heard if one.at_s * 1000 >= shown[0].at_s * 1000]
    # The file's first sound may be the silence that leads in; from the end, each is one that was sent.
    for one, place_ms in zip(reversed(heard), reversed(in_file["audio"]), strict=False):
        number = next_picture(shown, one.at_s)
        if number is None:
            continue
        # Where the picture of the same moment is: between the two frames around it.
        share = (one.at_s - shown[number].at_s) / PICTURE_S
        beside = in_file["video"][number] * (1 - share) + in_file["video"][number + 1] * share
        apart.append(place_ms - beside)
    assert len(apart) > 50_000
    assert max(map(abs, apart)) <= LIPS_MS, (min(apart), max(apart))
    assert max(map(abs, late)) <= CARDS_MS, (min(late), max(late))
    assert counts.dropped == 0


def next_picture(shown: list[Seen], at_s: float) -> int | None:
    """The number of the frame before `at_s`, when the one after it is of the same publisher."""
    number = round(at_s / PICTURE_S - 0.5) if at_s < 1510 else round((at_s - 20.0) / PICTURE_S - 0.5)
    number = max(0, min(number, len(shown) - 2))
    while shown[number].at_s > at_s and number:
        number -= 1
    while number + 1 < len(shown) - 1 and shown[number + 1].at_s <= at_s:
        number += 1
    return number if shown[number + 1].at_s - shown[number].at_s < PICTURE_S * 1.5 else None


def places(path: Path, kind: str) -> list[float]:
    """Timestamps of a stream, in ms. The file is not decoded."""
    with av.open(str(path)) as container:
        stream = next(one for one in container.streams if one.type == kind)
        assert stream.time_base is not None
        tick_ms = float(stream.time_base * 1000)
        return [packet.pts * tick_ms for packet in container.demux(stream) if packet.pts is not None]


def test_without_help_an_hour_of_drift_is_far_out_of_step() -> None:
    """The premise: what the clocks alone make of an hour."""
    publisher = Publisher(0.0, HOUR_S)
    apart_ms = HOUR_S * (publisher.audio_hz / 48 - publisher.video_hz / 90)
    assert apart_ms > 1400
