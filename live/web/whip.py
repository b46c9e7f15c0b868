"""WHIP in (RFC 9725) and WHEP out (draft-ietf-wish-whep-03): who may, and which relay; the media is the relay's.

    POST /whip/{slug}              201 answer, Location, ETag           Bearer: the show's publishing key
    POST /whep/{slug}              201 answer, Location, ETag           open while the show is live
    PATCH /…/{slug}/{session}      204 trickled | 200 restarted, ETag
    DELETE /…/{slug}/{session}     200
    OPTIONS, HEAD                  what the address takes

A session's name in its address is `<relay>.<id>`: the id is a capability nobody can guess. Viewers go to the least
loaded relay, which mirrors the show if its publisher is elsewhere (docs/decisions/0070-a-show-on-many-relays.md).
"""

from __future__ import annotations

import contextlib
import hmac
from typing import TYPE_CHECKING, Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.errors import Error, Forbidden, NotFound, NotLive, Overloaded, WrongState
from live.media.port import Channel
from live.media.relays import RelayGone, Relays
from live.media.turn import ice_servers, links
from live.web import whep_events
from live.web.sdp_http import FRAGMENT, SDP, body_of, must_accept, open_to_all, takes

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.stage.show import Show

TRIES = 3  # relays that may prove dead, one after the other
_PREVIEWERS = frozenset({"host", "moderator", "staff"})


@open_to_all
async def publish(request: Request) -> Response:
    """A publisher's offer. 401 without the key, 403 with another show's, 409 when the show has ended."""
    show = await _show(request)
    if request.method in ("GET", "HEAD"):
        return Response(headers={"Accept-Post": SDP, "Cache-Control": "no-store"})
    if request.method == "OPTIONS":
        return await _options(request, show, may=await _has_key(request, show))
    await _check_key(request, show)
    must_accept(request, SDP)
    if show.status == "ended":
        raise WrongState(show.status, "scheduled or live")
    engine = _services(request).engine
    if not engine.capabilities.offers_here:
        # RFC 9725 section 4.5: the client sends the same offer there, and deals with that server from then on.
        there = await engine.publish_endpoint(Channel(show.id, show.slug))
        return Response(status_code=307, headers={"Location": there.url, "Cache-Control": "no-store"})
    offer = await body_of(request, SDP)
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
            answer = await relays.ask(relay_id, show.id, "POST", "/publish", json=order)
            try:
                # A key rotated while we asked: those who publish with the old one were cut before this one was there.
                await _check_key(request, show)
            except (Error, HTTPException):
                path = f"/shows/{show.id}/sessions/{answer.json()['session']}"
                await _order(request, relay_id, show, "DELETE", path)
                raise
            return _created(request, show, relay_id, answer)
    raise Overloaded(retry_after_s=1)


@open_to_all
async def publish_session(request: Request) -> Response:
    """PATCH trickles or restarts, DELETE ends."""
    show = await _show(request)
    if request.method == "OPTIONS":
        return takes("OPTIONS, PATCH, DELETE", {"Accept-Patch": FRAGMENT})
    await _check_key(request, show)
    return await _session(request, show, tolerant=False)


@open_to_all
async def play(request: Request) -> Response:
    """A viewer's offer. 409 with Retry-After until the show is live and a key frame has come."""
    show = await _show(request)
    if request.method in ("GET", "HEAD"):
        return Response(media_type=SDP, headers={"Accept-Post": SDP, "Cache-Control": "no-store"})
    if request.method == "OPTIONS":
        return await _options(request, show, may=await may_watch(request, show))
    must_accept(request, SDP)
    if not _services(request).engine.capabilities.offers_here:
        raise NotFound("way", "whep")
    if not await may_watch(request, show):
        raise NotLive(show.status)
    offer = await body_of(request, SDP)
    relays = _relays(request)
    order = {"show": show.id, "offer": offer, "network": _network(request)}
    refused: Overloaded | None = None
    for _ in range(TRIES):
        relay_id = await relays.for_viewer(show.id)
        try:
            answer = await relays.ask(relay_id, show.id, "POST", "/play", json=order)
        except RelayGone:
            continue
        except Overloaded as full:
            relays.is_full(relay_id)  # it knows better than what it told of itself a moment ago
            refused = full
        else:
            created = _created(request, show, relay_id, answer)
            created.headers.append("Link", whep_events.link_of(created.headers["Location"], offer))
            return created
    raise refused or Overloaded(retry_after_s=1)


@open_to_all
async def play_session(request: Request) -> Response:
    """PATCH trickles or restarts, DELETE ends. The address is the viewer's capability."""
    show = await _show(request)
    if request.method == "OPTIONS":
        return takes("OPTIONS, PATCH, DELETE", {"Accept-Patch": FRAGMENT})
    return await _session(request, show, tolerant=True)


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


async def _has_key(request: Request, show: Show) -> bool:
    try:
        await _check_key(request, show)
    except (HTTPException, Forbidden):
        return False
    return True


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


# ---- what is answered --------------------------------------------------------------------------


async def _options(request: Request, show: Show, *, may: bool) -> Response:
    """What the address takes. `may`: who asks may have the picture, and so the servers that carry it to her; a bare
    preflight is not given credentials (docs/decisions/0082)."""
    answer = takes("OPTIONS, GET, HEAD, POST", {"Accept-Post": SDP})
    if may:
        _add_servers(request, answer, show)
    return answer


def _add_servers(request: Request, answer: Response, show: Show) -> None:
    """RFC 9725 section 4.6: a header each."""
    services = _services(request)
    person = request.state.session.person or show.id
    for link in links(ice_servers(services.settings, person, services.clock.now_ms())):
        answer.headers.append("Link", link)


def _created(request: Request, show: Show, relay_id: str, answer: httpx.Response) -> Response:
    facts = answer.json()
    address = f"{request.url.path.rstrip('/')}/{relay_id}.{facts['session']}"
    headers = {
        "Location": address,
        "ETag": f'"{facts["etag"]}"',
        "Accept-Patch": FRAGMENT,
        "Cache-Control": "no-store",
    }
    created = Response(facts["answer"], 201, headers, SDP)
    _add_servers(request, created, show)
    return created


async def _session(request: Request, show: Show, *, tolerant: bool) -> Response:
    relay_id, _, session = request.path_params["session"].rpartition(".")
    if not relay_id or not session:
        raise NotFound("session", "")
    path = f"/shows/{show.id}/sessions/{session}"
    if request.method == "DELETE":
        await _order(request, relay_id, show, "DELETE", path)
        return Response(status_code=200)
    fragment = await body_of(request, FRAGMENT)
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
