"""The relay's control API: what web asks of it, over HTTP on an address of its own, under a bearer that only
processes with the secret key can make.

    POST   /publish {show, offer, takes_over?, yields?}   201 {session, answer, etag}
    POST   /play {show, offer, network}      201 {session, answer, etag} | 409, 503 {error, retry_after_s}
                {show, offer, mirror: true}  the same from another machine's relay; also {formats, first_wall_ms}
    PATCH  /shows/{show}/sessions/{id}       204 | 200 {etag, body}      sdpfrag, If-Match: "tag" or *
    DELETE /shows/{show}/sessions/{id}       200
    POST   /shows/{show}/listeners {sessions}   200 {here: those of them that live, layers: [[rid, kbit/s]]}
    POST   /shows/{show}/drop-publisher      204
    POST   /shows/{show}/end                 204
    GET    /shows/{show}/seen?worst=         200 ShowSeen: the show's part that is here, with the worst lines
    GET    /shows/{show}/viewers?most=       200 LinesSeen: the worst lines, at most 2,000
    GET    /stats, /healthz                  200
    GET    /metrics                          200 Prometheus' text; without the bearer from this machine only

An order may name the relay it is meant for (header `Relay`): 421 when that is another, whose port this process got.
Errors: {"error": code, "why"?, "retry_after_s"?} with the status of `errors.py`.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Awaitable, Callable

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from live.media.seen import MOST_LINES
from live.relay.errors import BadOffer, NotReady, RelayError
from live.relay.relay import Relay
from live.relay.sdp import MAX_OFFER_BYTES
from live.relay.seen import lines_seen, show_seen

FirstFrame = Callable[[str], Awaitable[int | None]]
Ready = Callable[[str], Awaitable[None]]


MOST_SEEN = 2_000  # lines: what one relay has places for, twice


class Order(msgspec.Struct):
    """Body of /publish and /play."""

    show: str
    offer: str
    network: str = ""
    takes_over: bool = True
    mirror: bool = False
    yields: bool = False


class Listeners(msgspec.Struct):
    """Body of /listeners: the sessions whose players hear of the show by other ways than RTP."""

    sessions: list[str]


def control_app(
    relay: Relay, token: str, first_frame: FirstFrame, relay_id: str, ready: Ready, over: Callable[[str], None]
) -> ASGIApp:
    """`first_frame(show)`: server time of the show's first frame, if another process relayed it before. `ready(show)`
    waits a moment for the picture, mirroring it if its publisher is elsewhere. `over(show)`: mirror it no more."""

    async def publish(request: Request) -> Response:
        order = await _order(request)
        session, answer = relay.publish(
            order.show, order.offer, await first_frame(order.show), takes_over=order.takes_over, yields=order.yields
        )
        return JSONResponse({"session": session.id, "answer": answer, "etag": session.tag}, 201)

    async def play(request: Request) -> Response:
        order = await _order(request)
        if not order.mirror:
            await ready(order.show)
        here = relay.shows.get(order.show)
        if order.mirror and (here is None or here.mirrored):
            raise NotReady()  # a mirror is not fed by a mirror, or two would feed each other
        session, answer = relay.play(order.show, order.offer, order.network, mirror=order.mirror)
        facts: dict[str, object] = {"session": session.id, "answer": answer, "etag": session.tag}
        if order.mirror and here is not None:
            formats = {kind: tuple(track.format) for kind, track in here.tracks.items()}
            facts |= {"formats": formats, "first_wall_ms": here.first_wall_ms}
        return JSONResponse(facts, 201)

    async def patch(request: Request) -> Response:
        tag = request.headers.get("if-match")
        fragment = (await _body(request)).decode("utf-8", "replace")
        restarted = relay.patch(*_session(request), fragment, tag.strip('"') if tag else None)
        if restarted is None:
            return Response(status_code=204)
        return JSONResponse({"etag": restarted[0], "body": restarted[1]})

    async def delete(request: Request) -> Response:
        relay.delete(*_session(request))
        return JSONResponse({})

    async def listeners(request: Request) -> Response:
        name = request.path_params["show"]
        asked = msgspec.json.decode(await _body(request), type=Listeners).sessions
        here = [one for one in asked if (session := relay.sessions.get(one)) is not None and session.show == name]
        show = relay.shows.get(name)
        layers = show.source.layers.values() if show is not None and show.source is not None else ()
        pictures = [(layer.rid, layer.usual_kbps) for layer in layers if layer.kind == "video"]
        return JSONResponse({"here": here, "layers": pictures})

    async def drop_publisher(request: Request) -> Response:
        relay.drop_publisher(request.path_params["show"])
        return Response(status_code=204)

    async def end(request: Request) -> Response:
        over(request.path_params["show"])
        relay.end_show(request.path_params["show"])
        return Response(status_code=204)

    async def stats(request: Request) -> Response:
        return JSONResponse(relay.stats())

    async def seen(request: Request) -> Response:
        worst = _number(request, "worst", MOST_LINES)
        return _json(show_seen(relay, request.path_params["show"], worst))

    async def viewers(request: Request) -> Response:
        return _json(lines_seen(relay, request.path_params["show"], _number(request, "most", MOST_SEEN)))

    async def metrics(request: Request) -> Response:
        return Response(relay.figures.text(), media_type=CONTENT_TYPE_LATEST)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"ok": not relay.draining}, 503 if relay.draining else 200)

    app = Starlette(
        routes=[
            Route("/publish", publish, methods=["POST"]),
            Route("/play", play, methods=["POST"]),
            Route("/shows/{show}/sessions/{session}", patch, methods=["PATCH"]),
            Route("/shows/{show}/sessions/{session}", delete, methods=["DELETE"]),
            Route("/shows/{show}/listeners", listeners, methods=["POST"]),
            Route("/shows/{show}/drop-publisher", drop_publisher, methods=["POST"]),
            Route("/shows/{show}/end", end, methods=["POST"]),
            Route("/shows/{show}/seen", seen),
            Route("/shows/{show}/viewers", viewers),
            Route("/stats", stats),
            Route("/healthz", healthz),
            Route("/metrics", metrics),
        ],
        exception_handlers={RelayError: _refuse},
    )
    return _Bearer(app, token, relay_id)


class _Bearer:
    """Lets only our own processes in, and only with orders for this relay."""

    def __init__(self, app: ASGIApp, token: str, relay_id: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()
        self._id = relay_id.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        path = scope["path"]
        free = path == "/healthz" or (path == "/metrics" and _is_local(scope))
        if not free and not hmac.compare_digest(given, self._expected):
            await JSONResponse({"error": "unauthorised"}, 401)(scope, receive, send)
            return
        if next((value for name, value in scope["headers"] if name == b"relay"), self._id) != self._id:
            await JSONResponse({"error": "another_relay"}, 421)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_local(scope: Scope) -> bool:
    client = scope.get("client")
    return client is not None and ipaddress.ip_address(client[0]).is_loopback


def _number(request: Request, name: str, most: int) -> int:
    given = request.query_params.get(name, "")
    return min(most, int(given)) if given.isascii() and given.isdigit() and len(given) < 10 else most


def _json(what: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(what), media_type="application/json")


def _session(request: Request) -> tuple[str, str]:
    return request.path_params["show"], request.path_params["session"]


async def _order(request: Request) -> Order:
    try:
        return msgspec.json.decode(await _body(request), type=Order)
    except (msgspec.MsgspecError, RecursionError):
        raise BadOffer("not an order") from None


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > 2 * MAX_OFFER_BYTES:  # JSON escapes every line end
            raise BadOffer("too long")
    return body


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, RelayError)
    facts = {name: value for name in ("why", "retry_after_s") if (value := getattr(error, name, None)) is not None}
    return JSONResponse({"error": error.code, **facts}, error.status)
