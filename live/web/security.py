"""Who asks, and whether they may: sessions by cookie, tokens, roles by show, CSRF and Origin, sizes and rates.

Every request passes `guarded(door)`, in this order: size, token or session, rate, role, intent (CSRF); then the
endpoint. A token stands for a session of its own (`.person` is the token's id), and holds the door's least role where
it is bound to. Endpoints find `request.state.session` (a Session; `.known` says whether the browser has one),
`request.state.door`, `request.state.show` (doors with a `{slug}` that need a role in it) and
`request.app.state.services`.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.types import Message, Receive

from chat.ports import Member
from live.accounts.roles import LADDER, Grant, badge, implied, roles_anywhere, roles_in
from live.accounts.scopes import ApiToken, opens
from live.accounts.sessions import LIFE_S, NOBODY, Session
from live.accounts.tokens import MARK
from live.desk.wiring import Services
from live.errors import BadToken, Error, Forbidden, SignInNeeded, StoreDown, Throttled
from live.ids import sign, unsign
from live.settings import Settings
from live.stage.show import Show
from live.web import errors
from live.web.doors import Door
from live.web.reading import form_of, no_nul
from live.web.sdp_http import CORS
from live.web.speech import keep_word

log = structlog.get_logger()

REDIS_ANSWERS_WITHIN_S = 3
NETWORK_A_MINUTE = 12_000  # requests from one network: a full hall behind one address, and still a bound
TOKEN_A_MINUTE = 1_200  # requests of one token, over all doors
BAD_TOKENS_A_MINUTE = 60  # from one network: each costs a look into SQL
SESSIONS_A_MINUTE = 3_000  # new sessions from one network: each costs the store half a kilobyte for a month


def cookie_name(settings: Settings) -> str:
    """`__Host-` ties the cookie to this very host over https (RFC 6265bis, section 4.1.3.2)."""
    return "__Host-frontrow" if settings.is_https else "frontrow"


def device_cookie(settings: Settings) -> str:
    """The cookie that names a device which asked to be remembered, longer than a session lives."""
    return f"{cookie_name(settings)}-device"


def guarded(door: Door) -> Callable[[Request], Awaitable[Response]]:
    """The door's endpoint behind everything that guards it."""

    async def endpoint(request: Request) -> Response:
        request = Request(request.scope, _capped(request.receive, door.body_max))
        request.state.door = door
        if door.framed:
            request.state.frame_ancestors = "'self'"
        try:
            _declared_size(request, door.body_max)
            no_nul(request)
            # Health must answer when every store is down and every place is taken; a stream only waits.
            if door.kind in ("house", "stream"):
                response = await _answered(request, door)
            else:
                async with request.app.state.turnstile.inside():
                    response = await _answered(request, door)
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it; the log does
        except Exception as error:
            response = await errors.respond(request, error)
            if door.kind == "media":
                response.headers.update(CORS)  # refused before its endpoint: too many, too long, a store that is down
        _set_cookie(request, response)
        return response

    endpoint.__name__ = door.name
    return endpoint


async def _answered(request: Request, door: Door) -> Response:
    # A store that hangs (a stopped process, a lost host) answers no differently from one that is slow: at some point
    # it counts as down.
    async with asyncio.timeout(door.within_s):
        if door.kind == "stream":
            await _hit(request.app.state.services, door.name, _network(request), door.a_minute)
        elif door.kind != "house":
            token = request.state.token = await _token(request, door)
            request.state.session = await _session(request, door) if token is None else _session_of(token)
            await _rate(request, door)
            await _role(request, door)
        # A browser sends cookies with any page's request, but never somebody's token: there is nothing to ask for.
        if door.guard == "csrf" and token_of(request) is None:
            await _meant(request)
        response = await door.endpoint(request)
        keep_word(door.endpoint, response)
        return response


# ---- for endpoints -----------------------------------------------------------------------------


async def member_of(request: HTTPConnection, show: Show, session: Session | None = None) -> Member:
    """Who asks, as the room and the desk know her, with every role she holds in `show`."""
    session = session or request.state.session
    services: Services = request.app.state.services
    roles = roles_in(await grants_of(request, session), show_id=show.id, brand_id=show.brand_id)
    return Member(
        person=session.person,
        name=session.name,
        roles=roles if session.known else implied("viewer"),
        device=session.device,
        session=session.id,
        badge=badge(roles),
        network=network_of(request, services.settings.key),
        since_ms=session.opened_ms,
    )


async def session_of(request: Request) -> Session:
    """The session of who asks at a `stream`, which reads none by itself."""
    return await _session(request, request.state.door)


async def grants_of(request: HTTPConnection, session: Session) -> list[Grant]:
    """What the signed-in member of staff was granted: read once a request, never from the session, so that a role
    taken away is gone at once. A token holds the role of the door that it opens, where it is bound to."""
    token = token_of(request)
    if token is not None:
        least = request.state.door.least
        return [token.grant(least if least in LADDER else "viewer")]
    if not session.staff_id:
        return []
    kept: list[Grant] | None = getattr(request.state, "grants", None)
    if kept is None:
        services: Services = request.app.state.services
        kept = await services.staff.grants(session.staff_id)
        request.state.grants = kept
    return kept


@dataclass(frozen=True)
class Reach:
    """The brands and single shows over which who asks holds the door's role: what its lists may tell of."""

    brands: frozenset[str]
    shows: frozenset[str]


async def reach_of(request: Request) -> Reach:
    """For doors without a show in their path: everything they answer with lies within this."""
    session: Session = request.state.session
    least = request.state.door.least
    grants = [grant for grant in await grants_of(request, session) if least in implied(grant.role)]
    return Reach(
        frozenset(grant.brand_id for grant in grants if grant.brand_id is not None),
        frozenset(grant.show_id for grant in grants if grant.show_id is not None),
    )


def token_of(request: HTTPConnection) -> ApiToken | None:
    """The token by which a program asks; None for a person's browser."""
    token: ApiToken | None = getattr(request.state, "token", None)
    return token


def actor_of(request: Request) -> str:
    """Who is to be written down for what is done here: someone of the staff, a program's token, or a viewer."""
    session: Session = request.state.session
    return session.staff_id or session.person


async def enter(request: Request, *, staff_id: str = "", person: str = "", name: str = "") -> Session:
    """Sign in: a new session under a new token, so that one planted before is worth nothing (session fixation).

    A member of staff keeps the person and the bag she had as a guest; a guest's link brings its own person.
    """
    services: Services = request.app.state.services
    before: Session = request.state.session
    token, session = await services.sessions.open(
        person=person or before.person, device=before.device, staff_id=staff_id, name=name or before.name
    )
    if before.known:
        await services.people.end_session(before.id)
    request.state.session, request.state.fresh_cookie = session, token
    return session


async def leave(request: Request) -> Session:
    """Sign out: the session ends, its live sockets close everywhere, and the browser is a new guest's."""
    services: Services = request.app.state.services
    before: Session = request.state.session
    if before.known:
        await services.people.end_session(before.id)
    token, session = await services.sessions.open(device=before.device)
    request.state.session, request.state.fresh_cookie = session, token
    return session


def network_of(request: HTTPConnection, key: str) -> str:
    """A keyed hash of the client's network (IPv4 address, IPv6 /64), or "" for this machine's own. The address is the
    one uvicorn vouches for: forwarded headers count only from `trusted_proxies`."""
    try:
        address = ipaddress.ip_address(request.client.host if request.client else "")
    except ValueError:
        return ""
    if address.is_loopback:
        return ""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        else:
            return sign(key, "network", str(ipaddress.ip_network((address, 64), strict=False)))
    return sign(key, "network", str(address))


def is_local(request: HTTPConnection) -> bool:
    """Asked from this machine itself, and not through a proxy on it."""
    try:
        local = ipaddress.ip_address(request.client.host if request.client else "").is_loopback
    except ValueError:
        return False
    return local and not {"x-forwarded-for", "forwarded", "via"} & set(request.headers.keys())


# ---- the checks --------------------------------------------------------------------------------


def _declared_size(request: Request, limit: int) -> None:
    try:
        length = int(request.headers.get("content-length", "0"))
    except ValueError:
        raise HTTPException(400) from None
    if length > limit:
        raise HTTPException(413)


def _capped(receive: Receive, limit: int) -> Receive:
    """`receive` that stops at `limit` bytes of body: a chunked request declares no length."""
    taken = 0

    async def capped() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise HTTPException(413)
        return message

    return capped


async def _token(request: Request, door: Door) -> ApiToken | None:
    """The token of a program that asks. One that is brought decides: a cookie beside it counts for nothing.

    Raises: BadToken; Forbidden where no token comes in, or none with its scopes. Fails closed with SQL away.
    """
    if door.kind != "api" or door.guard not in ("read", "csrf"):
        return None  # pages know no tokens; elsewhere Authorization holds another key
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    secret = secret.strip()
    if scheme.lower() != "bearer" or not secret.startswith(MARK):
        return None
    services: Services = request.app.state.services
    token = await services.tokens.by_secret(secret)
    if token is None:
        await _hit(services, "badtoken", _network(request), BAD_TOKENS_A_MINUTE)
        raise BadToken()
    if door.scope is None and door.least != "anyone":
        raise Forbidden("session")
    if door.scope is not None and not opens(token.scopes, door.scope):
        raise Forbidden(door.scope)
    await services.tokens.used(token)
    return token


def _session_of(token: ApiToken) -> Session:
    return Session(id=token.id, person=token.id, name=token.name)


async def _session(request: Request, door: Door) -> Session:
    """The cookie's session; a new guest's when a page is opened without one.

    A page fails open: with Redis away it is shown to nobody in particular. Everything unsafe fails closed.
    """
    services: Services = request.app.state.services
    token = request.cookies.get(cookie_name(services.settings), "")
    try:
        async with asyncio.timeout(REDIS_ANSWERS_WITHIN_S):
            session = await services.sessions.get(token) if token else None
            if session is None and door.kind == "page" and request.method in ("GET", "HEAD"):
                await _hit(services, "open", network_of(request, services.settings.key), SESSIONS_A_MINUTE)
                token, session = await services.sessions.open(device=_device(request, services.settings))
    except (RedisError, OSError, StoreDown) as error:
        log.warning("session.unknown", error=type(error).__name__)
        if door.guard == "read" and door.least == "anyone":
            return NOBODY
        raise StoreDown("redis") from error
    if session is None:
        return NOBODY
    if door.kind == "page":
        request.state.fresh_cookie = token  # its thirty days start again
    return session


def _device(request: Request, settings: Settings) -> str:
    """The device that the browser was remembered as; "" when it was not, or the cookie is not of our making."""
    return unsign(settings.key, "device", request.cookies.get(device_cookie(settings), "")) or ""


async def _rate(request: Request, door: Door) -> None:
    """Fails open: see Throttle."""
    services: Services = request.app.state.services
    session: Session = request.state.session
    network = network_of(request, services.settings.key)
    token = token_of(request)
    await asyncio.gather(
        _hit(services, "token", token.id if token else "", TOKEN_A_MINUTE),
        _hit(services, "net", network, NETWORK_A_MINUTE),
        _hit(services, door.name, session.id or network, door.a_minute),
    )


def _network(request: Request) -> str:
    services: Services = request.app.state.services
    return network_of(request, services.settings.key)


async def _hit(services: Services, what: str, who: str, limit: int) -> None:
    if who and (wait_s := await services.throttle.hit(what, who, limit=limit, window_s=60)):
        raise Throttled(wait_s)


async def _role(request: Request, door: Door) -> None:
    if door.least == "anyone":
        return
    session: Session = request.state.session
    if not session.known:
        raise SignInNeeded()
    token = token_of(request)
    if door.least == "viewer" and token is None:
        return
    if door.of_a_show:
        services: Services = request.app.state.services
        show = request.state.show = await services.shows.by_slug(request.path_params["slug"])
        if token is not None and token.show_id != show.id and token.brand_id != show.brand_id:
            raise Forbidden("token_of_this_show")  # everyone is a viewer everywhere; a token is not
        roles = (await member_of(request, show)).roles
    else:
        roles = roles_anywhere(await grants_of(request, session))
    if door.least not in roles:
        # A guest is asked to sign in; for one of the staff signing in again would change nothing.
        raise Forbidden(door.least) if session.staff_id else _sign_in_or_forbidden(door)


def _sign_in_or_forbidden(door: Door) -> Error:
    return SignInNeeded() if door.kind == "page" else Forbidden(door.least)


async def _meant(request: Request) -> None:
    """The person at the browser meant it: the request comes from one of our pages, and brings the session's token.

    Raises: Forbidden, with what was missing.
    """
    services: Services = request.app.state.services
    if request.headers.get("origin") not in services.settings.origins:
        raise Forbidden("origin")
    token = request.headers.get("x-csrf") or await _form_token(request)
    if not hmac.compare_digest(token.encode(), request.state.session.csrf.encode()):
        raise Forbidden("csrf")


async def _form_token(request: Request) -> str:
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        return ""
    return str((await form_of(request)).get("csrf", ""))


def _set_cookie(request: Request, response: Response) -> None:
    token = getattr(request.state, "fresh_cookie", None)
    if token is None:
        return
    settings: Settings = request.app.state.services.settings
    response.set_cookie(
        cookie_name(settings), token, max_age=LIFE_S, path="/", secure=settings.is_https, httponly=True, samesite="lax"
    )
