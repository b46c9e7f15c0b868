"""Changes to people that must reach their open sockets at once: sign-out, roles, dismissal."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy import Connection, select

from chat.bus import RedisBus
from chat.ports import Act
from live.accounts import tokens
from live.accounts.roles import Grant, Role
from live.accounts.scopes import ApiToken
from live.accounts.sessions import Sessions
from live.accounts.staff import StaffBook, disable
from live.clock import Clock
from live.desk import audit_log
from live.shop.webhooks import endpoints
from live.shop.webhooks.endpoints import Endpoint
from live.store.sql import Database
from live.store.tables import api_tokens

HOUSE = "house"  # the audit log of what is no show's: who was let go, and which keys went with them


class LeftBehind(NamedTuple):
    """What somebody who was dismissed had made and what was still working."""

    tokens: list[ApiToken]
    endpoints: list[Endpoint]


class People:
    """Every such change goes through here: SQL or the session first, then the sockets, so that a socket that
    reconnects in between already meets the new facts."""

    def __init__(self, db: Database, staff: StaffBook, sessions: Sessions, bus: RedisBus, clock: Clock) -> None:
        self._db = db
        self._staff = staff
        self._sessions = sessions
        self._bus = bus
        self._clock = clock

    async def end_session(self, session_id: str) -> None:
        """Sign a browser out: its cookie opens nothing, its sockets close (4401) on every process."""
        await self._sessions.end(session_id)
        await self._bus.revoke(session=session_id)

    async def grant(
        self, staff_id: str, role: Role, *, brand_id: str | None = None, show_id: str | None = None
    ) -> None:
        """Give a role; open sockets reconnect and have it."""
        await self._staff.grant(staff_id, role, brand_id=brand_id, show_id=show_id)
        await self._cut(staff_id)

    async def withdraw(self, staff_id: str, grant: Grant) -> None:
        """Take a role; sockets that were let in with it close."""
        await self._staff.withdraw(staff_id, grant)
        await self._cut(staff_id)

    async def dismiss(
        self,
        staff_id: str,
        *,
        by: str = "cli",
        keep_tokens: bool = False,
        stop_webhooks: bool = False,
        webhooks_to: str = "",
    ) -> LeftBehind:
        """Disable someone: no password, no link, no session of theirs opens anything, nor does a token they made, since
        they may have kept its secret. `keep_tokens`: those go on. The webhook endpoints that they or
        their tokens made go on, since a warehouse may hang on them, unless `stop_webhooks`; `webhooks_to` (someone of
        the staff) has them from here on. Answers all of these; what was done is in the audit log.

        Raises: NotFound.
        """
        now = self._clock.now_ms()

        def write(sql: Connection) -> LeftBehind:
            disable(sql, staff_id)
            made = tokens.working_of(sql, staff_id, now)
            audit_log.append(sql, Act(HOUSE, by, "staff.dismiss", staff_id, "", "", "", now))
            for token in made:
                if not keep_tokens:
                    tokens.revoke(sql, token.id, now)
                act = "token.keep" if keep_tokens else "token.revoke"
                why = f"made by {staff_id}, who was dismissed"
                audit_log.append(sql, Act(HOUSE, by, act, token.id, why, "", "", now))
            keys = sql.execute(select(api_tokens.c.id).where(api_tokens.c.created_by == staff_id)).scalars()
            hooks = endpoints.living_of(sql, [staff_id, *keys])
            for hook in hooks:
                if webhooks_to:
                    endpoints.hand_over(sql, hook.id, webhooks_to)
                if stop_webhooks:
                    endpoints.stop(sql, hook.id, now)
                act = "webhook.stop" if stop_webhooks else "webhook.hand_over" if webhooks_to else "webhook.keep"
                why = f"made by {staff_id}, who was dismissed"
                audit_log.append(sql, Act(HOUSE, by, act, hook.id, why, "", webhooks_to, now))
            return LeftBehind(made, hooks)

        made = await self._db.write(write)
        for session_id in await self._sessions.of_staff(staff_id):
            await self.end_session(session_id)
        return made

    async def _cut(self, staff_id: str) -> None:
        for session_id in await self._sessions.of_staff(staff_id):
            await self._bus.revoke(session=session_id)
