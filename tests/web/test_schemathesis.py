"""schemathesis at every door of the API, on the real application: no 5xx, and every answer as the document has it.

`make fuzz-api` runs the same for longer: FRONTROW_FUZZ is how many requests each door gets.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, get_args

import hypothesis
import pytest
import schemathesis
from house import Served, settings_for
from house import served as serve
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from live.accounts.scopes import Scope
from live.web import security
from live.web.openapi import told_of
from live.web.routes import DOORS

EXAMPLES = int(os.environ.get("FRONTROW_FUZZ", "6"))
CHECKS = (
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
)
# What needs a picture's carrier answers that it is busy while there is none.
NO_RELAY = {"picture.picture"}
KNOWN = st.booleans()  # whether an address names what is there, or anything at all


async def test_every_door_answers_as_the_document_says_to_whatever_is_sent(
    tmp_path, redis_url: str, monkeypatch: pytest.MonkeyPatch
):
    async def unlimited(*_: object) -> None: ...

    monkeypatch.setattr(security, "_hit", unlimited)  # the limits have tests of their own
    async with serve(settings_for(tmp_path, redis_url)) as site:
        await site.house.go_live(1)
        told = (await (await site.viewer()).client.get("/api/openapi.json")).json()
        credentials = await _credentials(site)
        known = {"slug": "aw26", "sku": "L1-S", "look": site.house.looks[0]}
        tried = await asyncio.to_thread(_try_all, told, site.origin, credentials, known)
    assert tried.keys() == {f"{method} {door.path}" for door, method, _ in told_of(DOORS)}
    assert min(count for count, _ in tried.values()) >= 1
    assert sum(count for count, _ in tried.values()) > 3 * len(tried)
    statuses = set().union(*(statuses for _, statuses in tried.values()))
    assert statuses >= {200, 404, 422}, "the premise: some were let in, and some were refused for what they sent"
    assert not statuses & {401, 403}, "the premise: it is not the guard that answers"


async def _credentials(site: Served) -> dict[str, dict[str, str]]:
    secret, _ = await site.services.tokens.make("Fuzz", get_args(Scope), by="test", brand_id=site.house.show.brand_id)
    staff = await site.signed_in(site.house.staff)
    session = {"Cookie": staff.cookie, "Origin": staff.origin, "X-CSRF": staff.csrf}
    return {"token": {"Authorization": f"Bearer {secret}"}, "session": session}


def _try_all(
    told: dict[str, Any], origin: str, credentials: dict[str, dict[str, str]], known: dict[str, str]
) -> dict[str, tuple[int, set[int]]]:
    security_of = {
        (path, method): one.pop("security")
        for path, methods in told["paths"].items()
        for method, one in methods.items()
    }
    # The guards have tests of their own: here each request is let in, and what it sends is what varies.
    del told["components"]["securitySchemes"]
    schema = schemathesis.openapi.from_dict(told)
    tried: dict[str, tuple[int, set[int]]] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        asks = security_of[operation.path, operation.method]
        kind = "token" if any("token" in one for one in asks) else "session"
        tried[operation.label] = _try(operation, origin, credentials[kind] if asks else {}, known)
    return tried


def _try(operation: Any, origin: str, headers: dict[str, str], known: dict[str, str]) -> tuple[int, set[int]]:
    count, statuses = 0, set()
    modes = [GenerationMode.POSITIVE]
    if operation.query or operation.body:  # there is something to get wrong
        modes.append(GenerationMode.NEGATIVE)
    strategies = [operation.as_strategy(generation_mode=mode) for mode in modes]

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=EXAMPLES < 100,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=st.one_of(*strategies), there=KNOWN)
    def knock(case: Any, there: bool) -> None:
        nonlocal count
        if there:
            for name in case.path_parameters or {}:
                case.path_parameters[name] = known.get(name, case.path_parameters[name])
        response = case.call(base_url=origin, headers=headers)
        count += 1
        statuses.add(response.status_code)
        if response.text == "Invalid HTTP request received.":
            return  # uvicorn's own, before there is a request: an address beyond its 64 KiB
        if response.status_code == 503 and operation.definition.raw["operationId"] in NO_RELAY:
            return
        # Too long is refused before it is read: that it is wrong as well nobody saw.
        checks = CHECKS if response.status_code != 413 else CHECKS[:-1]
        case.validate_response(response, checks=checks)

    knock()
    return count, statuses
