"""What a show asks of whoever carries its picture, so that nothing above knows who that is.

`embedded.py` are our own relays; `livekit.py` is for those who outgrow their machines. tests/contract/media holds both
to this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import msgspec

from live.events import PictureState

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


class PublishEndpoint(msgspec.Struct, frozen=True):
    """Where an offer of WHIP goes. An engine elsewhere has its key in `url`: a client that is sent there by a 307
    drops its Authorization header on the way to another host."""

    url: str
    token: str = ""


class PlayEndpoint(msgspec.Struct, frozen=True, omit_defaults=True):
    """One way to watch. `url` is absolute, or a path of this server; `token` goes along where the kind takes one."""

    kind: Kind
    url: str
    token: str = ""
    ice_servers: list[IceServer] = []


class Carried(msgspec.Struct, frozen=True):
    """How a show goes. `parts` is what each part of the engine says of itself, in its own words."""

    viewers: int
    publishing: bool
    parts: list[object]


class PictureHeard(msgspec.Struct, frozen=True):
    """The engine says that a show's picture is there (live), or isn't (slate)."""

    show: str
    state: PictureState


class Capabilities(msgspec.Struct, frozen=True):
    """What differs between engines, and those above have to know."""

    kinds: frozenset[Kind]  # ways to watch
    offers_here: bool  # WHIP and WHEP offers are answered by this server; else they are sent elsewhere
    tells_itself: bool  # it writes the media clock and tells the room; else it has to be asked
    records: bool  # FRONTROW_RECORD has an effect
    one_publisher_rule: bool  # a show's `second_publisher` has an effect
    revokes_viewers: bool  # one viewer can be cut; where watching is open to all there is nothing to take away


class MediaEngine(Protocol):
    """Raises, all of it: Overloaded when the engine doesn't answer."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def publish_endpoint(self, channel: Channel) -> PublishEndpoint:
        """Where the show's publisher offers; made there when it is asked for first, the same until it is revoked."""
        ...

    async def play_endpoint(
        self, channel: Channel, viewer: Viewer, *, without: frozenset[Kind] = frozenset()
    ) -> PlayEndpoint | None:
        """The best way for this viewer that is not in `without`: what she tried and could not use. None: no other."""
        ...

    async def revoke(self, channel: Channel, person: str | None = None) -> None:
        """The publisher's way in is void and she is cut, at once; with `person` that viewer instead, everywhere."""
        ...

    async def end(self, channel: Channel) -> None:
        """The show is over: everybody is let go, nothing of it is kept. Ending twice is ending."""
        ...

    async def stats(self, channel: Channel) -> Carried: ...

    async def state(self, channel: Channel) -> PictureState:
        """Asked, not remembered: live with a publisher whose picture comes, else slate."""
        ...

    async def events(self, body: bytes, headers: Mapping[str, str]) -> list[PictureHeard]:
        """A message the engine sent about itself, verified. What it says is a hint: the state is asked for, so that
        late and repeated ones do no harm. Raises: Invalid, for one that isn't the engine's."""
        ...

    async def close(self) -> None: ...


async def ways(engine: MediaEngine, channel: Channel, viewer: Viewer) -> list[PlayEndpoint]:
    """Every way to watch, best first."""
    found: list[PlayEndpoint] = []
    while way := await engine.play_endpoint(channel, viewer, without=frozenset(one.kind for one in found)):
        found.append(way)
    return found
