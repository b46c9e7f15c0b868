"""The JSON API: what a page does without its socket, and what a program does without a page. See docs/api.md."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chat.kinds import ServiceSet
from chat.service import Service, Setting
from chat.switchboard import Switchboard
from live.accounts.roles import roles_in
from live.errors import NotFound
from live.events import Cart, LiveSnapshot, ShowFacts, Tally, WaitIntent, Work
from live.ids import new_id
from live.media.port import Channel
from live.shop.orders import Order
from live.stage.show import SecondPublisher
from live.web.reading import Json, body, paced, services_of, session_of, show_of
from live.web.security import actor_of, grants_of, member_of
from live.web.speech import speaks

# ---- the show and the bag ----------------------------------------------------------------------


@speaks(gives=LiveSnapshot)
async def snapshot(request: Request) -> Response:
    """The show as its page needs it: `LiveSnapshot`."""
    services, show = await show_of(request)
    return Json(await services.desk.snapshot(show.id, await member_of(request, show)))


class CartAddition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`op` names the tap: sent again after a lost answer, it is the same hold."""

    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    op: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    qty: Annotated[int, msgspec.Meta(ge=1, le=20)] = 1
    work: Work | None = None


class Bag(msgspec.Struct, frozen=True):
    cart: Cart


@speaks(takes=CartAddition, gives=Bag, example={"sku": "COAT-S", "op": "tap-1", "qty": 1})
async def cart_add(request: Request) -> Response:
    """Hold a piece: {"cart": Cart}."""
    services, show = await show_of(request)
    wanted = await body(request, CartAddition)
    await paced(request)
    person = session_of(request).person
    cart = await services.desk.add_to_cart(show.id, person, wanted.sku, wanted.qty, op=wanted.op, work=wanted.work)
    return Json(Bag(cart))


@speaks(gives=Bag)
async def cart_remove(request: Request) -> Response:
    """Give a line back: {"cart": Cart}. Removing what isn't there changes nothing, so no `op` is asked for."""
    services, show = await show_of(request)
    sku = request.path_params["sku"]
    await paced(request)
    cart = await services.desk.remove_from_cart(show.id, session_of(request).person, sku, op=new_id("op"))
    return Json(Bag(cart))


@speaks(takes=WaitIntent, gives=Bag, example={"sku": "COAT-S"})
async def wait_join(request: Request) -> Response:
    """Wait for a piece that is sold out: {"cart": Cart}."""
    services, show = await show_of(request)
    wanted = await body(request, WaitIntent)
    await paced(request)
    return Json(Bag(await services.desk.wait(show.id, session_of(request).person, wanted.sku)))


@speaks(gives=Bag)
async def wait_leave(request: Request) -> Response:
    """Wait no longer: {"cart": Cart}. Who doesn't wait is no error."""
    services, show = await show_of(request)
    sku = request.path_params["sku"]
    await paced(request)
    return Json(Bag(await services.desk.unwait(show.id, session_of(request).person, sku)))


@speaks(gives=Order)
async def order(request: Request) -> Response:
    """The order that the token opens: `Order`."""
    return Json(await services_of(request).desk.order(request.path_params["token"]))


class Naming(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class Named(msgspec.Struct, frozen=True):
    name: str


@speaks(takes=Naming, gives=Named, example={"name": "Ada"})
async def name(request: Request) -> Response:
    """Take a nickname: {"name": …}."""
    services = services_of(request)
    kept = await services.desk.name_person(session_of(request).id, (await body(request, Naming)).name)
    return Json(Named(kept))


# ---- running the show --------------------------------------------------------------------------


class ShowNow(msgspec.Struct, frozen=True):
    show: ShowFacts


class LookNow(msgspec.Struct, frozen=True):
    """The id of the look that was dropped or withdrawn."""

    look: str


@speaks(gives=ShowNow)
async def show_open(request: Request) -> Response:
    """Go on air: {"show": ShowFacts}."""
    services, show = await show_of(request)
    return Json(ShowNow(await services.desk.open_show(show.id, session_of(request).person)))


@speaks(gives=ShowNow)
async def show_end(request: Request) -> Response:
    """Go off air for good: {"show": ShowFacts}."""
    services, show = await show_of(request)
    return Json(ShowNow(await services.desk.end_show(show.id, session_of(request).person)))


@speaks(gives=LookNow)
async def look_withdraw(request: Request) -> Response:
    """Take a look's card back: {"look": id}."""
    services, show = await show_of(request)
    look, person = request.path_params["look"], session_of(request).person
    return Json(LookNow(await services.desk.withdraw(show.id, look, person)))


@speaks(gives=LookNow)
async def look_next(request: Request) -> Response:
    """Drop the next look in order: {"look": id}."""
    services, show = await show_of(request)
    return Json(LookNow(await services.desk.next_look(show.id, session_of(request).person)))


class PublishKey(msgspec.Struct, frozen=True):
    key: str
    whip_url: str


@speaks(gives=PublishKey, status=201)
async def publish_key(request: Request) -> Response:
    """A new key for publishing, shown this once; the one before is void and its publisher cut: {"key", "whip_url"}."""
    services, show = await show_of(request)
    key = await services.shows.set_publish_key(show.id)
    await services.engine.revoke(Channel(show.id, show.slug))
    return Json(PublishKey(key, f"{services.settings.base_url}/whip/{show.slug}"), 201)


class PublisherRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    second: SecondPublisher


@speaks(takes=PublisherRule, gives=PublisherRule, example={"second": "refused"})
async def publisher_rule(request: Request) -> Response:
    """What happens to a second publisher with the key: {"second"}."""
    services, show = await show_of(request)
    rule = await body(request, PublisherRule)
    await services.shows.set_second_publisher(show.id, rule.second)
    return Json(rule)


class ServiceNow(msgspec.Struct, frozen=True):
    """`chosen` is what staff said of each switch, `now` what holds on the process that answers."""

    chosen: dict[str, Setting]
    now: Service


class ServiceChosen(msgspec.Struct, frozen=True):
    chosen: dict[str, Setting]


@speaks(gives=ServiceNow)
async def service(request: Request) -> Response:
    """What the room serves under load: {"chosen": {switch: setting}, "now": Service}. `now` is of this process."""
    _, show = await show_of(request)
    board: Switchboard = request.app.state.hub.switchboard
    return Json(ServiceNow(await board.chosen(show.id), board.now(show.id)))


@speaks(takes=ServiceSet, gives=ServiceChosen, example={"hearts": "off"})
async def service_set(request: Request) -> Response:
    """Flip what is named, everywhere: {"chosen": {switch: setting}}."""
    _, show = await show_of(request)
    wanted = await body(request, ServiceSet)
    board: Switchboard = request.app.state.hub.switchboard
    return Json(ServiceChosen(await board.set(show.id, wanted, actor_of(request))))


class Stats(msgspec.Struct, frozen=True):
    """`relays` is each relay's own word, in its own shape."""

    tally: Tally
    viewers: int
    publishing: bool
    relays: list[Any]


@speaks(gives=Stats)
async def stats(request: Request) -> Response:
    """Figures of a show: {"tally": Tally, "viewers", "publishing", "relays": […]}."""
    services, show = await show_of(request)
    tally, carried = await asyncio.gather(
        services.desk.tally(show.id), services.engine.stats(Channel(show.id, show.slug))
    )
    return Json(Stats(tally, carried.viewers, carried.publishing, carried.parts))


@speaks(takes_as="application/webhook+json")
async def media_event(request: Request) -> Response:
    """What the engine says of itself, signed. Answered 204 also where nothing follows, so that it stops telling."""
    services = services_of(request)
    for heard in await services.engine.events(await request.body(), request.headers):
        await services.desk.picture_is(heard.show, heard.state)
    return Response(status_code=204)


class StockChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`change` units more or fewer on hand; `op` names the change: sent again, it is the same one."""

    sku: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    op: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    change: Annotated[int, msgspec.Meta(ge=-1_000_000, le=1_000_000)]


class StockNow(msgspec.Struct, frozen=True):
    """`on_hand` counts sold units too."""

    sku: str
    on_hand: int
    sold: int


@speaks(takes=StockChange, gives=StockNow, example={"sku": "COAT-S", "op": "delivery-1", "change": 10})
async def stock_adjust(request: Request) -> Response:
    """Change what is on hand of a SKU: {"sku", "on_hand", "sold"}. For staff of the SKU's own brand."""
    services = services_of(request)
    wanted = await body(request, StockChange)
    brand = await services.adjustments.brand_of(wanted.sku)
    if "staff" not in roles_in(await grants_of(request, session_of(request)), show_id="", brand_id=brand):
        raise NotFound("sku", wanted.sku)  # another brand's: whether there is one is not theirs to know
    done = await services.desk.adjust_stock(wanted.sku, wanted.change, op=wanted.op, by=actor_of(request))
    return Json(StockNow(done.sku, done.on_hand, done.sold))
