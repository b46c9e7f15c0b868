"""The run of show: looks in order, and which of them are out. Pure; `runsheets.py` keeps it.

A look is waiting, dropped (its card is out) or withdrawn. Dropping needs a live show; a withdrawn look, and one whose
drop was closed, may be dropped again. The pinned card is the one dropped last among those that are out.

A drop is armed, open or closed by the server's clock alone: its card may be out before `opens_ms`, counting down, and
stays after `closes_ms`. No timer has to fire for it.
"""

from __future__ import annotations

import hashlib
from typing import Literal, NamedTuple

import msgspec

from live.errors import Invalid, NotFound, NotLive, WrongState
from live.events import Drop, ShowStatus

LookState = Literal["waiting", "dropped", "withdrawn"]

COUNTDOWN_S = range(3601)
HOT_COUNTDOWN_S = 10  # at least: who is to be in the draw must be able to come
OPEN_S = range(5, 86_401)
LIMITS = range(1, 101)  # units a buyer
WORK_BITS = range(23)  # 22: four million hashes on average, half a minute of an old phone


class Times(NamedTuple):
    """When a drop opens, from now, and for how long; None: until it is closed."""

    in_s: int = 0
    for_s: int | None = None


AT_ONCE = Times()


class Look(msgspec.Struct, frozen=True):
    """One look. `at_ms` is the media time of its drop, `dropped_ms` the server's, `drop_id` the timeline's entry of it;
    None before."""

    id: str
    number: int
    title: str
    state: LookState = "waiting"
    at_ms: int | None = None
    dropped_ms: int | None = None
    opens_ms: int | None = None
    closes_ms: int | None = None
    limit: int | None = None
    hot: bool = False
    work_bits: int = 0
    seed: str = ""
    drop_id: int | None = None

    @property
    def commitment(self) -> str:
        """What is published of the seed of a hot drop: its SHA-256, hex."""
        return hashlib.sha256(bytes.fromhex(self.seed)).hexdigest() if self.seed else ""

    @property
    def drop(self) -> Drop:
        """What everybody may know of its terms."""
        return Drop(self.opens_ms, self.closes_ms, self.limit, self.hot, self.commitment, self.work_bits)

    def is_open(self, now_ms: int) -> bool:
        return (self.opens_ms or 0) <= now_ms and not self.is_closed(now_ms)

    def is_closed(self, now_ms: int) -> bool:
        return self.closes_ms is not None and self.closes_ms <= now_ms


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


def drop(
    sheet: Runsheet, look_id: str, *, at_ms: int, now_ms: int, times: Times = AT_ONCE, seed: str = ""
) -> tuple[Runsheet, Look]:
    """The sheet with the look's card out, and the look. `seed` is what the line of a hot one is drawn by.

    Raises: NotFound, NotLive, Invalid, WrongState when it is out and not closed."""
    look = sheet.look(look_id)
    if times.in_s not in COUNTDOWN_S:
        raise Invalid("in_s", f"0 to {COUNTDOWN_S.stop - 1}")
    if times.for_s is not None and times.for_s not in OPEN_S:
        raise Invalid("for_s", f"{OPEN_S.start} to {OPEN_S.stop - 1}, or null")
    if sheet.status != "live":
        raise NotLive(sheet.status)
    if look.state == "dropped" and not look.is_closed(now_ms):
        raise WrongState("dropped", "waiting")
    in_s = max(times.in_s, HOT_COUNTDOWN_S) if look.hot else times.in_s
    opens_ms = now_ms + in_s * 1000
    # Two drops in one millisecond keep an order, so that every page pins the same card.
    after = max((other.dropped_ms or 0 for other in sheet.out), default=0)
    dropped = msgspec.structs.replace(
        look,
        state="dropped",
        at_ms=at_ms,
        dropped_ms=max(now_ms, after + 1),
        opens_ms=opens_ms if in_s else None,
        closes_ms=opens_ms + times.for_s * 1000 if times.for_s is not None else None,
        seed=seed if look.hot else "",
    )
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


def close(sheet: Runsheet, look_id: str, *, now_ms: int) -> tuple[Runsheet, Look]:
    """The sheet with the look's drop over from now on; its card stays. Raises: NotFound, NotLive, WrongState."""
    look = sheet.look(look_id)
    if sheet.status != "live":
        raise NotLive(sheet.status)
    if look.state != "dropped":
        raise WrongState(look.state, "dropped")
    if look.is_closed(now_ms):
        raise WrongState("closed", "open")
    closed = msgspec.structs.replace(look, closes_ms=now_ms)
    return _with(sheet, closed), closed


def rule(
    sheet: Runsheet, look_id: str, *, now_ms: int, limit: int | None, hot: bool, work_bits: int
) -> tuple[Runsheet, Look]:
    """The sheet with other terms for a look. Raises: NotFound, Invalid, WrongState: a line that people stand in is not
    taken away, nor one put before them, while the drop is out."""
    look = sheet.look(look_id)
    if limit is not None and limit not in LIMITS:
        raise Invalid("limit", f"{LIMITS.start} to {LIMITS.stop - 1}, or null")
    if work_bits not in WORK_BITS:
        raise Invalid("work_bits", f"0 to {WORK_BITS.stop - 1}")
    out = look.state == "dropped" and not look.is_closed(now_ms)
    if out and (hot, work_bits) != (look.hot, look.work_bits):
        raise WrongState("dropped", "waiting")
    ruled = msgspec.structs.replace(look, limit=limit, hot=hot, work_bits=work_bits)
    return _with(sheet, ruled), ruled


def next_in_order(sheet: Runsheet) -> Look:
    """The first look by number that still waits. Raises: NotFound when none does."""
    for look in sheet.looks:
        if look.state == "waiting":
            return look
    raise NotFound("look", "next")


def _with(sheet: Runsheet, changed: Look) -> Runsheet:
    looks = tuple(changed if look.id == changed.id else look for look in sheet.looks)
    return msgspec.structs.replace(sheet, looks=looks)
