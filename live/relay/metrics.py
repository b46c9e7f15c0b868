"""The relay's figures for Prometheus. Of the process, not of shows: who is on air is nobody's label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from live.relay.relay import Relay

_GAUGES = {
    "viewers": "Viewers with a session.",
    "capacity": "Viewers this relay admits.",
    "sessions": "Sessions, publishers' and unfinished ones too.",
    "publishers": "Shows that have a publisher.",
    "shows_live": "Shows whose picture moves.",
    "viewers_losing": "Viewers who report more than 5 % of packets lost.",
    "gso": "1 while a frame leaves in one call.",
}
_COUNTERS = {
    "packets": "RTP packets that left.",
    "bytes": "Bytes that left, SRTP and its headers, without UDP's.",
    "dropped": "Packets that a socket did not take.",
    "refused": "Packets that libsrtp did not protect, so that they stayed.",
    "resent": "Packets resent because a viewer asked.",
    "strays": "Datagrams from addresses of no session.",
    "handshakes_failed": "Sessions that never got through DTLS.",
}


class RelayFigures(Collector):
    """Reads the relay's own counts when it is asked; only the time of joining is kept here."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.joins = Histogram(
            "frontrow_relay_join_seconds",
            "Seconds from a viewer's offer to her first packet.",
            buckets=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
            registry=self._registry,
        )

    def add(self, collector: Collector) -> None:
        """More figures, of a part that not every relay has."""
        self._registry.register(collector)

    def text(self) -> bytes:
        """Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        stats = self._relay.stats()
        shows = stats["shows"].values()
        stats |= {
            "publishers": sum(1 for show in shows if show["publisher"]),
            "shows_live": sum(1 for show in shows if show["state"] == "live"),
            "viewers_losing": sum(show["viewers_losing"] for show in shows),
        }
        for name, words in _GAUGES.items():
            yield GaugeMetricFamily(f"frontrow_relay_{name}", words, value=float(stats[name]))
        for name, words in _COUNTERS.items():
            yield CounterMetricFamily(f"frontrow_relay_{name}", words, value=float(stats[name]))
