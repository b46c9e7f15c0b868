"""A show from a relay on another machine: this one watches it there by WHEP, over the origin's control API.

To the origin it is a viewer like any other; here its packets go into an `Ingest`, which reports, asks for what got
lost and for key frames, as it does of a publisher.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from urllib.parse import urlsplit

import structlog
from starlette.exceptions import HTTPException

from live.errors import Error, NotLive
from live.media.relays import Entry, RelayGone, Relays
from live.media.watch import until_dead
from live.relay import sdp
from live.relay.caller import Caller
from live.relay.errors import HandshakeFailed
from live.relay.ingest import Ingest
from live.relay.relay import Relay, monotonic_ms
from live.relay.sdp import Format, Incoming, Kind
from live.relay.show import RelayedShow

CODECS = ("H264", "VP8", "VP9", "AV1")
CONNECTS_WITHIN_S = 3.0

log = structlog.get_logger(__name__)


async def pull(name: str, origin: Entry, relays: Relays, relay: Relay, came: Callable[[RelayedShow], None]) -> str:
    """Until the origin dies ("dead"), lets us go ("going") or has nothing to show ("waiting"). `came` is called
    with the show at each packet."""
    caller = Caller(relay.certificate, host=await _own_address(origin.control))
    try:
        offer = caller.offer("recvonly", codecs=CODECS)
        try:
            order = {"show": name, "offer": offer, "mirror": True}
            answer = (await relays.ask(origin.id, name, "POST", "/play", json=order)).json()
            async with asyncio.timeout(CONNECTS_WITHIN_S):
                await caller.connect(answer["answer"])
        except RelayGone:
            return "dead"
        except NotLive:
            return "waiting"
        except (Error, HTTPException, HandshakeFailed, TimeoutError) as error:
            log.warning("relay.pull_failed", show=name, origin=origin.id, error=type(error).__name__)
            return "unreachable"
        return await _watch(name, origin, answer, caller, relay, came)
    finally:
        await caller.close()


async def _watch(
    name: str,
    origin: Entry,
    answer: dict[str, object],
    caller: Caller,
    relay: Relay,
    came: Callable[[RelayedShow], None],
) -> str:
    incoming = incoming_of(str(answer["answer"]), answer.get("formats"))
    assert caller.peer is not None
    first_wall_ms = answer.get("first_wall_ms")
    here = relay.shows.get(name)
    if here is not None and here.publisher is not None:
        return "moved"  # while we shook hands her publisher came to us
    show = relay.mirrored(name, int(first_wall_ms) if isinstance(first_wall_ms, int) else None)
    ingest = Ingest(incoming, ssrc=1, max_kbps=relay.max_kbps, send_rtcp=caller.send_rtcp)

    def rtp(packet: bytes) -> None:
        ingest.rtp(packet, monotonic_ms())
        came(show)

    caller.on_rtp = rtp
    caller.on_rtcp = lambda compound: ingest.rtcp(compound, monotonic_ms(), relay.wall_ms())
    show.feed(ingest)
    dead = asyncio.create_task(until_dead(origin.control), name="origin's life")
    closed = asyncio.create_task(caller.closed.wait(), name="origin's goodbye")
    try:
        await asyncio.wait([dead, closed], return_when=asyncio.FIRST_COMPLETED)
        return "dead" if dead.done() else "going"
    finally:
        show.source_gone(ingest)
        for task in (dead, closed):
            task.cancel()
        await asyncio.gather(dead, closed, return_exceptions=True)


def incoming_of(answer: str, formats: object) -> Incoming:
    """What the origin will send by its answer. `formats`: kind -> (codec, clock rate, fmtp) as its publisher sends it,
    which an answer only says as nearly as our offer let it."""
    exact = formats if isinstance(formats, dict) else {}
    payloads: dict[int, tuple[Kind, Format]] = {}
    rtx: dict[int, int] = {}
    rtx_ssrcs: dict[int, int] = {}
    for media in sdp.read_offer(answer).medias:
        if media.port == 0 or media.kind not in ("audio", "video"):
            continue
        kind: Kind = "video" if media.kind == "video" else "audio"
        for codec in media.codecs.values():
            if codec.name == "RTX":
                if codec.apt is not None:
                    rtx[codec.payload_type] = codec.apt
            else:
                form = Format(codec.name, codec.clock_rate, codec.fmtp)
                payloads[codec.payload_type] = (kind, Format(*exact[kind]) if kind in exact else form)
        rtx_ssrcs |= media.rtx_ssrcs
    return Incoming(payloads, rtx, None, None, [], rtx_ssrcs)


async def _own_address(control: str) -> str:
    """Our address on the way to the origin's control port: its inner network, where the picture should go too."""
    host = urlsplit(control).hostname or "127.0.0.1"
    found = await asyncio.get_running_loop().getaddrinfo(host, 9, type=socket.SOCK_DGRAM)
    family, kind, _, _, address = found[0]
    with socket.socket(family, kind) as probe:
        probe.connect(address)  # sends nothing: it only chooses the way
        return str(probe.getsockname()[0])
