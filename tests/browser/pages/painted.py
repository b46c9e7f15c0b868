"""Stand-ins for the screenshots: stills painted by Pillow, a show with its looks, and a picture and a socket that
need no server. Nothing of the product uses them."""

from __future__ import annotations

import io
import random
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from live.events import (
    Card,
    Cart,
    CartLine,
    Drop,
    Level,
    LiveSnapshot,
    LookRow,
    Picture,
    Piece,
    Place,
    ShowFacts,
    Tally,
    Variant,
)
from live.media.seen import LayerSeen, LineSeen, PictureSeen, ShowSeen, together
from live.money import Money

from .painted_room import NOW_MS, lines, questions

LOOKS = [
    (
        "Draped column dress",
        "Silk charmeuse cut on the bias, closed with a single covered button.",
        89000,
        119000,
        "#1d1b1a",
    ),
    ("Sculpted wool coat", "Double-faced wool, shoulders set by hand in one piece.", 145000, None, "#6d5a48"),
    ("Asymmetric knit", "Merino and mohair, one sleeve longer than the other on purpose.", 42000, None, "#a8927a"),
    ("Pleated trousers", "High waist, two deep pleats, tropical wool.", 39000, 52000, "#2f3a45"),
    ("Paper taffeta blouse", "It rustles before you see it. Washed taffeta, tied at the neck.", 34000, None, "#efe6d8"),
    ("Leather half-moon bag", "Vegetable-tanned, closes with its own weight.", 68000, None, "#7c2f22"),
    (
        "Evening tuxedo",
        "One row of buttons, satin lapel, cut to be worn with nothing under it.",
        128000,
        None,
        "#0f0f12",
    ),
    ("Organza cape", "Nine layers of silk organza, none of them straight.", 98000, 134000, "#c7b6c9"),
]


def facts(status: str = "live", *, title: str = "Winter, Unbuttoned") -> ShowFacts:
    return ShowFacts(
        id="shw_1",
        slug="winter",
        title=title,
        tagline="Forty looks for the cold months, bought as they walk.",
        brand="Maison Aurel",
        status=status,  # type: ignore[arg-type]
        starts_ms=NOW_MS + 2 * 86_400_000 + 5_000_000,
        opened_ms=NOW_MS - 600_000 if status != "scheduled" else None,
        ended_ms=NOW_MS - 60_000 if status == "ended" else None,
        hold_ttl_s=300,
        currency="EUR",
        poster="/media/poster.jpg",
    )


def piece(number: int) -> Piece:
    title, blurb, price, was, shade = LOOKS[number - 1]
    colours = [("Black", "#161514"), ("Bone", "#e9dfcd")] if number in (1, 3) else [("Black", shade)]
    sizes = [""] if "bag" in title.lower() else ["XS", "S", "M", "L"]
    variants = [
        Variant(
            f"L{number}-{colour[:2].upper()}-{size or 'ONE'}",
            size,
            colour,
            hexa,
            Money(price, "EUR"),
            Money(was, "EUR") if was else None,
        )
        for colour, hexa in colours
        for size in sizes
    ]
    return Piece(f"prd_{number}", title, "Maison Aurel", blurb, f"/media/look-{number}.jpg", title, variants)


# How the pinned card's drop stands, by name: its terms, and where the buyer stands.
DROPS: dict[str, tuple[Drop, Place | None]] = {
    "": (Drop(), None),
    "soon": (Drop(opens_ms=NOW_MS + 9_000, limit=2), None),
    "join": (Drop(opens_ms=NOW_MS + 38_000, limit=1, hot=True, commitment="c"), None),
    "lobby": (Drop(opens_ms=NOW_MS + 38_000, limit=1, hot=True, commitment="c"), Place("look_3", "lobby")),
    "line": (Drop(opens_ms=NOW_MS - 1, limit=1, hot=True, commitment="c"), Place("look_3", "line", 1_284)),
    "turn": (
        Drop(opens_ms=NOW_MS - 1, limit=1, hot=True, commitment="c"),
        Place("look_3", "turn", until_ms=NOW_MS + 52_000),
    ),
    "closing": (Drop(closes_ms=NOW_MS + 80_000, limit=2), None),
    "closed": (Drop(closes_ms=NOW_MS - 1), None),
}


def card(number: int, drop: Drop = DROPS[""][0]) -> Card:
    return Card(f"look_{number}", number, LOOKS[number - 1][0], [piece(number)], number * 30_000, NOW_MS + number, drop)


def stock() -> dict[str, Level]:
    seeded = random.Random(7)
    levels = {one.sku: Level(seeded.randint(2, 18), 1) for n in range(1, 9) for one in piece(n).variants}
    levels["L3-BL-XS"] = Level(0, 1)
    levels["L3-BL-S"] = Level(12, 1)
    levels["L3-BL-M"] = Level(2, 1)
    return levels


def bag_line(number: int, state: str, left_ms: int) -> CartLine:
    one = piece(number)
    variant = one.variants[min(1, len(one.variants) - 1)]
    return CartLine(
        variant.sku,
        1,
        f"look_{number}",
        one.title,
        one.picture,
        variant.size,
        variant.colour,
        variant.price,
        state,  # type: ignore[arg-type]
        NOW_MS + left_ms,
    )


def live(
    status: str = "live", *, bag: bool = False, picture: str = "live", staff: bool = False, drop: str = ""
) -> LiveSnapshot:
    terms, place = DROPS[drop]
    out = range(1, 4) if status != "scheduled" else range(0)
    lines = [bag_line(1, "held", 264_000), bag_line(2, "lapsed", 0), bag_line(4, "held", 48_000)] if bag else []
    total = Money(sum(line.price.minor for line in lines if line.state == "held"), "EUR")
    rows = [
        LookRow(
            f"look_{n}",
            n,
            LOOKS[n - 1][0],
            "withdrawn" if n == 2 else "dropped" if n < 4 else "waiting",
            [piece(n)],
            None,
            terms if n == 3 else Drop(limit=2, hot=True) if n == 4 else Drop(),
        )
        for n in range(1, 9)
    ]
    return LiveSnapshot(
        show=facts(status),
        picture=Picture(picture, 183_240, NOW_MS),  # type: ignore[arg-type]
        cards=[card(n, terms if n == 3 else DROPS[""][0]) for n in out],
        pinned="look_3" if status == "live" else None,
        stock=stock(),
        cart=Cart(lines, total, 1),
        runsheet=rows if staff else None,
        tally=Tally(1204, 17, 38, Money(2_946_000, "EUR")) if staff else None,
        places=[place] if place else [],
    )


def welcome(state: LiveSnapshot, *, silenced: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "epoch": "e",
        "seq": 1,
        "now_ms": NOW_MS,
        "you": {"person": "per_me", "name": "", "roles": ["viewer"], "silenced": silenced},
        "room": {
            "viewers": 1204,
            "lines": lines(),
            "mode": {"slow_s": 0, "links": "off"},
            "pinned": None,
            "questions": questions(),
        },
        "live": state,
    }


# ---- stills ------------------------------------------------------------------------------------


def still(width: int, height: int, *, coat: str = "#8d2f22", ground: str = "runway") -> bytes:
    """A figure walking out of the dark: enough of a picture to judge type and scrims over it."""
    image = Image.new("RGB", (width, height), "#141210")
    draw = ImageDraw.Draw(image)
    if ground == "runway":
        for y in range(height):
            glow = int(70 * max(0.0, 1 - abs(y / height - 0.35) * 1.9))
            draw.line([(0, y), (width, y)], fill=(22 + glow, 20 + glow, 19 + int(glow * 0.95)))
        middle = width / 2
        draw.polygon(
            [
                (middle - width * 0.06, height * 0.4),
                (middle + width * 0.06, height * 0.4),
                (width * 0.86, height),
                (width * 0.14, height),
            ],
            fill="#b9ada0",
        )
        for side in (-1, 1):
            for n in range(9):
                x = middle + side * width * (0.12 + n * 0.05)
                y = height * (0.5 + n * 0.045)
                draw.ellipse(
                    [x - 9 - n * 3, y - 12 - n * 3, x + 9 + n * 3, y + 60 + n * 20], fill=(38 - n, 34 - n, 33 - n)
                )
    else:
        draw.rectangle([0, 0, width, height], fill="#d9d1c5")
        draw.rectangle([0, height * 0.86, width, height], fill="#c9bfb1")
    _figure(
        draw,
        width / 2,
        height * (0.2 if ground == "runway" else 0.1),
        height * (0.66 if ground == "runway" else 0.8),
        coat,
    )
    image = image.filter(ImageFilter.GaussianBlur(max(1, width // 500)))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=86)
    return out.getvalue()


def _figure(draw: ImageDraw.ImageDraw, x: float, top: float, tall: float, coat: str) -> None:
    head = tall * 0.055
    draw.ellipse([x - head * 0.8, top, x + head * 0.8, top + head * 2.1], fill="#c89f83")
    draw.pieslice([x - head, top - head * 0.4, x + head, top + head * 1.5], 170, 370, fill="#1a1513")
    for leg in (-1, 1):
        draw.polygon(
            [
                (x, top + tall * 0.55),
                (x + leg * tall * 0.07, top + tall * 0.55),
                (x + leg * tall * 0.05, top + tall),
                (x + leg * tall * 0.015, top + tall),
            ],
            fill="#17130f",
        )
    draw.polygon(
        [
            (x - tall * 0.035, top + head * 2),
            (x + tall * 0.035, top + head * 2),
            (x + tall * 0.105, top + tall * 0.16),
            (x + tall * 0.085, top + tall * 0.4),
            (x + tall * 0.15, top + tall * 0.8),
            (x - tall * 0.14, top + tall * 0.82),
            (x - tall * 0.08, top + tall * 0.4),
            (x - tall * 0.105, top + tall * 0.16),
        ],
        fill=coat,
    )


# ---- browser stand-ins -------------------------------------------------------------------------

PLAYER = """
export class Player {
  constructor(video) { this.video = video; }
  async start() {
    if (this.begun) return;
    this.begun = true;
    const image = new Image();
    image.src = `/media/runway-${new URLSearchParams(location.search).get("shape") ?? "wide"}.jpg`;
    await image.decode();
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [image.width, image.height];
    const paint = () => canvas.getContext("2d").drawImage(image, 0, 0);
    paint();
    this.video.srcObject = canvas.captureStream(10);
    setInterval(paint, 100);
    await this.video.play().catch(() => {});
  }
  stop() {}
  hurry() {}
  async stats() {
    return { way: "WebRTC", state: "live", width: 1280, height: 720, kbps: 2480, fps: 30, lost: 3, lossPercent: 0.1,
      nacks: 4, jitterMs: 6, rttMs: 18, framesDropped: 0, freezes: 0, joins: 1, firstFrameMs: 312, codec: "H264" };
  }
  addEventListener() {}
}
"""

# The show's page asks for a picture by whichever way.
PICTURE = """
import { Player } from "./player.js";
export class Picture extends Player {
  way = "WebRTC";
  constructor(screen) { super(screen.front); }
  addEventListener(kind, then) {
    if (kind === new URLSearchParams(location.search).get("own")) setTimeout(then, 300);
  }
  mediaMs(clockMs, firstWallMs) { return clockMs - firstWallMs - 184; }
  relayGone() {}
}
"""

PUBLISHER = "export class Publisher { constructor() {} async start() {} async stop() {} }\n"

WIRE = """
export const BANNED = 4423;
export class Wire {
  constructor(options) { this.options = options; queueMicrotask(() => this.open()); }
  async open() {
    const response = await fetch(`/fixture/welcome${location.search || "?"}&path=${location.pathname}`);
    this.options.onState?.("open");
    this.welcome = await response.json();
    this.options.onSnapshot(this.welcome);
    if (this.welcome.extra) for (const event of this.welcome.extra) this.options.onEvent(event);
  }
  start() {}
  async send(kind, body) {
    if (kind === "cart.add") {
      const live = this.welcome.live;
      for (const card of live.cards) for (const piece of card.pieces) for (const one of piece.variants) {
        if (one.sku !== body.sku) continue;
        live.cart.lines = live.cart.lines.filter((line) => line.sku !== one.sku);
        live.cart.lines.push({ sku: one.sku, qty: 1, look: card.look, piece: piece.title, picture: piece.picture,
          size: one.size, colour: one.colour, price: one.price, state: "held",
          held_until_ms: this.welcome.now_ms + 299500 });
        live.cart.rev += 1;
        live.cart.total.minor += one.price.minor;
      }
      return { cart: structuredClone(live.cart) };
    }
    if (kind === "person.look") return { facts: await (await fetch("/fixture/person")).json() };
    return {};
  }
}
"""


def seen(trouble: bool = False) -> PictureSeen:
    """What the picture desk is told: a show on two relays, on a good evening or a bad one."""
    layers = [
        LayerSeen("video", "H264", "h", 2480, 0.031 if trouble else 0.0004, 3.2, True, True),
        LayerSeen("video", "H264", "m", 820, 0.0, 2.9, False, True),
        LayerSeen("video", "H264", "l", 210, 0.0, 2.7, False, not trouble),
        LayerSeen("audio", "OPUS", "", 64, 0.0, 1.1, True, True),
    ]
    lines = [
        LineSeen(f"{number * 7919:06x}{number:06x}", "n", 3605 - 240 * number, 240 // number, 0.18 / number,
                 None if number == 7 else 900 * number, "sound" if number == 1 else "smaller" if number < 4 else "full",
                 820 if number < 4 else 2480, 1204 // number)
        for number in range(1, 9)
    ]  # fmt: skip
    sizes = {"full": 1180, "smaller": 21, "sound": 3, "joining": 0}
    here = ShowSeen(0.62, 1000, 0.44, 1.2, "", "live", 2_754_000, True, layers, 6200 if trouble else 840, sizes, 14)
    there = ShowSeen(1.0 if trouble else 0.31, 1000, 0.21, 1.0, "cpu" if trouble else "", "live", 2_754_000)
    here.lines, here.recording, there.sizes = lines, "disk_full" if trouble else "recording", {"full": 312}
    return together([("relay_7fK2m0Qx", here), ("relay_1bN4zzPa", there)], worst=8, hls=96)
