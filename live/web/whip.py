"""WHIP in (RFC 9725) and WHEP out (draft-ietf-wish-whep-03): who may, and which relay; the media is the relay's.

    POST /whip/{slug}              201 answer, Location, ETag           Bearer: the show's publishing key
    POST /whep/{slug}              201 answer, Location, ETag           open while the show is live
    PATCH /…/{slug}/{session}      204 trickled | 200 restarted, ETag
    DELETE /…/{slug}/{session}     200
    OPTIONS, HEAD                  what the address takes

A session's name in its address is `<relay>.<id>`: the id is a capability nobody can guess. Viewers go to the relay
that has the publisher (docs/decisions/0023-viewers-go-to-the-publishers-relay.md).
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.errors import Error, Forbidden, NotFound, NotLive, Overloaded, WrongState
from live.media.port import Channel
from live.media.relays import RelayGone, Relays
from live.web import errors

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.stage.show import Show

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES = 64 * 1024
TRIES = 3  # relays that may prove dead, one after the other
_PREVIEWERS = frozenset({"host", "moderator", "staff"})
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "Location, ETag, Link, Retry-After",
}

Endpoint = Callable[[Request], Awaitable[Response]]


def _whip(endpoint: Endpoint) -> Endpoint:
    """CORS on every answer, errors too: a player on another page must be able to read a 409's Retry-After."""

    async def answered(request: Request) -> Response:
        try:
            response = _options(request) if request.method == "OPTIONS" else await endpoint(request)
        except (Error, HTTPException) as error:
            response = await errors.respond(request, error)
        for name, value in _CORS.items():
            response.headers[name] = value
        return response

    answered.__name__ = endpoint.__name__
    answered.__doc__ = endpoint.__doc__
    return answered


@_whip
async def publish(request: Request) -> Response:
    """A publisher's offer. 401 without the key, 403 with another show's, 409 when the show has ended."""
    show = await _show(request)
    if request.method in ("GET", "HEAD"):
        return Response(headers={"Accept-Post": SDP, "Cache-Control": "no-store"})
    await _check_key(request, show)
    if show.status == "ended":
        raise WrongState(show.status, "scheduled or live")
    engine = _services(request).engine
    if not engine.capabilities.offers_here:
        # RFC 9725 section 4.5: the client sends the same offer there, and deals with that server from then on.
        there = await engine.publish_endpoint(Channel(show.id, show.slug))
        return Response(status_code=307, headers={"Location": there.url, "Cache-Control": "no-store"})
    offer = await _sdp(request, SDP)
    # `?return=1`: a publisher that was sent away asks to come back, unless another has taken over.
    order = {
        "show": show.id,
        "offer": offer,
        "takes_over": request.query_params.get("return") != "1",
        "yields": show.second_publisher == "refused",
    }
    relays = _relays(request)
    for _ in range(TRIES):
        relay_id = await relays.for_publisher(show.id)
        with contextlib.suppress(RelayGone):
            return _created(request, relay_id, await relays.ask(relay_id, show.id, "POST", "/publish", json=order))
    raise Overloaded(retry_after_s=1)


@_whip
async def publish_session(request: Request) -> Response:
    """PATCH trickles or restarts, DELETE ends."""
    show = await _show(request)
    await _check_key(request, show)
    return await _session(request, show, tolerant=False)


@_whip
async def play(request: Request) -> Response:
    """A viewer's offer. 409 with Retry-After until the show is live and a key frame has come."""
    show = await _show(request)
    if request.method in ("GET", "HEAD"):
        return Response(media_type=SDP, headers={"Accept-Post": SDP, "Cache-Control": "no-store"})
    if not _services(request).engine.capabilities.offers_here:
        raise NotFound("way", "whep")
    if not await may_watch(request, show):
        raise NotLive(show.status)
    offer = await _sdp(request, SDP)
    relays = _relays(request)
    order = {"show": show.id, "offer": offer, "network": _network(request)}
    relay_id = await relays.of_show(show.id)
    if relay_id is None:
        raise NotLive("waiting", retry_after_s=1)
    while relay_id is not None:
        with contextlib.suppress(RelayGone):
            return _created(request, relay_id, await relays.ask(relay_id, show.id, "POST", "/play", json=order))
        dead, relay_id = relay_id, await relays.of_show(show.id)
        if relay_id == dead:
            break  # Redis has it still: not now
    raise Overloaded(retry_after_s=1)  # the publisher's client comes back within seconds, on another relay


@_whip
async def play_session(request: Request) -> Response:
    """PATCH trickles or restarts, DELETE ends. The address is the viewer's capability."""
    return await _session(request, await _show(request), tolerant=True)


# ---- who may -----------------------------------------------------------------------------------


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def _show(request: Request) -> Show:
    return await _services(request).shows.by_slug(request.path_params["slug"])


async def _check_key(request: Request, show: Show) -> None:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    owner = await _services(request).shows.check_publish_key(key.strip()) if scheme.lower() == "bearer" else None
    if owner is None:
        raise HTTPException(401, headers={"WWW-Authenticate": "Bearer"})
    if not hmac.compare_digest(owner.encode(), show.id.encode()):
        raise Forbidden("publisher")


async def may_watch(request: Request, show: Show) -> bool:
    """Anyone while it is on air; those who make it always."""
    if show.status == "live":
        return True
    from live.web.security import member_of  # it imports the table of routes, which imports us

    return bool((await member_of(request, show)).roles & _PREVIEWERS)


def _network(request: Request) -> str:
    """Whose unfinished handshakes are counted together."""
    from live.web.security import network_of

    return network_of(request, _services(request).settings.key)


# ---- what was sent -----------------------------------------------------------------------------


async def _sdp(request: Request, content_type: str) -> str:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise HTTPException(415, headers={"Accept-Post" if request.method == "POST" else "Accept-Patch": content_type})
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_SDP_BYTES:
            raise HTTPException(413)
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise HTTPException(400) from None


def _options(request: Request) -> Response:
    """The preflight needs no key (RFC 9725 section 4.1)."""
    session = "session" in request.path_params
    methods = "OPTIONS, PATCH, DELETE" if session else "OPTIONS, GET, HEAD, POST"
    headers = {
        "Allow": methods,
        "Access-Control-Allow-Methods": methods,
        "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
        "Access-Control-Max-Age": "600",
    }
    headers["Accept-Patch" if session else "Accept-Post"] = FRAGMENT if session else SDP
    return Response(status_code=204, headers=headers)


def _created(request: Request, relay_id: str, answer: httpx.Response) -> Response:
    facts = answer.json()
    address = f"{request.url.path.rstrip('/')}/{relay_id}.{facts['session']}"
    headers = {
        "Location": address,
        "ETag": f'"{facts["etag"]}"',
        "Accept-Patch": FRAGMENT,
        "Cache-Control": "no-store",
    }
    return Response(facts["answer"], 201, headers, SDP)


async def _session(request: Request, show: Show, *, tolerant: bool) -> Response:
    relay_id, _, session = request.path_params["session"].rpartition(".")
    if not relay_id or not session:
        raise NotFound("session", "")
    path = f"/shows/{show.id}/sessions/{session}"
    if request.method == "DELETE":
        await _order(request, relay_id, show, "DELETE", path)
        return Response(status_code=200)
    fragment = await _sdp(request, FRAGMENT)
    tag = request.headers.get("if-match")
    if tag is None and not tolerant:  # whip-whep.js never keeps a WHEP session's ETag: tolerated there
        raise HTTPException(428)
    headers = {"If-Match": tag} if tag is not None else {}
    answer = await _order(request, relay_id, show, "PATCH", path, content=fragment, headers=headers)
    if answer.status_code == 204:
        return Response(status_code=204)
    facts = answer.json()
    return Response(facts["body"], 200, {"ETag": f'"{facts["etag"]}"'}, FRAGMENT)


async def _order(request: Request, relay_id: str, show: Show, method: str, path: str, **what: Any) -> httpx.Response:
    try:
        return await _relays(request).ask(relay_id, show.id, method, path, **what)
    except RelayGone:
        raise NotFound("session", "") from None  # sessions end with their relay


def _relays(request: Request) -> Relays:
    return _services(request).relays
