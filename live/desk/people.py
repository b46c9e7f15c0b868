"""Changes to people that must reach their open sockets at once: sign-out, roles, dismissal."""

from __future__ import annotations

from chat.bus import RedisBus
from live.accounts.roles import Grant, Role
from live.accounts.sessions import Sessions
from live.accounts.staff import StaffBook


class People:
    """Every such change goes through here: SQL or the session first, then the sockets, so that a socket that
    reconnects in between already meets the new facts."""

    def __init__(self, staff: StaffBook, sessions: Sessions, bus: RedisBus) -> None:
        self._staff = staff
        self._sessions = sessions
        self._bus = bus

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

    async def dismiss(self, staff_id: str) -> None:
        """Disable someone: no password, no link, no session of theirs opens anything."""
        await self._staff.disable(staff_id)
        for session_id in await self._sessions.of_staff(staff_id):
            await self.end_session(session_id)

    async def _cut(self, staff_id: str) -> None:
        for session_id in await self._sessions.of_staff(staff_id):
            await self._bus.revoke(session=session_id)
