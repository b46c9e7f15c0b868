"""WHEP's server-sent events (draft-ietf-wish-whep-03, "Server Sent Events extension").

    POST   /whep/{slug}/{session}/events             201 Location; body: a JSON array of the events that are wanted
    GET    /whep/{slug}/{session}/events/{stream}    text/event-stream, until the session ends or this is deleted
    DELETE /whep/{slug}/{session}/events/{stream}    200

Session and stream are names that nobody can guess: an EventSource sends no Authorization.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from live.desk.audience import Audience, Facts, Stream
from live.errors import NotFound
from live.web.sdp_http import body_of, open_to_all, takes

if TYPE_CHECKING:
    from live.desk.wiring import Services

JSON = "application/json"
EVENTS = ("active", "inactive", "layers", "viewercount")
REL = "urn:ietf:params:whep:ext:core:server-sent-events"
KEEP_ALIVE_S = 15.0  # proxies close what is silent for a minute
BACK_MS = 2_000


def link_of(session: str, offer: str) -> str:
    """The `Link` that tells of it in a 201. `session`: the session's address. The layers are told by the place of the
    video's m-line, which only the offer knows."""
    media = [line for line in offer.splitlines() if line.startswith("m=")]
    line = next((place for place, found in enumerate(media) if found.startswith("m=video")), 0)
    return f'<{session}/events?video={line}>; rel="{REL}"; events="{",".join(EVENTS)}"'


@open_to_all
async def create(request: Request) -> Response:
    """A stream of the events asked for; of all where none is named."""
    if request.method == "OPTIONS":
        return takes("OPTIONS, POST", {"Accept-Post": JSON})
    show, relay, session = await _session(request)
    wanted = _wanted(await body_of(request, JSON)) if request.headers.get("content-type") else EVENTS
    line = request.query_params.get("video", "0")
    place = int(line) if line.isdecimal() and len(line) < 3 else 0
    name = await _audience(request).create(Stream(show, relay, session, wanted, place))
    return Response(status_code=201, headers={"Location": f"{request.url.path}/{name}", "Cache-Control": "no-store"})


@open_to_all
async def stream(request: Request) -> Response:
    """Read it, or do away with it."""
    if request.method == "OPTIONS":
        return takes("OPTIONS, GET, DELETE", {})
    audience, name = _audience(request), request.path_params["stream"]
    found = await audience.find(name, *await _session(request))
    if request.method == "DELETE":
        await audience.remove(name)
        return Response(status_code=200)
    if request.method == "HEAD":
        return Response(media_type="text/event-stream")
    facts = await audience.facts(found)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_told(audience, name, found, facts), headers=headers, media_type="text/event-stream")


def news(before: Facts | None, now: Facts, stream: Stream) -> list[tuple[str, object]]:
    """What to say to one who heard `before`. Who comes while nothing is on hears no `inactive` (draft)."""
    found: list[tuple[str, object]] = []
    if now.active and not (before and before.active):
        found.append(("active", {}))
    if before and before.active and not now.active:
        found.append(("inactive", {}))
    if now.layers and [rid for rid, _ in now.layers] != [rid for rid, _ in (before.layers if before else ())]:
        found.append(("layers", {str(stream.line): [_layer(rid, kbps) for rid, kbps in now.layers]}))
    if before is None or before.viewers != now.viewers:
        found.append(("viewercount", {"viewercount": now.viewers}))
    return [(kind, data) for kind, data in found if kind in stream.events]


async def _told(audience: Audience, name: str, stream: Stream, facts: Facts) -> AsyncIterator[bytes]:
    with audience.listening(stream, facts) as listener:
        yield f"retry: {BACK_MS}\n\n".encode()
        before: Facts | None = None
        clock = asyncio.get_running_loop()
        keep_at = clock.time() + KEEP_ALIVE_S
        while not listener.over:
            now = listener.facts
            for kind, data in news(before, now, stream):
                yield b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"
            before = now
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(keep_at):
                    await listener.changed.wait()
            listener.changed.clear()
            if clock.time() >= keep_at:
                if not await audience.keep(name):
                    return  # it was deleted by way of another process
                keep_at = clock.time() + KEEP_ALIVE_S
                yield b": still here\n\n"


def _layer(rid: str, kbps: int) -> dict[str, Any]:
    """One picture of several is known by its rid, a single one as the spatial layer that it is."""
    return {"rid": rid, "bitrate": kbps * 1000} if rid else {"spatialLayerId": 0, "bitrate": kbps * 1000}


def _wanted(body: str) -> tuple[str, ...]:
    """Those of the list that we know. Raises: HTTPException 400."""
    try:
        named = msgspec.json.decode(body, type=list[str])
    except msgspec.MsgspecError:
        raise HTTPException(400) from None
    return tuple(kind for kind in EVENTS if kind in named)


async def _session(request: Request) -> tuple[str, str, str]:
    """(show's id, relay, session). Raises: NotFound."""
    services: Services = request.app.state.services
    show = await services.shows.by_slug(request.path_params["slug"])
    relay, _, session = request.path_params["session"].rpartition(".")
    if not relay or not session:
        raise NotFound("session", "")
    return show.id, relay, session


def _audience(request: Request) -> Audience:
    services: Services = request.app.state.services
    return services.audience
