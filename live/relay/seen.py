"""What this relay can say of a show to those who run it: the publisher's streams, and each viewer's line.

A viewer's session is a capability, so she is named by a hash of it under a key of this process.
"""

from __future__ import annotations

import hashlib
import heapq
import secrets
from typing import TYPE_CHECKING

from live.media.seen import LayerSeen, LineSeen, LinesSeen, ShowSeen, Size

if TYPE_CHECKING:
    from live.relay.relay import Relay
    from live.relay.show import RelayedShow
    from live.relay.source import Layer
    from live.relay.watching import Watching

LOSING = 0.05  # of packets: a line that is in trouble
_ALIVE_MS = 1500
_KEY = secrets.token_bytes(16)


def show_seen(relay: Relay, name: str, worst: int) -> ShowSeen:
    """The show's part of it that is here, with the worst lines; the relay's own figures also where there is none."""
    measured = relay.gate.measured
    load, shut = round(relay.load(), 3), relay.gate.why if relay.gate.shut else ""
    seen = ShowSeen(load, relay.capacity, round(measured.cpu, 3), round(measured.lag_ms, 1), shut)
    show = relay.shows.get(name)
    if show is None:
        return seen
    now_ms = relay.now_ms()
    lines = [line_of(show, watching, now_ms) for watching in show.viewers.values()]
    sizes: dict[str, int] = {}
    for line in lines:
        sizes[line.size] = sizes.get(line.size, 0) + 1
    track = show.tracks.get("video")
    seen.state, seen.media_ms = show.state, show.media_ms(relay.wall_ms())
    seen.origin = show.source is not None and not show.mirrored
    seen.layers = layers_of(show, now_ms)
    seen.key_age_ms = max(0, now_ms - track.key_ms) if track is not None and track.key_ms is not None else None
    seen.sizes = sizes
    seen.losing = sum(line.lost > LOSING for line in lines)
    seen.recording = getattr(show.recorder, "state", "")
    seen.lines = heapq.nlargest(worst, lines, key=lambda line: line.trouble)
    return seen


def lines_seen(relay: Relay, name: str, most: int) -> LinesSeen:
    """The `most` worst lines of the show."""
    show = relay.shows.get(name)
    if show is None:
        return LinesSeen(0, [])
    now_ms = relay.now_ms()
    lines = (line_of(show, watching, now_ms) for watching in show.viewers.values())
    return LinesSeen(len(show.viewers), heapq.nlargest(most, lines, key=lambda line: line.trouble))


def layers_of(show: RelayedShow, now_ms: int) -> list[LayerSeen]:
    """The publisher's streams, the picture's first and the best of them on top."""
    source = show.source
    if source is None:
        return []
    found = [_layer(layer, source.forwarded(layer.kind) is layer, now_ms) for layer in source.layers.values()]
    return sorted(found, key=lambda layer: (layer.kind != "video", not layer.chosen, -layer.kbps))


def line_of(show: RelayedShow, watching: Watching, now_ms: int) -> LineSeen:
    """One viewer's line."""
    session, reports, seat = watching.session, watching.reports, watching.video
    layer = seat.lane.layer if seat is not None else None
    return LineSeen(
        id=hashlib.blake2b(session.id.encode(), key=_KEY, digest_size=6).hexdigest(),
        network=hashlib.blake2b(session.network.encode(), key=_KEY, digest_size=4).hexdigest(),
        since_s=max(0, now_ms - session.started_ms) // 1000,
        rtt_ms=reports.rtt_ms,
        lost=round(max((block.fraction_lost for block in reports.blocks), default=0) / 256, 3),
        remb_kbps=reports.remb_bps // 1000 if reports.remb_bps is not None else None,
        size=_size(show, watching),
        kbps=layer.usual_kbps if layer is not None and not watching.paused else 0,
        resent=sum(one.resent for one in watching.seats),
    )


def _size(show: RelayedShow, watching: Watching) -> Size:
    seat = watching.video
    if not watching.session.peer.connected:
        return "joining"
    if seat is None or seat.paused:
        return "sound"
    return "full" if seat.lane is show.lanes.get("video") else "smaller"


def _layer(layer: Layer, chosen: bool, now_ms: int) -> LayerSeen:
    reception = layer.reception
    expected = reception.received + reception.lost
    return LayerSeen(
        kind=layer.kind,
        codec=layer.format.codec,
        rid=layer.rid,
        kbps=layer.rate_kbps,
        lost=round(reception.lost / expected, 4) if expected else 0.0,
        jitter_ms=round(reception.jitter_ms, 1),
        chosen=chosen,
        alive=now_ms - layer.last_ms < _ALIVE_MS,
    )
