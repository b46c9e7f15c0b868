"""The room's door: who may open `/ws/{show}`. Implements chat.ports.Gate."""

from __future__ import annotations

import msgspec
from starlette.websockets import WebSocket

from chat.errors import NotAdmitted
from chat.ports import Member
from live.desk.wiring import Services
from live.errors import NotFound
from live.web.security import NETWORK_A_MINUTE, cookie_name, member_of, network_of

OPENED_A_MINUTE = 60  # sockets of one session: each brings a snapshot, or as much of the log as it asks for


class Gate:
    """Lets in a browser with a session, from one of our pages, into a show that exists."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def admit(self, ws: WebSocket, room_name: str) -> tuple[str, Member]:
        """The show's id and who comes in.

        Raises: NotAdmitted 4403 for another Origin (also none, and `null`), 4401 without a session, 4429 when it opens
        too many, 4404 for no such show. A store that is down passes through: the socket fails closed and the page tries
        again.
        """
        # A browser sends cookies with any page's WebSocket and asks nobody: Origin is the only thing that tells ours
        # from another's (RFC 6455, section 10.2). Compared whole: no suffix, no other port, no other scheme.
        origins = ws.headers.getlist("origin")
        if len(origins) != 1 or origins[0] not in self._services.settings.origins:
            raise NotAdmitted(4403, "origin")
        token = ws.cookies.get(cookie_name(self._services.settings), "")
        session = await self._services.sessions.get(token) if token else None
        if session is None:
            raise NotAdmitted(4401, "no session")
        await self._not_too_often(ws, session.id)
        try:
            show = await self._services.shows.by_slug(room_name)
        except NotFound:
            raise NotAdmitted(4404, "no such show") from None
        member = await member_of(ws, show, session)
        if not member.badge and await self._services.desk.has_bought(show.id, member.person):
            member = msgspec.structs.replace(member, badge="buyer")
        return show.id, member

    async def _not_too_often(self, ws: WebSocket, session_id: str) -> None:
        """Fails open: see Throttle."""
        throttle, network = self._services.throttle, network_of(ws, self._services.settings.key)
        if await throttle.hit("ws", session_id, limit=OPENED_A_MINUTE, window_s=60) or (
            network and await throttle.hit("net", network, limit=NETWORK_A_MINUTE, window_s=60)
        ):
            raise NotAdmitted(4429, "too many sockets")
