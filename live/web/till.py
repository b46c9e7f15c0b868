"""The doors of the checkout: what a bag costs, the order, what a device remembers, and the payment providers' own."""

from __future__ import annotations

import contextlib
import re
from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from live.errors import CodeRefused, Conflict, Invalid, NotFound, StoreDown, Throttled
from live.ids import signed
from live.money import Money
from live.settings import Settings
from live.shop import addresses
from live.shop.addresses import Form
from live.shop.contact import Address, Contact
from live.shop.coupons import Coupon
from live.shop.payments.port import PayPage
from live.shop.payments.sandbox import Outcome, SandboxProvider
from live.shop.quote import Quote, Wishes
from live.shop.totals import CODES_LIMIT
from live.web.reading import Json, body, services_of, session_of, show_of
from live.web.security import device_cookie, network_of
from live.web.speech import speaks

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,64}")  # visible ASCII; draft-ietf-httpapi-idempotency-key-header
WRONG_CODES = 10  # codes nobody knows that one person may try in WINDOW_S; one network ten times as many
WINDOW_S = 600
DEVICE_S = 400 * 86_400  # the longest life that browsers give a cookie (RFC 6265bis, section 5.5)
FORMS_KEPT = "public, max-age=86400"

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
Codes = Annotated[list[Code], msgspec.Meta(max_length=CODES_LIMIT)]


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`country` "" is the brand's own; `email` only counts for codes that a person may use so many times."""

    country: Annotated[str, msgspec.Meta(max_length=2)] = ""
    area: Annotated[str, msgspec.Meta(max_length=80)] = ""
    email: Annotated[str, msgspec.Meta(max_length=254)] = ""
    shipping: Annotated[str, msgspec.Meta(max_length=64)] = ""
    codes: Codes = []


@speaks(takes=Ask, gives=Quote, example={"country": "FR", "codes": ["SPRING"]})
async def quote(request: Request) -> Response:
    """What the bag costs to where it goes: `Quote`."""
    services, show = await show_of(request)
    ask = await body(request, Ask)
    await _guesses(request, ask.codes)
    wishes = Wishes(ask.shipping, tuple(ask.codes))
    person = session_of(request).person
    try:
        told = await services.desk.quote(show.id, person, ask.country.upper(), ask.area, wishes, email=ask.email)
    except CodeRefused as why:
        await _guessed(request, why)
        raise
    return Json(told)


class CouponsNow(msgspec.Struct, frozen=True):
    coupons: list[Coupon]


@speaks(gives=CouponsNow)
async def coupons(request: Request) -> Response:
    """What fell on the caller in the games of the brand's shows, and she can spend: {"coupons": [Coupon]}."""
    services, show = await show_of(request)
    return Json(CouponsNow(await services.coupons.of_person(show.id, session_of(request).person)))


class Purchase(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An order: to whom, or `saved`: to whom and by what this device remembers. `total` is what the buyer agreed to;
    `remember`: keep the address, and let the provider keep the method."""

    name: str = ""
    email: str = ""
    address: Address | None = None
    shipping: Annotated[str, msgspec.Meta(max_length=64)] = ""
    codes: Codes = []
    total: Money | None = None
    saved: bool = False
    remember: bool = False


class Ordered(msgspec.Struct, frozen=True):
    """An order that waits for its payment at `pay_url`; where that is "", `GET /api/orders/{token}/pay` says how.
    `token` opens `/orders/{token}`."""

    order: str
    number: str
    token: str
    status: str
    total: Money
    pay_url: str


@speaks(
    takes=Purchase,
    gives=Ordered,
    status=201,
    sends=("Idempotency-Key",),
    example={
        "name": "Ada Lovelace",
        "email": "ada@example.org",
        "address": {"line1": "1 Rue de la Paix", "city": "Paris", "postcode": "75002", "country": "FR"},
    },
)
async def checkout(request: Request) -> Response:
    """Turn the bag into an order: 201 `Ordered`. The same Idempotency-Key answers with the same order."""
    services, show = await show_of(request)
    key = request.headers.get("idempotency-key", "")
    if not IDEMPOTENCY_KEY.fullmatch(key):
        raise Invalid("Idempotency-Key", "expected 1 to 64 visible ASCII characters")
    wanted = await body(request, Purchase)
    await _guesses(request, wanted.codes)
    session = session_of(request)
    contact, method = await _payer(request, wanted)
    saver = ""
    if wanted.remember and not wanted.saved:
        await services.saved.keep(session.device, contact)  # before the order: one that is paid at once finds it
        saver = services.saved.tag(session.device)
    wishes = Wishes(wanted.shipping, tuple(wanted.codes), None if wanted.total is None else wanted.total.minor)
    try:
        placed = await services.desk.place(
            show.id, session.person, contact, idempotency_key=key, wishes=wishes, method=method, saver=saver
        )
    except CodeRefused as why:
        await _guessed(request, why)
        raise
    answer = Ordered(placed.order_id, placed.number, placed.token, placed.status, placed.total, placed.pay_url)
    response = Json(answer, 201, headers={"Location": f"/orders/{placed.token}"})
    if saver:
        _remember(response, services.settings, session.device)
    return response


async def _payer(request: Request, wanted: Purchase) -> tuple[Contact, str]:
    """To whom it goes, and the saved method that pays or "". Raises Invalid, Conflict("nothing_saved")."""
    if not wanted.saved:
        if wanted.address is None:
            raise Invalid("address", "is missing")
        return Contact(wanted.name, wanted.email, wanted.address), ""
    services = services_of(request)
    kept = await services.saved.of(session_of(request).device)
    if kept is None or kept.method is None or kept.provider != services.provider.name:
        raise Conflict("nothing_saved")
    return kept.contact, kept.method.ref


@speaks(gives=PayPage)
async def pay_page(request: Request) -> Response:
    """What a page needs to let the buyer pay the order that the token opens: `PayPage`."""
    services = services_of(request)
    order = await services.orders.by_token(request.path_params["token"])
    return Json(await services.checkout.page(order.id))


@speaks(gives=Form)
async def address_form(request: Request) -> Response:
    """Which fields an address has in a country, row by row: `Form`."""
    country = request.path_params["country"].upper()
    if country not in addresses.countries():
        raise NotFound("country", country[:8])
    return Json(addresses.form(country), headers={"Cache-Control": FORMS_KEPT})


# ---- what a device remembers -------------------------------------------------------------------


class Saved(msgspec.Struct, frozen=True):
    """What this device asked to remember; `method` is the saved method's label."""

    contact: Contact | None
    method: str | None


@speaks(gives=Saved)
async def saved(request: Request) -> Response:
    """What this device asked to remember: {"contact": Contact or null, "method": its label or null}."""
    services = services_of(request)
    kept = await services.saved.of(session_of(request).device)
    usable = kept is not None and kept.method is not None and kept.provider == services.provider.name
    label = kept.method.label if kept and kept.method and usable else None
    return Json(Saved(kept.contact if kept else None, label))


@speaks()
async def forget(request: Request) -> Response:
    """Remember nothing of this device any more: 204. Also where the provider can't be told now: without us its saved
    method opens nothing."""
    services = services_of(request)
    kept = await services.saved.forget(session_of(request).device)
    if kept is not None and kept.method is not None and kept.provider == services.provider.name:
        with contextlib.suppress(StoreDown):  # fails open: it is forgotten here, and only we could have charged it
            await services.provider.forget(kept.method.ref)
    response = Response(status_code=204)
    response.delete_cookie(device_cookie(services.settings), path="/", secure=services.settings.is_https)
    return response


def _remember(response: Response, settings: Settings, device: str) -> None:
    """A cookie that names the device longer than any session lives; only we can make one."""
    value = signed(settings.key, "device", device)
    response.set_cookie(
        device_cookie(settings),
        value,
        max_age=DEVICE_S,
        path="/",
        secure=settings.is_https,
        httponly=True,
        samesite="lax",
    )


# ---- guessing codes ----------------------------------------------------------------------------


async def _guesses(request: Request, codes: list[str]) -> None:
    """Who guessed too often tries no more codes for a while; she can buy without one. Fails open, as limits do."""
    if not codes:
        return
    throttle = services_of(request).throttle
    for who, limit in _guessers(request):
        if wait_s := await throttle.spent("code", who, limit=limit):
            raise Throttled(wait_s)


async def _guessed(request: Request, why: CodeRefused) -> None:
    if why.facts["why"] == "unknown":
        for who, limit in _guessers(request):
            await services_of(request).throttle.hit("code", who, limit=limit, window_s=WINDOW_S)


def _guessers(request: Request) -> list[tuple[str, int]]:
    network = network_of(request, services_of(request).settings.key)
    return [(session_of(request).person, WRONG_CODES), *([(network, 10 * WRONG_CODES)] if network else [])]


# ---- the payment providers ---------------------------------------------------------------------


@speaks(takes_as="application/json")
async def provider_event(request: Request) -> Response:
    """A message of the provider. What it says is a hint: the charge is fetched, and the order goes where that is.

    204 also for a charge that is none of ours, so that the provider stops telling.
    """
    services = services_of(request)
    if request.path_params.get("provider", "sandbox") != services.provider.name:
        raise NotFound("provider", request.path_params["provider"][:16])
    event = await services.checkout.heard(await request.body(), request.headers)
    if event.ref:
        await services.desk.settle(event.ref)
        if "refund" in event.kind:
            await services.order_desk.after_sale.refunds.heard(event.ref)
        if "dispute" in event.kind:
            await services.order_desk.after_sale.disputes.heard(event.ref)
    return Response(status_code=204)


class SandboxChoice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`code` is the bank's, the second time `three_d_secure` is chosen. `last4`: the end of the card's number, and all
    of it that leaves the browser."""

    outcome: Outcome
    code: Annotated[str, msgspec.Meta(max_length=16)] | None = None
    last4: Annotated[str, msgspec.Meta(pattern=r"^(\d{4})?$")] = ""


async def sandbox_choose(request: Request) -> Response:
    """The buyer's choice on the sandbox provider's page: {"status", "step", "reason"}."""
    choice = await body(request, SandboxChoice)
    provider = sandbox_of(request)
    done: Any = await provider.choose(request.path_params["ref"], choice.outcome, choice.code, last4=choice.last4)
    return Json(done)


def sandbox_of(request: Request) -> SandboxProvider:
    """The sandbox, where it is the provider. Raises NotFound: otherwise it has no doors."""
    provider = services_of(request).provider
    if not isinstance(provider, SandboxProvider):
        raise NotFound("provider", "sandbox")
    return provider
