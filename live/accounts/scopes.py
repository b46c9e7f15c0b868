"""What a program may do with a token: pure. docs/api.md lists the scopes; a test compares.

A scope opens the doors that name it, within the token's brand or show, and nothing else. `x:write` holds `x:read`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from live.accounts.roles import Grant

Scope = Literal[
    "orders:read",
    "orders:write",
    "stock:read",
    "stock:write",
    "catalogue:read",
    "catalogue:write",
    "shows:read",
    "shows:run",
    "room:read",
    "room:moderate",
    "webhooks:write",
]

WORDS: dict[Scope, str] = {
    "orders:read": "Read orders with their buyers' names and addresses",
    "orders:write": "Fulfil, cancel and refund orders",
    "stock:read": "Read what is on hand and sold",
    "stock:write": "Change what is on hand",
    "catalogue:read": "Read products, prices and pictures, also those not yet shown",
    "catalogue:write": "Add and change products",
    "shows:read": "Read shows, their run and their timeline",
    "shows:run": "Open and end shows, drop looks",
    "room:read": "Read the room as its moderators do",
    "room:moderate": "Hold, approve and delete lines, time people out and ban them",
    "webhooks:write": "Add and change webhook endpoints, replay deliveries",
}
IMPLIED: dict[Scope, tuple[Scope, ...]] = {
    "orders:write": ("orders:read",),
    "stock:write": ("stock:read",),
    "catalogue:write": ("catalogue:read",),
    "shows:run": ("shows:read",),
    "room:moderate": ("room:read",),
}
# What belongs to a brand as a whole can't be had for one of its shows.
OF_A_BRAND = frozenset(
    {"stock:read", "stock:write", "catalogue:read", "catalogue:write", "webhooks:write"},
)


class ApiToken(msgspec.Struct, frozen=True):
    """A token as it is shown: never the secret, only its first characters. Exactly one of `brand_id` and `show_id`.

    `last_used_ms` is right to the hour.
    """

    id: str
    name: str
    prefix: str
    scopes: tuple[Scope, ...]
    brand_id: str | None
    show_id: str | None
    created_by: str
    created_ms: int
    expires_ms: int | None = None
    last_used_ms: int | None = None
    revoked_ms: int | None = None

    def works(self, now_ms: int) -> bool:
        return self.revoked_ms is None and (self.expires_ms is None or now_ms < self.expires_ms)

    def grant(self, role: str) -> Grant:
        """The role of a door that this token opens, held where the token is bound to."""
        return Grant(role, self.brand_id, self.show_id)  # type: ignore[arg-type]


def opens(scopes: Iterable[Scope], scope: str) -> bool:
    """Whether `scopes` hold `scope`. A door that names none ("") is opened by none."""
    return any(scope == held or scope in IMPLIED.get(held, ()) for held in scopes) if scope else False
