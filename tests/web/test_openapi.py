"""The API's description is what the doors do: made from their types, held to the running application."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest
from house import Web
from jsonschema_rs import meta
from starlette.requests import Request
from starlette.responses import Response

from live.web import reading
from live.web.openapi import describe, told_of
from live.web.reading import Json
from live.web.routes import DOORS
from live.web.speech import keep_word, speaks, speech_of

API = [door for door in DOORS if door.kind == "api" and door.path.startswith("/api/")]


@pytest.mark.parametrize("door", API, ids=lambda door: door.path)
def test_each_door_of_the_api_states_what_it_takes_and_gives(door):
    said = speech_of(door.endpoint)
    assert said is not None, f"{door.path}: state it by @speaks (live/web/speech.py, docs/decisions/0114)"
    if said.takes is not None:
        assert said.example is not None, f"{door.path}: @speaks(example=…): a body that could be sent"
        msgspec.convert(said.example, said.takes)


async def test_the_document_is_served_whole_and_names_every_door_and_scope(web: Web):
    answer = await (await web.stranger()).client.get("/api/openapi.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    told = answer.json()
    assert told["openapi"] == "3.1.0"
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == {
        (door.path, method.lower()) for door in API for method in door.methods
    }
    for door, method, _ in told_of(DOORS):
        security = told["paths"][door.path][method.lower()]["security"]
        scopes = [scope for one in security for scope in one.get("token", [])]
        assert scopes == ([door.scope] if door.scope else [])
    operations = [one["operationId"] for methods in told["paths"].values() for one in methods.values()]
    assert len(operations) == len(set(operations))
    assert all(one["summary"] for methods in told["paths"].values() for one in methods.values())


def test_every_schema_is_one(tmp_path):
    from house import settings_for

    told = describe(DOORS, settings_for(tmp_path, "redis://none"))
    for name, schema in told["components"]["schemas"].items():
        meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}), name


class A(msgspec.Struct):
    n: int


class B(msgspec.Struct):
    n: int


@speaks(takes=A, gives=A, status=201)
async def made(request: Request) -> Response:
    return Json(A(1), 201)


async def test_an_answer_or_a_body_of_another_type_than_was_stated_is_a_bug_that_shows():
    keep_word(made, Json(A(1), 201))
    keep_word(made, Response(status_code=204))
    for wrong in (Json(B(1), 201), Json({"n": 1}, 201), Json(A(1))):
        with pytest.raises(TypeError):
            keep_word(made, wrong)
    request = Request({"type": "http", "headers": [], "query_string": b"", "state": {}})
    request.state.door = replace(DOORS[0], endpoint=made)
    with pytest.raises(TypeError):
        await reading.body(request, B)
    with pytest.raises(TypeError):
        reading.asked(request, A)


def test_a_door_that_states_nothing_is_not_described():
    async def silent(request: Request) -> Response:
        return Response()

    assert told_of([replace(API[0], endpoint=silent)]) == []
    assert len(told_of([API[0]])) == 1
