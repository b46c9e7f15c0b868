"""The pages' sentences and the small views that templates print: no template adds, compares or formats.

static/js/models/words.js says the same of stock and money once the page is alive.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import cache
from typing import Any

from babel import Locale
from babel.dates import format_datetime
from markupsafe import Markup

from live.events import Card, Level, Piece, ShowFacts
from live.shop import addresses
from live.shop.orders import Order
from live.stage.show import Show

FEW = 3  # units at which the stock is told in the accent
NEAR_MS = 48 * 3_600_000  # a show nearer than this is counted down to

ORDER_WORDS = {  # status: (title, lede)
    "paid": ("Thank you, {name}.", "It left the runway for you. Keep this address: it is your receipt."),
    "pending": ("Almost yours.", "We are waiting for your bank. This page will say when it answers."),
    "cancelled": ("Nothing was bought.", "The payment was not made and nothing was taken."),
    "refunded": ("Paid back.", "The whole amount is on its way to your card."),
    "part_fulfilled": ("On its way, in part.", "A part of it has left us; the rest follows."),
    "fulfilled": ("On its way.", "It left us for you."),
    "part_returned": ("Thank you, {name}.", "We have what you sent back."),
    "returned": ("We have it back.", "All of it has arrived with us."),
    "part_refunded": ("Thank you, {name}.", "A part of the amount is on its way back to your card."),
}


def stock(left: int, size: str, colour: str = "") -> str:
    """`colour` is named where there is another: a swatch alone says it to nobody who can't tell it."""
    names = [size if size.lower() != "one size" else "", colour]
    where = f" in {', '.join(filter(None, names))}" if any(names) else ""
    return f"{left} left{where}" if left > 0 else f"Sold out{where}"


def when(ms: int) -> str:
    """A moment for first paint, in UTC and saying so; the page's module puts it into the reader's zone."""
    moment = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    return format_datetime(moment, "d MMMM y, HH:mm 'UTC'", locale="en")


def show_when(show: Show | ShowFacts) -> str:
    if show.status == "live":
        return "On air now"
    if show.status == "ended":
        return f"Ended {when(show.ended_ms).partition(',')[0]}" if show.ended_ms else "Ended"
    return when(show.starts_ms) if show.starts_ms else "Soon"


def slate(picture_state: str) -> str:
    return "The picture will be right back." if picture_state == "slate" else "The picture is about to begin."


def watching(viewers: int) -> str:
    return f"{viewers:,} watching" if viewers else ""


def row_view(show: Show, now_ms: int) -> dict[str, Any]:
    """A show among others: on the front and in the studio."""
    invitations = {"live": "Watch now", "scheduled": "Save your seat", "ended": "See the looks"}
    return {
        "slug": show.slug,
        "title": show.title,
        "tagline": show.tagline,
        "poster": show.poster,
        "status": show.status,
        "starts_ms": show.starts_ms,
        "when": show_when(show),
        "countdown": show.status == "scheduled" and show.starts_ms is not None,
        **_moment_of(show),
        "invitation": invitations[show.status],
    }


def _moment_of(show: Show) -> dict[str, Any]:
    """`when` as a moment that the page puts into the reader's zone; `moment_ms` is None where it is none."""
    if show.status == "ended" and show.ended_ms:
        day = when(show.ended_ms).partition(",")[0]
        return {"moment_ms": show.ended_ms, "moment_prefix": "Ended ", "moment_words": day, "moment_how": "day"}
    if show.status == "scheduled" and show.starts_ms:
        words = when(show.starts_ms)
        return {"moment_ms": show.starts_ms, "moment_prefix": "", "moment_words": words, "moment_how": "moment"}
    return {"moment_ms": None, "moment_prefix": "", "moment_words": "", "moment_how": "moment"}


def card_view(card: Card, levels: Mapping[str, Level]) -> dict[str, Any]:
    """A card as partials/card.html prints it: the first piece, its first colour and size that can be had."""
    if not card.pieces or not card.pieces[0].variants:
        return {"look": card.look, "number": card.number, "title": card.title}
    piece = card.pieces[0]

    def left(sku: str) -> int:
        return levels[sku].left if sku in levels else 0

    chosen = next((one for one in piece.variants if left(one.sku) > 0), piece.variants[0])
    colours = {one.colour: one.colour_hex for one in piece.variants}
    return {
        "look": card.look,
        "number": card.number,
        "title": piece.title,
        "blurb": piece.blurb,
        "picture": piece.picture,
        "picture_alt": piece.picture_alt,
        "srcset": piece.srcset,
        "price": chosen.price.words(),
        "was": chosen.was.words() if chosen.was else "",
        "stock": stock(left(chosen.sku), chosen.size, chosen.colour if len(colours) > 1 else "") if levels else "",
        "few": bool(levels) and left(chosen.sku) <= FEW,
        "gone": left(chosen.sku) < 1,
        "sizes": [
            {
                "name": "size-pinned-card",
                "sku": one.sku,
                "label": one.size or "One size",
                "gone": left(one.sku) < 1,
                "checked": one.sku == chosen.sku,
            }
            for one in piece.variants
            if one.colour == chosen.colour
        ],
        "colours": [
            {"name": "colour-pinned-card", "label": colour, "hex": shade, "checked": colour == chosen.colour}
            for colour, shade in colours.items()
        ],
        "pieces": [
            {"name": "piece-pinned-card", "product": one.product, "label": one.title, "checked": one is piece}
            for one in card.pieces
        ],
    }


def tile_view(card: Card) -> dict[str, Any]:
    piece: Piece | None = card.pieces[0] if card.pieces else None
    return {
        "look": card.look,
        "number": card.number,
        "title": piece.title if piece else card.title,
        "price": piece.variants[0].price.words() if piece and piece.variants else "",
        "picture": piece.picture if piece else "",
        "picture_alt": piece.picture_alt if piece else "",
        "srcset": piece.srcset if piece else "",
    }


def order_view(order: Order) -> dict[str, Any]:
    title, lede = ORDER_WORDS[order.status]
    return {
        "number": order.number,
        "status": order.status,
        "title": title.format(name=(order.name.split() or ["you"])[0]),
        "lede": lede,
        "total": order.total.words(),
        "sums": order.sums.rows(),
        "show_slug": order.show_slug,
        "lines": [
            {
                "piece": line.title,
                "what": (
                    " · ".join(part for part in (line.size, line.colour) if part)
                    + (f" × {line.qty}" if line.qty > 1 else "")
                ).strip(),
                "price": line.amount.words(),
                "picture": line.picture,
            }
            for line in order.lines
        ],
        "facts": [
            ("Goes to", addresses.lines(order.address, order.name)),
            ("Contact", [order.email]),
            ("Bought during", [order.show_title]),
        ],
        "when_name": "Paid" if order.paid_ms else "Placed",
        "when_ms": order.paid_ms or order.created_ms,
        "when": when(order.paid_ms or order.created_ms),
    }


def countries(accept_language: str) -> Markup:
    """The options of the form, by name. Chosen is the region of the browser's language, if it says one."""
    _, _, region = accept_language.partition(",")[0].partition(";")[0].strip().partition("-")
    region = region.upper()
    return _options(region if region in country_names() else "")


@cache
def _options(region: str) -> Markup:
    """250 of them, the same for everybody of a region: to lay them out for each page took a third of its time."""
    option, chosen = Markup('<option value="{}">{}</option>'), Markup('<option value="{}" selected>{}</option>')
    listed = {"": "Choose", **country_names()}
    return Markup("").join((chosen if code == region else option).format(code, name) for code, name in listed.items())


@cache
def country_names() -> dict[str, str]:
    """Names by code, in the order of the names."""
    names = {str(code): str(name) for code, name in Locale("en").territories.items()}
    codes = [code for code in names if len(code) == 2 and code.isalpha() and code not in ("ZZ", "EU", "UN", "QO")]
    return {code: names[code] for code in sorted(codes, key=names.__getitem__)}
