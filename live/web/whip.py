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

import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import httpx
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.errors import Conflict, Error, Forbidden, NotFound, NotLive, Overloaded, WrongState
from live.ids import sign
from live.store import keys
from live.web import errors

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.stage.show import Show

SDP = "application/sdp"
FRAGMENT = "application/trickle-ice-sdpfrag"
MAX_SDP_BYTES = 64 * 1024
RELAY_ANSWERS_WITHIN_S = 5.0
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
    offer = await _sdp(request, SDP)
    relay = await _publisher_relay(request, show)
    # `?return=1`: a publisher that was sent away asks to come back, unless another has taken over.
    order = {"show": show.id, "offer": offer, "takes_over": request.query_params.get("return") != "1"}
    answer = await _ask(request, relay, "POST", "/publish", json=order)
    return _created(request, show, relay, answer)


@_whip
async def publish_session(request: Request) -> Response:
    """PATCH trickles or restarts, DELETE ends."""
    show = await _show(request)
    await _check_key(request, show)
    return await _session(request, tolerant=False)


@_whip
async def play(request: Request) -> Response:
    """A viewer's offer. 409 with Retry-After until the show is live and a key frame has come."""
    show = await _show(request)
    if request.method in ("GET", "HEAD"):
        return Response(media_type=SDP, headers={"Accept-Post": SDP, "Cache-Control": "no-store"})
    if show.status != "live" and not await _previews(request, show):
        raise NotLive(show.status)
    offer = await _sdp(request, SDP)
    relay = await _services(request).redis.get(keys.relay_of_show(show.id))
    if relay is None:
        raise NotLive("waiting", retry_after_s=1)
    relay_id = _text(relay)
    answer = await _ask(
        request, relay_id, "POST", "/play", json={"show": show.id, "offer": offer, "viewer": _viewer(request)}
    )
    return _created(request, show, relay_id, answer)


@_whip
async def play_session(request: Request) -> Response:
    """PATCH trickles or restarts, DELETE ends. The address is the viewer's capability."""
    await _show(request)
    return await _session(request, tolerant=True)


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


async def _previews(request: Request, show: Show) -> bool:
    from live.web.security import member_of  # it imports the table of routes, which imports us

    return bool((await member_of(request, show)).roles & _PREVIEWERS)


def _viewer(request: Request) -> str:
    session = getattr(request.state, "session", None)
    return getattr(session, "person", "") or ""


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


def _created(request: Request, show: Show, relay_id: str, answer: httpx.Response) -> Response:
    facts = answer.json()
    address = f"{request.url.path.rstrip('/')}/{relay_id}.{facts['session']}"
    headers = {
        "Location": address,
        "ETag": f'"{facts["etag"]}"',
        "Accept-Patch": FRAGMENT,
        "Cache-Control": "no-store",
    }
    return Response(facts["answer"], 201, headers, SDP)


async def _session(request: Request, *, tolerant: bool) -> Response:
    relay_id, _, session = request.path_params["session"].rpartition(".")
    if not relay_id or not session:
        raise NotFound("session", "")
    if request.method == "DELETE":
        await _ask(request, relay_id, "DELETE", f"/sessions/{session}")
        return Response(status_code=200)
    fragment = await _sdp(request, FRAGMENT)
    tag = request.headers.get("if-match")
    if tag is None and not tolerant:  # whip-whep.js never keeps a WHEP session's ETag: tolerated there
        raise HTTPException(428)
    headers = {"If-Match": tag} if tag is not None else {}
    answer = await _ask(request, relay_id, "PATCH", f"/sessions/{session}", content=fragment, headers=headers)
    if answer.status_code == 204:
        return Response(status_code=204)
    facts = answer.json()
    return Response(facts["body"], 200, {"ETag": f'"{facts["etag"]}"'}, FRAGMENT)


# ---- which relay -------------------------------------------------------------------------------


async def _publisher_relay(request: Request, show: Show) -> str:
    """The relay that has the show already, so that its viewers stay; else the one with most room."""
    redis = _services(request).redis
    known = await redis.get(keys.relay_of_show(show.id))
    if known is not None and await redis.exists(keys.relay(_text(known))):
        return _text(known)
    rooms: list[tuple[float, str]] = []
    for member in await redis.smembers(keys.RELAYS):
        relay_id = _text(member)
        load, capacity = await redis.hmget(keys.relay(relay_id), ["load", "capacity"])
        if capacity is None:
            await redis.srem(keys.RELAYS, relay_id)  # it stopped beating
        elif int(capacity) > 0:
            rooms.append((int(load or 0) / int(capacity), relay_id))
    if not rooms:
        raise Overloaded(retry_after_s=3)
    return min(rooms)[1]


async def _ask(request: Request, relay_id: str, method: str, path: str, **what: Any) -> httpx.Response:
    """One order to a relay; its refusal in the words of this API. Raises Error and HTTPException."""
    services = _services(request)
    control = await services.redis.hget(keys.relay(relay_id), "control")
    if control is None:
        raise NotFound("session", "") if path.startswith("/sessions") else Overloaded(retry_after_s=2)
    headers = what.pop("headers", {})
    headers["Authorization"] = f"Bearer {sign(services.settings.key, 'relay-control', 'v1')}"
    try:
        # No TLS context is made for a plain address, so a client a request costs little.
        async with httpx.AsyncClient(timeout=RELAY_ANSWERS_WITHIN_S, trust_env=False, verify=False) as client:  # noqa: S501
            answer = await client.request(method, f"{_text(control)}{path}", headers=headers, **what)
    except httpx.HTTPError:
        raise Overloaded(retry_after_s=2) from None  # the relay went; another takes over when its beat runs out
    if answer.is_success:
        return answer
    retry_after_s = int(_facts(answer).get("retry_after_s", 2))
    if answer.status_code == 409 and _facts(answer).get("error") == "taken":
        raise Conflict("another publisher is on")
    if answer.status_code == 409:
        raise NotLive("waiting", retry_after_s=retry_after_s)
    if answer.status_code == 503:
        raise Overloaded(retry_after_s=retry_after_s)
    if answer.status_code == 404:
        raise NotFound("session", "")
    if answer.status_code in (400, 412, 422):
        raise HTTPException(answer.status_code, detail=str(_facts(answer).get("why", "")) or None)
    raise HTTPException(502)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _facts(answer: httpx.Response) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = answer.json()
    except ValueError:
        return {}
    return facts
