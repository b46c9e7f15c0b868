"""One publisher: her packets sorted into streams, her losses asked for again, her rate told (RFC 3550, 4585, 4588).

Pure of sockets: bytes and the time come in, calls go out. Of simulcast layers the best one is forwarded; it takes
over at one of its key frames.
"""

from __future__ import annotations

from collections.abc import Callable

from live.relay import rtcp
from live.relay.codecs import starts_key_frame
from live.relay.fanout import Counters
from live.relay.rtp import Header, parse
from live.relay.sdp import Format, Incoming, Kind
from live.relay.source import Forward, Layer, Lower, Throttle, unheard

REPORT_EVERY_MS = 1000
REMB_EVERY_MS = 500
FIRST_RTT_MS = 50
_ALIVE_MS = 1500
_MAX_STREAMS = 16  # a publisher that invents SSRCs gets no more memory than this


class Ingest:
    """Takes decrypted packets of one publisher: a `Source`. `send_rtcp(bytes)` goes upstream."""

    def __init__(
        self,
        incoming: Incoming,
        *,
        ssrc: int,
        max_kbps: int,
        send_rtcp: Callable[[bytes], None],
        counters: Counters | None = None,
    ) -> None:
        self._counters = counters or Counters()
        self._incoming = incoming
        self._ssrc = ssrc
        self._max_bps = max_kbps * 1000
        self._allowed_bps = self._max_bps
        self.forward: Forward = unheard
        self.lower: Lower = unheard
        self._send_rtcp = send_rtcp
        self._reports = Throttle(REPORT_EVERY_MS)
        self._rembs = Throttle(REMB_EVERY_MS)
        self._chosen: dict[Kind, Layer] = {}
        self._rids: dict[str, Layer] = {}
        self.layers: dict[int, Layer] = {}
        # Of the way to the publisher: a guess, until resends tell. One who only receives is not told.
        self.rtt_ms = FIRST_RTT_MS
        self._resending: dict[int, Layer] = {}  # by the resends' own SSRC
        self.clock_offset_ms: float | None = None
        self.last_packet_ms: int | None = None
        self.unknown = 0

    @property
    def formats(self) -> dict[Kind, Format]:
        return dict(self._incoming.formats.values())

    @property
    def has_video(self) -> bool:
        return any(kind == "video" for kind, _ in self._incoming.formats.values())

    def forwarded(self, kind: Kind) -> Layer | None:
        return self._chosen.get(kind)

    def rtp(self, packet: bytes, now_ms: int) -> None:
        """One decrypted packet from the publisher."""
        self._counters.received += 1
        self._counters.received_bytes += len(packet)
        header = parse(packet)
        if header is None:
            self.unknown += 1
            return
        if header.payload_type in self._incoming.rtx:
            self._resent(header, now_ms)
            return
        known = self._incoming.formats.get(header.payload_type)
        layer = self.layers.get(header.ssrc)
        if known is None or (layer.kind != known[0] if layer is not None else len(self.layers) >= _MAX_STREAMS):
            self.unknown += 1
            return
        if layer is None:
            layer = self._new_layer(header, *known, now_ms)
        self._took(layer, header, now_ms, size=len(packet))

    def rtcp(self, compound: bytes, now_ms: int, wall_ms: float) -> None:
        """The publisher's sender reports, which lip sync and the round trip need."""
        said = rtcp.parse(compound)
        for info in said.senders:
            layer = self.layers.get(info.ssrc)
            if layer is not None:
                layer.reception.heard_sender(info, now_ms)
                ntp_ms = rtcp.ms_of(info.ntp)
                layer.sender_clock = (ntp_ms, info.timestamp)
                offset = wall_ms - ntp_ms
                # The smallest is the one that waited least on its way.
                if self.clock_offset_ms is None or offset < self.clock_offset_ms:
                    self.clock_offset_ms = offset

    def tick(self, now_ms: int) -> None:
        """Every 20 ms or so: NACKs that are due, reports and REMB on their beat."""
        for layer in self.layers.values():
            given_up = layer.gaps.given_up
            missing = layer.gaps.due(now_ms, self.rtt_ms) if len(layer.gaps) else []
            self._counters.never_came += layer.gaps.given_up - given_up
            if missing and layer.kind == "video":
                self._counters.nacks_sent += len(missing)
                self._send_rtcp(rtcp.receiver_report(self._ssrc, []) + rtcp.nack(self._ssrc, layer.ssrc, missing))
            if layer.gaps.given_up > given_up and layer is self._chosen.get("video"):
                self.want_key(now_ms)
        if self.layers and self._reports.ready(now_ms):
            self._report(now_ms)
        if self.layers and self._rembs.ready(now_ms):
            for layer in self.layers.values():
                layer.rate(now_ms)
            best = self._best()
            if best is not None and best is not self._chosen.get("video"):
                self._ask_key(best, now_ms)
            media = [layer.ssrc for layer in self.layers.values()]
            self._send_rtcp(rtcp.receiver_report(self._ssrc, []) + rtcp.remb(self._ssrc, self._allowed_bps, media))

    def want_key(self, now_ms: int, layer: Layer | None = None) -> None:
        """One in 700 ms and layer at most (RFC 4585 section 6.3.1)."""
        layer = layer or self._chosen.get("video") or self._best()
        if layer is not None:
            self._ask_key(layer, now_ms)

    def _ask_key(self, layer: Layer, now_ms: int) -> None:
        if layer.key_throttle.ready(now_ms):
            self._counters.keys_asked += 1
            self._send_rtcp(rtcp.receiver_report(self._ssrc, []) + rtcp.pli(self._ssrc, layer.ssrc))

    def _new_layer(self, header: Header, kind: Kind, form: Format, now_ms: int) -> Layer:
        rid = header.extensions.get(self._incoming.rid_extension or -1, b"").decode("ascii", "replace")
        layer = self.layers[header.ssrc] = Layer(header.ssrc, kind, form, now_ms, rid)
        if rid:
            self._rids[rid] = layer
        return layer

    def _resent(self, header: Header, now_ms: int) -> None:
        """An RTX packet: the original one, late (RFC 4588)."""
        if len(header.payload) < 2:
            return  # padding that probes for bandwidth
        layer = self._resending.get(header.ssrc) or self._resent_layer(header)
        if layer is not None:
            seq = int.from_bytes(header.payload[:2], "big")
            original = header._replace(seq=seq, ssrc=layer.ssrc, payload=header.payload[2:])
            self._took(layer, original, now_ms, resent=True)

    def _resent_layer(self, header: Header) -> Layer | None:
        """Whose resends these are. Browsers say it until they hear of us (RFC 8852), so it is remembered."""
        original = self._incoming.rtx_ssrcs.get(header.ssrc)
        layer = self.layers.get(original) if original is not None else None
        if layer is None:
            rid = header.extensions.get(self._incoming.repaired_rid_extension or -1, b"").decode("ascii", "replace")
            videos = [other for other in self.layers.values() if other.kind == "video"]
            layer = self._rids.get(rid) or (videos[0] if len(videos) == 1 else None)
        if layer is not None and len(self._resending) < _MAX_STREAMS:
            self._resending[header.ssrc] = layer
        return layer

    def _took(self, layer: Layer, header: Header, now_ms: int, *, size: int = 0, resent: bool = False) -> None:
        self.last_packet_ms = layer.last_ms = now_ms
        if not resent:
            # What a resend healed was lost all the same: the report is about the line.
            layer.reception.take(header.seq, header.timestamp, size, now_ms)
        waited_ms = layer.gaps.took(header.seq, now_ms)
        if waited_ms is not None and (resent or not self._incoming.rtx):
            self.rtt_ms += round((min(waited_ms, 1000) - self.rtt_ms) / 4)
        kind = layer.kind
        key = kind == "video" and starts_key_frame(layer.format.codec, header.payload)
        chosen = self._chosen.get(kind)
        if chosen is layer:
            self.forward(layer, header, key, False)
        elif chosen is None or now_ms - chosen.last_ms > _ALIVE_MS or self._best() is layer:
            if kind == "audio" or key:
                self._chosen[kind] = layer
                self.forward(layer, header, key, True)
            else:
                self._ask_key(layer, now_ms)
        if kind == "video" and self._rids:
            self.lower(layer, header, key)

    def _best(self) -> Layer | None:
        videos = [layer for layer in self.layers.values() if layer.kind == "video"]
        newest = max((layer.last_ms for layer in videos), default=0)
        alive = [layer for layer in videos if newest - layer.last_ms < _ALIVE_MS]
        best = max(alive, key=lambda layer: layer.rate_kbps, default=None)
        chosen = self._chosen.get("video")
        # A fifth more, so that two layers of like rate do not take turns.
        if best and chosen in alive and chosen is not None and best.rate_kbps < chosen.rate_kbps * 1.2:
            return chosen
        return best

    def _report(self, now_ms: int) -> None:
        reports = [layer.reception.report(now_ms) for layer in list(self.layers.values())[:31]]
        self._send_rtcp(rtcp.receiver_report(self._ssrc, reports))
        worst = max((report.fraction_lost for report in reports), default=0)
        # Over 10 % lost: ask for less; clean: give back 8 % a second (after draft-ietf-rmcat-gcc section 6).
        if worst > 26:
            self._allowed_bps = max(300_000, int(self._allowed_bps * 0.85))
        elif worst < 5:
            self._allowed_bps = min(self._max_bps, int(self._allowed_bps * 1.08))
