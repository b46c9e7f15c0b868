"""The room's door: who may open `/ws/{show}`. Implements chat.ports.Gate."""

from __future__ import annotations

from typing import NamedTuple

import msgspec
from starlette.websockets import WebSocket

from chat.errors import NotAdmitted
from chat.ports import Member
from chat.rounds import Rounds
from live.accounts.sessions import Session
from live.desk.wiring import Services
from live.errors import NotFound
from live.stage.show import Show
from live.web.security import NETWORK_A_MINUTE, cookie_name, member_of, network_of

SHOWS_KNOWN = 1_000
OPENED_A_MINUTE = 60  # sockets of one session: each brings a snapshot, or as much of the log as it asks for


class Knock(NamedTuple):
    """`network`: the caller's, "" for this machine's own."""

    token: str
    network: str
    slug: str


class Found(NamedTuple):
    session: Session
    show: Show
    has_bought: bool


class Gate:
    """Lets in a browser with a session, from one of our pages, into a show that exists."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._origins = services.settings.origins
        self._cookie = cookie_name(services.settings)
        # Only what never changes of a show is asked of these: its id and its brand.
        self._shows: dict[str, Show] = {}
        self._rounds: Rounds[Knock, Found] = Rounds(self._answers)  # a hall that comes back knocks at once

    async def admit(self, ws: WebSocket, room_name: str) -> tuple[str, Member]:
        """The show's id and who comes in.

        Raises: NotAdmitted 4403 for another Origin (also none, and `null`), 4401 without a session, 4429 when it opens
        too many, 4404 for no such show. A store that is down passes through: the socket fails closed and the page tries
        again.
        """
        # A browser sends cookies with any page's WebSocket and asks nobody: Origin is the only thing that tells ours
        # from another's (RFC 6455, section 10.2). Compared whole: no suffix, no other port, no other scheme.
        origins = ws.headers.getlist("origin")
        if len(origins) != 1 or origins[0] not in self._origins:
            raise NotAdmitted(4403, "origin")
        token = ws.cookies.get(self._cookie, "")
        if not token:
            raise NotAdmitted(4401, "no session")
        found = await self._rounds.of(Knock(token, network_of(ws, self._services.settings.key), room_name))
        member = await member_of(ws, found.show, found.session)
        if not member.badge and found.has_bought:
            member = msgspec.structs.replace(member, badge="buyer")
        return found.show.id, member

    async def _answers(self, knocks: list[Knock]) -> list[Found | Exception]:
        """In three steps for all: sessions, how often, who has bought."""
        services = self._services
        answers: list[Found | Exception] = [NotAdmitted(4401, "no session") for _ in knocks]
        sessions = await services.sessions.get_each([knock.token for knock in knocks])
        known = [
            (n, knock, session) for n, (knock, session) in enumerate(zip(knocks, sessions, strict=True)) if session
        ]
        too_often = await self._too_often([(session.id, knock.network) for _, knock, session in known])
        let_in: list[tuple[int, Show, Session]] = []
        for (n, knock, session), waits in zip(known, too_often, strict=True):
            show = None if waits else await self._show(knock.slug)
            if show is not None:
                let_in.append((n, show, session))
            else:
                answers[n] = NotAdmitted(4429, "too many sockets") if waits else NotAdmitted(4404, "no such show")
        bought = await services.desk.have_bought([(show.id, session.person) for _, show, session in let_in])
        for (n, show, session), has_bought in zip(let_in, bought, strict=True):
            answers[n] = Found(session, show, has_bought)
        return answers

    async def _show(self, slug: str) -> Show | None:
        if (known := self._shows.get(slug)) is not None:
            return known
        try:
            show = await self._services.shows.by_slug(slug)
        except NotFound:
            return None
        if len(self._shows) >= SHOWS_KNOWN:
            self._shows.clear()
        self._shows[slug] = show
        return show

    async def _too_often(self, who: list[tuple[str, str]]) -> list[bool]:
        """Of (session, network) each. Fails open: see Throttle."""
        hit_each = self._services.throttle.hit_each
        sessions = [session for session, _ in who]
        waits = await hit_each("ws", sessions, limit=OPENED_A_MINUTE, window_s=60) if who else []
        # This machine's own network is none; a session that comes too often counts for nobody else.
        others = [n for n, (_, network) in enumerate(who) if network and not waits[n]]
        networks = [who[n][1] for n in others]
        of_networks = await hit_each("net", networks, limit=NETWORK_A_MINUTE, window_s=60) if others else []
        too_often = [wait_s > 0 for wait_s in waits]
        for n, wait_s in zip(others, of_networks, strict=True):
            too_often[n] = wait_s > 0
        return too_often
