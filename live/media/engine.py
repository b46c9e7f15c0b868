"""Which engine carries the picture: FRONTROW_MEDIA_ENGINE."""

from __future__ import annotations

from live.clock import Clock
from live.media.embedded import EmbeddedEngine
from live.media.port import MediaEngine
from live.media.relays import Relays
from live.settings import Settings


def engine_of(settings: Settings, relays: Relays, clock: Clock) -> MediaEngine:
    if settings.media_engine == "embedded":
        return EmbeddedEngine(settings, relays, clock)
    from live.media.livekit import LiveKitEngine  # its HTTP client and its messages, only where they are wanted

    return LiveKitEngine(settings, clock)
