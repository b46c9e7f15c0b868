"""Playlists out of a `Window`, as RFC 8216bis (HTTP Live Streaming, 2nd edition) has them. Pure.

Sections: 4.4.3.7 PART-INF, 4.4.3.8 SERVER-CONTROL, 4.4.4.9 PART, 4.4.5.2 SKIP, 4.4.5.3 PRELOAD-HINT, 6.2.5 delivery
directives, appendix B the rules of a low-latency server.
"""

from __future__ import annotations

from datetime import UTC, datetime

from live.tail.boxes import VIDEO_HZ
from live.tail.window import PART_TICKS, TARGET_S, Segment, Window

PART_TARGET_S = PART_TICKS / VIDEO_HZ
HOLD_BACK_S = 3 * TARGET_S
PART_HOLD_BACK_S = 3 * PART_TARGET_S
SKIP_UNTIL_S = 6 * TARGET_S  # the least that section 4.4.3.8 allows
PARTS_LISTED_S = 3 * TARGET_S  # section 6.2.2: parts stay listed for three target durations
FIRST_GUESS_BPS = 4_000_000


def master(window: Window, *, frame_rate: float) -> str:
    """The multivariant playlist: one variant, what is on air now."""
    newest = window.newest
    init = window.inits[newest.init] if newest is not None else None
    peak, mean = _rates(window)
    line = f"BANDWIDTH={peak},AVERAGE-BANDWIDTH={mean}"
    if init is not None:
        line += f',CODECS="{init.codecs}"'
        if init.size != (0, 0):
            line += f",RESOLUTION={init.size[0]}x{init.size[1]},FRAME-RATE={frame_rate:.3f}"
    return f"#EXTM3U\n#EXT-X-VERSION:9\n#EXT-X-STREAM-INF:{line}\nmedia.m3u8\n"


def media(window: Window, *, skip: bool = False, since_ms: int = 0) -> str:
    """The media playlist; with `skip` a delta update, where enough is old enough (section 6.2.5.1). What was over
    before `since_ms`, server time, is left out: no viewer goes back to before the show was opened."""
    before = list(window.listed)
    segments = [segment for segment in before if not segment.is_over(since_ms)]
    breaks_before = window.breaks_before + sum(segment.breaks for segment in before if segment.is_over(since_ms))
    # How far each segment's start is from the playlist's end.
    back, ages = 0, []
    for segment in reversed(segments):
        back += segment.ticks
        ages.append(back)
    ages.reverse()
    first = segments[0].msn if segments else window.next_msn
    out = [
        "#EXTM3U",
        "#EXT-X-VERSION:9",
        f"#EXT-X-TARGETDURATION:{TARGET_S}",
        f"#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={SKIP_UNTIL_S:.1f},"
        f"HOLD-BACK={HOLD_BACK_S:.1f},PART-HOLD-BACK={PART_HOLD_BACK_S:.3f}",
        f"#EXT-X-PART-INF:PART-TARGET={PART_TARGET_S:.3f}",
        f"#EXT-X-MEDIA-SEQUENCE:{first}",
        f"#EXT-X-DISCONTINUITY-SEQUENCE:{breaks_before}",
    ]
    # The boundary is counted to a segment's end: what is skipped lies beyond it whole.
    skipped = sum(
        1 for segment, age in zip(segments, ages, strict=True) if age - segment.ticks >= SKIP_UNTIL_S * VIDEO_HZ
    )
    init = None
    if skip and skipped:
        out.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}")
        init = segments[skipped - 1].init
        segments, ages = segments[skipped:], ages[skipped:]
    for segment, age in zip(segments, ages, strict=True):
        if segment.breaks:
            out.append("#EXT-X-DISCONTINUITY")
        if segment.init != init:
            init = segment.init
            out.append(f'#EXT-X-MAP:URI="init-{init}.mp4"')
        out.append(f"#EXT-X-PROGRAM-DATE-TIME:{date_time(segment.wall_ms)}")
        if age - segment.ticks < PARTS_LISTED_S * VIDEO_HZ:
            out += _parts(segment)
        if segment.whole:
            out += [f"#EXTINF:{segment.ticks / VIDEO_HZ:.5f},", f"{segment.msn}.m4s"]
    if window.ended:
        out.append("#EXT-X-ENDLIST")
    else:
        msn, part = window.position
        out.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{msn}.{part}.m4s"')
    return "\n".join(out) + "\n"


def date_time(wall_ms: float) -> str:
    """ISO 8601 with milliseconds (section 4.4.4.6)."""
    at = datetime.fromtimestamp(round(wall_ms) / 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def _parts(segment: Segment) -> list[str]:
    return [
        f'#EXT-X-PART:DURATION={part.ticks / VIDEO_HZ:.5f},URI="{segment.msn}.{number}.m4s"'
        + (",INDEPENDENT=YES" if part.independent else "")
        for number, part in enumerate(segment.parts)
    ]


def _rates(window: Window) -> tuple[int, int]:
    """Peak and mean bits a second of the whole segments (section 4.4.6.2)."""
    sizes = [(sum(len(p.body) for p in s.parts) * 8, s.ticks) for s in window.listed if s.whole and s.ticks]
    if not sizes:
        return FIRST_GUESS_BPS, FIRST_GUESS_BPS
    mean = sum(bits for bits, _ in sizes) * VIDEO_HZ // sum(ticks for _, ticks in sizes)
    return max(bits * VIDEO_HZ // ticks for bits, ticks in sizes), mean
