"""What search engines read of a show: its pieces and their offers, in schema.org's words. Pure.

Only cards that are out are told: it is made of the same snapshot that a viewer gets, so what waits for its drop can't
be in it. Source: developers.google.com/search/docs/appearance/structured-data/product
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from live.events import Card, Level, Piece, ShowFacts, Variant
from live.shop.web_sizes import jpeg_of

AVAILABLE = {True: "https://schema.org/InStock", False: "https://schema.org/SoldOut"}


def pieces_of(show: ShowFacts, cards: Sequence[Card], stock: Mapping[str, Level], base_url: str) -> dict[str, Any]:
    """A list of the pieces that are out, each once, in the order they walked; nothing when none is."""
    pieces = {piece.product: piece for card in cards for piece in card.pieces}
    if not pieces:
        return {}
    return {
        "@context": "https://schema.org",
        "@type": "ItemList",
        "name": show.title,
        "itemListElement": [
            {"@type": "ListItem", "position": place, "item": _product(show, piece, stock, base_url)}
            for place, piece in enumerate(pieces.values(), start=1)
        ],
    }


def _product(show: ShowFacts, piece: Piece, stock: Mapping[str, Level], base_url: str) -> dict[str, Any]:
    told = {
        "@type": "Product",
        "name": piece.title,
        "description": piece.blurb,
        "image": f"{base_url}{jpeg_of(piece.picture)}" if piece.picture else "",
        "productID": piece.product,
        "brand": {"@type": "Brand", "name": piece.brand},
        "offers": [_offer(show, variant, stock, base_url) for variant in piece.variants],
    }
    return {name: value for name, value in told.items() if value}


def _offer(show: ShowFacts, variant: Variant, stock: Mapping[str, Level], base_url: str) -> dict[str, Any]:
    offer: dict[str, Any] = {
        "@type": "Offer",
        "sku": variant.sku,
        "name": " · ".join(part for part in (variant.size, variant.colour) if part),
        "price": variant.price.plain(),
        "priceCurrency": variant.price.currency,
        "url": f"{base_url}/shows/{show.slug}",
        "itemCondition": "https://schema.org/NewCondition",
    }
    if variant.gtin:
        offer["gtin"] = variant.gtin
    if show.status != "live":
        offer["availability"] = "https://schema.org/OutOfStock"  # it was sold in the show
    elif variant.sku in stock:
        offer["availability"] = AVAILABLE[stock[variant.sku].left > 0]
    return {name: value for name, value in offer.items() if value}
