"""The engine that comes with the server: our relays by WHEP, and the HLS tail for those WebRTC can't reach."""

from __future__ import annotations

from live.clock import Clock
from live.media.port import Channel, Kind, PlayEndpoint, Viewer
from live.media.turn import ice_servers
from live.settings import Settings


class EmbeddedEngine:
    """Implements MediaEngine."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def play_endpoint(
        self, channel: Channel, viewer: Viewer, *, without: frozenset[Kind] = frozenset()
    ) -> PlayEndpoint | None:
        if "whep" not in without:
            servers = ice_servers(self._settings, viewer.person, self._clock.now_ms())
            return PlayEndpoint("whep", f"/whep/{channel.slug}", ice_servers=servers)
        if "llhls" not in without:
            return PlayEndpoint("llhls", f"/hls/{channel.slug}/live.m3u8")
        return None
