"""Every kind that live sends or takes over the room's socket, typed. `docs/protocol.md` lists the same; a test compares.

Three catalogues: EVENTS go to everyone in a show (numbered, unless volatile), PRIVATE to one person or to staff,
INTENTS come from a page and name the least role that may send them. chat's own kinds (lines, presence, hearts,
moderation) are in `chat/kinds.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from live.money import Money

ShowStatus = Literal["scheduled", "live", "ended"]
PictureState = Literal["waiting", "live", "slate"]
OrderStatus = Literal["pending", "paid", "cancelled", "refunded"]
CartLineState = Literal["held", "lapsed", "paying"]


# ---- what a page shows -------------------------------------------------------------------------


class Variant(msgspec.Struct, frozen=True):
    """One size and colour of a piece. `was` is a struck-through price, or None."""

    sku: str
    size: str
    colour: str
    colour_hex: str
    price: Money
    was: Money | None = None


class Piece(msgspec.Struct, frozen=True):
    """A product as its card shows it. `picture` is a path on this server; `picture_alt` says what it shows."""

    product: str
    title: str
    brand: str
    blurb: str
    picture: str
    picture_alt: str
    variants: list[Variant]


class Card(msgspec.Struct, frozen=True):
    """A look that was dropped: one piece or several. `at` is the media time in ms, `dropped_ms` server time."""

    look: str
    number: int
    title: str
    pieces: list[Piece]
    at: int
    dropped_ms: int


class Level(msgspec.Struct, frozen=True):
    """Units of a SKU that can still be held. `rev` grows with each change of it: keep the higher, drop the lower."""

    left: int
    rev: int


class ShowFacts(msgspec.Struct, frozen=True):
    """The show itself. `starts_ms`, `opened_ms`, `ended_ms` are server time, or None."""

    id: str
    slug: str
    title: str
    tagline: str
    brand: str
    status: ShowStatus
    starts_ms: int | None
    opened_ms: int | None
    ended_ms: int | None
    hold_ttl_s: int
    currency: str
    poster: str


class Picture(msgspec.Struct, frozen=True):
    """waiting: no publisher yet; live; slate: it dropped and may come back. `media_ms` was the media time at
    server time `wall_ms`: the two together give the media time of any moment while live."""

    state: PictureState
    media_ms: int
    wall_ms: int


class CartLine(msgspec.Struct, frozen=True):
    """A line of the bag. `held_until_ms` is server time; a lapsed line keeps its place so that it can be held again."""

    sku: str
    qty: int
    look: str
    piece: str
    picture: str
    size: str
    colour: str
    price: Money
    state: CartLineState
    held_until_ms: int


class Cart(msgspec.Struct, frozen=True):
    """One person's bag in a show. `rev` grows with each change: keep the higher."""

    lines: list[CartLine]
    total: Money
    rev: int


class LookRow(msgspec.Struct, frozen=True):
    """A row of the run of show, for staff. `state`: waiting, dropped (its card is out), withdrawn."""

    look: str
    number: int
    title: str
    state: Literal["waiting", "dropped", "withdrawn"]
    pieces: list[Piece]
    at: int | None


class Tally(msgspec.Struct, frozen=True):
    """Figures for the host: people watching, units in holds, orders paid and their sum."""

    viewers: int
    held: int
    orders: int
    revenue: Money


class LiveSnapshot(msgspec.Struct, frozen=True):
    """live's part of `welcome` and `reset`. `pinned` is the look whose card is up, or None. `runsheet` and `tally`
    are for staff, else None."""

    show: ShowFacts
    picture: Picture
    cards: list[Card]
    pinned: str | None
    stock: dict[str, Level]
    cart: Cart
    runsheet: list[LookRow] | None = None
    tally: Tally | None = None


# ---- events: past tense ------------------------------------------------------------------------


class ShowOpened(msgspec.Struct, frozen=True):
    show: ShowFacts


class ShowEnded(msgspec.Struct, frozen=True):
    show: ShowFacts


class PictureChanged(msgspec.Struct, frozen=True):
    picture: Picture


class CardDropped(msgspec.Struct, frozen=True):
    """The card is out and pinned. `stock` holds its SKUs' levels at that moment."""

    card: Card
    stock: dict[str, Level]


class CardWithdrawn(msgspec.Struct, frozen=True):
    """Un-dropped: the card goes, `pinned` is the look that is up now. Pieces held stay held."""

    look: str
    pinned: str | None


class StockChanged(msgspec.Struct, frozen=True):
    stock: dict[str, Level]


class CartChanged(msgspec.Struct, frozen=True):
    cart: Cart


class OrderChanged(msgspec.Struct, frozen=True):
    """The buyer's order moved. `token` opens `/orders/{token}`."""

    order: str
    number: str
    status: OrderStatus
    token: str
    total: Money


class RunsheetChanged(msgspec.Struct, frozen=True):
    runsheet: list[LookRow]


class TallyChanged(msgspec.Struct, frozen=True):
    tally: Tally


EVENTS: dict[str, type[msgspec.Struct]] = {
    "show.opened": ShowOpened,
    "show.ended": ShowEnded,
    "picture.changed": PictureChanged,
    "card.dropped": CardDropped,
    "card.withdrawn": CardWithdrawn,
    "stock.changed": StockChanged,
}

PRIVATE: dict[str, type[msgspec.Struct]] = {
    "cart.changed": CartChanged,
    "order.changed": OrderChanged,
    "runsheet.changed": RunsheetChanged,
    "tally.changed": TallyChanged,
}


# ---- intents: imperative -----------------------------------------------------------------------


class CartAdd(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Hold `qty` more of `sku`. Answer: {"cart": Cart}. Refused: sold_out, over_limit, not_live, invalid."""

    sku: str
    qty: int = 1


class CartRemove(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Give the line back to stock. Answer: {"cart": Cart}."""

    sku: str


class LookIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which look. Answer: {"look": id}. Refused: not_found, wrong_state."""

    look: str


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """No body."""


INTENTS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "cart.add": (CartAdd, "viewer"),
    "cart.remove": (CartRemove, "viewer"),
    "card.drop": (LookIntent, "host"),
    "card.withdraw": (LookIntent, "host"),
    "look.next": (Nothing, "host"),
    "show.open": (Nothing, "host"),
    "show.end": (Nothing, "host"),
}
