"""The picture by low-latency HLS, for those WebRTC can't reach and for any cache in front: passed on from the tail.

    GET /hls/{slug}/live.m3u8                    the multivariant playlist: what a player is given
    GET /hls/{slug}/media.m3u8                   the media playlist; `_HLS_msn`, `_HLS_part`, `_HLS_skip` (RFC 8216bis)
    GET /hls/{slug}/init-{n}.mp4, {msn}.m4s, {msn}.{part}.m4s

Open while the show is live; before, to those who may preview it, and then nothing on the way may keep it. What was made
before the show was opened is given to nobody afterwards. Nothing here
reads a session otherwise: a thousand viewers ask several times a second.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.errors import Error, NotFound, NotLive, Overloaded
from live.media.tails import Tails
from live.web import errors

if TYPE_CHECKING:
    from live.desk.wiring import Services
    from live.stage.show import Show

# A number is written in one way: what has two addresses is asked for and kept twice, and in a thousand, by who likes.
_NUMBER = r"(?:0|[1-9][0-9]{0,14})"
FILE = re.compile(rf"live\.m3u8|media\.m3u8|init-{_NUMBER}\.mp4|{_NUMBER}(\.(?:0|[1-9][0-9]{{0,3}}))?\.m4s")
DIRECTIVES = {"_HLS_msn": re.compile(_NUMBER), "_HLS_part": re.compile(_NUMBER), "_HLS_skip": re.compile(r"YES")}
SHOW_KEPT_S = 1.0
SHOWS_KEPT_MAX = 1000
_PREVIEWERS = frozenset({"host", "moderator", "staff"})


async def take(request: Request) -> Response:
    """One file of the show's HLS. 409 while it is not on air, 404 for what is gone or never came, 400 for what is too
    far ahead, 503 with Retry-After when it didn't come in time."""
    try:
        response = await _take(request)
    except (Error, HTTPException) as error:
        response = await errors.respond(request, error)
    # A player on another page must be able to read refusals too.
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = "Retry-After, Date"
    return response


async def _take(request: Request) -> Response:
    show = await _show(request)
    file = request.path_params["file"]
    if FILE.fullmatch(file) is None:
        raise NotFound("file", file)
    preview = show.status != "live"
    if preview and (show.status == "ended" or not await _previews(request, show)):
        raise NotLive(show.status)
    # Only what the playlist knows, in one order: a cache must not be filled by made-up questions.
    given = {name: request.query_params[name] for name in DIRECTIVES if name in request.query_params}
    if given.get("_HLS_skip") == "v2":
        given["_HLS_skip"] = "YES"  # there are no date ranges to be skipped
    wrong = any(DIRECTIVES[name].fullmatch(value) is None for name, value in given.items())
    if wrong and file == "media.m3u8":
        raise HTTPException(400)
    if file != "media.m3u8":
        given = {}
    if not preview and file != "live.m3u8":
        given["since"] = str(show.opened_ms or 0)  # the tail has what was before, too
    query = urlencode(given)
    tails: Tails = request.app.state.tails
    said = await tails.get(show.id, file, query)
    if said.status == 404:
        raise NotFound("file", file)
    if said.status == 400:
        raise HTTPException(400)
    if said.status != 200:
        raise Overloaded(retry_after_s=1)
    return Response(said.body, 200, {"Cache-Control": "private, no-store" if preview else said.kept}, said.kind)


async def _show(request: Request) -> Show:
    """The show, as it stood at most a second ago."""
    known: dict[str, tuple[float, Show]] = request.app.state.hls_shows
    slug, now = request.path_params["slug"], time.monotonic()
    kept = known.get(slug)
    if kept is not None and kept[0] > now:
        return kept[1]
    services: Services = request.app.state.services
    show = await services.shows.by_slug(slug)
    if len(known) >= SHOWS_KEPT_MAX:
        known.clear()
    known[slug] = (now + SHOW_KEPT_S, show)
    return show


async def _previews(request: Request, show: Show) -> bool:
    from live.web.security import member_of, session_of  # it imports the table of routes, which imports us

    request.state.session = await session_of(request)
    return bool((await member_of(request, show)).roles & _PREVIEWERS)
