"""What a show asks of whoever carries its picture, so that nothing above knows who that is.

`embedded.py` are our own relays; `livekit.py` is for those who outgrow their machines. tests/contract/media holds both
to this file.
"""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

Kind = Literal["whep", "llhls", "livekit"]


class Channel(msgspec.Struct, frozen=True):
    """A show as an engine knows it: the id names it for ever, the slug in addresses."""

    show: str
    slug: str


class Viewer(msgspec.Struct, frozen=True):
    """Who watches. `person` is "" for a browser without a session; `name` is what others in a room may see."""

    person: str = ""
    name: str = ""


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """As RTCPeerConnection takes it (W3C WebRTC, RTCIceServer)."""

    urls: list[str]
    username: str = ""
    credential: str = ""


class PlayEndpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to watch. `url` is absolute, or a path of this server; `token` goes along where the kind takes one."""

    kind: Kind
    url: str
    token: str = ""
    ice_servers: list[IceServer] = []


class MediaEngine(Protocol):
    """Raises: Overloaded when it doesn't answer; NotLive where there is nothing to watch yet."""

    async def play_endpoint(
        self, channel: Channel, viewer: Viewer, *, without: frozenset[Kind] = frozenset()
    ) -> PlayEndpoint | None:
        """The best way for this viewer that is not in `without`: what she tried and could not use. None: no other."""
        ...


async def ways(engine: MediaEngine, channel: Channel, viewer: Viewer) -> list[PlayEndpoint]:
    """Every way to watch, best first."""
    found: list[PlayEndpoint] = []
    while way := await engine.play_endpoint(channel, viewer, without=frozenset(one.kind for one in found)):
        found.append(way)
    return found
