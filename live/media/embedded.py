"""The engine that comes with the server: our relays by WHIP and WHEP, and the HLS tail for those WebRTC can't reach."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from live.clock import Clock
from live.errors import Invalid
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
from live.media.relays import Relays
from live.media.turn import ice_servers
from live.settings import Settings


class EmbeddedEngine:
    """Implements MediaEngine."""

    capabilities = Capabilities(
        kinds=frozenset({"whep", "llhls"}),
        offers_here=True,
        tells_itself=True,
        records=True,
        one_publisher_rule=True,
        revokes_viewers=False,
    )

    def __init__(self, settings: Settings, relays: Relays, clock: Clock) -> None:
        self._settings = settings
        self._relays = relays
        self._clock = clock

    async def publish_endpoint(self, channel: Channel) -> PublishEndpoint:
        """The show's key is the Bearer, and only its host has it."""
        return PublishEndpoint(f"{self._settings.base_url}/whip/{channel.slug}")

    async def play_endpoint(
        self, channel: Channel, viewer: Viewer, *, without: frozenset[Kind] = frozenset()
    ) -> PlayEndpoint | None:
        if "whep" not in without:
            servers = ice_servers(self._settings, viewer.person, self._clock.now_ms())
            return PlayEndpoint("whep", f"/whep/{channel.slug}", ice_servers=servers)
        if "llhls" not in without:
            return PlayEndpoint("llhls", f"/hls/{channel.slug}/live.m3u8")
        return None

    async def revoke(self, channel: Channel, person: str | None = None) -> None:
        """Watching is open to all: there is nothing to take from a viewer."""
        if person is None:
            await self._relays.drop_publisher(channel.show)

    async def end(self, channel: Channel) -> None:
        await self._relays.end(channel.show)

    async def stats(self, channel: Channel) -> Carried:
        parts = await self._relays.stats()
        ours = [facts for part in parts if (facts := _facts_of(part, channel.show))]
        viewers = sum(int(facts.get("viewers", 0)) for facts in ours)
        return Carried(viewers, any(facts.get("publisher") for facts in ours), parts)

    async def state(self, channel: Channel) -> PictureState:
        return "live" if (await self.stats(channel)).publishing else "slate"

    async def events(self, body: bytes, headers: Mapping[str, str]) -> list[PictureHeard]:
        """Relays tell the room themselves: nobody has anything to say here."""
        raise Invalid("signature", "the embedded engine sends no events")

    async def close(self) -> None:
        """The relays' connections are theirs."""


def _facts_of(part: object, show: str) -> dict[str, Any]:
    shows = part.get("shows", {}) if isinstance(part, dict) else {}
    found: dict[str, Any] = shows.get(show, {})
    return found
