"""The rules of RFC 8216bis that a low-latency playlist must keep, line by line: Apple's validator is not to be had.

`read(text)` makes a `Playlist`, raising AssertionError where the text alone breaks a rule; `follows` compares two
versions; `merged` applies a delta update.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime


@dataclass
class PartLine:
    uri: str
    s: float
    independent: bool


@dataclass
class SegmentLines:
    msn: int
    wall_ms: float
    init: str
    breaks: bool
    s: float | None = None  # None: the open segment
    uri: str = ""
    parts: list[PartLine] = field(default_factory=list)


@dataclass
class Playlist:
    target_s: int
    part_target_s: float
    control: dict[str, str]
    first_msn: int
    first_break: int
    segments: list[SegmentLines]
    hint: str
    ended: bool
    skipped: int


def attributes(text: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in re.findall(r'([A-Z0-9-]+)=("[^"]*"|[^,]*)', text)}


def read(text: str, *, init: str = "") -> Playlist:
    """`init`: what EXT-X-MAP said last before the part that a delta update skips."""
    lines = text.splitlines()
    assert lines[0] == "#EXTM3U"
    tags = [line.partition(":")[::2] for line in lines if line.startswith("#")]
    single = dict(tags)
    assert int(single["#EXT-X-VERSION"]) >= 9  # EXT-X-SKIP, section 8
    names = [name for name, _ in tags]
    for once in ("TARGETDURATION", "PART-INF", "SERVER-CONTROL", "MEDIA-SEQUENCE", "DISCONTINUITY-SEQUENCE", "SKIP"):
        assert names.count(f"#EXT-X-{once}") <= 1
    control = attributes(single["#EXT-X-SERVER-CONTROL"])
    out = Playlist(
        int(single["#EXT-X-TARGETDURATION"]),
        float(attributes(single["#EXT-X-PART-INF"])["PART-TARGET"]),
        control,
        int(single["#EXT-X-MEDIA-SEQUENCE"]),
        int(single["#EXT-X-DISCONTINUITY-SEQUENCE"]),
        [],
        "",
        False,
        int(attributes(single.get("#EXT-X-SKIP", "SKIPPED-SEGMENTS=0"))["SKIPPED-SEGMENTS"]),
    )
    # 4.4.3.8: what must be at least how long.
    assert control["CAN-BLOCK-RELOAD"] == "YES"
    assert float(control["CAN-SKIP-UNTIL"]) >= 6 * out.target_s
    assert float(control["HOLD-BACK"]) >= 3 * out.target_s
    assert float(control["PART-HOLD-BACK"]) >= 3 * out.part_target_s - 0.001
    breaks, wall_ms, parts, seconds = False, None, [], None
    msn = out.first_msn + out.skipped
    for line in lines[1:]:
        assert not out.ended, "nothing after EXT-X-ENDLIST"
        name, _, value = line.partition(":")
        if name == "#EXT-X-DISCONTINUITY":
            assert not parts
            breaks = True
        elif name == "#EXT-X-MAP":
            assert not parts
            init = attributes(value)["URI"]
        elif name == "#EXT-X-PROGRAM-DATE-TIME":
            assert not parts
            assert wall_ms is None
            wall_ms = datetime.fromisoformat(value).timestamp() * 1000
        elif name == "#EXT-X-PART":
            said = attributes(value)
            parts.append(PartLine(said["URI"], float(said["DURATION"]), said.get("INDEPENDENT") == "YES"))
        elif name == "#EXTINF":
            seconds = float(value.rstrip(","))
        elif name == "#EXT-X-PRELOAD-HINT":
            assert attributes(value)["TYPE"] == "PART"
            out.hint = attributes(value)["URI"]
        elif name == "#EXT-X-ENDLIST":
            out.ended = True
        elif not line.startswith("#"):
            assert seconds is not None
            assert wall_ms is not None
            out.segments.append(SegmentLines(msn, wall_ms, init, breaks, seconds, line, parts))
            breaks, wall_ms, parts, seconds, msn = False, None, [], None, msn + 1
    if parts:
        assert wall_ms is not None
        out.segments.append(SegmentLines(msn, wall_ms, init, breaks, None, "", parts))
    _check(out)
    return out


def _check(playlist: Playlist) -> None:
    for segment in playlist.segments:
        assert segment.init, "every segment has an EXT-X-MAP"
        if segment.s is not None:
            assert round(segment.s) <= playlist.target_s, segment  # 4.4.3.1
            if segment.parts:
                assert abs(segment.s - sum(part.s for part in segment.parts)) < 0.001
        for number, part in enumerate(segment.parts):
            assert part.uri == f"{segment.msn}.{number}.m4s"
            assert part.s <= playlist.part_target_s + 0.00001, (segment.msn, number, part)  # 4.4.4.9
            last = segment.s is not None and number == len(segment.parts) - 1
            assert last or part.independent or part.s >= 0.85 * playlist.part_target_s, (segment.msn, number, part)
    for before, after in zip(playlist.segments, playlist.segments[1:], strict=False):
        assert before.s is not None, "only the last segment may be open"
        ahead_ms = after.wall_ms - before.wall_ms - before.s * 1000
        assert abs(ahead_ms) < 3 or after.breaks, (before, after)  # dates are in step with durations
        assert after.wall_ms > before.wall_ms
    # 6.2.2: parts of the last three target durations are listed.
    held = 0.0
    for segment in reversed(playlist.segments):
        if held < 3 * playlist.target_s - 0.01:
            assert segment.parts, segment
        held += segment.s if segment.s is not None else sum(part.s for part in segment.parts)
    assert playlist.ended != bool(playlist.hint)  # 4.4.5.3
    if playlist.hint:
        last = playlist.segments[-1] if playlist.segments else None
        if last is not None:
            expected = (last.msn, len(last.parts)) if last.s is None else (last.msn + 1, 0)
            assert playlist.hint == f"{expected[0]}.{expected[1]}.m4s"


def follows(before: Playlist, after: Playlist) -> None:
    """Section 6.2.2: a playlist only loses lines in front and gains some at the end."""
    assert after.first_msn >= before.first_msn
    assert (after.target_s, after.part_target_s, after.control) == (
        before.target_s,
        before.part_target_s,
        before.control,
    )
    known = {segment.msn: segment for segment in before.segments}
    gone = sum(1 for segment in before.segments if segment.msn < after.first_msn and segment.breaks)
    assert after.first_break == before.first_break + gone
    for segment in after.segments:
        old = known.get(segment.msn)
        if old is None:
            continue
        assert (segment.wall_ms, segment.init, segment.breaks) == (old.wall_ms, old.init, old.breaks)
        if old.s is not None:
            assert (segment.s, segment.uri) == (old.s, old.uri)
            assert segment.parts in ([], old.parts)
        else:
            assert segment.parts[: len(old.parts)] == old.parts


def merged(before: Playlist, delta: Playlist) -> list[SegmentLines]:
    """What a client has after a delta update (section 6.3.7)."""
    first = delta.first_msn
    kept = [s for s in before.segments if first <= s.msn < first + delta.skipped]
    assert len(kept) == delta.skipped
    return kept + delta.segments
