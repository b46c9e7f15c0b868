"""LiveKit as the engine: a room a show, a WHIP ingress for its publisher, short-lived tokens for its viewers.

For those who outgrow their machines, with their own LiveKit or its cloud. What is lost by it stands in
docs/operations.md. Needs the package livekit-api (`make livekit`), which only this file imports.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TypeVar

import aiohttp
import jwt
import structlog
from google.protobuf.json_format import ParseError
from livekit.api import AccessToken, LiveKitAPI, TokenVerifier, VideoGrants, WebhookReceiver
from livekit.api.twirp_client import ServerError
from livekit.protocol.ingress import (
    CreateIngressRequest,
    DeleteIngressRequest,
    IngressInfo,
    IngressInput,
    ListIngressRequest,
)
from livekit.protocol.models import ParticipantInfo
from livekit.protocol.room import (
    CreateRoomRequest,
    DeleteRoomRequest,
    ListParticipantsRequest,
    RoomParticipantIdentity,
)

from live.clock import Clock
from live.errors import Invalid, Overloaded
from live.events import PictureState
from live.media.port import (
    Capabilities,
    Carried,
    Channel,
    Kind,
    PictureHeard,
    PlayEndpoint,
    PublishEndpoint,
    Viewer,
)
from live.settings import Settings

T = TypeVar("T")

log = structlog.get_logger(__name__)

ANSWERS_WITHIN_S = 5.0
TOKEN_LIFE = timedelta(minutes=10)  # for entering; LiveKit renews it for those who are in
EMPTY_ROOM_S = 4 * 3600  # a room waits so long for its first publisher, and for one that comes back
PUBLISHER = "publisher"


class LiveKitEngine:
    """Implements MediaEngine. A room's name is its show's id."""

    capabilities = Capabilities(
        kinds=frozenset({"livekit"}),
        offers_here=False,
        tells_itself=False,
        records=False,
        one_publisher_rule=False,
        revokes_viewers=True,
    )

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._url = settings.livekit_url
        self._key, self._secret = settings.livekit_key, settings.livekit_secret
        self._clock = clock
        self._kept: LiveKitAPI | None = None
        self._receiver = WebhookReceiver(TokenVerifier(self._key, self._secret))

    async def publish_endpoint(self, channel: Channel) -> PublishEndpoint:
        """The room's WHIP ingress. The stream key is part of the address: LiveKit takes it there as well as in a
        Bearer, and a client that follows a 307 to another host leaves its Bearer behind."""
        async with self._asking() as livekit:
            found = await self._ingresses(livekit, channel)
            if not found:
                await livekit.room.create_room(
                    CreateRoomRequest(
                        name=channel.show, empty_timeout=EMPTY_ROOM_S, departure_timeout=EMPTY_ROOM_S, metadata=""
                    )
                )
                await livekit.ingress.create_ingress(
                    CreateIngressRequest(
                        input_type=IngressInput.WHIP_INPUT,
                        name=f"frontrow {channel.slug}",
                        room_name=channel.show,
                        participant_identity=PUBLISHER,
                        participant_name=PUBLISHER,
                        enable_transcoding=False,  # as it comes; layers are the publisher's own
                    )
                )
                # Of two processes that were asked at once, both take the same of the two that are there now.
                found = await self._ingresses(livekit, channel)
        if not found:
            raise Overloaded(retry_after_s=2)
        one = min(found, key=lambda ingress: ingress.ingress_id)
        return PublishEndpoint(f"{one.url.rstrip('/')}/{one.stream_key}", one.stream_key)

    async def play_endpoint(
        self, channel: Channel, viewer: Viewer, *, without: frozenset[Kind] = frozenset()
    ) -> PlayEndpoint | None:
        if "livekit" in without:
            return None
        # LiveKit lets an identity in once: two pages of a person are `per_1.k3…` and `per_1.x9…`.
        identity = f"{viewer.person or 'guest'}.{secrets.token_urlsafe(6)}"
        grants = VideoGrants(
            room_join=True,
            room=channel.show,
            can_subscribe=True,
            can_publish=False,
            can_publish_data=False,
            can_update_own_metadata=False,
        )
        # No name: LiveKit tells everybody in a room who else is. `hidden` viewers could be neither counted nor removed.
        token = AccessToken(self._key, self._secret).with_identity(identity)
        return PlayEndpoint("livekit", self._url, token.with_grants(grants).with_ttl(TOKEN_LIFE).to_jwt())

    async def revoke(self, channel: Channel, person: str | None = None) -> None:
        async with self._asking() as livekit:
            if person is None:
                for ingress in await self._ingresses(livekit, channel):
                    await _gone(livekit.ingress.delete_ingress, DeleteIngressRequest(ingress_id=ingress.ingress_id))
            for one in await self._people(livekit, channel):
                theirs = one.identity == PUBLISHER if person is None else one.identity.rpartition(".")[0] == person
                if theirs:
                    # Tokens that were made before are void too; else she would be back with the one she has.
                    since_s = self._clock.now_ms() // 1000
                    out = RoomParticipantIdentity(room=channel.show, identity=one.identity, revoke_token_ts=since_s)
                    await _gone(livekit.room.remove_participant, out)

    async def end(self, channel: Channel) -> None:
        async with self._asking() as livekit:
            for ingress in await self._ingresses(livekit, channel):
                await _gone(livekit.ingress.delete_ingress, DeleteIngressRequest(ingress_id=ingress.ingress_id))
            await _gone(livekit.room.delete_room, DeleteRoomRequest(room=channel.show))

    async def stats(self, channel: Channel) -> Carried:
        async with self._asking() as livekit:
            people = await self._people(livekit, channel)
        watching = sum(one.identity != PUBLISHER for one in people)
        publishing = any(_shows_something(one) for one in people)
        return Carried(watching, publishing, [{"room": channel.show, "viewers": watching, "publisher": publishing}])

    async def state(self, channel: Channel) -> PictureState:
        return "live" if (await self.stats(channel)).publishing else "slate"

    async def events(self, body: bytes, headers: Mapping[str, str]) -> list[PictureHeard]:
        """A webhook (`application/webhook+json`), signed by a token that carries the body's SHA-256."""
        try:
            event = self._receiver.receive(body.decode(), headers.get("authorization", ""))
        except (jwt.InvalidTokenError, ParseError, ValueError) as error:
            raise Invalid("signature", type(error).__name__) from None
        except Exception as error:  # the library raises bare ones for a wrong digest
            raise Invalid("signature", str(error)) from None
        show = event.room.name or event.ingress_info.room_name
        if not show.startswith("shw_"):
            return []  # another use of the same LiveKit
        about = event.participant.identity or event.ingress_info.participant_identity
        if not hmac.compare_digest(about.encode(), PUBLISHER.encode()):
            return []  # viewers come and go
        return [PictureHeard(show, await self.state(Channel(show, "")))]

    async def close(self) -> None:
        if self._kept is not None:
            await self._kept.aclose()

    @asynccontextmanager
    async def _asking(self) -> AsyncIterator[LiveKitAPI]:
        """The client; made inside the loop that uses it. Raises: Overloaded."""
        if self._kept is None:
            limit = aiohttp.ClientTimeout(total=ANSWERS_WITHIN_S)
            self._kept = LiveKitAPI(self._url, self._key, self._secret, timeout=limit)
        try:
            yield self._kept
        except (ServerError, aiohttp.ClientError, TimeoutError) as error:
            log.warning("livekit.silent", error=str(error) or type(error).__name__)
            raise Overloaded(retry_after_s=2) from None

    async def _ingresses(self, livekit: LiveKitAPI, channel: Channel) -> list[IngressInfo]:
        answer = await livekit.ingress.list_ingress(ListIngressRequest(room_name=channel.show))
        return [one for one in answer.items if one.input_type == IngressInput.WHIP_INPUT]

    async def _people(self, livekit: LiveKitAPI, channel: Channel) -> list[ParticipantInfo]:
        try:
            answer = await livekit.room.list_participants(ListParticipantsRequest(room=channel.show))
        except ServerError as error:
            if error.code == "not_found":
                return []  # a room that nobody entered yet, or that ended
            raise
        return list(answer.participants)


def _shows_something(one: ParticipantInfo) -> bool:
    return one.identity == PUBLISHER and any(not track.muted for track in one.tracks)


async def _gone(order: Callable[[T], Awaitable[object]], what: T) -> None:
    """What is gone already is as it should be."""
    try:
        await order(what)
    except ServerError as error:
        if error.code != "not_found":
            raise
