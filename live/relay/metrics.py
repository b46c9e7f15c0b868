"""The relay's figures for Prometheus. Of the process, not of shows: who is on air is nobody's label.

docs/operations.md lists each with what to do about it; tests/relay/test_figures.py holds the two to each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from live.relay.relay import Relay
    from live.relay.source import Layer
    from live.relay.watching import Watching

_GAUGES = {
    "viewers": "Viewers with a session.",
    "capacity": "Viewers this relay admits.",
    "sessions": "Sessions, publishers' and unfinished ones too.",
    "publishers": "Shows that have a publisher here.",
    "shows_live": "Shows whose picture moves.",
    "viewers_losing": "Viewers who report more than 5 % of packets lost.",
    "viewers_smaller": "Viewers on a smaller size of the picture.",
    "viewers_sound_only": "Viewers whose line takes the sound alone.",
    "layers": "Streams of pictures that publishers send.",
    "gso": "1 while a frame leaves in one call.",
    "admitting": "1 while newcomers are let in, 0 while it is too busy.",
    "load_ratio": "How full: 0 empty, 1 takes nobody.",
    "cpu_ratio": "Share of a core that the process used in the last seconds.",
    "loop_lag_seconds": "How late its event loop wakes.",
    "pipe_subscribers": "Processes of this machine that get its shows by pipe.",
    "ingest_bits_per_second": "What publishers send, in all.",
    "ingest_jitter_seconds": "The worst publisher's spread of arrivals.",
    "ingest_loss_ratio": "The worst publisher's share of packets lost on their way here.",
}
_COUNTERS = {
    "packets": "RTP packets that left.",
    "bytes": "Bytes that left, SRTP and its headers, without UDP's.",
    "dropped": "Packets that a socket did not take (EAGAIN), or a bound.",
    "refused": "Packets that libsrtp did not protect, so that they stayed.",
    "resent": "Packets resent because a viewer asked.",
    "received": "RTP packets that came from publishers.",
    "received_bytes": "Bytes of them.",
    "never_came": "Publishers' packets that were asked for again and never came.",
    "nacks_heard": "Packets that viewers asked for again.",
    "nacks_sent": "Packets that publishers were asked for again.",
    "keys_wanted": "PLI and FIR of viewers.",
    "keys_asked": "PLI sent to publishers.",
    "switches": "Viewers moved to another size of the picture.",
    "strays": "Datagrams from addresses of no session.",
    "handshakes_failed": "Sessions that never got through DTLS.",
    "pipe_dropped": "Datagrams that a process on a pipe did not take in time.",
    "gate_shuts": "Times that the relay found itself too busy for newcomers.",
}
_QUANTILES = (0.5, 0.95)
_LINES: dict[str, tuple[str, Callable[[Watching], float | None]]] = {
    "viewer_loss_ratio": (
        "Packets that viewers report lost.",
        lambda one: max((block.fraction_lost for block in one.reports.blocks), default=0) / 256,
    ),
    "viewer_rtt_seconds": ("Round trip to viewers.", lambda one: one.reports.rtt_ms / 1000),
    "viewer_remb_bits_per_second": (
        "What viewers' browsers think their lines carry.",
        lambda one: None if one.reports.remb_bps is None else float(one.reports.remb_bps),
    ),
}


class RelayFigures(Collector):
    """Reads the relay's own counts when it is asked; only the histograms are kept here."""

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._registry = CollectorRegistry()
        self._registry.register(self)
        self.joins = Histogram(
            "frontrow_relay_join_seconds",
            "Seconds from a viewer's offer to her first packets of the picture.",
            buckets=(0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2),
            registry=self._registry,
        )
        self.handshakes = Histogram(
            "frontrow_relay_handshake_seconds",
            "Seconds from an offer to the end of its DTLS handshake.",
            ["kind"],
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
        counts = self._counts()
        for name, words in _GAUGES.items():
            yield GaugeMetricFamily(f"frontrow_relay_{name}", words, value=float(counts[name]))
        for name, words in _COUNTERS.items():
            yield CounterMetricFamily(f"frontrow_relay_{name}", words, value=float(counts[name]))
        viewers = [watching for show in self._relay.shows.values() for watching in show.viewers.values()]
        for name, (words, value) in _LINES.items():
            family = GaugeMetricFamily(f"frontrow_relay_{name}", words, labels=["quantile"])
            said = sorted(found for watching in viewers if (found := value(watching)) is not None)
            for quantile in _QUANTILES if said else ():
                family.add_metric([str(quantile)], said[min(len(said) - 1, int(len(said) * quantile))])
            yield family

    def _counts(self) -> dict[str, float]:
        relay, stats = self._relay, self._relay.stats()
        shows: Sequence[dict[str, Any]] = list(stats["shows"].values())
        sources = [show.source for show in relay.shows.values() if show.source is not None]
        layers = [layer for source in sources for layer in source.layers.values()]
        counters = relay.counters
        return {name: stats[name] for name in (*_GAUGES, *_COUNTERS) if name in stats} | {
            **{name: getattr(counters, name) for name in _COUNTERS if name not in stats and hasattr(counters, name)},
            "publishers": sum(1 for show in shows if show["publisher"]),
            "shows_live": sum(1 for show in shows if show["state"] == "live"),
            "viewers_losing": sum(show["viewers_losing"] for show in shows),
            "viewers_smaller": sum(show["viewers_smaller"] for show in shows),
            "viewers_sound_only": sum(show["viewers_sound_only"] for show in shows),
            "layers": sum(1 for layer in layers if layer.kind == "video"),
            "admitting": float(relay.load() < 1),
            "load_ratio": relay.load(),
            "cpu_ratio": relay.gate.measured.cpu,
            "loop_lag_seconds": relay.gate.measured.lag_ms / 1000,
            "gate_shuts": relay.gate.shuts,
            "pipe_subscribers": stats["pipe"].get("subscribers", 0),
            "pipe_dropped": stats["pipe"].get("dropped", 0),
            "ingest_bits_per_second": sum(layer.rate_kbps * 1000 for layer in layers),
            "ingest_jitter_seconds": max((layer.reception.jitter_ms / 1000 for layer in layers), default=0.0),
            "ingest_loss_ratio": max(_losses(layers), default=0.0),
        }


def _losses(layers: Iterable[Layer]) -> Iterator[float]:
    for layer in layers:
        expected = layer.reception.received + layer.reception.lost
        yield layer.reception.lost / expected if expected else 0.0
