"""The pages over painted data: real templates, styles and modules, no store, no relay. For screenshots only."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import asdict
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from chat.service import SHED_ORDER, Service
from live.accounts.sessions import Session
from live.money import Money
from live.settings import Settings
from live.shop import addresses
from live.shop.orders import Order, OrderLine, Sums
from live.web import errors, order_words, words
from live.web.app import Versioned
from live.web.templating import STATIC, Pages, page

from . import painted, painted_room

OVER = {
    "js/player.js": painted.PLAYER,
    "js/picture.js": painted.PICTURE,
    "js/publisher.js": painted.PUBLISHER,
    "js/wire.js": painted.WIRE,
}


def snapshot(request: Request) -> Any:
    asked = request.query_params
    return painted.live(
        asked.get("status", "live"),
        bag="bag" in asked,
        picture=asked.get("picture", "live"),
        staff="studio" in asked.get("path", request.url.path),
        drop=asked.get("drop", ""),
    )


async def show(request: Request) -> Response:
    live = snapshot(request)
    pinned = next((card for card in live.cards if card.look == live.pinned), None)
    return page(
        request,
        "pages/show.html",
        show=live.show,
        picture_state=live.picture.state,
        slate_words=words.slate(live.picture.state),
        viewers_words=words.watching(1204),
        when_words=words.show_when(live.show),
        bag_count=0,
        pinned=words.card_view(pinned, live.stock) if pinned else None,
        looks=[words.tile_view(card) for card in reversed(live.cards)],
        lines=[],
        stripe_key="",
        countries=words.countries("en-GB"),
        state=painted.welcome(live),
    )


async def front(request: Request) -> Response:
    def row(status: str, title: str, slug: str) -> dict[str, Any]:
        facts = painted.facts(status, title=title)
        view = words.row_view(facts, painted_room.NOW_MS)  # type: ignore[arg-type]
        return {**view, "slug": slug, "poster": f"/media/look-{len(title) % 8 + 1}.jpg"}

    lead = {**row("live", "Winter, Unbuttoned", "winter"), "poster": "/media/poster.jpg"}
    programme = [
        (
            "Coming",
            [row("scheduled", "Studio hours: the tailoring room", "studio"), row("scheduled", "Resort", "resort")],
        ),
        ("Past", [row("ended", "Summer, Rehearsed", "summer"), row("ended", "First Fitting", "first")]),
    ]
    return page(request, "pages/front.html", house="Maison Aurel", nav=[], lead=lead, programme=programme)


async def picture_desk(request: Request) -> Response:
    live = snapshot(request)
    nav = [("/studio", "Shows"), ("#", "Desk"), ("#", "Room")]
    return page(
        request, "studio/picture.html", show=live.show, nav=nav, state=painted.seen("trouble" in request.query_params)
    )


async def picture_seen(request: Request) -> Response:
    return Response(
        msgspec.json.encode(painted.seen("trouble" in request.headers.get("referer", ""))),
        media_type="application/json",
    )


async def order(request: Request) -> Response:
    sold = [
        OrderLine(one.variants[1].sku, 1, one.variants[1].price, one.title, "S", "Black", one.picture, "look")
        for one in (painted.piece(1), painted.piece(4))
    ]
    found = Order(
        id="ord_1", number="FR-7K3M-Q2XV", token="t", show="shw_1", show_slug="winter", show_title="Winter, Unbuttoned",
        name="Ines Albrecht", brand="Maison Aurel", buyer="per_1", status="paid",
        total=Money(128000, "EUR"), lines=sold,
        sums=Sums(
            Money(126100, "EUR"), Money(0, "EUR"), Money(1900, "EUR"), Money(21333, "EUR"), True, 2000, "FR",
            "Express", [],
        ),
        email="ines@example.org",
        address={"line1": "Rue de la Paix 12", "city": "Paris", "postcode": "75002", "country": "FR"},
        created_ms=painted_room.NOW_MS, paid_ms=painted_room.NOW_MS, payment="captured", payment_ref="r", reason="",
    )  # fmt: skip
    return page(request, "pages/order.html", house="Maison Aurel", token="t", order=order_words.buyer_view(found))


async def sign_in(request: Request) -> Response:
    wrong = "That email and password do not go together." if "wrong" in request.query_params else ""
    return page(
        request,
        "pages/sign_in.html",
        house="Maison Aurel",
        next="/studio",
        email="ines@aurel.example",
        error=wrong,
        wrong=bool(wrong),
    )


async def studio(request: Request) -> Response:
    rows = [
        {
            **words.row_view(painted.facts(status, title=title), painted_room.NOW_MS),
            "links": [("#", "Desk"), ("#", "Room")],
        }  # type: ignore[arg-type]
        for status, title in (("live", "Winter, Unbuttoned"), ("scheduled", "Resort"))
    ]
    return page(
        request, "studio/shows.html", house="Maison Aurel", nav=[("/studio/catalogue", "Catalogue")], shows=rows
    )


async def host(request: Request) -> Response:
    live = snapshot(request)
    return page(
        request,
        "studio/host.html",
        show=live.show,
        nav=[
            ("/studio", "Shows"),
            ("/studio/shows/winter", "Desk"),
            ("#", "Room"),
            ("#", "Picture"),
            ("#", "As viewers see it"),
        ],
        whip_url="https://shop.example/whip/winter",
        has_key=True,
        second_publisher="takes_over",
        places=2,
        state=painted.welcome(live),
    )


async def service(request: Request) -> Response:
    return JSONResponse({"chosen": dict.fromkeys(SHED_ORDER, "auto"), "now": asdict(Service(hearts=False))})


async def room(request: Request) -> Response:
    live = snapshot(request)
    return page(
        request, "studio/moderator.html", show=live.show, nav=[("/studio", "Shows")], state=painted.welcome(live)
    )


async def pay(request: Request) -> Response:
    request.state.frame_ancestors = "'self'"
    return page(
        request,
        "pages/sandbox_pay.html",
        ref="sbx_01jx7k3m",
        amount="€890.00",
        back="",
        settled="",
        saves=True,
        asks=False,
    )


async def choose(request: Request) -> Response:
    outcome = (await request.json())["outcome"]
    bad = {"decline": "declined", "insufficient_funds": "insufficient_funds", "abandon": "abandoned"}.get(outcome, "")
    return JSONResponse({"status": "declined" if bad else "captured", "step": "done", "reason": bad})


async def checkout(request: Request) -> Response:
    return JSONResponse(
        {
            "order": "o",
            "number": "FR-7K3M-Q2XV",
            "token": "t",
            "status": "pending",
            "total": {},
            "pay_url": "/sandbox/pay/sbx",
        },
        201,
    )


async def quote(request: Request) -> Response:
    asked = await request.json()

    def euro(minor: int) -> dict[str, object]:
        return {"minor": minor, "currency": "EUR"}

    ways = [
        {"id": "a", "name": "Standard", "price": euro(0), "days_min": 2, "days_max": 4},
        {"id": "b", "name": "Express, by bicycle", "price": euro(1900), "days_min": 1, "days_max": 1},
    ]
    sent = 1900 if asked["shipping"] == "b" else 0
    codes = [{"code": code, "kind": "percent", "amount": euro(8900)} for code in asked["codes"]]
    total = 89_000 + sent - 8_900 * len(codes)
    return JSONResponse(
        {
            "goods": euro(89_000), "discount": euro(8_900 * len(codes)), "shipping": euro(sent),
            "tax": euro(round(total / 6)), "tax_included": True, "tax_bp": 2000, "tax_place": "FR",
            "total": euro(total), "ways": ways, "way": asked["shipping"] or "a", "codes": codes,
            "changed": [],
        }
    )  # fmt: skip


async def address_form(request: Request) -> Response:
    return Response(msgspec.json.encode(addresses.form(request.path_params["country"])), media_type="application/json")


async def saved(request: Request) -> Response:
    return JSONResponse({"contact": None, "method": None})


async def order_api(request: Request) -> Response:
    return JSONResponse({"status": request.app.state.order_status, "email": "ines@example.org", "reason": ""})


async def welcome(request: Request) -> Response:
    silenced = (
        {"until_ms": painted_room.NOW_MS + 600_000, "reason": "Kindness", "kind": "timeout"}
        if "silenced" in request.query_params
        else None
    )
    body = painted.welcome(snapshot(request), silenced=silenced)
    if "room" in request.query_params.get("path", ""):
        someone = {
            "person": "per_9",
            "name": "Loud",
            "silence": {"until_ms": painted_room.NOW_MS + 600_000, "reason": "", "kind": "timeout"},
        }
        body["extra"] = [
            {
                "kind": "terms.changed",
                "body": {"terms": ["fake", "scam link"], "held": ["refund"], "allowed": ["atelier.example"]},
            },
            {"kind": "cases.changed", "body": {"cases": painted_room.cases()}},
            {"kind": "silences.changed", "body": {"silences": [someone]}},
        ]
    body["extra"] = [*body.get("extra", []), *painted_room.played(request.query_params.get("play", ""))]
    return Response(msgspec.json.encode(body), media_type="application/json")


async def person(request: Request) -> Response:
    return JSONResponse(painted_room.person_seen())


async def coupons(request: Request) -> Response:
    one = {"code": "RAIN7", "amount": {"minor": 1_250, "currency": "EUR"}, "ends_ms": painted_room.NOW_MS + 50_000_000}
    return JSONResponse({"coupons": [one] if "coupon" in request.headers.get("referer", "") else []})


async def recordings(request: Request) -> Response:
    return JSONResponse({"recordings": []})


async def missing(request: Request) -> Response:
    problem = errors.Problem("Not found", 404, "There is nothing at this address.", "not_found", {})
    said = {"problem": problem, "detail": errors.ON_A_PAGE["not_found"], "another": False}
    return page(request, "pages/error.html", status=404, house="Maison Aurel", **said)


STILLS: dict[str, bytes] = {}


async def media(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in STILLS:
        if name.startswith("runway-tall"):
            STILLS[name] = painted.still(720, 1280)
        elif name.startswith("runway"):
            STILLS[name] = painted.still(1280, 720)
        elif name == "poster.jpg":
            STILLS[name] = painted.still(1400, 1800, coat="#5d1f17")
        else:
            shade = painted.LOOKS[int(name.removeprefix("look-").removesuffix(".jpg")) - 1][4]
            STILLS[name] = painted.still(600, 800, coat=shade, ground="studio")
    return Response(STILLS[name], media_type="image/jpeg")


class Static(Versioned):
    async def get_response(self, path: str, scope: Any) -> Response:
        inner = path.partition("/")[2] if path.startswith("v-") else path
        if inner in OVER:
            return Response(OVER[inner], media_type="text/javascript")
        return await super().get_response(path, scope)


def create() -> Starlette:
    from starlette.middleware import Middleware

    from live.web.headers import SecurityHeaders

    settings = Settings()
    app = Starlette(
        routes=[
            Route("/", front),
            Route("/shows/{slug}", show),
            Route("/orders/{token}", order),
            Route("/sign-in", sign_in),
            Route("/studio", studio),
            Route("/studio/shows/{slug}", host),
            Route("/api/shows/{slug}/service", service),
            Route("/api/shows/{slug}/coupons", coupons),
            Route("/api/shows/{slug}/recordings", recordings),
            Route("/fixture/person", person),
            Route("/studio/shows/{slug}/picture", picture_desk),
            Route("/api/shows/{slug}/picture/seen", picture_seen),
            Route("/studio/shows/{slug}/room", room),
            Route("/sandbox/pay/{ref}", pay),
            Route("/sandbox/pay/{ref}", choose, methods=["POST"]),
            Route("/api/shows/{slug}/checkout", checkout, methods=["POST"]),
            Route("/api/orders/{token}", order_api),
            Route("/api/shows/{slug}/quote", quote, methods=["POST"]),
            Route("/api/address-forms/{country}", address_form),
            Route("/api/me/saved", saved),
            Route("/fixture/welcome", welcome),
            Route("/media/{name}", media),
            Route("/nowhere", missing),
            Mount("/static", Static(STATIC)),
        ],
        middleware=[Middleware(SecurityHeaders, settings=settings)],
    )
    app.state.pages = Pages(settings)
    app.state.order_status = "pending"

    class Somebody:
        """Every request is a guest's."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope["state"]["session"] = Session("s", "per_me", "dev", "", "", "csrf")
            await self.inner(scope, receive, send)

    app.user_middleware.append(Middleware(Somebody))
    return app
