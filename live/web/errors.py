"""Turns what went wrong into status and words: RFC 9457 problem JSON for programs, a page for people. Nowhere else.

{"type": "about:blank", "title": "Sold out", "status": 409, "detail": "…", "code": "sold_out", "facts": {…}}
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import jinja2
import msgspec
import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from chat.errors import Error as RoomError
from chat.errors import Refused
from live.errors import Error, Invalid, SignInNeeded, StoreDown
from live.web.house import OURS, house_name
from live.web.templating import Pages

log = structlog.get_logger()

# code: (status, title, what to do about it)
WORDS: dict[str, tuple[int, str, str]] = {
    "not_found": (404, "Not found", "There is nothing at this address."),
    "forbidden": (403, "Not allowed", "This is open to others, or the page you came from is out of date."),
    "sign_in_needed": (401, "Sign in first", "Open a page of this server, or sign in, then try again."),
    "bad_token": (401, "Token not accepted", "It is wrong, revoked or over. The studio's API page makes a new one."),
    "invalid": (422, "Not understood", "Something in what was sent is missing or wrong."),
    "wrong_state": (409, "Not now", "That was done already, or its time hasn't come."),
    "not_live": (409, "Not on air", "The show isn't on air."),
    "not_open": (409, "Not open yet", "Its pieces can be held when the countdown is over."),
    "closed": (409, "Over", "This drop is closed."),
    "in_line": (409, "Not your turn", "Buyers are let in one after another. Take a place in the line."),
    "work_needed": (409, "One moment", "This drop asks each browser for a little arithmetic first."),
    "conflict": (409, "Already taken", "Someone was there first."),
    "edited": (409, "Changed meanwhile", "Somebody saved it after your page was made. Load it again."),
    "sold_out": (409, "Sold out", "The last one has just gone."),
    "still_left": (409, "There is one left", "Hold it: nobody has to wait."),
    "over_limit": (409, "That many is too many", "One person can only take so many of a piece."),
    "hold_lapsed": (409, "The hold ran out", "The piece went back to the rail. Take it again if it is still there."),
    "price_changed": (409, "The price changed", "Look at the new price, then go on."),
    "total_changed": (409, "The total changed", "Look at the new total, then go on."),
    "code_refused": (422, "This code can't be used", "Check the code, or go on without it."),
    "empty_bag": (409, "The bag is empty", "Take a piece first."),
    "idempotency_mismatch": (422, "Another order used this key", "The same key was sent with a different order."),
    "payment_declined": (402, "Payment declined", "Nothing was charged. Try another way to pay."),
    "throttled": (429, "Too many tries", "Wait a little, then try again."),
    "overloaded": (503, "Very busy", "Try again in a few seconds."),
    "store_down": (503, "Back in a moment", "A part of the shop isn't answering. Nothing was charged or lost."),
    # the room's own
    "blocked": (422, "Not here", "A word or a link in it isn't allowed here."),
    "slow_mode": (429, "Slowly", "The room takes one line at a time. Wait a little."),
    "unknown_kind": (422, "Not understood", "There is no such intent."),
    "claimed": (409, "Somebody is on it", "Another moderator has taken this."),
    "decided": (409, "Decided already", "Another moderator was faster."),
    "silenced": (403, "Not now", "A moderator asked you to stay silent for a while."),
    # what HTTP itself finds wrong
    "bad_request": (400, "Not understood", "The request can't be read."),
    "method_not_allowed": (405, "Not this way", "The address is right, the method isn't."),
    "too_large": (413, "Too large", "What was sent is longer than this address takes."),
    "unsupported_type": (415, "Wrong type", "This address takes another content type."),
    "broken": (500, "Our mistake", "It has been written down. Please try again."),
}
_CODES = {
    400: "bad_request",
    401: "sign_in_needed",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_type",
    422: "invalid",
    429: "throttled",
}


# code: what a person who met it on a page does next, where that is more than a program is told
ON_A_PAGE: dict[str, str] = {
    "not_found": "There is nothing at this address. Look whether the link came whole, or begin at the shows.",
    "forbidden": "This page is not among yours. The brand’s staff can open it to you, or you sign in as another.",
    "stale": "The page you came from was too old to act on. Go back, load it again, and do it once more.",
}


class Problem(msgspec.Struct):
    """RFC 9457, with the code and facts of the error."""

    title: str
    status: int
    detail: str
    code: str
    facts: dict[str, Any]
    type: str = "about:blank"


async def respond(request: Request, error: Exception) -> Response:
    """The answer to a request that ended in `error`. Anything unexpected is logged and told as `broken`."""
    problem = problem_of(error)
    if problem.code == "broken":
        log.error("request.broken", door=_door_name(request), exc_info=error)
    headers = dict(getattr(error, "headers", None) or {})
    if problem.code == "bad_token":
        headers["WWW-Authenticate"] = 'Bearer error="invalid_token"'  # RFC 6750, section 3
    wait_s = problem.facts.get("retry_after_s")
    if isinstance(wait_s, int):
        headers["Retry-After"] = str(wait_s)
    response = await _as_page(request, error, problem) if _wants_page(request) else _as_json(problem)
    response.headers.update(headers)
    response.headers.setdefault("Cache-Control", "no-store")
    return response


def problem_of(error: Exception) -> Problem:
    """Status and words of an error."""
    facts: dict[str, object] = {}
    if isinstance(error, HTTPException):
        code = _CODES.get(error.status_code, "broken" if error.status_code >= 500 else "bad_request")
        if error.detail and error.detail != HTTPStatus(error.status_code).phrase:
            facts["why"] = error.detail
        return Problem(WORDS[code][1], error.status_code, WORDS[code][2], code, facts)
    if isinstance(error, RedisError | TimeoutError | ConnectionError):
        error = StoreDown("redis")
    elif isinstance(error, DBAPIError):
        error = StoreDown("sql") if error.connection_invalidated else error
    elif isinstance(error, msgspec.ValidationError):
        error = invalid(error)
    elif isinstance(error, RoomError) and not isinstance(error, Refused):
        error = Error()
    if isinstance(error, Error | Refused) and error.code in WORDS:
        status, title, detail = WORDS[error.code]
        need = str(error.facts.get("need", ""))
        if error.code == "forbidden" and ":" in need:
            detail = f"It takes the scope {need}, and this token hasn't got it."
        return Problem(title, status, detail, error.code, dict(error.facts))
    status, title, detail = WORDS["broken"]
    return Problem(title, status, detail, "broken", facts)


def invalid(error: msgspec.ValidationError) -> Invalid:
    """`Expected int >= 1 - at $.qty` → Invalid("qty", "expected int >= 1")."""
    why, _, path = str(error).partition(" - at `$")
    return Invalid(path.strip("`").lstrip(".") or "body", why[:1].lower() + why[1:])


def _as_json(problem: Problem) -> Response:
    return Response(msgspec.json.encode(problem), problem.status, media_type="application/problem+json")


async def _as_page(request: Request, error: Exception, problem: Problem) -> Response:
    if isinstance(error, SignInNeeded) and request.method == "GET":
        return RedirectResponse(f"/sign-in?next={quote(request.scope['path'])}", 303)
    try:
        pages: Pages = request.app.state.pages
        house = OURS if problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR else await house_name(request)
        context = {"problem": problem, "house": house, "detail": _to_people(request, problem)}
        context["another"] = context["detail"] == ON_A_PAGE["forbidden"]
        return pages.response(request, "pages/error.html", context, status=problem.status)
    except jinja2.TemplateError:
        log.error("error_page.broken", exc_info=True)
        return PlainTextResponse(f"{problem.title}. {problem.detail}", problem.status)


def _to_people(request: Request, problem: Problem) -> str:
    """The detail for a page. A guest is not told to sign in as another: she is sent to sign in where that helps."""
    if problem.code == "forbidden" and problem.facts.get("need") in ("csrf", "origin"):
        return ON_A_PAGE["stale"]
    if problem.code == "forbidden" and not request.state.session.staff_id:
        return problem.detail
    return ON_A_PAGE.get(problem.code, problem.detail)


def _wants_page(request: Request) -> bool:
    door = getattr(request.state, "door", None)
    if door is not None:
        return bool(door.kind == "page")
    return "text/html" in request.headers.get("accept", "")


def _door_name(request: Request) -> str:
    door = getattr(request.state, "door", None)
    return door.name if door is not None else "-"


EXCEPTIONS: tuple[type[Exception], ...] = (
    HTTPException,
    Error,
    RoomError,
    RedisError,
    DBAPIError,
    TimeoutError,
    ConnectionError,
    msgspec.ValidationError,
)
