"""A show that is over, to be seen again: its recordings as one timeline, its looks by the moment they dropped."""

from __future__ import annotations

import datetime as dt

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from live.desk.wiring import Services
from live.errors import NotFound, WrongState
from live.stage.recordings import Recording
from live.stage.show import Show
from live.web.reading import Json
from live.web.security import member_of
from live.web.speech import speaks

KEPT = "public, max-age=604800, immutable"  # under an address with the index's moment: another index, another address
ASKED_AGAIN = "private, no-cache"


class Reel(msgspec.Struct, frozen=True):
    """One file. It plays the show's media time from `starts_at_ms` on."""

    url: str
    type: str
    starts_at_ms: int
    duration_ms: int


class Chapter(msgspec.Struct, frozen=True):
    """A look, from the media time at which its card came out."""

    look: str
    number: int
    title: str
    at: int


class Replay(msgspec.Struct, frozen=True):
    recordings: list[Reel]
    timeline: list[Chapter]


class Kept(msgspec.Struct, frozen=True):
    """A recording as the host sees it. `url` is empty when there is nothing to play."""

    id: str
    url: str
    state: str
    why: str
    started_ms: int
    duration_ms: int
    bytes: int
    kept: bool


async def replay_of(services: Services, show: Show) -> Replay:
    """What there is to see again; without recordings when nothing was recorded, or all of it is gone."""
    files = await services.recordings.playable(show.id)
    cards = (await services.programmes.of(show.id)).cards
    return Replay(
        [Reel(address(show, one), one.type, one.starts_at_ms, one.duration_ms) for one in files],
        [
            Chapter(card.look, card.number, card.pieces[0].title if card.pieces else card.title, card.at)
            for card in sorted(cards, key=lambda card: card.at)
        ],
    )


@speaks(gives=Replay)
async def replay(request: Request) -> Response:
    """The show again: `Replay`. Raises: NotFound; WrongState while it is not over, but for those who make it."""
    services, show = await _show(request)
    await _is_theirs(request, show)
    return Json(await replay_of(services, show))


async def recording(request: Request) -> Response:
    """A recording's file, whole or in ranges (RFC 9110 section 14). `?download` names it for a folder."""
    services, show = await _show(request)
    await _is_theirs(request, show)
    name = request.path_params["file"]
    one = await services.recordings.by_id(name.rpartition(".")[0])
    path = services.recordings.file(one)
    if one.show_id != show.id or path is None or path.name != name or one.state == "recording":
        raise NotFound("recording", name)
    is_final = show.status == "ended" and request.query_params.get("v") == version(one) != "0"
    headers = {"Cache-Control": KEPT if is_final else ASKED_AGAIN}
    if "download" in request.query_params:
        day = dt.datetime.fromtimestamp(one.started_ms / 1000, dt.UTC).strftime("%Y-%m-%d-%H%M")
        return FileResponse(path, headers=headers, media_type=one.type, filename=f"{show.slug}-{day}{path.suffix}")
    return FileResponse(path, headers=headers, media_type=one.type)


class KeptAll(msgspec.Struct, frozen=True):
    recordings: list[Kept]


@speaks(gives=KeptAll)
async def recordings(request: Request) -> Response:
    """For the host's page: {"recordings": [`Kept`]}, the first first."""
    services, show = await _show(request)
    return Json(KeptAll(await kept_of(services, show)))


async def kept_of(services: Services, show: Show) -> list[Kept]:
    rows = await services.recordings.list(show.id)
    return [
        Kept(
            one.id,
            address(show, one) if one.state in ("finished", "failed") and services.recordings.file(one) else "",
            one.state,
            one.why,
            one.started_ms,
            one.duration_ms,
            one.bytes,
            one.kept,
        )
        for one in sorted(rows, key=lambda one: one.started_ms)
    ]


def address(show: Show, one: Recording) -> str:
    return f"/shows/{show.slug}/recordings/{one.path.rpartition('/')[2]}?v={version(one)}"


def version(one: Recording) -> str:
    return str(one.indexed_ms or 0)


async def _is_theirs(request: Request, show: Show) -> None:
    if show.status != "ended" and "host" not in (await member_of(request, show)).roles:
        raise WrongState(show.status, "ended")


async def _show(request: Request) -> tuple[Services, Show]:
    services: Services = request.app.state.services
    show: Show | None = getattr(request.state, "show", None)
    return services, show or await services.shows.by_slug(request.path_params["slug"])
