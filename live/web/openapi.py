"""The API as an OpenAPI 3.1 document, made from the table of doors and the types that its endpoints state.

Nothing in it is written twice: a door's path, rate and scope are the table's, its words are its endpoint's docstring,
its bodies are the types that read the request and are checked against the answer (speech.py).
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.accounts import scopes
from live.settings import Settings
from live.web.doors import Door
from live.web.errors import Problem
from live.web.reading import Json
from live.web.speech import Speech, speaks, speech_of

PROBLEM = "application/problem+json"
_REF = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+)\}")


@speaks(gives=dict)
async def document(request: Request) -> Response:
    """This API as OpenAPI 3.1 describes it."""
    from live.web.routes import DOORS  # this module is in that table

    kept: dict[str, Any] | None = getattr(request.app.state, "openapi", None)
    if kept is None:
        kept = request.app.state.openapi = describe(DOORS, request.app.state.services.settings)
    return Json(kept)


def told_of(doors: Iterable[Door]) -> list[tuple[Door, str, Speech]]:
    """What the document tells of: each method of each door below /api/, with what its endpoint states. One that states
    nothing is left out, and fails a test."""
    told = []
    for door in doors:
        if door.kind == "api" and door.path.startswith("/api/"):
            speech = speech_of(door.endpoint)
            if speech is not None:
                told += [(door, method, speech) for method in sorted(door.methods - {"OPTIONS"})]
    return told


def describe(doors: Iterable[Door], settings: Settings) -> dict[str, Any]:
    """The document."""
    told = told_of(doors)
    types = [Problem, *(one for _, _, s in told for one in (s.takes, s.asks, s.gives) if one not in (None, dict))]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template=_REF)
    of = dict(zip(unique, schemas, strict=True)) | {dict: {"type": "object"}}
    paths: dict[str, dict[str, Any]] = {}
    for door, method, speech in told:
        paths.setdefault(door.path, {})[method.lower()] = _operation(door, method, speech, of, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Frontrow",
            "version": version("frontrow"),
            "description": "The HTTP API of this server. Programs come with a token, pages with a session. "
            "Errors are RFC 9457; programs go by `code` and `facts`.",
        },
        "servers": [{"url": settings.base_url}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _SCHEMES},
    }


_SCHEMES = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "fr_…",
        "description": "Made at /studio/api. Scopes:\n"
        + "\n".join(f"- `{name}`: {words}" for name, words in scopes.WORDS.items()),
    },
    "session": {"type": "apiKey", "in": "cookie", "name": "frontrow", "description": "`__Host-frontrow` over https."},
    "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRF", "description": "With an Origin of this server."},
}


def _operation(
    door: Door, method: str, speech: Speech, of: dict[Any, Any], components: dict[str, Any]
) -> dict[str, Any]:
    words = " ".join((inspect.getdoc(door.endpoint) or "").split())
    first, _, more = words.partition(". ")
    about: dict[str, Any] = {
        "operationId": door.name if len(door.methods) == 1 else f"{door.name}.{method.lower()}",
        "tags": [door.path.split("/")[2]],
        "summary": first.rstrip("."),
        "description": f"{more} " * bool(more) + f"For {door.least}; at most {door.a_minute} requests a minute.",
        "security": _security(door),
        "parameters": [*_in_path(door.path), *_headers(speech), *_query(speech, of, components)],
        "responses": _responses(speech, of),
    }
    if method not in ("GET", "DELETE") and (speech.takes is not None or speech.takes_as != "application/json"):
        taken: dict[str, Any] = {"schema": of[speech.takes]} if speech.takes is not None else {"schema": {}}
        if speech.example is not None:
            taken["example"] = speech.example
        about["requestBody"] = {"required": True, "content": {speech.takes_as: taken}}
    return about


def _security(door: Door) -> list[dict[str, list[str]]]:
    if door.guard == "signed" or door.least == "anyone":
        return []
    session: dict[str, list[str]] = {"session": [], **({"csrf": []} if door.guard == "csrf" else {})}
    return [{"token": [door.scope]}, session] if door.scope else [session]


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(path)
    ]


def _headers(speech: Speech) -> list[dict[str, Any]]:
    schema = {"type": "string", "minLength": 1, "maxLength": 64, "pattern": "^[!-~]+$"}
    return [{"name": name, "in": "header", "required": True, "schema": schema} for name in speech.sends]


def _query(speech: Speech, of: dict[Any, Any], components: dict[str, Any]) -> list[dict[str, Any]]:
    if speech.asks is None:
        return []
    shape = components[of[speech.asks]["$ref"].rpartition("/")[2]]
    required = shape.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": schema}
        for name, schema in shape["properties"].items()
    ]


def _responses(speech: Speech, of: dict[Any, Any]) -> dict[str, Any]:
    good: dict[str, Any] = {"description": "Done." if speech.status != 201 else "Made."}
    if speech.gives is not None:
        good["content"] = {speech.gives_as: {"schema": of[speech.gives]}}
    elif speech.gives_as != "application/json":
        good["content"] = {speech.gives_as: {}}
    problem = {"content": {PROBLEM: {"schema": of[Problem]}}}
    return {
        str(speech.status): good,
        "4XX": {"description": "Refused: `code` says why, `facts` with what.", **problem},
        "5XX": {"description": "`store_down` and `overloaded`: ask again after `Retry-After`.", **problem},
    }
