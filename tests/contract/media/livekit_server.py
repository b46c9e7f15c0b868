"""LiveKit's server API as Frontrow meets it: Twirp over HTTP on a real socket, protobuf bodies in the library's own
messages, and each request's token checked for the grant that the real one asks for.

Shapes and grants as in LiveKit's documentation and livekit-protocol's .proto files; behaviour as far as it matters
here: one identity a room, ingress addresses with their key, `not_found` for what is gone.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import jwt
import uvicorn
from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from livekit.api import AccessToken, TokenVerifier
from livekit.protocol import ingress as ingress_messages
from livekit.protocol import models, webhook
from livekit.protocol import room as room_messages
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

KEY, SECRET = "APItest", "a secret that is long enough for HS256"


class Uvicorn(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Refused(Exception):
    """A Twirp error: code, and the status it travels with."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@dataclass
class LiveKitServer:
    """What it holds, and `asked`: every request it took, as (method, message)."""

    url: str = ""
    rooms: dict[str, models.Room] = field(default_factory=dict)
    people: dict[str, dict[str, models.ParticipantInfo]] = field(default_factory=dict)
    ingresses: dict[str, ingress_messages.IngressInfo] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    entered: list[str] = field(default_factory=list)  # identities of clients that came with a good token
    broken: bool = False  # answers 503 to everything

    def app(self) -> Starlette:
        twirp = Route("/twirp/{service}/{method}", self._twirp, methods=["POST"])
        return Starlette(
            routes=[twirp, WebSocketRoute("/rtc/{rest:path}", self._signal), WebSocketRoute("/rtc", self._signal)]
        )

    async def _signal(self, socket: WebSocket) -> None:
        """Where clients enter. This one lets nobody in, but notes who came with a token of its own."""
        token = socket.query_params.get("access_token", "")
        with contextlib.suppress(jwt.InvalidTokenError):
            self.entered.append(self.enters(token))
        await socket.close(4001)

    async def _twirp(self, request: Request) -> Response:
        """https://twitchtv.github.io/twirp/docs/spec_v7.html: errors are JSON {code, msg} whatever was sent."""
        try:
            if self.broken:
                raise Refused("unavailable", 503)
            name = f"{request.path_params['service']}/{request.path_params['method']}"
            if name not in METHODS:
                raise Refused("bad_route", 404)
            if request.headers.get("content-type") != "application/protobuf":
                raise Refused("malformed", 400)
            kind, grant, answer = METHODS[name]
            message = kind.FromString(await request.body())
            self._allow(request, grant, getattr(message, "room", ""))
            self.asked.append((name.rpartition("/")[2], message))
            return Response(answer(self, message).SerializeToString(), media_type="application/protobuf")
        except Refused as refused:
            return JSONResponse({"code": refused.code, "msg": refused.code}, refused.status)

    def _allow(self, request: Request, grant: str, room: str) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        try:
            claims = TokenVerifier(KEY, SECRET).verify(token)
        except jwt.InvalidTokenError:
            raise Refused("unauthenticated", 401) from None
        held = getattr(claims.video, grant)
        if scheme != "Bearer" or not held or (grant == "room_admin" and claims.video.room != room):
            raise Refused("permission_denied", 403)

    # ---- rooms ---------------------------------------------------------------------------------

    def create_room(self, asked: Any) -> Message:
        room = self.rooms.setdefault(asked.name, models.Room(name=asked.name, sid=f"RM_{len(self.rooms)}"))
        room.empty_timeout, room.departure_timeout = asked.empty_timeout, asked.departure_timeout
        return room

    def delete_room(self, asked: Any) -> Message:
        if self.rooms.pop(asked.room, None) is None:
            raise Refused("not_found", 404)
        self.people.pop(asked.room, None)
        return room_messages.DeleteRoomResponse()

    def list_participants(self, asked: Any) -> Message:
        if asked.room not in self.rooms:
            raise Refused("not_found", 404)
        return room_messages.ListParticipantsResponse(participants=self.people.get(asked.room, {}).values())

    def remove_participant(self, asked: Any) -> Message:
        if self.people.get(asked.room, {}).pop(asked.identity, None) is None:
            raise Refused("not_found", 404)
        return room_messages.RemoveParticipantResponse()

    # ---- ingress -------------------------------------------------------------------------------

    def create_ingress(self, asked: Any) -> Message:
        number = len(self.asked)
        made = ingress_messages.IngressInfo(
            ingress_id=f"IN_{number}",
            name=asked.name,
            stream_key=f"stream-key-{number}",
            url=f"{self.url}/w",
            input_type=asked.input_type,
            room_name=asked.room_name,
            participant_identity=asked.participant_identity,
            reusable=True,
        )
        self.ingresses[made.ingress_id] = made
        return made

    def list_ingress(self, asked: Any) -> Message:
        found = [one for one in self.ingresses.values() if asked.room_name in ("", one.room_name)]
        return ingress_messages.ListIngressResponse(items=found)

    def delete_ingress(self, asked: Any) -> Message:
        gone = self.ingresses.pop(asked.ingress_id, None)
        if gone is None:
            raise Refused("not_found", 404)
        self.people.get(gone.room_name, {}).pop(gone.participant_identity, None)  # its stream ends with it
        return gone

    # ---- what happens by itself ----------------------------------------------------------------

    def enters(self, token: str) -> str:
        """A client connects with `token`: checked as the signalling server does. Returns its identity."""
        claims = TokenVerifier(KEY, SECRET).verify(token)
        assert claims.video is not None
        assert claims.video.room_join
        self.rooms.setdefault(claims.video.room, models.Room(name=claims.video.room))
        inside = self.people.setdefault(claims.video.room, {})
        inside[claims.identity] = models.ParticipantInfo(identity=claims.identity)  # the one before is let go
        return claims.identity

    def publishes(self, url: str) -> None:
        """A WHIP client is on at the ingress of that address."""
        (one,) = [i for i in self.ingresses.values() if url == f"{i.url}/{i.stream_key}"]
        tracks = [models.TrackInfo(sid="TR_v", type=models.TrackType.VIDEO)]
        person = models.ParticipantInfo(identity=one.participant_identity, tracks=tracks)
        self.people.setdefault(one.room_name, {})[one.participant_identity] = person

    def event(self, kind: str, room: str, identity: str = "publisher") -> tuple[bytes, dict[str, str]]:
        """A webhook's body and headers: https://docs.livekit.io/home/server/webhooks/."""
        event = webhook.WebhookEvent(event=kind, id="EV_1", created_at=int(time.time()))
        event.room.name = room
        event.participant.identity = identity
        body = MessageToJson(event).encode()
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        token = AccessToken(KEY, SECRET).with_sha256(digest).to_jwt()
        return body, {"authorization": token, "content-type": "application/webhook+json"}


Answer = Callable[[LiveKitServer, Any], Message]
_ROOMS, _INGRESS = "livekit.RoomService", "livekit.Ingress"
METHODS: dict[str, tuple[Any, str, Answer]] = {
    f"{_ROOMS}/CreateRoom": (room_messages.CreateRoomRequest, "room_create", LiveKitServer.create_room),
    f"{_ROOMS}/DeleteRoom": (room_messages.DeleteRoomRequest, "room_create", LiveKitServer.delete_room),
    f"{_ROOMS}/ListParticipants": (
        room_messages.ListParticipantsRequest,
        "room_admin",
        LiveKitServer.list_participants,
    ),
    f"{_ROOMS}/RemoveParticipant": (
        room_messages.RoomParticipantIdentity,
        "room_admin",
        LiveKitServer.remove_participant,
    ),
    f"{_INGRESS}/CreateIngress": (
        ingress_messages.CreateIngressRequest,
        "ingress_admin",
        LiveKitServer.create_ingress,
    ),
    f"{_INGRESS}/ListIngress": (ingress_messages.ListIngressRequest, "ingress_admin", LiveKitServer.list_ingress),
    f"{_INGRESS}/DeleteIngress": (
        ingress_messages.DeleteIngressRequest,
        "ingress_admin",
        LiveKitServer.delete_ingress,
    ),
}


@contextlib.asynccontextmanager
async def livekit_server() -> AsyncIterator[LiveKitServer]:
    server = LiveKitServer()
    sock = socket.create_server(("127.0.0.1", 0))
    server.url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    http = Uvicorn(uvicorn.Config(server.app(), log_config=None, lifespan="off", ws="websockets-sansio"))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(http.serve(sockets=[sock]))
            async with asyncio.timeout(60):
                while not http.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await asyncio.sleep(0.01)
            try:
                yield server
            finally:
                http.should_exit = True
    finally:
        sock.close()
