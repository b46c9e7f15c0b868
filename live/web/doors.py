"""A door: one address of the server, with what guards it.

A door states its least role: `anyone` needs no session; `viewer` a session; `moderator`, `host` and `staff` are held in
the show of the path's `{slug}`, or, without one, in any show. An unsafe door states how it knows that the person meant
it: `csrf` (token and Origin), `bearer` (a key in the Authorization header), `signed` (a provider's signature) or `open`
(what it does harms nobody: asking for the picture).

A door that programs may use names a `scope` as well: whoever brings a token with it (`Authorization: Bearer fr_…`)
passes within the token's brand or show as one who holds the door's least role there, and needs neither session nor
CSRF. A door that names none is closed to tokens.

A `stream` is asked for several times a second by each viewer and waits for what comes next: it takes no place in the
turnstile, which is for work, and reads no session by itself; its rate is counted by network.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from live.accounts.scopes import Scope

Endpoint = Callable[[Request], Awaitable[Response]]
Least = Literal["anyone", "viewer", "moderator", "host", "staff"]
Guard = Literal["read", "csrf", "bearer", "signed", "open"]
Kind = Literal["page", "api", "media", "stream", "house"]

SAFE = frozenset({"GET", "OPTIONS"})
BODY_MAX = 16 * 1024  # bytes: the longest JSON we take is a checkout
EVENT_MAX = 256 * 1024  # bytes: a payment provider tells the whole object with its event
ANSWERS_WITHIN_S = 20  # a checkout waits for its provider
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
    scope: Scope | None = None  # what a token must hold to come in; None: no token does
    within_s: float = ANSWERS_WITHIN_S  # a file on a slow line takes longer than a store that hangs may

    def __post_init__(self) -> None:
        unsafe = bool(self.methods - SAFE)
        if unsafe == (self.guard == "read"):
            raise TypeError(f"{self.path}: an unsafe door states its guard, a safe one reads")
        if self.scope and not (self.kind == "api" and self.guard in ("read", "csrf") and self.least != "anyone"):
            raise TypeError(f"{self.path}: a scope is for doors of the API that ask who comes")

    @property
    def name(self) -> str:
        """`api.cart_add`: for logs and figures, where the path itself may hold a secret."""
        return f"{self.endpoint.__module__.rpartition('.')[2]}.{self.endpoint.__name__}"

    @property
    def of_a_show(self) -> bool:
        return bool(re.search(r"\{slug\}", self.path))


def door(
    what: str,
    endpoint: Endpoint,
    least: Least,
    guard: Guard,
    kind: Kind,
    *,
    body_max: int = BODY_MAX,
    a_minute: int = 120,
    framed: bool = False,
    scope: Scope | None = None,
    within_s: float = ANSWERS_WITHIN_S,
) -> Door:
    """The door at `what`: "GET /shows/{slug}", several methods by comma."""
    method, path = what.split()
    return Door(
        frozenset(method.split(",")), path, endpoint, least, guard, kind, body_max, a_minute, framed, scope, within_s
    )
