"""Who feeds a show: a publisher over SRTP (`Ingest`), another process's pipe, or a pull from another machine.

To the show they look alike. A source hands on what comes, layer by layer; numbering, rings and viewers are the show's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from live.relay.reception import Gaps, Reception
from live.relay.rtp import Header
from live.relay.sdp import Format, Kind

KEY_EVERY_MS = 700  # N joins must not become N key frames
_RATED_EVERY_MS = 500
_USUAL = 0.25  # how much the newest half second counts in the usual rate: key frames come every second or two


class Throttle:
    """At most one a period."""

    __slots__ = ("_next_ms", "_period_ms")

    def __init__(self, period_ms: int) -> None:
        self._period_ms = period_ms
        self._next_ms: int | None = None

    def ready(self, now_ms: int) -> bool:
        if self._next_ms is not None and now_ms < self._next_ms:
            return False
        self._next_ms = now_ms + self._period_ms
        return True


class Layer:
    """One incoming stream: a sound, a picture, or one size of it."""

    def __init__(self, ssrc: int, kind: Kind, form: Format, now_ms: int, rid: str = "") -> None:
        self.ssrc = ssrc
        self.kind = kind
        self.format = form
        self.rid = rid
        self.reception = Reception(ssrc, form.clock_rate)
        self.gaps = Gaps()
        self.sender_clock: tuple[float, int] | None = None  # (publisher's NTP in ms, RTP timestamp)
        self.last_ms = now_ms
        self.rate_kbps = 0  # of the last half second
        self.usual_kbps = 0  # the same, smoothed over key frames
        self._octets_before = 0
        self._rated_ms = now_ms
        self.key_throttle = Throttle(KEY_EVERY_MS)

    def rate(self, now_ms: int) -> None:
        """Refresh the rates from what `reception` counted; at most every half second."""
        passed = now_ms - self._rated_ms
        if passed >= _RATED_EVERY_MS:
            self.rate_kbps = (self.reception.octets - self._octets_before) * 8 // passed
            self._octets_before, self._rated_ms = self.reception.octets, now_ms
            before = self.usual_kbps or self.rate_kbps
            self.usual_kbps = round(before + (self.rate_kbps - before) * _USUAL)


Forward = Callable[[Layer, Header, bool, bool], None]
Lower = Callable[[Layer, Header, bool], None]


class Source(Protocol):
    """`RelayedShow.feed` sets `forward` and `lower`; a source calls nobody before.

    `forward(layer, header, key, switched)` is for the sound and for the best picture there is; `switched` says that
    this packet is the first of another stream than the one before, of that kind, and so is each kind's very first
    packet. A picture's switch is only called at a key frame. `lower(layer, header, key)` is for the living picture
    layers: all of them where there are several (simulcast), so that a viewer can be given a smaller one.
    """

    forward: Forward
    lower: Lower
    clock_offset_ms: float | None  # server time minus the publisher's NTP time, by her sender reports

    @property
    def formats(self) -> Mapping[Kind, Format]:
        """What it will send, known before its first packet."""

    @property
    def has_video(self) -> bool:
        """Whether a picture was agreed on."""

    @property
    def layers(self) -> Mapping[int, Layer]:
        """All that came so far, by SSRC."""

    def forwarded(self, kind: Kind) -> Layer | None:
        """The layer that `forward` is called for at present."""

    def tick(self, now_ms: int) -> None:
        """Every 20 ms: what is due upstream."""

    def want_key(self, now_ms: int, layer: Layer | None = None) -> None:
        """Ask for a key frame, of `layer` or of what is forwarded. Throttled by the source."""


def unheard(layer: Layer, header: Header, key: bool, switched: bool = False) -> None:
    """What `forward` and `lower` are while nobody is fed."""
