"""Drops over HTTP: times and terms for hosts, places in the line of a hot one for viewers, and the proof of a draw."""

from __future__ import annotations

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.events import Place, Work
from live.stage.runsheet import Times
from live.web.api import LookNow
from live.web.reading import Json, asked, body, paced, session_of, show_of
from live.web.security import member_of
from live.web.speech import speaks

ENTRIES_PAGE = 2_000

# ---- for viewers -------------------------------------------------------------------------------


class PlaceWanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`op` names the tap: sent again after a lost answer, it is the same."""

    op: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    work: Work | None = None


class PlaceNow(msgspec.Struct, frozen=True):
    place: Place


@speaks(takes=PlaceWanted, gives=PlaceNow, example={"op": "tap-1"})
async def place_take(request: Request) -> Response:
    """Into the lobby of a hot drop, or to the end of its line: {"place": Place}."""
    services, show = await show_of(request)
    wanted = await body(request, PlaceWanted)
    await paced(request)
    member = await member_of(request, show)
    look = request.path_params["look"]
    return Json(PlaceNow(await services.drops.take(show.id, member, look, wanted.work, op=wanted.op)))


@speaks(gives=PlaceNow)
async def place_ask(request: Request) -> Response:
    """Where the caller stands: {"place": Place}."""
    services, show = await show_of(request)
    return Json(PlaceNow(await services.drops.ask(show.id, session_of(request).person, request.path_params["look"])))


@speaks(gives=PlaceNow)
async def place_leave(request: Request) -> Response:
    """Give the place up: {"place": Place}. Who has none is no error."""
    services, show = await show_of(request)
    await paced(request)
    return Json(PlaceNow(await services.drops.leave(show.id, session_of(request).person, request.path_params["look"])))


class Challenge(msgspec.Struct, frozen=True):
    """Find a number so that SHA-256 of `challenge`, a colon and it begins with `bits` zero bits; good until
    `until_ms`, for once."""

    challenge: str
    bits: int
    until_ms: int


@speaks(gives=Challenge)
async def work_ask(request: Request) -> Response:
    """A challenge for one hold or place: {"challenge", "bits", "until_ms"}."""
    services, show = await show_of(request)
    asked_for = await services.drops.challenge(show.id, session_of(request).person, request.path_params["look"])
    return Json(msgspec.convert(asked_for, Challenge))


class Page(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    start: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0


class Draw(msgspec.Struct, frozen=True):
    """How a line was drawn. `entries` are the people who were there, sorted, by the page; `next` is where to go on."""

    commitment: str
    seed: str
    entries_digest: str
    people: int
    drawn_ms: int
    entries: list[str]
    next: int | None


@speaks(asks=Page, gives=Draw)
async def drawn(request: Request) -> Response:
    """How a line was drawn, for anyone to check: `Draw`. `?start=` goes on where `next` says."""
    services, show = await show_of(request)
    start = asked(request, Page).start
    found = await services.drops.drawn(show.id, request.path_params["look"])
    entries = found.entries[start : start + ENTRIES_PAGE]
    after = start + len(entries)
    return Json(
        Draw(
            found.commitment,
            found.seed,
            found.entries_digest,
            len(found.entries),
            found.drawn_ms,
            entries,
            after if after < len(found.entries) else None,
        )
    )


# ---- for hosts ---------------------------------------------------------------------------------


class DropTimes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds counted down before its pieces can be held, and for which they can be; null: until it is closed."""

    in_s: int = 0
    for_s: int | None = None


@speaks(takes=DropTimes, gives=LookNow, example={"in_s": 10, "for_s": 600})
async def look_drop(request: Request) -> Response:
    """Put a look's card out, at once or counting down: {"look": id}. No body is at once, until it is closed."""
    services, show = await show_of(request)
    times = await body(request, DropTimes) if await request.body() else DropTimes()
    look, person = request.path_params["look"], session_of(request).person
    return Json(LookNow(await services.desk.drop(show.id, look, person, times=Times(times.in_s, times.for_s))))


@speaks(gives=LookNow)
async def look_close(request: Request) -> Response:
    """End a drop now: {"look": id}."""
    services, show = await show_of(request)
    look, person = request.path_params["look"], session_of(request).person
    return Json(LookNow(await services.desk.close_drop(show.id, look, person)))


class LookTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`limit`: units of its pieces a buyer; null: no cap of its own. `work_bits`: zero bits of work; 0: none."""

    limit: int | None = None
    hot: bool = False
    work_bits: int = 0


@speaks(takes=LookTerms, gives=LookNow, example={"limit": 2, "hot": True})
async def look_rule(request: Request) -> Response:
    """The terms of a look's drop: {"look": id}."""
    services, show = await show_of(request)
    terms = await body(request, LookTerms)
    look = request.path_params["look"]
    ruled = await services.desk.rule_look(show.id, look, limit=terms.limit, hot=terms.hot, work_bits=terms.work_bits)
    return Json(LookNow(ruled))
