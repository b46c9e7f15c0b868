"""The demo's house and its ten looks. Maison Aurelle is invented; prices are in cents of euro."""

from __future__ import annotations

from dataclasses import dataclass

from live.demo.brush import hex_colour
from live.demo.figure import Dressed, Garment, Hair

BRAND_SLUG = "maison-aurelle"
BRAND_NAME = "Maison Aurelle"
SHOW_SLUG = "first-light"
SHOW_TITLE = "First Light"
SHOW_TAGLINE = "Autumn–Winter, live from the runway"
CURRENCY = "EUR"
COUNTRY = "FR"

WOMEN = ("34", "36", "38", "40", "42")
LETTERS = ("XS", "S", "M", "L")


@dataclass(frozen=True)
class Shade:
    """A colour a look comes in."""

    name: str
    hex: str


@dataclass(frozen=True)
class Look:
    """One look. `depth`: units of each size and colour; `was_minor`: a struck-through price, or None."""

    number: int
    slug: str
    title: str
    blurb: str
    garment: Garment
    price_minor: int
    was_minor: int | None
    sizes: tuple[str, ...]
    shades: tuple[Shade, ...]
    second: str
    shoe: str
    backdrop: tuple[str, str, str]
    depth: int


@dataclass(frozen=True)
class Model:
    skin: str
    hair: Hair
    hair_colour: str


MODELS = (
    Model("#8a5a3c", "bun", "#1c1416"),
    Model("#e9bb9c", "bob", "#3a2418"),
    Model("#c98f66", "long", "#20161a"),
    Model("#5e3a28", "crop", "#120e10"),
    Model("#e6b391", "tail", "#a8743c"),
    Model("#70452e", "afro", "#1a1214"),
)

LOOKS = (
    Look(1, "marais-trench", "Marais trench", "Water-shedding cotton gabardine, cut long, with a storm flap and a belt that ties twice.",
         "trench", 69000, None, WOMEN, (Shade("Camel", "#b98a56"), Shade("Ink", "#27304a"), Shade("Moss", "#5f6a44")),
         "#f3ece0", "#2a1c18", ("#efe3d2", "#d8bf9f", "#c7a27a"), 60),
    Look(2, "vesper-column", "Vesper column gown", "Bias-cut silk satin that falls like water, slit to the knee, with a gilt waist.",
         "column", 129000, None, WOMEN, (Shade("Emerald", "#12614b"), Shade("Garnet", "#7a1730"), Shade("Midnight", "#1d2350")),
         "#c9a45c", "#b8924e", ("#dfe8df", "#a9c4b4", "#6f9a86"), 40),
    Look(3, "rive-suit", "Rive suit", "Barely-there wool, one button, shoulders drawn with a ruler; trousers that skim the floor.",
         "suit", 98000, None, WOMEN, (Shade("Midnight", "#222c52"), Shade("Chalk", "#d9d3c7"), Shade("Rust", "#8e4327")),
         "#f6f1ea", "#181820", ("#e3e6f0", "#b3bcd8", "#7f8bb8"), 60),
    Look(4, "soleil-pleats", "Soleil pleated dress", "Four hundred knife pleats, pressed by hand, that open with every step.",
         "pleats", 74000, 89000, WOMEN, (Shade("Saffron", "#d9942a"), Shade("Poppy", "#c8402e"), Shade("Sage", "#8fa184")),
         "#6e2f1a", "#5c2a1a", ("#fbefd6", "#f2cf94", "#e0a95c"), 60),
    Look(5, "neige-cape", "Neige cape", "Double-faced wool and cashmere, hand-stitched, closed by one gold button.",
         "cape", 112000, None, ("One size",), (Shade("Ivory", "#ece2d0"), Shade("Oxblood", "#64202a")),
         "#2b2a30", "#201c20", ("#dcdfe6", "#b4bccb", "#8390a8"), 120),
    Look(6, "sable-slip", "Sable slip dress", "Washed silk, French seams; shown under our loose evening blazer.",
         "slip", 46000, None, LETTERS, (Shade("Blush", "#dfa99c"), Shade("Champagne", "#dbc49a"), Shade("Slate", "#6d7a8c")),
         "#1d1b22", "#1d1b22", ("#f7e6e0", "#e8bfb4", "#cf9488"), 60),
    Look(7, "terre-knit", "Terre ribbed knit", "Merino and yak, spun in the Pyrenees, with a roll neck and deep ribs.",
         "knit", 39000, None, LETTERS, (Shade("Terracotta", "#b5583a"), Shade("Oat", "#d8c6a6"), Shade("Pine", "#2f5146")),
         "#e9dcc6", "#4a2c20", ("#f3dfd0", "#deaa8c", "#bf7856"), 80),
    Look(8, "minuit-tuxedo", "Minuit tuxedo dress", "Grain de poudre wool with satin lapels; six gold buttons, no apologies.",
         "tuxedo", 86000, None, WOMEN, (Shade("Noir", "#1b1a20"), Shade("Ivory", "#ebe3d6"), Shade("Plum", "#4c1f44")),
         "#34323c", "#14141a", ("#e6e0ea", "#b9abc8", "#85719c"), 40),
    Look(9, "opera-gown", "Opéra ball gown", "Eleven metres of silk faille over a hand-boned bodice. Eight were made.",
         "ballgown", 349000, None, ("36", "38"), (Shade("Crimson", "#a3162c"), Shade("Peacock", "#0f5668")),
         "#d8b56a", "#6a1020", ("#f2dcd8", "#d79a94", "#a85a5c"), 2),
    Look(10, "aube-bias", "Aube bridal gown", "Pearl crêpe on the bias, a draped neckline and a veil of tulle. Made to be remembered.",
         "bias", 198000, None, WOMEN, (Shade("Pearl", "#e8e0d8"), Shade("Dawn", "#e3c2b8")),
         "#ffffff", "#d8cfc4", ("#d9dbe6", "#aeb0c8", "#7f82a4"), 30),
)  # fmt: skip


def dressed(look: Look, shade: int = 0, model: int | None = None) -> Dressed:
    """`look` in its `shade`-th colour, worn by one of the house's models."""
    who = MODELS[(look.number + 1 if model is None else model) % len(MODELS)]
    return Dressed(
        garment=look.garment,
        colour=hex_colour(look.shades[shade % len(look.shades)].hex),
        second=hex_colour(look.second),
        skin=hex_colour(who.skin),
        hair=who.hair,
        hair_colour=hex_colour(who.hair_colour),
        shoe=hex_colour(look.shoe),
    )
