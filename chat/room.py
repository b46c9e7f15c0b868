"""Who is in a room on this process, each person once however many sockets she has, and what changed since the last
beat. Pure."""

from __future__ import annotations


class Attendance:
    def __init__(self) -> None:
        self._sockets: dict[str, int] = {}
        self._came: set[str] = set()
        self._left: set[str] = set()

    def __len__(self) -> int:
        return len(self._sockets)

    def __contains__(self, person: str) -> bool:
        return person in self._sockets

    @property
    def persons(self) -> list[str]:
        return list(self._sockets)

    @property
    def changed(self) -> bool:
        return bool(self._came or self._left)

    def sockets(self, person: str) -> int:
        return self._sockets.get(person, 0)

    def enter(self, person: str) -> None:
        count = self._sockets.get(person, 0)
        self._sockets[person] = count + 1
        if count == 0:
            self._left.discard(person)
            self._came.add(person)

    def leave(self, person: str) -> None:
        count = self._sockets[person]
        if count > 1:
            self._sockets[person] = count - 1
            return
        del self._sockets[person]
        # Also when she came since the last beat: that beat may be on its way already.
        self._came.discard(person)
        self._left.add(person)

    def take_changes(self) -> tuple[list[str], list[str]]:
        """(came, left) since the last call."""
        came, left = list(self._came), list(self._left)
        self._came.clear()
        self._left.clear()
        return came, left

    def put_back(self, came: list[str], left: list[str]) -> None:
        """The beat that carried these changes was lost."""
        self._came |= {person for person in came if person in self._sockets}
        self._left |= {person for person in left if person not in self._sockets}
