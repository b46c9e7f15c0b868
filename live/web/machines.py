"""The studio's pages for a brand's own programs: tokens of the API, and webhooks with their logs. Plain forms: all of
it works by keyboard, on a phone and without JavaScript. A secret is in one answer, and in no other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from live.accounts import scopes
from live.accounts.scopes import ApiToken
from live.desk.wiring import Services
from live.errors import Conflict, Error, Invalid, NotFound, OverLimit, WrongState
from live.ids import new_id
from live.shop.webhooks import deliveries, kinds
from live.shop.webhooks.deliveries import Delivery
from live.shop.webhooks.endpoints import Endpoint
from live.web import words
from live.web.masthead import studio_house, studio_links
from live.web.reading import form_of, services_of
from live.web.security import actor_of, reach_of
from live.web.templating import page

LIVES = (("", "Until it is revoked"), ("30", "30 days"), ("90", "90 days"), ("365", "A year"))
SINCE = (("3600000", "the last hour"), ("86400000", "the last day"), ("259200000", "the last 3 days"))
LOG_PAGE = 50


# ---- tokens ------------------------------------------------------------------------------------


async def tokens(request: Request) -> Response:
    """GET /studio/api: the tokens, and a form to make one."""
    return await _tokens_page(request)


async def token_make(request: Request) -> Response:
    """POST /studio/api: makes one and shows it, this once. The same form again makes no second one."""
    s, form = services_of(request), await form_of(request)
    try:
        place = await _place(request, _one(form, "place"))
        secret, token = await s.tokens.make(
            _one(form, "name"),
            [str(scope) for scope in form.getlist("scope")],
            by=actor_of(request),
            days=_number(form, "days") if _one(form, "days") else None,
            token_id=_one(form, "op"),
            **place,
        )
    except (Invalid, OverLimit, Conflict) as why:
        wrong = str(why.facts["field"]) if isinstance(why, Invalid) else ""
        return await _tokens_page(
            request, error=_said(why), wrong=wrong, kept=form, status=409 if isinstance(why, Conflict) else 422
        )
    return await _tokens_page(request, made=(secret, token))


async def token_revoke(request: Request) -> Response:
    """POST /studio/api/{token}/revoke: it opens nothing from here on."""
    s = services_of(request)
    found = await s.tokens.by_id(request.path_params["token"])
    if found.id not in {token.id for _, some in await _tokens_by_brand(request) for token in some}:
        raise NotFound("token", found.id)  # another brand's
    await s.tokens.revoke(found.id)
    return RedirectResponse("/studio/api", 303)


async def _tokens_page(
    request: Request,
    *,
    made: tuple[str, ApiToken] | None = None,
    error: str = "",
    wrong: str = "",
    kept: FormData | None = None,
    status: int = 200,
) -> Response:
    """`error` is said beside the field that is `wrong`, or above the form."""
    s = services_of(request)
    now = s.clock.now_ms()
    names = {person.id: person.name for person in await s.staff.list()}
    places = await _places(request)
    known = dict(places)
    groups = [
        (brand, [_token_view(token, now, names, known) for token in some])
        for brand, some in await _tokens_by_brand(request)
    ]
    return page(
        request,
        "studio/api.html",
        status=status,
        house=await studio_house(request),
        nav=await studio_links(request),
        groups=groups,
        places=places,
        scopes=list(scopes.WORDS.items()),
        lives=LIVES,
        op=new_id("tok"),
        made=made,
        error=error,
        wrong=wrong if wrong in ("name", "scopes", "days") else "",
        kept={
            **{field: _one(kept, field) if kept else "" for field in ("name", "place", "days")},
            "scopes": set(kept.getlist("scope")) if kept else set(),
        },
    )


async def _tokens_by_brand(request: Request) -> list[tuple[str, list[ApiToken]]]:
    """Those that who asks may see: of her brands, and of single shows that she is staff of."""
    s, reach = services_of(request), await reach_of(request)
    found = []
    for brand in await _brands(request):
        some = await s.tokens.list(brand_id=brand[0])
        if brand[0] not in reach.brands:
            some = [token for token in some if token.show_id in reach.shows]
        found.append((brand[1], some))
    return found


def _token_view(token: ApiToken, now: int, names: dict[str, str], places: dict[str, str]) -> dict[str, Any]:
    state = "revoked" if token.revoked_ms is not None else "works" if token.works(now) else "over"
    place = token.brand_id or token.show_id or ""
    return {
        "id": token.id,
        "name": token.name,
        "prefix": token.prefix,
        "may": [scopes.WORDS[scope] for scope in token.scopes],
        "state": state,
        "place": places.get(f"brand:{place}") or places.get(f"show:{place}", ""),
        "by": names.get(token.created_by, "the command line" if token.created_by == "cli" else "someone who left"),
        "orphan": state == "works" and token.created_by not in names and token.created_by != "cli",
        "created_ms": token.created_ms,
        "created": words.when(token.created_ms),
        "used_ms": token.last_used_ms,
        "used": words.when(token.last_used_ms) if token.last_used_ms else "",
        "expires_ms": token.expires_ms,
        "expires": words.when(token.expires_ms) if token.expires_ms else "",
    }


# ---- webhooks ----------------------------------------------------------------------------------


async def hooks(request: Request) -> Response:
    """GET /studio/webhooks: the endpoints, and a form to add one."""
    return await _hooks_page(request)


async def hook_add(request: Request) -> Response:
    """POST /studio/webhooks: adds one and shows its secret, this once."""
    s, form = services_of(request), await form_of(request)
    brand = _one(form, "brand")
    if brand not in (await reach_of(request)).brands:
        raise NotFound("brand", brand[:40])  # also one that is there, and another's
    try:
        endpoint, secret = await s.endpoints.add(
            brand, _one(form, "url"), [str(k) for k in form.getlist("kind")], by=actor_of(request)
        )
    except (Invalid, OverLimit) as why:
        return await _hooks_page(request, error=_said(why), kept=form, status=422)
    return await _hook_page(request, await s.endpoints.by_id(endpoint), secret=secret)


async def hook(request: Request) -> Response:
    """GET /studio/webhooks/{endpoint}: its log."""
    return await _hook_page(request, await _own(request))


async def hook_act(request: Request) -> Response:
    """POST /studio/webhooks/{endpoint}: what the form's `act` says."""
    s, form, found = services_of(request), await form_of(request), await _own(request)
    act, now = _one(form, "act"), s.clock.now_ms()
    said = ""
    try:
        match act:
            case "test":
                await s.db.write(lambda sql: deliveries.test(sql, found.id, found.brand_id, now))
            case "rotate":
                return await _hook_page(request, found, secret=await s.endpoints.rotate(found.id))
            case "off":
                await s.endpoints.disable(found.id)
            case "on":
                await s.endpoints.enable(found.id)
            case "kinds":
                await s.endpoints.choose(found.id, [str(kind) for kind in form.getlist("kind")])
            case "replay":
                one = _number(form, "delivery")
                await s.db.write(lambda sql: deliveries.replay(sql, found.id, one, now))
            case "replay_failed":
                since = now - _number(form, "since")
                count = await s.db.write(lambda sql: deliveries.replay_failed(sql, found.id, since, now))
                said = f"?again={count}"
            case "remove":
                await s.endpoints.remove(found.id)
                return RedirectResponse("/studio/webhooks", 303)
            case _:
                raise Invalid("act", "unknown")
    except WrongState:
        return await _hook_page(request, found, error="It is off. Turn it on first.", status=409)
    return RedirectResponse(f"/studio/webhooks/{found.id}{said}", 303)


async def _hooks_page(
    request: Request, *, error: str = "", kept: FormData | None = None, status: int = 200
) -> Response:
    s, reach = services_of(request), await reach_of(request)
    endpoints = await s.endpoints.list(sorted(reach.brands))
    makers = await _makers(s)
    brands = [brand for brand in await _brands(request) if brand[0] in reach.brands]
    return page(
        request,
        "studio/webhooks.html",
        status=status,
        house=await studio_house(request),
        nav=await studio_links(request),
        groups=[
            (name, [_hook_view(one, makers(one)) for one in endpoints if one.brand_id == brand])
            for brand, name in brands
        ],
        brands=brands,
        kinds=_kinds(),
        error=error,
        kept={
            **{field: _one(kept, field) if kept else "" for field in ("url", "brand")},
            "kinds": set(kept.getlist("kind")) if kept else set(),
        },
    )


async def _hook_page(
    request: Request, found: Endpoint, *, secret: str = "", error: str = "", status: int = 200
) -> Response:
    s = services_of(request)
    query = request.query_params
    only = query.get("only", "") if query.get("only") in ("waiting", "taken", "failed") else ""
    before = query.get("before", "")
    page_before = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    entries = await s.db.read(
        lambda sql: deliveries.log(sql, found.id, outcome=only, before=page_before, limit=LOG_PAGE)
    )
    again = query.get("again", "")
    fresh = next((one for one in await s.endpoints.list([found.brand_id]) if one.id == found.id), found)
    return page(
        request,
        "studio/webhook.html",
        status=status,
        house=dict(await s.merchant.brands({found.brand_id}))[found.brand_id],
        nav=await studio_links(request),
        hook=_hook_view(fresh),
        entries=[_entry_view(entry, s.clock.now_ms()) for entry in entries],
        older=entries[-1].id if len(entries) == LOG_PAGE else None,
        only=only,
        kinds=_kinds(),
        since=SINCE,
        again=int(again) if again.isascii() and again.isdigit() and len(again) < 7 else None,
        secret=secret,
        error=error,
    )


_WHY_OFF = {
    "gone": "It answered 410: it wants no more.",
    "failing": "Ten tries over three days failed, and nothing was taken meanwhile.",
    "hand": "Turned off by hand.",
}
_OUTCOMES = {"waiting": "Waits", "taken": "Taken", "failed": "Given up"}


async def _makers(s: Services) -> Callable[[Endpoint], str]:
    """Who made an endpoint, in words; a program's are its token's maker's."""
    names = {person.id: person.name for person in await s.staff.list()}
    tokens = {token.id: token for token in await s.tokens.list()}

    def said(one: Endpoint) -> str:
        if one.made_by in ("", "cli"):
            return "Made by the command line" if one.made_by else ""
        token = tokens.get(one.made_by)
        by = names.get(token.created_by if token else one.made_by, "")
        return f"Made by {by or 'someone who left'}" + (f", by the token {token.name}" if token else "")

    return said


def _hook_view(one: Endpoint, by: str = "") -> dict[str, Any]:
    return {
        "id": one.id,
        "url": one.url,
        "by": by,
        "kinds": one.kinds,
        "hears": [means for kind, means in _kinds() if kind in one.kinds],
        "is_on": one.disabled_ms is None,
        "why": _WHY_OFF.get(one.disabled_why, ""),
        "waiting": one.waiting,
        "failed": one.failed,
        "taken_ms": one.last_taken_ms,
        "taken": words.when(one.last_taken_ms) if one.last_taken_ms else "",
    }


def _entry_view(entry: Delivery, now: int) -> dict[str, Any]:
    return {
        "id": entry.id,
        "event_id": entry.event_id,
        "kind": entry.kind,
        "data": entry.data,
        "created_ms": entry.created_ms,
        "created": words.when(entry.created_ms),
        "outcome": entry.outcome,
        "outcome_words": _OUTCOMES[entry.outcome],
        "attempts": entry.attempts,
        "answer": entry.answer,
        "took_ms": entry.took_ms if entry.tried_ms else None,
        "reply": entry.reply,
        "due_ms": entry.due_ms if entry.outcome == "waiting" and entry.due_ms > now else None,
        "due": words.when(entry.due_ms),
    }


def _kinds() -> list[tuple[str, str]]:
    return [(kind, kinds.WORDS[kind]) for kind in kinds.CHOSEN]


# ---- what both share ---------------------------------------------------------------------------


async def _own(request: Request) -> Endpoint:
    """The path's endpoint. Raises: NotFound, also for another brand's."""
    found = await services_of(request).endpoints.by_id(request.path_params["endpoint"])
    if found.brand_id not in (await reach_of(request)).brands:
        raise NotFound("endpoint", found.id)
    return found


async def _brands(request: Request) -> list[tuple[str, str]]:
    """Id and name of each brand that who asks is staff of, or of a show of which she is."""
    s: Services = services_of(request)
    reach = await reach_of(request)
    found = {one.brand_id for one in await s.shows.list() if one.id in reach.shows} | reach.brands
    return await s.merchant.brands(found)


async def _places(request: Request) -> list[tuple[str, str]]:
    """What a token may be bound to: `brand:…` and `show:…`, with words."""
    s, reach = services_of(request), await reach_of(request)
    brands = [(f"brand:{brand}", name) for brand, name in await _brands(request) if brand in reach.brands]
    shows = [
        (f"show:{one.id}", f"Only {one.title}")
        for one in await s.shows.list()
        if one.id in reach.shows or one.brand_id in reach.brands
    ]
    return [*brands, *shows]


async def _place(request: Request, asked: str) -> dict[str, str]:
    """Raises: NotFound, also for what is there and she is not staff of."""
    if asked not in dict(await _places(request)):
        raise NotFound("place", asked[:40])
    what, _, which = asked.partition(":")
    return {f"{what}_id": which}


def _one(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value.strip() if isinstance(value, str) else ""


def _number(form: FormData, name: str) -> int:
    value = _one(form, name)
    if not (value.isascii() and value.isdigit() and len(value) < 16):
        raise Invalid(name, "is no number")
    return int(value)


def _said(why: Error) -> str:
    if isinstance(why, OverLimit):
        return f"There are {why.limit} already. Revoke or remove one first."
    if isinstance(why, Conflict):
        return "This form made its token already, and a secret is shown once. Revoke that one, then make another."
    field, reason = str(why.facts["field"]), str(why.facts["why"])
    names = {"url": "The address", "name": "The name", "kinds": "What it hears"}
    if field == "scopes":  # said right below their legend
        return f"{reason.capitalize()}."
    return f"{names.get(field, field.capitalize())}: {reason.replace('_', ' ')}."
