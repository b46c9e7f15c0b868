"""The pages that viewers see, and the doors in and out. Templates are in templates/pages."""

from __future__ import annotations

from typing import Any

import msgspec
import structlog
from redis.exceptions import RedisError
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from live.desk.wiring import Services
from live.errors import StoreDown, Throttled
from live.events import Cart, LiveSnapshot
from live.money import Money
from live.stage.media import NO_PICTURE
from live.stage.show import Show
from live.web import order_words, words
from live.web.house import house_of
from live.web.reading import form_of
from live.web.replay import replay_of
from live.web.security import enter, leave, member_of, network_of
from live.web.structured import pieces_of
from live.web.templating import page, page_for_many
from live.web.till import sandbox_of

log = structlog.get_logger()

PAID_WORDS = {  # a charge that is closed already, on the provider's page
    "captured": "This payment is done. You can go back to the shop.",
    "declined": "Your bank declined this card.",
    "cancelled": "This payment was given up.",
    "refunded": "This payment was paid back.",
}


async def home(request: Request) -> Response:
    """GET /: what is on air leads, else what comes next, else what was last."""
    s = _services(request)
    now_ms = s.clock.now_ms()
    shows = await s.shows.list()
    lead, rest = (shows[0], shows[1:]) if shows else (None, [])
    sections = (("On air", "live"), ("Coming", "scheduled"), ("Past", "ended"))
    programme = [
        (name, [words.row_view(one, now_ms) for one in rest if one.status == status]) for name, status in sections
    ]
    return page(
        request,
        "pages/front.html",
        house=house_of(shows),
        nav=[("/studio", "Studio")] if request.state.session.staff_id else [],
        lead=words.row_view(lead, now_ms) if lead else None,
        programme=[(name, rows) for name, rows in programme if rows],
    )


async def show(request: Request) -> Response:
    """GET /shows/{slug}: before, during and after. The state the socket would say is in the page already, so that
    first paint has the card. Raises: NotFound."""
    s = _services(request)
    found = await s.shows.by_slug(request.path_params["slug"])
    member = await member_of(request, found)
    live, viewers = await _snapshot(request, found)
    you = {"person": member.person, "name": member.name, "roles": sorted(member.roles), "silenced": None}
    room = {"viewers": viewers, "lines": [], "mode": {"slow_s": 0, "links": "off"}, "pinned": None}
    again = await replay_of(s, found) if found.status == "ended" else None
    request.state.pays = True
    bag_count = sum(line.qty for line in live.cart.lines if line.state != "lapsed")
    countries = words.countries(request.headers.get("accept-language", ""))
    own: dict[str, Any] = {
        "viewers_words": words.watching(viewers),
        "state": {"epoch": "", "seq": 0, "now_ms": s.clock.now_ms(), "you": you, "room": room, "live": live},
    }

    def context() -> dict[str, Any]:
        pinned = next((card for card in live.cards if card.look == live.pinned), None)
        return {
            "show": live.show,
            "picture_state": live.picture.state,
            "slate_words": words.slate(live.picture.state),
            "when_words": words.show_when(live.show),
            "bag_count": bag_count,
            "pinned": words.card_view(pinned, live.stock) if pinned else None,
            "looks": [words.tile_view(card) for card in reversed(live.cards)],
            "lines": [],
            "structured": pieces_of(live.show, live.cards, live.stock, s.settings.base_url),
            "stripe_key": s.settings.stripe_publishable_key if s.settings.payments == "stripe" else "",
            "countries": countries,
        }

    if again is not None and again.recordings:
        template: dict[str, Any] = {"module": "js/controllers/replay_page.js", "replay": again}
        return page(request, "pages/replay.html", **template, **own, **context())
    facts = (live.show, live.picture.state, bag_count, live.pinned, live.cards, live.stock, str(countries))
    return page_for_many(request, "pages/show.html", key=msgspec.msgpack.encode(facts), context=context, own=own)


async def order(request: Request) -> Response:
    """GET /orders/{token}: whoever has the link may read it. Raises: NotFound."""
    token = request.path_params["token"]
    found = await _services(request).desk.order(token)
    return page(request, "pages/order.html", house=found.brand, token=token, order=order_words.buyer_view(found))


async def sign_in(request: Request) -> Response:
    """GET and POST /sign-in. It never says which of the two was wrong."""
    s = _services(request)
    house = house_of(await s.shows.list())
    if request.method != "POST":
        return page(
            request,
            "pages/sign_in.html",
            house=house,
            next=own_path(request.query_params.get("next")),
            email="",
            error="",
            wrong=False,
        )
    form = await form_of(request)
    email, password = str(form.get("email", ""))[:254], str(form.get("password", ""))[:256]
    goes_to = own_path(str(form.get("next", "")))
    status = 401
    try:
        found = await s.signin.by_password(email, password, network=network_of(request, s.settings.key))
        error = "That email and password do not go together."
    except Throttled as throttled:
        found, status = None, 429
        minutes = -(-int(throttled.facts["retry_after_s"]) // 60)
        error = f"Too many tries. Wait {minutes} min, then try again."
    if found is None:
        context: dict[str, Any] = {
            "house": house,
            "next": goes_to,
            "email": email,
            "error": error,
            "wrong": status == 401,
        }
        return page(request, "pages/sign_in.html", status=status, **context)
    await enter(request, staff_id=found.id, name=found.name)
    return RedirectResponse(goes_to, 303)


async def sign_in_link(request: Request) -> Response:
    """GET /sign-in/{token}: one click, no form. `?next=` says where to, else the studio or the front."""
    s = _services(request)
    entrance = await s.signin.by_link(request.path_params["token"])
    if entrance is None:
        house = house_of(await s.shows.list())
        error = "That link is over. Sign in here, or ask for a new one."
        context = {"house": house, "next": "/studio", "email": "", "error": error, "wrong": False}
        return page(request, "pages/sign_in.html", status=401, **context)
    await enter(request, staff_id=entrance.staff_id, person=entrance.person, name=entrance.name)
    return RedirectResponse(own_path(request.query_params.get("next"), "/studio" if entrance.staff_id else "/"), 303)


async def sign_out(request: Request) -> Response:
    """POST /sign-out."""
    await leave(request)
    return RedirectResponse("/", 303)


async def sandbox_pay(request: Request) -> Response:
    """GET /sandbox/pay/{ref}: the sandbox provider's hosted page, framed by the show's page. Raises: NotFound."""
    charge = await sandbox_of(request).charge(request.path_params["ref"])
    request.state.frame_ancestors = "'self'"
    return page(
        request,
        "pages/sandbox_pay.html",
        ref=charge.ref,
        amount=charge.amount.words(),
        back=charge.return_url,
        settled=PAID_WORDS.get(charge.status, ""),
        saves=charge.saves,
        asks=charge.asks,
    )


def own_path(path: str | None, default: str = "/studio") -> str:
    """`path` when it leads to this server, else `default`: a sign-in must not send people elsewhere."""
    if not path or not path.startswith("/") or path[1:2] in ("/", "\\") or not path.isprintable():
        return default
    return path


async def _snapshot(request: Request, found: Show) -> tuple[LiveSnapshot, int]:
    """live's part of `welcome` and the viewers. With Redis away the page fails open: the cards without stock and bag,
    which the socket brings as soon as it can."""
    s = _services(request)
    try:
        member = await member_of(request, found)
        return await s.desk.snapshot(found.id, member), await s.desk.viewers(found.id)
    except (RedisError, OSError, StoreDown) as error:
        log.warning("show_page.without_redis", show=found.id, error=type(error).__name__)
        programme = await s.programmes.of(found.id)
        empty = Cart([], Money(0, found.currency), 0)
        return LiveSnapshot(programme.facts, NO_PICTURE, programme.cards, programme.pinned, {}, empty), 0


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services
