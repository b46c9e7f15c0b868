"""What the tail answers web (`live/web/hls.py`), which passes it on: playlists, parts, segments, init segments.

    GET /shows/{show}/live.m3u8                      the multivariant playlist
    GET /shows/{show}/media.m3u8?_HLS_msn&_HLS_part&_HLS_skip
    GET /shows/{show}/init-{n}.mp4, {msn}.m4s, {msn}.{part}.m4s
    GET /healthz

`since` (server time, ms) leaves out of playlists, parts and segments what was over before: a preview.

What was once made never changes and may be kept for ever; a playlist that was waited for is kept for some seconds,
under its own address, so that a cache answers everybody who asks for the same part with one question to us; a playlist
without a question is kept for a second (RFC 8216bis appendix B). Refusals are never kept. A token of ours is needed.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from live.tail.shelf import Refusal, Refused
from live.tail.show import ShowTail
from live.tail.window import TARGET_S

FOR_EVER = "public, max-age=31536000, immutable"
WAITED_FOR = f"public, max-age={6 * TARGET_S}"
NEWEST = "public, max-age=1"
NOT_KEPT = "no-store"
PLAYLIST = "application/vnd.apple.mpegurl"
STATUS: dict[Refusal, int] = {"too_far": 400, "too_late": 503, "too_many": 503, "missing": 404, "empty": 503}

_NUMBER = re.compile(r"\d{1,15}")
_SEGMENT = re.compile(r"(\d{1,15})(?:\.(\d{1,4}))?\.m4s")
_INIT = re.compile(r"init-(\d{1,15})\.mp4")


def tail_app(shows: Mapping[str, ShowTail], token: str, tail_id: str) -> Starlette:
    """`shows`: those that are packaged now. `tail_id` answers at /healthz."""

    async def healthz(request: Request) -> Response:
        return PlainTextResponse(tail_id)

    async def take(request: Request) -> Response:
        given = request.headers.get("authorization", "").partition(" ")[2]
        if not hmac.compare_digest(given.encode(), token.encode()):
            return _refused(401)
        tail = shows.get(request.path_params["show"])
        if tail is None:
            return _refused(404)
        try:
            return await _take(tail, request)
        except Refused as refused:
            return _refused(STATUS[refused.why])

    return Starlette(routes=[Route("/healthz", healthz), Route("/shows/{show}/{file}", take)])


async def _take(tail: ShowTail, request: Request) -> Response:
    shelf, file, query = tail.shelf, request.path_params["file"], request.query_params
    since_ms = _number(query.get("since")) or 0
    if file == "live.m3u8":
        return _answer(shelf.master(), PLAYLIST, NEWEST)
    if file == "media.m3u8":
        msn, part = _number(query.get("_HLS_msn")), _number(query.get("_HLS_part"))
        if part is not None and msn is None:
            return _refused(400)  # section 6.2.5.2
        body = await shelf.media(msn, part, skip=query.get("_HLS_skip") in ("YES", "v2"), since_ms=since_ms)
        return _answer(body, PLAYLIST, NEWEST if msn is None else WAITED_FOR)
    if (named := _SEGMENT.fullmatch(file)) is not None:
        msn, number = int(named[1]), named[2]
        if number is None:
            return _answer(shelf.segment(msn, since_ms=since_ms), "video/mp4", FOR_EVER)
        made = await shelf.part(msn, int(number), since_ms=since_ms)
        return _answer(made, "video/mp4", FOR_EVER)
    if (named := _INIT.fullmatch(file)) is not None:
        return _answer(shelf.init(int(named[1])), "video/mp4", FOR_EVER)
    return _refused(404)


def _number(text: str | None) -> int | None:
    if text is None:
        return None
    if _NUMBER.fullmatch(text) is None:
        raise Refused("too_far")
    return int(text)


def _answer(body: bytes, kind: str, kept: str) -> Response:
    return Response(body, 200, {"Cache-Control": kept}, kind)


def _refused(status: int) -> Response:
    headers = {"Cache-Control": NOT_KEPT}
    if status == 503:
        headers["Retry-After"] = "1"
    return Response(status_code=status, headers=headers)
