"""The run of show: looks in order, and which of them are out. Pure; `runsheets.py` keeps it.

A look is waiting, dropped (its card is out) or withdrawn. Dropping needs a live show; a withdrawn look may be dropped
again. The pinned card is the one dropped last among those that are out.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from live.errors import NotFound, NotLive, WrongState
from live.events import ShowStatus

LookState = Literal["waiting", "dropped", "withdrawn"]


class Look(msgspec.Struct, frozen=True):
    """One look. `at_ms` is the media time of its drop, `dropped_ms` the server's; None before."""

    id: str
    number: int
    title: str
    state: LookState = "waiting"
    at_ms: int | None = None
    dropped_ms: int | None = None


class Runsheet(msgspec.Struct, frozen=True):
    """A show's looks, by number, with the status of the show they run in."""

    show_id: str
    status: ShowStatus
    looks: tuple[Look, ...]

    def look(self, look_id: str) -> Look:
        """Raises: NotFound."""
        for look in self.looks:
            if look.id == look_id:
                return look
        raise NotFound("look", look_id)

    @property
    def out(self) -> tuple[Look, ...]:
        """Looks whose card is out, the first dropped first."""
        dropped = (look for look in self.looks if look.state == "dropped")
        return tuple(sorted(dropped, key=lambda look: (look.dropped_ms or 0, look.number)))

    @property
    def pinned(self) -> str | None:
        """The look whose card is up."""
        return self.out[-1].id if self.out else None


def drop(sheet: Runsheet, look_id: str, *, at_ms: int, now_ms: int) -> tuple[Runsheet, Look]:
    """The sheet with the look's card out, and the look. Raises: NotFound, NotLive, WrongState when it is out."""
    look = sheet.look(look_id)
    if sheet.status != "live":
        raise NotLive(sheet.status)
    if look.state == "dropped":
        raise WrongState("dropped", "waiting")
    # Two drops in one millisecond keep an order, so that every page pins the same card.
    after = max((other.dropped_ms or 0 for other in sheet.out), default=0)
    dropped = msgspec.structs.replace(look, state="dropped", at_ms=at_ms, dropped_ms=max(now_ms, after + 1))
    return _with(sheet, dropped), dropped


def withdraw(sheet: Runsheet, look_id: str) -> tuple[Runsheet, Look]:
    """The sheet with the look's card taken back. Raises: NotFound, NotLive, WrongState when it isn't out."""
    look = sheet.look(look_id)
    if sheet.status != "live":
        raise NotLive(sheet.status)
    if look.state != "dropped":
        raise WrongState(look.state, "dropped")
    withdrawn = msgspec.structs.replace(look, state="withdrawn")
    return _with(sheet, withdrawn), withdrawn


def next_in_order(sheet: Runsheet) -> Look:
    """The first look by number that still waits. Raises: NotFound when none does."""
    for look in sheet.looks:
        if look.state == "waiting":
            return look
    raise NotFound("look", "next")


def _with(sheet: Runsheet, changed: Look) -> Runsheet:
    looks = tuple(changed if look.id == changed.id else look for look in sheet.looks)
    return msgspec.structs.replace(sheet, looks=looks)
