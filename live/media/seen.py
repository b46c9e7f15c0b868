"""What staff sees of a show's picture: each relay says its part (`live/relay/seen.py`), web puts them together.

No address of anybody is in here: a viewer is a keyed hash that lasts as long as her session.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Size = Literal["full", "smaller", "sound", "joining"]
MOST_LINES = 200  # viewers a page


class LayerSeen(msgspec.Struct):
    """One stream of the publisher's. `lost` is a share, 0 to 1; `chosen`: it is what viewers get."""

    kind: Literal["audio", "video"]
    codec: str
    rid: str
    kbps: int
    lost: float
    jitter_ms: float
    chosen: bool
    alive: bool


class LineSeen(msgspec.Struct):
    """A viewer's line. `lost` as she reports it, `remb_kbps` what her browser thinks it carries, None unheard."""

    id: str
    network: str
    since_s: int
    rtt_ms: int
    lost: float
    remb_kbps: int | None
    size: Size
    kbps: int
    resent: int
    way: str = "webrtc"
    relay: str = ""

    @property
    def trouble(self) -> tuple[float, int]:
        """The worse, the higher."""
        return (self.lost, self.rtt_ms)


class ShowSeen(msgspec.Struct):
    """One relay's part. `origin`: the publisher is here; else it gets the picture from another relay."""

    load: float
    capacity: int
    cpu: float
    lag_ms: float
    shut: str
    state: str = "waiting"
    media_ms: int = 0
    origin: bool = False
    layers: list[LayerSeen] = []
    key_age_ms: int | None = None
    sizes: dict[str, int] = {}
    losing: int = 0
    recording: str = ""
    lines: list[LineSeen] = []

    @property
    def viewers(self) -> int:
        return sum(self.sizes.values())


class LinesSeen(msgspec.Struct):
    """A page of the viewers of one relay, the worst lines first."""

    total: int
    lines: list[LineSeen]


class RelaySeen(msgspec.Struct):
    """A relay as the picture desk shows it."""

    name: str
    viewers: int
    load: float
    cpu: float
    lag_ms: float
    shut: str
    origin: bool


class PictureSeen(msgspec.Struct):
    """All relays together: body of `GET /api/shows/{slug}/picture/seen`."""

    state: str
    media_ms: int
    layers: list[LayerSeen]
    key_age_ms: int | None
    viewers: int
    ways: dict[str, int]
    sizes: dict[str, int]
    losing: int
    relays: list[RelaySeen]
    worst: list[LineSeen]
    recording: str


def together(parts: Sequence[tuple[str, ShowSeen]], *, worst: int, hls: int | None = None) -> PictureSeen:
    """Of (relay's name, its part). The publisher's side is the origin's to tell; viewers add up. `hls`: those on the
    tail, None where there is none."""
    origin = next((part for _, part in parts if part.origin), None)
    told = origin or max((part for _, part in parts), key=lambda part: part.media_ms, default=None)
    sizes = {
        size: sum(part.sizes.get(size, 0) for _, part in parts) for size in ("full", "smaller", "sound", "joining")
    }
    lines = [msgspec.structs.replace(line, relay=name) for name, part in parts for line in part.lines]
    on = sum(sizes.values())
    return PictureSeen(
        state=told.state if told is not None else "waiting",
        media_ms=told.media_ms if told is not None else 0,
        layers=origin.layers if origin is not None else [],
        key_age_ms=origin.key_age_ms if origin is not None else None,
        viewers=on + (hls or 0),
        ways={"webrtc": on} | ({"hls": hls} if hls is not None else {}),
        sizes=sizes,
        losing=sum(part.losing for _, part in parts),
        relays=[
            RelaySeen(name, part.viewers, part.load, part.cpu, part.lag_ms, part.shut, part.origin)
            for name, part in sorted(parts, key=lambda named: (not named[1].origin, named[0]))
        ],
        worst=sorted(lines, key=lambda line: line.trouble, reverse=True)[:worst],
        recording=origin.recording if origin is not None else "",
    )


def page_of(parts: Sequence[tuple[str, LinesSeen]], offset: int, limit: int) -> LinesSeen:
    """A page out of what relays said, each of which gave its worst `offset + limit`."""
    lines = [msgspec.structs.replace(line, relay=name) for name, part in parts for line in part.lines]
    lines.sort(key=lambda line: line.trouble, reverse=True)
    return LinesSeen(sum(part.total for _, part in parts), lines[offset : offset + limit])
