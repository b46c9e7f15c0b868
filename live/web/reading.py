"""What endpoints of the API share: bodies in and out, and who asks for what."""

from __future__ import annotations

import re
from typing import Any, TypeVar, get_args

import msgspec
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from live.accounts.sessions import Session
from live.desk.pace import pace
from live.desk.wiring import Services
from live.errors import Invalid
from live.stage.show import Show
from live.web.speech import stated

T = TypeVar("T")
_DIGITS = re.compile(r"-?[0-9]{1,19}")
_NUL = b"\\u0000"


class Json(Response):
    """A body encoded by msgspec. `said` is what was encoded."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        self.said = content
        return msgspec.json.encode(content)


def no_nul(request: Request) -> None:
    """PostgreSQL takes U+0000 in no text and fails over it; nothing of ours has it in its address."""
    if any("\0" in str(value) for value in request.path_params.values()):
        raise HTTPException(404)
    query = request.scope["query_string"]
    if b"%00" in query or b"\0" in query:
        raise Invalid("query", "the character U+0000 is not taken")


async def form_of(request: Request) -> FormData:
    """The form of the body, however it was sent. Raises: 400."""
    form = await request.form(max_fields=400)
    if any("\0" in name or "\0" in str(value) for name, value in form.multi_items()):
        raise HTTPException(400)  # as no_nul
    return form


async def body(request: Request, kind: type[T]) -> T:
    """The JSON body as `kind`, nothing missing and nothing added. Raises: Invalid with the field; 415, 400."""
    stated(request, "takes", kind)
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise HTTPException(415)
    raw = await request.body()
    if _NUL in raw:  # PostgreSQL keeps no such character
        raise Invalid("body", "the character U+0000 is not taken")
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        raise  # errors.py names the field
    except (msgspec.DecodeError, RecursionError):  # the latter: brackets within brackets, some thousand deep
        raise HTTPException(400) from None


def asked(request: Request, kind: type[T]) -> T:
    """The query as `kind`. Raises: Invalid with the name."""
    stated(request, "asks", kind)
    query = request.query_params
    numbers = _numbers(kind)
    for name, value in query.items():
        if len(query.getlist(name)) > 1:
            raise Invalid(name, "is given more than once")
        if name in numbers and not _DIGITS.fullmatch(value):  # msgspec would read 1e2 as 100
            raise Invalid(name, "must be a whole number")
    return msgspec.convert(dict(query), type=kind, strict=False)


def _numbers(kind: type) -> frozenset[str]:
    """The fields of `kind` that are whole numbers, with bounds or None beside or not."""

    def is_int(of: Any) -> bool:
        return of is int or any(is_int(part) for part in get_args(of))

    return frozenset(field.encode_name for field in msgspec.structs.fields(kind) if is_int(field.type))


def services_of(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


async def show_of(request: Request) -> tuple[Services, Show]:
    """The services, and the show of the path. Raises NotFound."""
    services = services_of(request)
    show: Show | None = getattr(request.state, "show", None)
    return services, show or await services.shows.by_slug(request.path_params["slug"])


def session_of(request: Request) -> Session:
    session: Session = request.state.session
    return session


async def paced(request: Request) -> None:
    """Count one act on a bag or a place, as the socket does. Raises: Throttled."""
    session = session_of(request)
    await pace(services_of(request).throttle, session.person, session.device)
