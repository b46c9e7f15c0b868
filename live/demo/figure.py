"""A model in a look: a tall figure, drawn from behind to front. One pose a phase of her step.

Units are those of `brush`: the crown at y = 0, the soles at y = 1,000, the middle at x = 0; light from the upper left.
It is one file, since a body's parts hide one another and are drawn in one order.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin
from typing import Literal

from live.demo.brush import Colour, Outline, Point, Sheet, cloth, ellipse, limb, lit, mix, shaded, skin, smooth

Garment = Literal["trench", "column", "suit", "pleats", "cape", "slip", "knit", "tuxedo", "ballgown", "bias"]
Hair = Literal["bun", "bob", "long", "crop", "afro", "tail"]


@dataclass(frozen=True)
class Dressed:
    """Who wears what. `second` is what goes with the main colour: a shirt, trousers under a knit, a lining."""

    garment: Garment
    colour: Colour
    second: Colour
    skin: Colour
    hair: Hair
    hair_colour: Colour
    shoe: Colour


class Pose:
    """Where the joints are at `phase` (0–1) of a full step, seen from the front. The leg that comes forward looks
    longer and falls before the other; hips go to the leg that stands, shoulders against them."""

    def __init__(self, phase: float) -> None:
        turn = 2 * pi * phase
        self.swing = sin(turn)
        self.hip = 9 * self.swing
        self.shoulder = -4 * self.swing
        self.bob = -5 * abs(cos(turn))
        self.sway = 26 * sin(turn - 0.9)  # a hem follows late
        self.legs = (self._leg(-1, self.swing, cos(turn)), self._leg(1, -self.swing, -cos(turn)))
        self.front_leg = 0 if self.swing >= 0 else 1

    def _leg(self, side: int, forward: float, rising: float) -> list[Point]:
        """Hip, knee, ankle, toe. `forward` 1 is the foot in front, -1 the foot behind."""
        lift = max(0.0, rising) * 26
        reach = 16 * forward - lift
        hip = (side * 34 + self.hip, 480.0)
        knee = (side * (27 - 6 * forward) + self.hip * 0.6, 722 + reach * 0.4 - lift * 0.5)
        ankle = (side * (15 - 9 * forward) + self.hip * 0.2, 930 + reach)
        toe = (side * (19 - 9 * forward) + self.hip * 0.2, 988 + reach - (10 if forward < 0 else 0))
        return [hip, knee, ankle, toe]

    def arm(self, side: int) -> list[Point]:
        forward = self.swing * side  # against the leg of the same side
        x = self.shoulder
        return [
            (side * 84 + x, 176.0),
            (side * (106 - 3 * forward) + x, 345 + 4 * forward),
            (side * (103 - 22 * forward) + x + self.hip * 0.3, 492 + 12 * forward),
            (side * (99 - 30 * forward) + x + self.hip * 0.3, 545 + 16 * forward),
        ]

    def at(self, y: float, top: float = 370, bottom: float = 980) -> float:
        """How far cloth at height `y` has swung aside."""
        if y <= top:
            return self.shoulder + (self.hip * 0.6 - self.shoulder) * max(0.0, (y - 160) / (top - 160))
        return self.hip * 0.6 + self.sway * float(((y - top) / (bottom - top)) ** 1.6)


def draw(sheet: Sheet, who: Dressed, phase: float) -> None:
    """Draw the model and her look."""
    pose = Pose(phase)
    _back_hair(sheet, who, pose)
    _GARMENTS[who.garment](sheet, who, pose)
    _head(sheet, who, pose)


# ---- the body ----------------------------------------------------------------------------------


def _legs(sheet: Sheet, who: Dressed, pose: Pose, *, bare_from: float = 480) -> None:
    near = skin(who.skin)
    for index in (1 - pose.front_leg, pose.front_leg):
        hip, knee, ankle, toe = pose.legs[index]
        between = (hip[0] * 0.4 + knee[0] * 0.6, hip[1] * 0.45 + knee[1] * 0.55)
        calf = (knee[0] * 0.62 + ankle[0] * 0.38, knee[1] * 0.62 + ankle[1] * 0.38)
        dim = near if index == pose.front_leg else skin(shaded(who.skin, 0.22))
        if bare_from < 900:
            sheet.shape(limb([hip, between, knee, calf, ankle], [72, 58, 37, 36, 17]), dim)
        else:
            sheet.shape(limb([calf, ankle], [30, 17]), dim)
        shoe = who.shoe if index == pose.front_leg else shaded(who.shoe, 0.3)
        sheet.shape(limb([(ankle[0], ankle[1] - 6), (toe[0], toe[1] - 26), toe], [19, 25, 14]), dim)
        sheet.shape(
            limb([(ankle[0], ankle[1] + 20), (toe[0], toe[1] - 20), (toe[0], toe[1] + 6)], [17, 29, 9]), cloth(shoe)
        )


def _arm(sheet: Sheet, who: Dressed, pose: Pose, side: int, sleeve: Colour | None, width: float = 1.0) -> None:
    shoulder, elbow, wrist, hand = pose.arm(side)
    dim = 0.0 if side < 0 else 0.14
    tone = skin(shaded(who.skin, dim))
    if sleeve is None:
        sheet.shape(limb([(shoulder[0] - side * 8, shoulder[1] + 10), elbow, wrist], [35, 27, 17], rounded=True), tone)
    else:
        sheet.shape(limb([elbow, wrist], [20, 17]), tone)
    sheet.shape(
        smooth([(wrist[0] - 9, wrist[1] - 6), (wrist[0] + 9, wrist[1] - 6), (hand[0] + 10, hand[1] - 14),
                (hand[0] + side * 2, hand[1] + 16), (hand[0] - 10, hand[1] - 10)]), tone)  # fmt: skip
    if sleeve is None:
        return
    cut = shaded(sleeve, dim)
    cuff = (wrist[0] + (hand[0] - wrist[0]) * 0.1, wrist[1] + 4)
    top = (shoulder[0] - side * (10 + 5 * width), shoulder[1] + 10 * width)
    outline = limb([top, elbow, cuff], [52 * width, 46 * width, 36 * width], rounded=True)
    sheet.shape(outline, cloth(cut))
    inner = [(elbow[0] - side * 14, elbow[1] - 60), (elbow[0] - side * 4, elbow[1]), (cuff[0] - side * 8, cuff[1] - 20)]
    sheet.shape(limb(inner, [4, 14, 6]), shaded(cut, 0.45), inside=outline, blur=4, opacity=0.7)


def _torso(sheet: Sheet, who: Dressed, pose: Pose) -> list[Point]:
    """Neck, shoulders and chest in skin: what a neckline leaves to see."""
    x, w = pose.shoulder, pose.at(365)
    outline = smooth([
        (-17 + x, 110), (-19 + x, 142), (-50 + x, 158), (-88 + x, 172), (-82 + x, 215), (-70 + x, 262), (-52 + w, 362),
        (52 + w, 362), (70 + x, 262), (82 + x, 215), (88 + x, 172), (50 + x, 158), (19 + x, 142), (17 + x, 110),
    ])  # fmt: skip
    sheet.shape(outline, skin(who.skin))
    # collar bones
    for side in (-1, 1):
        sheet.line(
            [(x + side * 8, 178), (x + side * 34, 171), (x + side * 62, 172)], shaded(who.skin, 0.4), 4, opacity=0.4
        )
    return outline


def _head(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    x = pose.shoulder * 0.4
    neck = smooth([(x - 17, 92), (x - 18, 132), (x - 26, 152), (x + 26, 152), (x + 18, 132), (x + 17, 92)])
    sheet.shape(neck, skin(shaded(who.skin, 0.10)))
    sheet.shape(ellipse(x + 4, 116, 24, 18), shaded(who.skin, 0.6), inside=neck, blur=6, opacity=0.75)
    face = smooth([
        (x, 14), (x - 28, 26), (x - 37, 56), (x - 32, 86), (x - 15, 108), (x, 114),
        (x + 15, 108), (x + 32, 86), (x + 37, 56), (x + 28, 26),
    ])  # fmt: skip
    sheet.shape(face, skin(who.skin))
    sheet.shape(ellipse(x + 30, 74, 16, 44), shaded(who.skin, 0.45), inside=face, blur=9, opacity=0.55)
    ink = mix(shaded(who.skin, 0.75), (30, 16, 20), 0.4)
    for side in (-1, 1):
        sheet.line([(x + side * 7, 62), (x + side * 14, 65), (x + side * 23, 61)], ink, 4.2)
        sheet.line([(x + side * 6, 49), (x + side * 15, 44), (x + side * 25, 49)], ink, 3.0, opacity=0.75)
        sheet.shape(ellipse(x + side * 20, 78, 9, 6), (206, 92, 84), inside=face, blur=5, opacity=0.35)
    sheet.line([(x + 2, 62), (x + 5, 76), (x + 1, 81)], shaded(who.skin, 0.5), 3.0, opacity=0.55)
    lips = smooth(
        [(x - 11, 93), (x - 4, 90), (x, 91.5), (x + 4, 90), (x + 11, 93), (x + 5, 98.5), (x, 100), (x - 5, 98.5)], 6
    )
    sheet.shape(lips, mix((168, 38, 52), who.skin, 0.18))
    _front_hair(sheet, who, x, face)


def _front_hair(sheet: Sheet, who: Dressed, x: float, face: Outline) -> None:
    hair = cloth(who.hair_colour)
    shine = lit(who.hair_colour, 0.3)
    if who.hair in ("bun", "tail"):
        cap = smooth([(x - 38, 58), (x - 36, 26), (x - 18, 4), (x + 4, -1), (x + 26, 8), (x + 38, 30), (x + 39, 58),
                      (x + 32, 34), (x + 14, 22), (x - 4, 20), (x - 24, 28), (x - 34, 44)])  # fmt: skip
    elif who.hair == "bob":
        cap = smooth([(x - 34, 104), (x - 47, 96), (x - 48, 50), (x - 34, 12), (x, -4), (x + 34, 10), (x + 49, 50), (x + 47, 98),
                      (x + 34, 106), (x + 35, 62), (x + 22, 32), (x - 8, 24), (x - 28, 44), (x - 35, 66)])  # fmt: skip
    elif who.hair == "long":
        cap = smooth([(x - 36, 70), (x - 44, 60), (x - 38, 18), (x - 8, -4), (x + 26, 2), (x + 43, 34), (x + 44, 72), (x + 37, 74),
                      (x + 33, 44), (x + 12, 20), (x - 2, 12), (x - 16, 30), (x - 32, 50)])  # fmt: skip
    elif who.hair == "afro":
        cap = smooth([(x - 36, 56), (x - 58, 40), (x - 52, -6), (x - 22, -30), (x + 16, -32), (x + 50, -8), (x + 58, 36),
                      (x + 37, 56), (x + 30, 32), (x + 10, 22), (x - 12, 22), (x - 30, 34)])  # fmt: skip
    else:
        cap = smooth([(x - 37, 52), (x - 39, 24), (x - 18, -1), (x + 12, -4), (x + 36, 14), (x + 39, 52), (x + 33, 36),
                      (x + 20, 26), (x, 30), (x - 20, 24), (x - 33, 38)])  # fmt: skip
    sheet.shape(cap, hair)
    sheet.shape(limb([(x - 30, 24), (x - 12, 8), (x + 10, 6)], [3, 9, 3]), shine, inside=cap, blur=3, opacity=0.6)


def _back_hair(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    x = pose.shoulder * 0.4
    hair = cloth(shaded(who.hair_colour, 0.25))
    if who.hair == "bun":
        sheet.shape(ellipse(x + 3, -10, 23, 20), cloth(who.hair_colour))
    elif who.hair == "long":
        late = pose.sway * 0.25
        sheet.shape(
            smooth([(x - 40, 40), (x - 47, 110), (x - 56 + late, 190), (x - 44 + late, 262), (x - 10 + late, 236), (x + 22 + late, 268),
                    (x + 54 + late, 206), (x + 48, 120), (x + 42, 40)]), hair)  # fmt: skip
    elif who.hair == "tail":
        late = pose.sway * 0.5
        sheet.shape(
            limb([(x + 16, 20), (x + 50, 60), (x + 54 + late, 150), (x + 44 + late * 1.4, 230)], [20, 30, 26, 5]), hair
        )


# ---- cloth -------------------------------------------------------------------------------------


def _skirt(
    sheet: Sheet, pose: Pose, colour: Colour, *, top: float, hem: float, waist: float, hip: float, width: float,
    folds: int, lean: float = 0.0, curve: float = 1.5, depth: float = 0.42,
) -> list[Point]:  # fmt: skip
    """From `top` to `hem`; half-widths at the waist, hip and hem. `lean` draws a train aside."""

    def half(y: float) -> float:
        if y <= 470:
            return waist + (hip - waist) * float(max(0.0, (y - top) / max(1.0, 470 - top)) ** 0.8)
        return hip + (width - hip) * float(((y - 470) / max(1.0, hem - 470)) ** curve)

    def middle(y: float) -> float:
        return pose.at(y, bottom=1000) + lean * float(max(0.0, (y - 470) / (hem - 470)) ** 1.8)

    rows = [top + (hem - top) * step / 9 for step in range(10)]
    left = [(middle(y) - half(y), y) for y in rows]
    right = [(middle(y) + half(y), y) for y in reversed(rows)]
    # The hem is a soft wave, lower in the middle: we look down on it a little.
    waves = max(2, folds // 2)
    edge = [
        (
            middle(hem) + half(hem) * (-1 + 2 * step / (waves * 2)),
            hem + 12 + (7 if step % 2 else -3) + 10 * sin(pi * step / (waves * 2)),
        )
        for step in range(1, waves * 2)
    ]
    outline = smooth([*left, *edge, *right], 6)
    sheet.shape(outline, cloth(colour))
    for fold in range(folds):
        place = -1 + 2 * (fold + 0.5) / folds
        line = [
            (middle(y) + half(y) * place * (0.82 + 0.12 * (y - top) / (hem - top)), y)
            for y in (top + (hem - top) * s for s in (0.04, 0.35, 0.7, 1.04))
        ]
        wide = width * 1.5 / folds
        sheet.shape(
            limb(line, [2, wide * 0.3, wide * 0.62, wide]),
            shaded(colour, depth),
            inside=outline,
            blur=wide * 0.14 + 1.5,
            opacity=0.62,
        )
        bright = [(px - wide * 0.72, py) for px, py in line]
        sheet.shape(
            limb(bright, [1, wide * 0.16, wide * 0.3, wide * 0.42]),
            lit(colour, 0.42),
            inside=outline,
            blur=wide * 0.10 + 1,
            opacity=0.34,
        )
    return outline


def _bodice(
    sheet: Sheet,
    pose: Pose,
    colour: Colour,
    *,
    neckline: Literal["strapless", "v", "straps", "high"],
    bottom: float = 392,
) -> None:
    x, w = pose.shoulder, pose.at(365)
    if neckline == "strapless":
        top = [(-73 + x, 226), (-40 + x, 206), (x, 224), (40 + x, 206), (73 + x, 226)]
    elif neckline == "v":
        top = [
            (-84 + x, 176),
            (-56 + x, 160),
            (-36 + x, 158),
            (-18 + x, 200),
            (x, 262),
            (18 + x, 200),
            (36 + x, 158),
            (56 + x, 160),
            (84 + x, 176),
        ]
    elif neckline == "straps":
        top = [(-71 + x, 232), (-46 + x, 200), (-24 + x, 214), (x, 236), (24 + x, 214), (46 + x, 200), (71 + x, 232)]
    else:
        top = [(-88 + x, 178), (-56 + x, 160), (-24 + x, 146), (x, 150), (24 + x, 146), (56 + x, 160), (88 + x, 178)]
    outline = smooth(
        [*top, (70 + x, 268), (54 + w, 350), (54 + w, bottom), (-54 + w, bottom), (-54 + w, 350), (-70 + x, 268)]
    )
    sheet.shape(outline, cloth(colour))
    for side in (-1, 1):
        sheet.shape(ellipse(x + side * 34, 280, 30, 16), shaded(colour, 0.5), inside=outline, blur=10, opacity=0.38)
        sheet.shape(ellipse(x + side * 34 - 8, 246, 20, 16), lit(colour, 0.5), inside=outline, blur=9, opacity=0.30)
    if neckline == "straps":
        for side in (-1, 1):
            sheet.shape(limb([(x + side * 46, 204), (x + side * 44, 162)], [5, 4]), colour)


def _trousers(sheet: Sheet, who: Dressed, pose: Pose, colour: Colour, *, wide: float) -> None:
    _legs(sheet, who, pose, bare_from=900)
    for index in (1 - pose.front_leg, pose.front_leg):
        hip, knee, ankle, toe = pose.legs[index]
        cut = colour if index == pose.front_leg else shaded(colour, 0.28)
        side = -1 if index == 0 else 1
        middle = [
            (hip[0] + side * 4, 400),
            (hip[0] + side * 5, 500),
            (knee[0] + side * 9, knee[1]),
            (ankle[0] + side * 14 + pose.sway * 0.3, min(toe[1] - 12, 972)),
        ]
        outline = limb(middle, [66, 92, 78 * wide, 96 * wide])
        sheet.shape(outline, cloth(cut))
        crease = [(px - 5, py) for px, py in middle[1:]]
        sheet.shape(limb(crease, [1, 5, 8]), lit(cut, 0.35), inside=outline, blur=2.5, opacity=0.5)
        sheet.shape(
            limb([(px + 24 * wide, py) for px, py in middle[1:]], [8, 20, 36]),
            shaded(cut, 0.5),
            inside=outline,
            blur=8,
            opacity=0.5,
        )
    w = pose.at(400)
    yoke = smooth(
        [
            (-54 + w, 368),
            (54 + w, 368),
            (80 + pose.hip, 470),
            (70 + pose.hip, 516),
            (pose.hip, 530),
            (-70 + pose.hip, 516),
            (-80 + pose.hip, 470),
        ]
    )
    sheet.shape(yoke, cloth(colour))
    sheet.line([(w, 380), (pose.hip, 470), (pose.hip, 528)], shaded(colour, 0.5), 3, opacity=0.6)


def _jacket(
    sheet: Sheet, pose: Pose, colour: Colour, inner: Colour, *, hem: float, waist: float = 62, flare: float = 92,
    closing: float = 372, lapel: Colour | None = None, folds: int = 4,
) -> list[Point]:  # fmt: skip
    """A closed jacket or coat with lapels down to the button at `closing`."""
    x = pose.shoulder
    rows = [
        (100.0, 186.0), (86, 262), (waist + 4, 340), (waist, 380), ((waist + flare) / 2 + 12, 470),
        *((flare * 0.94 + (flare - flare * 0.94) * step, 470 + (hem - 470) * step) for step in ((0.55, 1.0) if hem > 620 else (1.0,))),
    ]  # fmt: skip
    left = [(-half + pose.at(y), y) for half, y in rows]
    right = [(half + pose.at(y), y) for half, y in reversed(rows)]
    bottom = [(pose.at(hem) - flare * 0.5, hem + 9), (pose.at(hem), hem + 13), (pose.at(hem) + flare * 0.5, hem + 9)]
    outline = smooth(
        [
            (-58 + x, 158),
            (-92 + x, 170),
            *left,
            *bottom,
            *right,
            (92 + x, 170),
            (58 + x, 158),
            (24 + x, 146),
            (-24 + x, 146),
        ],
        8,
    )
    sheet.shape(outline, cloth(colour))
    deep = pose.at(closing)
    sheet.shape(
        smooth([(-34 + x, 148), (-14 + x, 250), (deep, closing), (14 + x, 250), (34 + x, 148), (x, 152)]),
        cloth(inner),
        inside=outline,
    )
    for fold in range(folds):
        place = -0.78 + 1.56 * (fold + 0.5) / folds
        line = [
            (pose.at(y) + place * (waist + (flare - waist) * max(0, (y - 380) / (hem - 380))), y)
            for y in (400, 400 + (hem - 400) * 0.5, hem + 12)
        ]
        sheet.shape(limb(line, [2, 9, 20]), shaded(colour, 0.5), inside=outline, blur=6, opacity=0.5)
    sheet.line(
        [(deep, closing), (pose.at((closing + hem) / 2) + 3, (closing + hem) / 2), (pose.at(hem) + 6, hem + 10)],
        shaded(colour, 0.55),
        4,
        opacity=0.8,
    )
    cut = lapel or lit(colour, 0.08)
    for side in (-1, 1):
        panel = smooth([(side * 30 + x, 146), (side * 60 + x, 164), (side * 64 + x, 208), (side * 46 + x, 214), (side * 52 + x, 238),
                        (side * 20 + x, 318), (deep, closing), (side * 12 + x, 250)], 4)  # fmt: skip
        sheet.shape([(px + 4, py + 5) for px, py in panel], shaded(colour, 0.6), inside=outline, blur=4, opacity=0.5)
        sheet.shape(panel, cloth(cut if side < 0 else shaded(cut, 0.12)), inside=outline)
        sheet.line([(side * 30 + x, 148), (side * 14 + x, 250), (deep, closing)], lit(cut, 0.45), 2.5, opacity=0.6)
    return outline


def _belt(sheet: Sheet, pose: Pose, colour: Colour, y: float, half: float) -> None:
    x = pose.at(y)
    band = smooth([(x - half, y - 9), (x, y - 5), (x + half, y - 9), (x + half, y + 9), (x, y + 13), (x - half, y + 9)])
    sheet.shape(band, cloth(colour))
    sheet.shape(smooth([(x - 12, y - 9), (x + 12, y - 9), (x + 12, y + 14), (x - 12, y + 14)], 3), lit(colour, 0.3))
    for end in (-1, 1):
        sheet.shape(
            limb(
                [
                    (x + 4, y + 8),
                    (x + end * 10 + pose.sway * 0.2 + 8, y + 60),
                    (x + end * 8 + pose.sway * 0.4 + 10, y + 112),
                ],
                [9, 13, 15],
            ),
            cloth(colour),
        )


# ---- the looks ---------------------------------------------------------------------------------


def _trench(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _legs(sheet, who, pose)
    _torso(sheet, who, pose)
    _arm(sheet, who, pose, 1, who.colour, 1.12)
    _jacket(sheet, pose, who.colour, who.second, hem=842, waist=60, flare=124, closing=352, folds=6)
    _arm(sheet, who, pose, -1, who.colour, 1.12)
    for side in (-1, 1):
        for y in (300, 440, 500):
            sheet.shape(ellipse(pose.at(y) + side * 24, y, 6, 6), shaded(who.colour, 0.6))
    _belt(sheet, pose, shaded(who.colour, 0.25), 378, 63)


def _column(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _legs(sheet, who, pose)
    _torso(sheet, who, pose)
    for side in (1, -1):
        _arm(sheet, who, pose, side, None)
    _skirt(sheet, pose, who.colour, top=370, hem=968, waist=54, hip=84, width=118, folds=5, lean=26, depth=0.5)
    # the slit
    front = pose.legs[pose.front_leg]
    side = -1 if pose.front_leg == 0 else 1
    slit = smooth(
        [
            (front[1][0] - side * 8, 640),
            (front[1][0] + 24, 800),
            (front[2][0] + 34, 984),
            (front[2][0] - 26, 984),
            (front[1][0] - 20, 800),
        ]
    )
    sheet.shape(slit, shaded(who.colour, 0.62), opacity=0.95)
    _, knee, ankle, toe = front
    sheet.shape(
        limb([(knee[0], 650), knee, (knee[0] * 0.6 + ankle[0] * 0.4, 800), ankle], [20, 35, 34, 17]),
        skin(who.skin),
        inside=slit,
    )
    sheet.shape(
        limb([(ankle[0], ankle[1] - 6), (toe[0], toe[1] - 24), (toe[0], toe[1] + 6)], [18, 28, 10]), cloth(who.shoe)
    )
    _bodice(sheet, pose, who.colour, neckline="v")
    sheet.shape(
        limb([(pose.at(378) - 54, 378), (pose.at(378), 386), (pose.at(378) + 54, 378)], [12, 14, 12]), cloth(who.second)
    )


def _suit(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _trousers(sheet, who, pose, who.colour, wide=1.12)
    _torso(sheet, who, pose)
    _arm(sheet, who, pose, 1, who.colour)
    _jacket(sheet, pose, who.colour, who.second, hem=560, waist=60, flare=96, closing=392)
    _arm(sheet, who, pose, -1, who.colour)
    sheet.shape(ellipse(pose.at(398) + 2, 402, 6, 6), lit(who.colour, 0.5))
    for side in (-1, 1):
        sheet.line(
            [(pose.at(470) + side * 38, 468), (pose.at(470) + side * 78, 474)], shaded(who.colour, 0.6), 6, opacity=0.8
        )


def _pleats(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _legs(sheet, who, pose)
    _torso(sheet, who, pose)
    _arm(sheet, who, pose, 1, who.colour, 1.25)
    _skirt(sheet, pose, who.colour, top=366, hem=838, waist=52, hip=104, width=186, folds=13, curve=1.05, depth=0.48)
    _bodice(sheet, pose, who.colour, neckline="high")
    _arm(sheet, who, pose, -1, who.colour, 1.25)
    _belt(sheet, pose, who.second, 376, 53)


def _cape(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _trousers(sheet, who, pose, who.second, wide=0.86)
    _torso(sheet, who, pose)
    _bodice(sheet, pose, who.second, neckline="high", bottom=420)
    x = pose.shoulder
    hem = 700
    sway = pose.sway
    outline = smooth([
        (-34 + x, 140), (-92 + x, 164), (-132 + x, 280), (-164 + sway * 0.3, 470), (-196 + sway * 0.7, hem - 20), (-120 + sway * 0.7, hem + 16),
        (-40 + sway * 0.6, hem + 4), (-14 + sway * 0.3, 520), (-6 + x, 330), (x, 200), (14 + x, 330), (36 + sway * 0.3, 520), (66 + sway * 0.6, hem + 4),
        (140 + sway * 0.7, hem + 16), (200 + sway * 0.7, hem - 20), (166 + sway * 0.3, 470), (132 + x, 280), (92 + x, 164), (34 + x, 140),
    ])  # fmt: skip
    sheet.shape(outline, cloth(who.colour))
    for place in (-0.82, -0.55, -0.3, 0.34, 0.6, 0.86):
        line = [(x + place * 96, 190), (x + place * 140 + sway * 0.2, 420), (place * 178 + sway * 0.7, hem + 18)]
        sheet.shape(limb(line, [2, 16, 40]), shaded(who.colour, 0.42), inside=outline, blur=8, opacity=0.55)
        sheet.shape(
            limb([(px - 20, py) for px, py in line], [1, 8, 18]),
            lit(who.colour, 0.5),
            inside=outline,
            blur=6,
            opacity=0.4,
        )
    collar = smooth(
        [
            (-30 + x, 132),
            (-52 + x, 160),
            (-34 + x, 196),
            (x, 214),
            (34 + x, 196),
            (52 + x, 160),
            (30 + x, 132),
            (x, 152),
        ]
    )
    sheet.shape([(px + 2, py + 6) for px, py in collar], shaded(who.colour, 0.6), inside=outline, blur=5, opacity=0.5)
    sheet.shape(collar, cloth(lit(who.colour, 0.1)))
    sheet.shape(ellipse(x, 208, 8, 8), (196, 160, 92))


def _slip(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _legs(sheet, who, pose)
    _torso(sheet, who, pose)
    _skirt(sheet, pose, who.colour, top=366, hem=880, waist=54, hip=86, width=104, folds=5, depth=0.36)
    _bodice(sheet, pose, who.colour, neckline="straps")
    _arm(sheet, who, pose, 1, who.second, 1.22)
    x, sway = pose.shoulder, pose.sway
    for side in (-1, 1):
        panel = smooth([
            (side * 26 + x, 148), (side * 96 + x, 168), (side * 108 + x, 300), (side * 106 + pose.hip, 460), (side * 112 + sway * 0.3, 590),
            (side * 60 + sway * 0.3, 600), (side * 50 + pose.hip * 0.6, 440), (side * 44 + x, 300), (side * 30 + x, 220),
        ])  # fmt: skip
        sheet.shape([(px - side * 5, py + 6) for px, py in panel], shaded(who.colour, 0.6), blur=6, opacity=0.35)
        sheet.shape(panel, cloth(who.second if side < 0 else shaded(who.second, 0.1)))
        lapel = smooth(
            [
                (side * 26 + x, 148),
                (side * 60 + x, 168),
                (side * 70 + x, 230),
                (side * 58 + x, 236),
                (side * 62 + x, 258),
                (side * 44 + x, 350),
                (side * 32 + x, 230),
            ],
            4,
        )
        sheet.shape(lapel, cloth(lit(who.second, 0.14)))
    _arm(sheet, who, pose, -1, who.second, 1.22)


def _knit(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _trousers(sheet, who, pose, who.second, wide=1.34)
    _torso(sheet, who, pose)
    _arm(sheet, who, pose, 1, who.colour, 1.3)
    x = pose.shoulder
    body = smooth([
        (-30 + x, 146), (-94 + x, 170), (-100 + x, 250), (-86 + pose.at(380), 380), (-84 + pose.hip, 452), (pose.hip, 462), (84 + pose.hip, 452),
        (86 + pose.at(380), 380), (100 + x, 250), (94 + x, 170), (30 + x, 146),
    ])  # fmt: skip
    sheet.shape(body, cloth(who.colour))
    for rib in range(-9, 10):
        line = [(x + rib * 10.2, 168), (pose.at(310) + rib * 9.8, 310), (pose.hip + rib * 9.2, 452)]
        sheet.shape(limb(line, [2, 3.4, 3]), shaded(who.colour, 0.45), inside=body, blur=1.2, opacity=0.5)
    band = smooth(
        [
            (-86 + pose.hip, 426),
            (pose.hip, 436),
            (86 + pose.hip, 426),
            (84 + pose.hip, 462),
            (pose.hip, 472),
            (-84 + pose.hip, 462),
        ]
    )
    sheet.shape(band, cloth(shaded(who.colour, 0.12)))
    _arm(sheet, who, pose, -1, who.colour, 1.3)
    roll = smooth([(-29 + x, 112), (-32 + x, 150), (x, 166), (32 + x, 150), (29 + x, 112), (x, 122)])
    sheet.shape(roll, cloth(lit(who.colour, 0.06)))


def _tuxedo(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _legs(sheet, who, pose)
    _torso(sheet, who, pose)
    _arm(sheet, who, pose, 1, who.colour)
    _jacket(sheet, pose, who.colour, who.skin, hem=640, waist=60, flare=98, closing=368, lapel=who.second, folds=3)
    _arm(sheet, who, pose, -1, who.colour)
    for y in (378, 420, 462):
        for side in (-1, 1):
            sheet.shape(ellipse(pose.at(y) + side * 17, y, 5, 5), (208, 176, 108))


def _ballgown(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _torso(sheet, who, pose)
    for side in (1, -1):
        _arm(sheet, who, pose, side, None)
    _skirt(
        sheet,
        pose,
        shaded(who.colour, 0.2),
        top=366,
        hem=984,
        waist=54,
        hip=150,
        width=300,
        folds=9,
        curve=0.72,
        depth=0.5,
    )
    _skirt(sheet, pose, who.colour, top=366, hem=900, waist=54, hip=136, width=246, folds=10, curve=0.74, depth=0.46)
    _bodice(sheet, pose, who.colour, neckline="strapless")
    sheet.shape(
        limb([(pose.at(376) - 54, 376), (pose.at(376), 384), (pose.at(376) + 54, 376)], [14, 17, 14]), cloth(who.second)
    )


def _bias(sheet: Sheet, who: Dressed, pose: Pose) -> None:
    _legs(sheet, who, pose, bare_from=900)
    _torso(sheet, who, pose)
    x = pose.shoulder
    veil = smooth(
        [
            (-86 + x, 168),
            (-150 + pose.sway * 0.4, 520),
            (-230 + pose.sway, 980),
            (0, 1004),
            (230 + pose.sway, 980),
            (150 + pose.sway * 0.4, 520),
            (86 + x, 168),
        ]
    )
    sheet.shape(veil, lit(who.colour, 0.3), opacity=0.30)
    for side in (1, -1):
        _arm(sheet, who, pose, side, None)
    _skirt(
        sheet, pose, who.colour, top=366, hem=984, waist=53, hip=88, width=176, folds=7, lean=44, curve=2.1, depth=0.34
    )
    _bodice(sheet, pose, who.colour, neckline="straps")
    swag = smooth(
        [
            (-88 + x, 172),
            (-60 + x, 210),
            (x, 246),
            (60 + x, 210),
            (88 + x, 172),
            (70 + x, 236),
            (x, 276),
            (-70 + x, 236),
        ]
    )
    sheet.shape(swag, cloth(lit(who.colour, 0.08)))
    sheet.shape(
        limb([(-80 + x, 190), (x, 262), (80 + x, 190)], [2, 7, 2]),
        shaded(who.colour, 0.4),
        inside=swag,
        blur=3,
        opacity=0.6,
    )


_GARMENTS = {
    "trench": _trench, "column": _column, "suit": _suit, "pleats": _pleats, "cape": _cape, "slip": _slip, "knit": _knit,
    "tuxedo": _tuxedo, "ballgown": _ballgown, "bias": _bias,
}  # fmt: skip
