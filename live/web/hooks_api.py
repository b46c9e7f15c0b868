"""Webhooks by program: endpoints, their logs, and sending again. What the studio's page does, for staff and tokens."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.accounts.scopes import opens
from live.errors import Invalid, NotFound
from live.shop.webhooks import deliveries
from live.shop.webhooks.endpoints import Endpoint
from live.shop.webhooks.kinds import READ_BY
from live.web.reading import Json, asked, body, services_of
from live.web.security import actor_of, reach_of, token_of
from live.web.speech import speaks

Kinds = Annotated[list[Annotated[str, msgspec.Meta(max_length=40)]], msgspec.Meta(max_length=40)]
Ms = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class EndpointNow(msgspec.Struct, frozen=True):
    """An endpoint. `kinds` empty: every kind; `why` it is off: gone, failing or hand."""

    id: str
    url: str
    kinds: tuple[str, ...]
    on: bool
    why: str
    waiting: int
    failed: int
    last_taken_ms: int | None


class EndpointsNow(msgspec.Struct, frozen=True):
    endpoints: list[EndpointNow]


@speaks(gives=EndpointsNow)
async def endpoints(request: Request) -> Response:
    """The brand's endpoints, the oldest first: `EndpointsNow`."""
    found = await services_of(request).endpoints.list(sorted((await reach_of(request)).brands))
    return Json(EndpointsNow([_now(one) for one in found]))


class NewEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`kinds` empty: every kind. `brand`, an id, only where there are several."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
    kinds: Kinds = []
    brand: Annotated[str, msgspec.Meta(max_length=64)] = ""


class EndpointMade(msgspec.Struct, frozen=True):
    """`secret` is in this answer and in no other."""

    id: str
    secret: str


@speaks(
    takes=NewEndpoint,
    gives=EndpointMade,
    status=201,
    example={"url": "https://erp.example.com/frontrow", "kinds": ["order.paid"]},
)
async def add(request: Request) -> Response:
    """Post the brand's events to an address: 201 `EndpointMade`. It hears no kind that its maker may not read."""
    wanted, brands = await body(request, NewEndpoint), (await reach_of(request)).brands
    brand = wanted.brand or (next(iter(brands)) if len(brands) == 1 else "")
    if not brand:
        raise Invalid("brand", "say which")
    if brand not in brands:
        raise NotFound("brand", brand)
    made = await services_of(request).endpoints.add(
        brand, wanted.url, wanted.kinds, may=_readable(request), by=actor_of(request)
    )
    return Json(EndpointMade(*made), 201)


class EndpointChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is left out stays."""

    kinds: Kinds | None = None
    on: bool | None = None


@speaks(takes=EndpointChange, gives=EndpointNow, example={"kinds": ["order.paid", "stock.changed"], "on": True})
async def change(request: Request) -> Response:
    """Choose what it hears, turn it off or on: `EndpointNow`."""
    found, wanted, book = await _own(request), await body(request, EndpointChange), services_of(request).endpoints
    if wanted.kinds is not None:
        await book.choose(found.id, wanted.kinds, may=_readable(request))
    if wanted.on is not None:
        await (book.enable(found.id) if wanted.on else book.disable(found.id))
    return Json(_now(await book.by_id(found.id)))


@speaks()
async def remove(request: Request) -> Response:
    """Remove it with its log: 204."""
    await services_of(request).endpoints.remove((await _own(request)).id)
    return Response(status_code=204)


class NewSecret(msgspec.Struct, frozen=True):
    """For 24 hours the old one signs too."""

    secret: str


@speaks(gives=NewSecret)
async def rotate(request: Request) -> Response:
    """A new secret: `NewSecret`."""
    return Json(NewSecret(await services_of(request).endpoints.rotate((await _own(request)).id)))


class DeliveriesAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`before`: the last entry's id of the page before."""

    only: Literal["", "waiting", "taken", "failed"] = ""
    before: Ms = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 50


class DeliveryNow(msgspec.Struct, frozen=True):
    """An entry of the log: `event` is the `webhook-id`, `answer` the last status or why there was none. `data` is null
    where who asks may not read that kind."""

    id: int
    event: str
    kind: str
    data: dict[str, Any] | None
    created_ms: int
    outcome: Literal["waiting", "taken", "failed"]
    attempts: int
    due_ms: int
    tried_ms: int | None
    answer: str
    reply: str


class DeliveriesNow(msgspec.Struct, frozen=True):
    deliveries: list[DeliveryNow]


@speaks(asks=DeliveriesAsked, gives=DeliveriesNow)
async def log(request: Request) -> Response:
    """What was sent there, the newest first: `DeliveriesNow`."""
    found, wanted, readable = await _own(request), asked(request, DeliveriesAsked), _readable(request)
    entries = await services_of(request).db.read(
        lambda sql: deliveries.log(sql, found.id, outcome=wanted.only, before=wanted.before or None, limit=wanted.limit)
    )
    return Json(
        DeliveriesNow(
            [
                DeliveryNow(
                    one.id,
                    one.event_id,
                    one.kind,
                    msgspec.json.decode(one.data) if one.kind in readable else None,
                    one.created_ms,
                    one.outcome,
                    one.attempts,
                    one.due_ms,
                    one.tried_ms,
                    one.answer,
                    one.reply,
                )
                for one in entries
            ]
        )
    )


class Replay(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One entry of the log by its id, or all that failed of what happened since a moment."""

    delivery: Ms | None = None
    failed_since_ms: Ms | None = None


class Again(msgspec.Struct, frozen=True):
    """How many are on the way again."""

    again: int


@speaks(takes=Replay, gives=Again, example={"failed_since_ms": 1767225600000})
async def replay(request: Request) -> Response:
    """Send again, under the same `webhook-id`: `Again`."""
    s, found, wanted = services_of(request), await _own(request), await body(request, Replay)
    now = s.clock.now_ms()
    if (wanted.delivery is None) == (wanted.failed_since_ms is None):
        raise Invalid("delivery", "name one delivery, or since when")
    if wanted.delivery is not None:
        one = wanted.delivery
        await s.db.write(lambda sql: deliveries.replay(sql, found.id, one, now))
        return Json(Again(1))
    since = wanted.failed_since_ms or 0
    return Json(Again(await s.db.write(lambda sql: deliveries.replay_failed(sql, found.id, since, now))))


class TestSent(msgspec.Struct, frozen=True):
    """Its id in the log."""

    delivery: int


@speaks(gives=TestSent)
async def try_out(request: Request) -> Response:
    """Send it an event of the kind `webhook.test`: `TestSent`."""
    s, found = services_of(request), await _own(request)
    now = s.clock.now_ms()
    return Json(TestSent(await s.db.write(lambda sql: deliveries.test(sql, found.id, found.brand_id, now))))


def _readable(request: Request) -> frozenset[str]:
    """The kinds of which who asks may read the like: staff of the brand all, a program those of its scopes."""
    token = token_of(request)
    return frozenset(kind for kind, scope in READ_BY.items() if token is None or opens(token.scopes, scope))


def _now(one: Endpoint) -> EndpointNow:
    on = one.disabled_ms is None
    return EndpointNow(one.id, one.url, one.kinds, on, one.disabled_why, one.waiting, one.failed, one.last_taken_ms)


async def _own(request: Request) -> Endpoint:
    """The path's endpoint. Raises: NotFound, also for another brand's."""
    found = await services_of(request).endpoints.by_id(request.path_params["endpoint"])
    if found.brand_id not in (await reach_of(request)).brands:
        raise NotFound("endpoint", found.id)
    return found
