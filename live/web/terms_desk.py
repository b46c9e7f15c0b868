"""The page of a brand's terms of sale: ways of sending, promotion codes, tax by country. Template in studio/terms.html.

Plain forms: all of it works by keyboard, on a phone and without JavaScript. What is wrong is said beside its field and
nothing typed is lost; what is switched off can be switched on again, and the page offers that at once.

One file: what an act answers is what the page says of it and what its Undo posts; each is only right in sight of the
other.
"""

from __future__ import annotations

import datetime as dt
import hmac
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple
from urllib.parse import urlencode

import msgspec
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from live.desk.wiring import Services
from live.errors import Conflict, Edited, Invalid, NotFound
from live.ids import new_id, sign
from live.money import Money, typed_hundredths, typed_minor
from live.shop import promotions, taxes
from live.shop.assortment import House
from live.shop.terms import WayKept
from live.shop.totals import PromotionKind
from live.web import words
from live.web.catalogue_desk import house_of
from live.web.masthead import studio_links
from live.web.reading import form_of, services_of, session_of
from live.web.security import actor_of
from live.web.templating import page

EXAMPLE_MINOR = 10_000  # the price by which the page shows what tax does
KINDS: dict[str, str] = {"percent": "A percentage", "amount": "An amount", "free_shipping": "Free shipping"}


class Refused(Exception):
    """What is wrong with a form, by the field's name in it."""

    def __init__(self, wrong: dict[str, str]) -> None:
        self.wrong = wrong


class Meanwhile(Exception):
    """The page it was done on is older than what stands. `says` so; `back_in`: the form in which what was typed comes
    back, where it isn't its own."""

    def __init__(self, says: str, back_in: str = "") -> None:
        self.says = says
        self.back_in = back_in


async def index(request: Request) -> Response:
    """GET /studio/terms?brand="""
    return await _page(request, done=_done(request))


async def act(request: Request) -> Response:
    """POST /studio/terms?brand=: what the form's `act` says."""
    s, form = services_of(request), await form_of(request)
    house, _ = await house_of(request)
    name = _text(form, "act")
    try:
        if name not in ACTS:
            raise Invalid("act", "unknown")
        said = await ACTS[name](_Asked(s, house, form, actor_of(request)))
    except Refused as why:
        return await _page(request, form=form, wrong=why.wrong, status=422)
    except Meanwhile as why:
        return await _page(request, form=form, meanwhile=why, status=409)
    query = urlencode({"brand": house.slug, "done": name, **said, "seal": _seal(request, name, said)})
    return RedirectResponse(f"/studio/terms?{query}#{name.partition('.')[0]}", 303)


class _Asked(NamedTuple):
    """A form that was posted: `by` whom goes into the audit log."""

    s: Services
    house: House
    form: FormData
    by: str


# ---- the acts: each answers what the page is to say of it --------------------------------------


async def _way_save(asked: _Asked) -> dict[str, str]:
    """A new way, or another price, name or reach of one."""
    s, house, form, by = asked
    read = _Reading(form, house.currency)
    price, free_above = read.amount("price"), read.amount("free_above", optional=True)
    days = (read.count("days_min", optional=False) or 0, read.count("days_max", optional=False) or 0)
    read.check()
    fields: dict[str, Any] = {
        "name": _text(form, "name"),
        "places": _text(form, "places"),
        "price_minor": price or 0,
        "free_above_minor": free_above,
        "days": days,
    }
    try:
        if _text(form, "way"):
            found = await _way(s, house, form)
            if found.retired_ms is not None:
                raise Meanwhile(
                    f"{found.method.name} is offered no more, since this page was made. What you typed stands below as "
                    "a new way; the old one can be offered again.",
                    "ways.save",
                )
            edition = _text(form, "edition")
            await s.codes.change_method(house.id, found.method.id, by=by, edition=edition, **fields)
        else:
            await s.codes.add_method(house.id, by=by, method_id=_text(form, "op"), **fields)
    except Invalid as why:
        raise _refused(why, {"days": "days_max"}) from why
    except Edited as why:
        now = _way_view(await _way(s, house, form), house.currency)
        free = f", {now['free_above']}" if now["free_above"] else ""
        raise Meanwhile(
            f"Saved elsewhere since this page was made. It is now {now['name']}: {now['price']}{free}, {now['days']}, "
            f"to {', '.join(now['places'])}. What you typed stands below: save again to make it so."
        ) from why
    return {"what": fields["name"]}


async def _way_off(asked: _Asked) -> dict[str, str]:
    s, house, form, by = asked
    found = await _way(s, house, form)
    if found.retired_ms is not None:
        raise Meanwhile(f"{found.method.name} was offered no more already.")
    await s.codes.retire_method(house.id, found.method.id, by=by)
    return {"what": found.method.name, "undo": found.method.id}


async def _way_on(asked: _Asked) -> dict[str, str]:
    s, house, form, by = asked
    found = await _way(s, house, form)
    if found.retired_ms is None:
        raise Meanwhile(f"{found.method.name} was offered again already.")
    await s.codes.restore_method(house.id, found.method.id, by=by)
    return {"what": found.method.name}


async def _code_add(asked: _Asked) -> dict[str, str]:
    s, house, form, by = asked
    read, kind = _Reading(form, house.currency), _text(form, "kind")
    value = read.percent("percent") if kind == "percent" else read.amount("amount") if kind == "amount" else 0
    terms = _code_terms(read, form)
    read.check()
    code = _text(form, "code")
    try:
        await s.codes.add(
            house.id,
            code,
            kind if kind in KINDS else "none",  # type: ignore[arg-type] # refused by its name
            value or 0,
            terms,
            by=by,
        )
    except Invalid as why:
        raise _refused(why, {"value": kind}) from why
    except Conflict as why:
        raise Refused({"code": "is there already, switched off perhaps. Take another name."}) from why
    return {"what": promotions.spelled(code)}


async def _code_save(asked: _Asked) -> dict[str, str]:
    """Other windows, caps or company for a code; what it is called and takes off stays."""
    s, house, form, by = asked
    found = await _code(s, house, form)
    if found.retired_ms is not None:
        raise Meanwhile(f"{found.code} was switched off, since this page was made. Switch it on, then change it.")
    read = _Reading(form, house.currency)
    terms = _code_terms(read, form)
    read.check()
    for name in ("starts", "ends"):  # the field has no seconds: left as it was it is as it was
        kept = getattr(found, f"{name}_ms")
        if _text(form, name) == _typed_moment(kept):
            terms = msgspec.structs.replace(terms, **{f"{name}_ms": kept})
    try:
        await s.codes.change(house.id, found.code, terms, by=by, edition=_text(form, "edition"))
    except Invalid as why:
        raise _refused(why, {}) from why
    except Edited as why:
        raise Meanwhile(
            f"{found.code} was saved elsewhere since this page was made: under its name stands how it is now. What "
            "you typed stands below: save again to make it so."
        ) from why
    return {"what": found.code}


def _code_terms(read: _Reading, form: FormData) -> promotions.CodeTerms:
    return promotions.CodeTerms(
        min_minor=read.amount("min", optional=True) or 0,
        starts_ms=read.moment("starts"),
        ends_ms=read.moment("ends"),
        cap=read.count("cap"),
        cap_each=read.count("cap_each"),
        stacks=bool(form.get("stacks")),
    )


async def _code_off(asked: _Asked) -> dict[str, str]:
    s, house, form, by = asked
    found = await _code(s, house, form)
    if found.retired_ms is not None:
        raise Meanwhile(f"{found.code} was switched off already.")
    await s.codes.retire(house.id, found.code, by=by)
    return {"what": found.code, "undo": found.code}


async def _code_on(asked: _Asked) -> dict[str, str]:
    s, house, form, by = asked
    found = await _code(s, house, form)
    if found.retired_ms is None:
        raise Meanwhile(f"{found.code} was switched on already.")
    await s.codes.restore(house.id, found.code, by=by)
    return {"what": found.code}


async def _tax_set(asked: _Asked) -> dict[str, str]:
    """A place's rate. Left empty: no tax is charged there."""
    s, house, form, by = asked
    read, place = _Reading(form, house.currency), _text(form, "place").upper()
    rate = read.percent("rate") if _text(form, "rate") else None
    read.check()
    before = (await s.terms.of_brand(house.id)).tax.rates.get(place)
    try:
        await s.codes.set_rates(house.id, {place: rate}, by=by)
    except Invalid as why:
        field = "rate" if "rate" in str(why.facts["why"]) else "place"
        raise Refused({field: f"{why.facts['why']}."}) from why
    return {"what": place, "undo": place, "was": "" if before is None else f"{before / 100:g}"}


async def _tax_how(asked: _Asked) -> dict[str, str]:
    """Whether prices contain the tax."""
    s, house, form, by = asked
    await s.codes.set_rates(house.id, {}, by=by, included=_text(form, "how") == "included")
    return {}


async def _tax_reset(asked: _Asked) -> dict[str, str]:
    s, house, _, by = asked
    await s.codes.reset_tax(house.id, by=by)
    return {}


ACTS: dict[str, Callable[[_Asked], Awaitable[dict[str, str]]]] = {
    "ways.save": _way_save,
    "ways.off": _way_off,
    "ways.on": _way_on,
    "codes.add": _code_add,
    "codes.save": _code_save,
    "codes.off": _code_off,
    "codes.on": _code_on,
    "tax.set": _tax_set,
    "tax.how": _tax_how,
    "tax.reset": _tax_reset,
}


async def _way(s: Services, house: House, form: FormData) -> WayKept:
    """Raises: NotFound, also for another brand's."""
    for one in await s.terms.ways(house.id):
        if one.method.id == _text(form, "way"):
            return one
    raise NotFound("shipping_method", _text(form, "way")[:40])


async def _code(s: Services, house: House, form: FormData) -> promotions.Row:
    """Raises: NotFound, also for another brand's."""
    for one in await s.promotions.of_brand(house.id):
        if one.code == promotions.spelled(_text(form, "code")):
            return one
    raise NotFound("promotion", _text(form, "code")[:32])


# ---- the page ----------------------------------------------------------------------------------


async def _page(
    request: Request,
    *,
    done: dict[str, str] | None = None,
    form: FormData | None = None,
    wrong: dict[str, str] | None = None,
    meanwhile: Meanwhile | None = None,
    status: int = 200,
) -> Response:
    s = services_of(request)
    house, houses = await house_of(request)
    terms, ways = await s.terms.of_brand(house.id), await s.terms.ways(house.id)
    codes = await s.promotions.of_brand(house.id)
    refused = "" if form is None else _form_of(form)
    if meanwhile is not None and meanwhile.back_in:
        refused = meanwhile.back_in
    now = s.clock.now_ms()
    living = [one for one in ways if one.retired_ms is None]
    # What is said of a form stands in it, while the page has it; else in its part of the page.
    forms = {f"ways.save-{one.method.id}" for one in living}
    has_form = refused in forms | {f"codes.save-{one.code}" for one in codes if one.retired_ms is None}
    return page(
        request,
        "studio/terms.html",
        status=status,
        nav=await studio_links(request, brand=house.slug),
        house=house,
        houses=houses,
        done=done,
        refused=refused,  # which form: "ways.save-shm_…"
        wrong=wrong or {},
        meanwhile="" if meanwhile is None else meanwhile.says,
        stale={"form": refused, "section": ""} if has_form else {"form": "", "section": refused.partition(".")[0]},
        typed={} if form is None else {name: value for name, value in form.items() if isinstance(value, str)},
        op=new_id("shm"),
        ways=[_way_view(one, house.currency, last=len(living) == 1) for one in living],
        past_ways=[_way_view(one, house.currency) for one in ways if one.retired_ms is not None],
        codes=[_code_view(one, house.currency, now) for one in codes if one.retired_ms is None],
        past_codes=[_code_view(one, house.currency, now) for one in codes if one.retired_ms is not None],
        kinds=list(KINDS.items()),
        tax=_tax_view(terms.tax, terms.country, house.currency),
        countries=list(words.country_names().items()),
    )


def _form_of(form: FormData) -> str:
    """Which form of the page it was: those of one thing are named after it."""
    act = _text(form, "act")
    which = _text(form, "way") or (promotions.spelled(_text(form, "code")) if act == "codes.save" else "")
    return f"{act}-{which}" if which else act


def _way_view(one: WayKept, currency: str, *, last: bool = False) -> dict[str, Any]:
    way = one.method
    span = str(way.days_min) if way.days_min == way.days_max else f"{way.days_min} to {way.days_max}"
    free = way.free_above_minor
    return {
        "id": way.id,
        "name": way.name,
        "price": Money(way.price_minor, currency).words() if way.price_minor else "Free",
        "free_above": "" if free is None else f"free from {Money(free, currency).words()}",
        "days": f"{span} day{'' if span == '1' else 's'}",
        "places": [_place_words(place) for place in way.places],
        "last": last,
        "edition": one.edition,
        "fields": {
            "name": way.name,
            "places": ", ".join(way.places),
            "price": Money(way.price_minor, currency).plain(),
            "free_above": "" if free is None else Money(free, currency).plain(),
            "days_min": str(way.days_min),
            "days_max": str(way.days_max),
        },
    }


def _code_view(one: promotions.Row, currency: str, now: int) -> dict[str, Any]:
    takes: dict[PromotionKind, str] = {
        "percent": f"{one.value / 100:g} % off",
        "amount": f"{Money(one.value, currency).words()} off",
        "free_shipping": "Free shipping",
    }
    state = "off" if one.retired_ms is not None else ""
    if not state and one.ends_ms is not None and one.ends_ms <= now:
        state = "over"
    if not state and one.starts_ms is not None and one.starts_ms > now:
        state = "to come"
    if not state and one.cap is not None and one.used >= one.cap:
        state = "used up"
    return {
        "code": one.code,
        "takes": takes[one.kind],
        "state": state,
        "used": f"used {one.used:,} of {one.cap:,}" if one.cap is not None else f"used {one.used:,}",
        "conditions": [
            *([f"from {Money(one.min_minor, currency).words()}"] if one.min_minor else []),
            *([f"{one.cap_each:,} a person"] if one.cap_each else []),
            *(["goes with others"] if one.stacks else []),
        ],
        "starts_ms": one.starts_ms,
        "starts": words.when(one.starts_ms) if one.starts_ms else "",
        "ends_ms": one.ends_ms,
        "ends": words.when(one.ends_ms) if one.ends_ms else "",
        "edition": one.edition,
        "fields": {
            "min": Money(one.min_minor, currency).plain() if one.min_minor else "",
            "starts": _typed_moment(one.starts_ms),
            "ends": _typed_moment(one.ends_ms),
            "cap": "" if one.cap is None else str(one.cap),
            "cap_each": "" if one.cap_each is None else str(one.cap_each),
            "stacks": one.stacks,
        },
    }


def _typed_moment(ms: int | None) -> str:
    """As a `datetime-local` field has it, in UTC."""
    return "" if ms is None else dt.datetime.fromtimestamp(ms // 60_000 * 60, dt.UTC).strftime("%Y-%m-%dT%H:%M")


def _tax_view(tax: taxes.Taxes, country: str, currency: str) -> dict[str, Any]:
    price = Money(EXAMPLE_MINOR, currency)

    def example(rate: int) -> str:
        part = Money(taxes.part(EXAMPLE_MINOR, rate, included=tax.included), currency)
        return f"{part.words()} in it" if tax.included else f"{(price + part).words()} to pay"

    return {
        "included": tax.included,
        "own": tax != taxes.default(country),
        "as_of": taxes.RATES_AS_OF,
        "price": price.words(),
        "rates": [
            {"place": place, "name": _place_words(place), "rate": f"{rate / 100:g}", "example": example(rate)}
            for place, rate in sorted(tax.rates.items(), key=lambda one: (one[0] != country, _place_words(one[0])))
        ],
    }


def _place_words(place: str) -> str:
    if place in ("EU", "*"):
        return "the EU" if place == "EU" else "anywhere else"
    country, _, area = place.partition("-")
    name = words.country_names().get(country, country)
    return f"{name}, {area}" if area else name


# what the page says after an act, and which form undoes it
_DONE: dict[str, tuple[str, str, str]] = {  # act: (words, the act that undoes it, its field)
    "ways.save": ("{what} is offered so from now on.", "", ""),
    "ways.off": ("{what} is offered no more.", "ways.on", "way"),
    "ways.on": ("{what} is offered again.", "", ""),
    "codes.add": ("{what} is added.", "", ""),
    "codes.save": ("{what} holds so from now on.", "", ""),
    "codes.off": ("{what} is switched off. Orders that used it keep what it took off.", "codes.on", "code"),
    "codes.on": ("{what} is switched on again.", "", ""),
    "tax.set": ("The rate of {what} is set.", "tax.set", "place"),
    "tax.how": ("Set. It holds for every order from now on.", "", ""),
    "tax.reset": ("The standard rates of the brand’s country hold again.", "", ""),
}


def _done(request: Request) -> dict[str, str] | None:
    query = request.query_params
    if query.get("done") not in _DONE:
        return None
    facts = {name: query[name] for name in ("what", "undo", "was") if name in query}
    if not hmac.compare_digest(query.get("seal", "").encode(), _seal(request, query["done"], facts).encode()):
        return None  # a link of somebody else's: its words, and an Undo to anything
    said, undo, field = _DONE[query["done"]]
    return {
        "words": said.format(what=query.get("what", "")[:64] or "It"),
        "section": query["done"].partition(".")[0],
        "undo": undo if query.get("undo") else "",
        "field": field,
        "value": query.get("undo", "")[:64],
        "was": query.get("was", "")[:8],
    }


def _seal(request: Request, name: str, said: dict[str, str]) -> str:
    """That this session did it, and what undoes it."""
    text = urlencode({"session": session_of(request).csrf, "done": name, **dict(sorted(said.items()))})
    return sign(services_of(request).settings.key, "terms-done", text)[:22]


# ---- reading a form ----------------------------------------------------------------------------


class _Reading:
    """Reads a form's fields one by one; all that is wrong is said at once, by `check`."""

    def __init__(self, form: FormData, currency: str) -> None:
        self._form = form
        self._currency = currency
        self.wrong: dict[str, str] = {}

    def amount(self, name: str, *, optional: bool = False) -> int | None:
        return self._read(name, lambda text: typed_minor(text, self._currency), optional=optional)

    def percent(self, name: str) -> int | None:
        return self._read(name, typed_hundredths)

    def count(self, name: str, *, optional: bool = True) -> int | None:
        """A whole number; nothing where nothing is typed, unless something must be."""

        def whole(text: str) -> int:
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise ValueError("is not a whole number")
            return int(text)

        return self._read(name, whole, optional=optional)

    def moment(self, name: str) -> int | None:
        """`datetime-local` in UTC, in ms: the page's module puts the reader's own time into that."""

        def ms(text: str) -> int:
            try:
                moment = dt.datetime.fromisoformat(text)
            except ValueError:
                raise ValueError("is not a moment") from None
            return int(moment.replace(tzinfo=dt.UTC).timestamp() * 1000)

        return self._read(name, ms, optional=True)

    def check(self) -> None:
        """Raises Refused."""
        if self.wrong:
            raise Refused(self.wrong)

    def _read(self, name: str, read: Callable[[str], int], *, optional: bool = False) -> int | None:
        text = _text(self._form, name)
        if not text and optional:
            return None
        try:
            return read(text)
        except (ValueError, OverflowError) as why:
            self.wrong[name] = f"{why if text else 'is missing'}."
            return None


def _refused(why: Invalid, renamed: dict[str, str]) -> Refused:
    field = str(why.facts["field"])
    return Refused({renamed.get(field, field): f"{why.facts['why']}."})


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""
