"""THE table: every address this server answers, who may come in, and what guards it.

A door states its least role: `anyone` needs no session; `viewer` a session; `moderator`, `host` and `staff` are held in
the show of the path's `{slug}`, or, without one, in any show. An unsafe door states how it knows that the person meant
it: `csrf` (token and Origin), `bearer` (a key in the Authorization header) or `signed` (a provider's signature).
There is no default: a door that says neither isn't built, and a route that isn't in this table isn't served.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from live.web import api, health, pages, studio, whip

Endpoint = Callable[[Request], Awaitable[Response]]
Least = Literal["anyone", "viewer", "moderator", "host", "staff"]
Guard = Literal["read", "csrf", "bearer", "signed", "open"]
Kind = Literal["page", "api", "media", "house"]

SAFE = frozenset({"GET", "OPTIONS"})
BODY_MAX = 16 * 1024  # bytes: the longest JSON we take is a checkout
SDP_MAX = 64 * 1024  # bytes: a browser's offer with its candidates


@dataclass(frozen=True)
class Door:
    """One route. `kind` picks how errors are told (page: HTML; else problem JSON) and which headers go along."""

    methods: frozenset[str]
    path: str
    endpoint: Endpoint
    least: Least
    guard: Guard
    kind: Kind
    body_max: int = BODY_MAX
    a_minute: int = 120  # requests one person may make here in a minute
    framed: bool = False  # our own pages may show it in a frame

    def __post_init__(self) -> None:
        unsafe = bool(self.methods - SAFE)
        if unsafe == (self.guard == "read"):
            raise TypeError(f"{self.path}: an unsafe door states its guard, a safe one reads")

    @property
    def name(self) -> str:
        """`api.cart_add`: for logs and figures, where the path itself may hold a secret."""
        return f"{self.endpoint.__module__.rpartition('.')[2]}.{self.endpoint.__name__}"

    @property
    def of_a_show(self) -> bool:
        return bool(re.search(r"\{slug\}", self.path))


def _door(
    what: str,
    endpoint: Endpoint,
    least: Least,
    guard: Guard,
    kind: Kind,
    *,
    body_max: int = BODY_MAX,
    a_minute: int = 120,
    framed: bool = False,
) -> Door:
    method, path = what.split()
    return Door(frozenset(method.split(",")), path, endpoint, least, guard, kind, body_max, a_minute, framed)


DOORS: tuple[Door, ...] = (
    # pages
    _door("GET /", pages.home, "anyone", "read", "page"),
    _door("GET /shows/{slug}", pages.show, "anyone", "read", "page"),
    _door("GET /orders/{token}", pages.order, "anyone", "read", "page"),
    _door("GET /sign-in", pages.sign_in, "anyone", "read", "page"),
    _door("POST /sign-in", pages.sign_in, "viewer", "csrf", "page", a_minute=20),
    _door("GET /sign-in/{token}", pages.sign_in_link, "anyone", "read", "page", a_minute=30),
    _door("POST /sign-out", pages.sign_out, "viewer", "csrf", "page"),
    _door("GET /studio", studio.index, "moderator", "read", "page"),
    _door("GET /studio/shows/{slug}", studio.show, "host", "read", "page"),
    _door("GET /studio/shows/{slug}/room", studio.room, "moderator", "read", "page"),
    _door("GET /sandbox/pay/{ref}", pages.sandbox_pay, "anyone", "read", "page", framed=True),
    _door("POST /sandbox/pay/{ref}", api.sandbox_choose, "viewer", "csrf", "api"),
    # the show and the bag
    _door("GET /api/shows/{slug}", api.snapshot, "viewer", "read", "api"),
    _door("POST /api/shows/{slug}/cart", api.cart_add, "viewer", "csrf", "api"),
    _door("DELETE /api/shows/{slug}/cart/{sku}", api.cart_remove, "viewer", "csrf", "api"),
    _door("POST /api/shows/{slug}/checkout", api.checkout, "viewer", "csrf", "api", a_minute=30),
    _door("GET /api/orders/{token}", api.order, "anyone", "read", "api"),
    _door("POST /api/name", api.name, "viewer", "csrf", "api", a_minute=20),
    # running the show
    _door("POST /api/shows/{slug}/open", api.show_open, "host", "csrf", "api"),
    _door("POST /api/shows/{slug}/end", api.show_end, "host", "csrf", "api"),
    _door("POST /api/shows/{slug}/looks/{look}/drop", api.look_drop, "host", "csrf", "api"),
    _door("POST /api/shows/{slug}/looks/{look}/withdraw", api.look_withdraw, "host", "csrf", "api"),
    _door("POST /api/shows/{slug}/next", api.look_next, "host", "csrf", "api"),
    _door("POST /api/shows/{slug}/publish-key", api.publish_key, "host", "csrf", "api", a_minute=10),
    _door("GET /api/shows/{slug}/stats", api.stats, "staff", "read", "api"),
    # the payment provider
    _door("POST /api/payments/sandbox/events", api.sandbox_event, "anyone", "signed", "api", a_minute=6000),
    # the picture
    _door("GET,POST,OPTIONS /whip/{slug}", whip.publish, "anyone", "bearer", "media", body_max=SDP_MAX),
    _door(
        "PATCH,DELETE,OPTIONS /whip/{slug}/{session}",
        whip.publish_session,
        "anyone",
        "bearer",
        "media",
        body_max=SDP_MAX,
    ),
    _door("GET,POST,OPTIONS /whep/{slug}", whip.play, "anyone", "open", "media", body_max=SDP_MAX),
    _door(
        "PATCH,DELETE,OPTIONS /whep/{slug}/{session}", whip.play_session, "anyone", "open", "media", body_max=SDP_MAX
    ),
    # the house
    _door("GET /healthz", health.healthz, "anyone", "read", "house", a_minute=6000),
    _door("GET /readyz", health.readyz, "anyone", "read", "house", a_minute=6000),
    _door("GET /metrics", health.metrics, "anyone", "read", "house", a_minute=6000),
)
