"""Who may do what, over a show or a brand: pure.

The ladder is viewer < moderator < host < staff. Holding a rung implies the ones below it: a host moderates her
show, the brand's staff host every show of the brand. Whoever has a session is a viewer everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

Role = Literal["viewer", "moderator", "host", "staff"]
LADDER: tuple[Role, ...] = ("viewer", "moderator", "host", "staff")
GRANTABLE: tuple[Role, ...] = ("moderator", "host", "staff")


class Grant(msgspec.Struct, frozen=True):
    """A role over every show of a brand, or over one show: exactly one of the two scopes is set."""

    role: Role
    brand_id: str | None = None
    show_id: str | None = None


def implied(role: str) -> frozenset[str]:
    """The role and those below it; nothing for a word that is no role, so a misspelt grant opens no door."""
    return frozenset(LADDER[: LADDER.index(role) + 1]) if role in LADDER else frozenset()


def roles_in(grants: Iterable[Grant], *, show_id: str, brand_id: str) -> frozenset[str]:
    """Every role that `grants` give in one show. A viewer at least."""
    held = set(implied("viewer"))
    for grant in grants:
        if grant.show_id == show_id or (grant.show_id is None and grant.brand_id == brand_id):
            held |= implied(grant.role)
    return frozenset(held)


def roles_anywhere(grants: Iterable[Grant]) -> frozenset[str]:
    """Every role held over at least one show: what opens the studio's front door, and no show's."""
    return frozenset().union(implied("viewer"), *(implied(grant.role) for grant in grants))


def badge(roles: frozenset[str]) -> str:
    """The badge beside a name in the chat: the highest rung above viewer, or none."""
    return next((role for role in reversed(LADDER[1:]) if role in roles), "")
