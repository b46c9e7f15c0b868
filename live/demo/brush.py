"""Drawing with soft-edged shapes: smooth outlines, gradients, folds. Pillow does the filling, numpy the curves.

A `Sheet` is drawn in figure units (a figure is 1,000 high, its middle at x = 0) and rendered at twice its size, so that
edges come out smooth when it is reduced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

Point = tuple[float, float]
Colour = tuple[int, int, int]
Outline = Sequence[Point]
OVERSAMPLING = 2


class Across(NamedTuple):
    """A gradient from left to right, through the given colours at equal steps."""

    colours: tuple[Colour, ...]


class Down(NamedTuple):
    """A gradient from top to bottom."""

    colours: tuple[Colour, ...]


Paint = Colour | Across | Down


def hex_colour(text: str) -> Colour:
    """`#1f4d3a` as three bytes."""
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one` with `share` (0–1) of `other` in it."""
    a, b, c = (round(x + (y - x) * share) for x, y in zip(one, other, strict=True))
    return a, b, c


def lit(colour: Colour, share: float = 0.22) -> Colour:
    return mix(colour, (255, 246, 232), share)


def shaded(colour: Colour, share: float = 0.35) -> Colour:
    return mix(colour, (18, 12, 28), share)


def cloth(colour: Colour) -> Across:
    """Cloth lit from the upper left."""
    return Across((lit(colour, 0.10), lit(colour, 0.20), colour, shaded(colour, 0.16), shaded(colour, 0.36)))


def skin(colour: Colour) -> Across:
    """Skin: less light on it than on cloth, a warmer shade."""
    warm = mix(colour, (120, 40, 30), 0.12)
    return Across((colour, lit(colour, 0.07), colour, warm, shaded(warm, 0.20)))


def smooth(points: Outline, steps: int = 10, closed: bool = True) -> list[Point]:
    """A Catmull-Rom curve through `points`."""
    p = np.asarray(points, dtype=float)
    if closed:
        before, after, last = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    else:
        padded = np.vstack([2 * p[0] - p[1], p, 2 * p[-1] - p[-2]])
        before, p, after, last = padded[:-3], padded[1:-2], padded[2:-1], padded[3:]
    t = np.linspace(0, 1, steps, endpoint=False)[:, None, None]
    curve = 0.5 * (
        2 * p
        + (after - before) * t
        + (2 * before - 5 * p + 4 * after - last) * t**2
        + (3 * p - before - 3 * after + last) * t**3
    )
    line = curve.transpose(1, 0, 2).reshape(-1, 2)
    if not closed:
        line = np.vstack([line, after[-1:]])
    return [(float(x), float(y)) for x, y in line]


def limb(middle: Outline, widths: Sequence[float], steps: int = 8, *, rounded: bool = False) -> list[Point]:
    """The outline of a line that is `widths` wide at each of its points: an arm, a leg, a trouser, a strap. `rounded`
    closes its beginning with half a circle: a shoulder."""
    curve = np.asarray(smooth(middle, steps, closed=False))
    half = np.interp(np.linspace(0, len(widths) - 1, len(curve)), range(len(widths)), widths) / 2
    along = np.gradient(curve, axis=0)
    along /= np.maximum(np.hypot(along[:, 0], along[:, 1]), 1e-6)[:, None]
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) * half[:, None]
    both = np.vstack([curve + normal, (curve - normal)[::-1]])
    if rounded:
        turn = np.linspace(-np.pi / 2, np.pi / 2, 12)[1:-1, None]
        cap = curve[0] - np.cos(turn) * along[0] * half[0] + np.sin(turn) * normal[0]
        both = np.vstack([both, cap])
    return [(float(x), float(y)) for x, y in both]


def ellipse(x: float, y: float, rx: float, ry: float) -> list[Point]:
    turn = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return [(float(x + rx * np.cos(a)), float(y + ry * np.sin(a))) for a in turn]


class Sheet:
    """A transparent sheet of `width` × `height` pixels; `scale` pixels are a unit, `origin` is the pixel of (0, 0)."""

    def __init__(self, width: int, height: int, *, scale: float = 1.0, origin: Point = (0.0, 0.0)) -> None:
        self._reduced = (width, height)
        self._scale = scale * OVERSAMPLING
        self._origin = (origin[0] * OVERSAMPLING, origin[1] * OVERSAMPLING)
        self._image = Image.new("RGBA", (width * OVERSAMPLING, height * OVERSAMPLING))

    def shape(
        self, outline: Outline, paint: Paint, *, inside: Outline | None = None, blur: float = 0.0, opacity: float = 1.0
    ) -> None:
        """Fill `outline`. `inside` clips it, `blur` (units) softens its edge."""
        pixels = [(x * self._scale + self._origin[0], y * self._scale + self._origin[1]) for x, y in outline]
        spread = int(blur * self._scale * 2.5) + 2
        left, top = (int(min(axis)) - spread for axis in zip(*pixels, strict=True))
        right, bottom = (int(max(axis)) + spread for axis in zip(*pixels, strict=True))
        left, top = max(left, 0), max(top, 0)
        right, bottom = min(right, self._image.width), min(bottom, self._image.height)
        if right <= left or bottom <= top:
            return
        size = (right - left, bottom - top)
        mask = _mask(pixels, left, top, size)
        if blur:
            mask = mask.filter(ImageFilter.GaussianBlur(blur * self._scale))
        if inside is not None:
            clip = [(x * self._scale + self._origin[0], y * self._scale + self._origin[1]) for x, y in inside]
            mask = ImageChops.multiply(mask, _mask(clip, left, top, size))
        if opacity < 1:
            mask = mask.point(lambda value: value * opacity)
        layer = _painted(paint, size)
        layer.putalpha(mask)
        self._image.alpha_composite(layer, (left, top))

    def line(self, points: Outline, paint: Paint, width: float, **how: float) -> None:
        """A stroke that tapers to both ends."""
        self.shape(limb(points, [width * 0.3, width, width, width * 0.3]), paint, **how)  # type: ignore[arg-type]

    def done(self) -> Image.Image:
        return self._image.resize(self._reduced, Image.Resampling.BOX)


def _mask(pixels: Outline, left: int, top: int, size: tuple[int, int]) -> Image.Image:
    mask = Image.new("L", size)
    ImageDraw.Draw(mask).polygon([(x - left, y - top) for x, y in pixels], fill=255)
    return mask


def _painted(paint: Paint, size: tuple[int, int]) -> Image.Image:
    if isinstance(paint, Across):
        return ramp(paint.colours, size[0]).resize(size).convert("RGBA")
    if isinstance(paint, Down):
        return ramp(paint.colours, size[1]).transpose(Image.Transpose.ROTATE_270).resize(size).convert("RGBA")
    return Image.new("RGBA", size, (*paint, 255))


def ramp(colours: Sequence[Colour], length: int) -> Image.Image:
    """One row of pixels through `colours`."""
    at = np.linspace(0, len(colours) - 1, length)
    row: NDArray[np.uint8] = np.stack(
        [np.interp(at, range(len(colours)), [colour[channel] for colour in colours]) for channel in range(3)], axis=-1
    ).astype(np.uint8)
    return Image.fromarray(row[None])
