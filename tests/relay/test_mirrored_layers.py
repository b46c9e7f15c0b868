"""A mirror's viewers have the origin's smaller sizes too: through the pipe, packet by packet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from relay_stage import until
from test_pipe import H264, TOKEN, Origin, folder, origin, running

from live.relay import rtcp
from live.relay.fanout import Counters, Fanout
from live.relay.ingest import Ingest
from live.relay.mirror import PipeSource
from live.relay.pipe import PipeClient
from live.relay.piped import PipedPacket, StreamInfo
from live.relay.relay import monotonic_ms
from live.relay.rtp import Header
from live.relay.sdp import Incoming
from live.relay.show import RelayedShow
from live.relay.source import Layer

__all__ = ["folder", "origin"]
BIG, SMALL = 7, 17
IDR, P_SLICE = b"\x65\x88", b"\x41\x9a"


class Mirrored:
    """A show here that is fed by the origin's pipe."""

    def __init__(self, there: Origin, folder: Path) -> None:
        self.infos: list[StreamInfo] = []
        self.show = RelayedShow(
            "shw_one",
            port=there.port,
            fanout=Fanout(there.port.sockets, Counters()),
            now_ms=monotonic_ms,
            wall_ms=there.wall_ms,
            max_kbps=2500,
            changed=lambda show: None,
            ended=lambda session: None,
        )
        self.client = PipeClient(
            self._find, "shw_one", TOKEN, folder, on_start=self._described, on_packets=self._packets,
            on_clock=lambda *clock: self.source.clock(*clock), on_state=lambda *state: None,
            on_gone=lambda why: None, mirror=True,
        )  # fmt: skip
        self.source = PipeSource(self.client)
        self.lower: list[tuple[str, bytes, bool]] = []
        self._path = str(there.server.path)

    async def _find(self, show: str) -> str | None:
        return self._path

    def _described(self, info: StreamInfo) -> None:
        self.infos.append(info)
        self.source.described(info, monotonic_ms())
        if self.show.source is None and info.tracks:
            self.show.feed(self.source)
            to_ladder = self.source.lower

            def heard(layer: Layer, header: Header, key: bool) -> None:
                self.lower.append((layer.rid, header.payload, key))
                to_ladder(layer, header, key)

            self.source.lower = heard

    def _packets(self, packets: list[PipedPacket]) -> None:
        self.source.packets(packets, monotonic_ms())


def simulcast(there: Origin) -> None:
    """The origin's publisher sends two sizes from now on."""
    there.opened()
    incoming = Incoming({102: ("video", H264)}, {}, 4, None, ["q", "f"], {})
    there.ingest = Ingest(incoming, ssrc=1, max_kbps=2500, send_rtcp=there.asked.append)
    there.shows["shw_one"].feed(there.ingest)
    there.ingest.layers[BIG] = Layer(BIG, "video", H264, monotonic_ms(), "f")
    there.ingest.layers[SMALL] = Layer(SMALL, "video", H264, monotonic_ms(), "q")
    there.ingest._rids = {layer.rid: layer for layer in there.ingest.layers.values()}


@pytest.mark.parametrize("late", [False, True], ids=["from the start", "joined later"])
async def test_smaller_sizes_reach_a_mirror_and_its_wish_for_a_key_frame_the_publisher(
    origin: Origin, folder: Path, late: bool
) -> None:
    simulcast(origin)
    mirrored = Mirrored(origin, folder)

    def both(key: bool) -> None:
        origin.frame((IDR if key else P_SLICE) + bytes(900), ssrc=BIG)
        origin.frame((IDR if key else P_SLICE) + b"q" * 100, ssrc=SMALL)

    if late:
        both(True)
    async with running(mirrored.client):
        await until(lambda: mirrored.infos)
        if not late:
            both(True)
        both(True)
        for _ in range(40):
            both(False)
            mirrored.source.tick(monotonic_ms())
            await asyncio.sleep(0.03)
        await until(lambda: len(mirrored.lower) >= 41)
        assert {rid for rid, _, _ in mirrored.lower} == {"q"}, "the best comes as the show's picture already"
        assert all(payload.endswith(b"q" * 100) for _, payload, _ in mirrored.lower)
        ladder: Any = mirrored.show.ladder
        rungs = await until(lambda: [r for r in [ladder.rungs(mirrored.source, monotonic_ms())] if len(r) == 2])
        small, big = rungs[0]
        assert (small.layer.rid, big.lane) == ("q", ladder.main)
        assert small.kbps < big.kbps
        origin.asked.clear()
        mirrored.source.want_key(monotonic_ms(), small.layer)
        await until(lambda: [ssrc for said in origin.asked for ssrc in rtcp.parse(said).keyframe] == [SMALL])
    mirrored.show.close()


async def test_who_only_packages_the_picture_is_not_sent_its_smaller_sizes(origin: Origin, folder: Path) -> None:
    simulcast(origin)
    heard: list[PipedPacket] = []
    infos: list[StreamInfo] = []

    async def find(show: str) -> str | None:
        return str(origin.server.path)

    client = PipeClient(
        find, "shw_one", TOKEN, folder, on_start=infos.append, on_packets=heard.extend, on_clock=lambda *clock: None,
        on_state=lambda *state: None, on_gone=lambda why: None,
    )  # fmt: skip
    async with running(client):
        await until(lambda: infos)
        for number in range(5):
            origin.frame((P_SLICE if number else IDR) + bytes(900), ssrc=BIG)
            origin.frame((P_SLICE if number else IDR) + b"q" * 100, ssrc=SMALL)
        await until(lambda: len(heard) >= 5)
        assert all(len(packet.payload) > 900 for packet in heard)
