"""The generated runway: models walk towards us, 1,280 × 720 at 25 frames a second, drawn straight into YUV 4:2:0.

A model's step is drawn once (PHASES sprites, kept in the data folder) and then only scaled and laid over the hall, so
that a frame costs a few milliseconds. Burnt in: the look's number and title, the time for people, the time for machines
(`timecode.py`).
"""

from __future__ import annotations

import datetime
import unicodedata
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from functools import lru_cache
from math import pi
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from live.demo import programme, timecode
from live.demo.brush import Colour, Down, Sheet, ellipse, lit, shaded, smooth
from live.demo.figure import draw
from live.demo.looks import LOOKS, Look, dressed

WIDTH, HEIGHT, FPS = 1280, 720, 25
PHASES = 16
STEP_S = 1.12  # a full step, left and right
SPRITE_WIDTH, SPRITE_HEIGHT, SPRITE_SCALE, SPRITE_FEET = 400, 640, 0.56, 590.0
SPRITES_VERSION = 1
SETS_KEPT = 4
HORIZON, FAR, NEAR = 262.0, 5.4, 0.92  # distances in units of the nearest plane
FEET_BELOW, TALL = 418.0, 548.0  # pixels at distance 1
REFLECTION = 0.24
FLASHES_A_SECOND = 1.6

Bytes = NDArray[np.uint8]


class Runway:
    """Frames of the show for any moment. `folder` keeps drawn sprites between runs."""

    def __init__(self, folder: Path) -> None:
        self._sprites = _Sprites(folder)
        self._hall = _kept_hall(folder)
        self._flash = _flash()
        self._chance = np.random.default_rng(11)
        self._flashes: list[tuple[int, int, int]] = []

    def close(self) -> None:
        self._sprites.close()

    def warm(self, wall_ms: int) -> None:
        """Wait until the models on stage at `wall_ms` are drawn."""
        for _, number, shade, _ in programme.walks_at(wall_ms, len(LOOKS)):
            self._sprites.wait(LOOKS[number - 1], shade)

    def frame(self, wall_ms: int) -> Bytes:
        """The picture at `wall_ms`: planar YUV 4:2:0, shape (1080, 1280)."""
        picture = self._hall.copy()
        luma, blue, red = planes(picture)
        self._flash_now(luma)
        for walk, number, shade, way in programme.walks_at(wall_ms, len(LOOKS)):
            steps = self._sprites.get(LOOKS[number - 1], shade)
            if steps is not None:
                _walk((luma, blue, red), steps, way, 1 if walk % 2 else -1)
        # The next model waits behind the door: draw her before she is wanted.
        for _, number, shade, _ in programme.walks_at(wall_ms + int(programme.WALK_EVERY_S * 1000), len(LOOKS)):
            self._sprites.get(LOOKS[number - 1], shade)
        look = LOOKS[programme.look_at(wall_ms, len(LOOKS)) - 1]
        _lay(luma, _title(look.number, look.title), 640, 76)
        _write_time(luma, wall_ms)
        _write_strip(luma, blue, red, wall_ms)
        return picture

    def _flash_now(self, luma: Bytes) -> None:
        if self._chance.random() < FLASHES_A_SECOND / FPS:
            side = self._chance.choice((-1, 1))
            distance = self._chance.uniform(1.1, 4.5)
            x = 640 + side * (330 + self._chance.uniform(40, 260)) / distance
            self._flashes.append((int(x), int(HORIZON + 190 / distance), 2))
        for x, y, _ in self._flashes:
            _brighten(luma, self._flash, x, y)
        self._flashes = [(x, y, left - 1) for x, y, left in self._flashes if left > 1]


def planes(picture: Bytes) -> tuple[Bytes, Bytes, Bytes]:
    """Views of a (1080, 1280) picture: luma (720, 1280), then the two chromas (360, 640)."""
    quarter = HEIGHT // 4
    blue = picture[HEIGHT : HEIGHT + quarter].reshape(HEIGHT // 2, WIDTH // 2)
    red = picture[HEIGHT + quarter :].reshape(HEIGHT // 2, WIDTH // 2)
    return picture[:HEIGHT], blue, red


# ---- models ------------------------------------------------------------------------------------


class _Sprites:
    """Steps of each look in each colour, drawn on a thread of their own and kept on disk."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="sprites")
        self._sets: OrderedDict[tuple[int, int], Future[list[Image.Image]]] = OrderedDict()

    def get(self, look: Look, shade: int) -> list[Image.Image] | None:
        """The steps, or None while they are being drawn."""
        wanted = self._wanted(look, shade)
        return wanted.result() if wanted.done() else None

    def wait(self, look: Look, shade: int) -> None:
        self._wanted(look, shade).result()

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _wanted(self, look: Look, shade: int) -> Future[list[Image.Image]]:
        key = (look.number, shade % len(look.shades))
        if key not in self._sets:
            self._sets[key] = self._pool.submit(self._steps, look, key[1])
            while len(self._sets) > SETS_KEPT:
                self._sets.popitem(last=False)
        self._sets.move_to_end(key)
        return self._sets[key]

    def _steps(self, look: Look, shade: int) -> list[Image.Image]:
        path = self._folder / f"{look.slug}-{shade}-{SPRITES_VERSION}.png"
        if path.exists():
            with Image.open(path) as strip:
                kept = np.asarray(strip)
        else:
            kept = np.vstack([_step(look, shade, phase / PHASES) for phase in range(PHASES)])
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".part")
            Image.fromarray(kept, "RGBA").save(draft, "PNG", compress_level=1)
            draft.replace(path)
        # CMYK stands for "four channels": Pillow would weigh an RGBA picture's colours by its alpha once more.
        return [
            Image.frombytes("CMYK", (SPRITE_WIDTH, SPRITE_HEIGHT), np.ascontiguousarray(part).tobytes())
            for part in np.split(kept, PHASES)
        ]


def _step(look: Look, shade: int, phase: float) -> Bytes:
    """One sprite: Y, U and V, each weighed by the fourth channel, the alpha."""
    sheet = Sheet(
        SPRITE_WIDTH, SPRITE_HEIGHT, scale=SPRITE_SCALE, origin=(SPRITE_WIDTH / 2, SPRITE_FEET - 1000 * SPRITE_SCALE)
    )
    draw(sheet, dressed(look, shade, model=look.number + 1 + shade * 2), phase)
    rgba = np.asarray(sheet.done(), dtype=np.float32)
    alpha = rgba[..., 3:]
    return np.concatenate([_yuv(rgba[..., :3]) * (alpha / 255), alpha], axis=-1).round().astype(np.uint8)


def _walk(target: tuple[Bytes, Bytes, Bytes], steps: list[Image.Image], way: float, side: int) -> None:
    seconds = way * programme.WALK_S
    sprite = steps[int(seconds / STEP_S * PHASES) % PHASES]
    # Even growth, not even ground: most of her walk is where she can be seen well.
    distance = FAR * (NEAR / FAR) ** min(1.0, way / 0.94)
    scale = TALL / distance / (1000 * SPRITE_SCALE)
    leaving = max(0.0, (way - 0.80) / 0.20)
    x = WIDTH / 2 + side * 900 * leaving**2.2 + np.sin(2 * pi * seconds / STEP_S) * 3 / distance
    feet = HORIZON + FEET_BELOW / distance
    width, height = (int(SPRITE_WIDTH * scale) // 2 * 2, int(SPRITE_HEIGHT * scale) // 2 * 2)
    left, top = int(x - width / 2) // 2 * 2, int(feet - SPRITE_FEET * scale) // 2 * 2
    entering = min(1.0, seconds / 1.2)
    luma, blue, red = target
    fine = np.asarray(sprite.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2.0))
    coarse = np.asarray(sprite.resize((width // 2, height // 2), Image.Resampling.BILINEAR, reducing_gap=2.0))
    # The floor is polished: her lower half, upside down and faint, below her feet.
    sole = int(SPRITE_FEET * scale)
    _blend(luma, _mirrored(fine, sole), (0,), left, top + sole, REFLECTION * entering)
    _blend(luma, fine, (0,), left, top, entering)
    _blend(blue, coarse, (1,), left // 2, top // 2, entering)
    _blend(red, coarse, (2,), left // 2, top // 2, entering)


def _mirrored(sprite: Bytes, sole: int) -> Bytes:
    return sprite[max(0, sole - sole // 3) : sole][::-1]


def _blend(plane: Bytes, sprite: Bytes, channel: tuple[int], left: int, top: int, strength: float) -> None:
    """Lay one channel of a sprite over the plane, cut at its edges."""
    height, width = sprite.shape[:2]
    x0, y0 = max(left, 0), max(top, 0)
    x1, y1 = min(left + width, plane.shape[1]), min(top + height, plane.shape[0])
    if x1 <= x0 or y1 <= y0:
        return
    part = sprite[y0 - top : y1 - top, x0 - left : x1 - left]
    under = plane[y0:y1, x0:x1]
    over, cover = part[..., channel[0]].astype(np.uint16), part[..., 3].astype(np.uint16)
    if strength < 1:
        share = np.uint16(strength * 256)
        over, cover = np.right_shift(over * share, 8), np.right_shift(cover * share, 8)
    # /255 by shifts: exact to one step, and a third of the price of a division
    rest = under * (255 - cover)
    plane[y0:y1, x0:x1] = np.minimum(over + ((rest + 128 + (rest >> 8)) >> 8), 255)


# ---- the hall ----------------------------------------------------------------------------------


def _kept_hall(folder: Path) -> Bytes:
    """The hall from the folder; drawn on the first run."""
    path = folder / f"hall-{SPRITES_VERSION}.npy"
    if path.exists():
        kept: Bytes = np.load(path)
        return kept
    hall = _hall()
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / "hall.part.npy"
    np.save(draft, hall)
    draft.replace(path)
    return hall


def _hall() -> Bytes:
    """The empty hall with its guests, lit for evening."""
    night, plum, warm = (16, 13, 22), (54, 34, 52), (232, 176, 132)
    hall = Sheet(WIDTH, HEIGHT, origin=(WIDTH / 2, HORIZON))
    hall.shape([(-660, -280), (660, -280), (660, 480), (-660, 480)], night)
    hall.shape([(-660, -280), (660, -280), (660, 40), (-660, 40)], plum, blur=60, opacity=0.55)
    # the gate they come through: a low sun in an arch
    gate = [(-150, 66), *[(x, y) for x, y in sorted(ellipse(0, -60, 150, 150)) if y <= -60], (150, 66)]
    hall.shape(gate, lit(warm, 0.1), blur=46, opacity=0.5)
    hall.shape(gate, (122, 68, 70))
    hall.shape(ellipse(0, -18, 96, 96), lit(warm, 0.2), inside=gate)
    hall.shape(ellipse(0, -18, 96, 96), lit(warm, 0.6), inside=gate, blur=24, opacity=0.5)
    # the floor, and on it the runway
    hall.shape([(-660, 62), (660, 62), (660, 480), (-660, 480)], (26, 20, 30))
    hall.shape([(-62, 62), (62, 62), (430, 470), (-430, 470)], (92, 70, 78))
    hall.shape([(-40, 62), (40, 62), (240, 470), (-240, 470)], lit(warm, 0.1), blur=30, opacity=0.34)
    for side in (-1, 1):
        hall.shape(
            [(side * 62, 62), (side * 66, 62), (side * 446, 470), (side * 428, 470)], lit(warm, 0.4), opacity=0.9
        )
        hall.shape([(side * 60, 62), (side * 70, 62), (side * 480, 470), (side * 400, 470)], warm, blur=10, opacity=0.5)
    for beam in (-0.7, -0.25, 0.25, 0.7):
        hall.shape([(beam * 500 - 8, -280), (beam * 500 + 8, -280), (beam * 160 + 130, 330), (beam * 160 - 130, 330)],
                   lit(warm, 0.5), blur=24, opacity=0.055)  # fmt: skip
    _guests(hall)
    # deep corners hold the eye on the runway
    for side in (-1, 1):
        hall.shape(ellipse(side * 700, 120, 210, 420), (6, 5, 10), blur=70, opacity=0.75)
    rgb = np.asarray(hall.done().convert("RGB"), dtype=np.float32)
    yuv = _yuv(rgb).round().astype(np.uint8)
    picture = np.empty((HEIGHT * 3 // 2, WIDTH), dtype=np.uint8)
    luma, blue, red = planes(picture)
    luma[:] = yuv[..., 0]
    for plane, channel in ((blue, 1), (red, 2)):
        plane[:] = (
            yuv[..., channel]
            .reshape(HEIGHT // 2, 2, WIDTH // 2, 2)
            .astype(np.uint16)
            .mean(axis=(1, 3))
            .astype(np.uint8)
        )
    return picture


def _guests(hall: Sheet) -> None:
    """Three rows a side, lit from the runway: shoulders, heads, a rim of light on the inner side."""
    chance = np.random.default_rng(3)
    for seat in range(11, -1, -1):
        for row in (2, 1, 0):
            distance = 1.05 + seat * 0.46 + row * 0.12
            for side in (-1, 1):
                x = side * (500 + row * 138 + chance.uniform(-12, 12)) / distance
                y = (228 - row * 40 + chance.uniform(-9, 9)) / distance
                size = (66 + chance.uniform(-4, 4)) / distance
                tone = shaded((92, 60, 80), 0.22 + 0.20 * row + 0.03 * chance.uniform(0, 3))
                _guest(hall, x, y, size, tone, side, rim=0.85 - 0.3 * row, updo=bool(chance.random() < 0.4))


def _guest(hall: Sheet, x: float, y: float, size: float, tone: Colour, side: int, *, rim: float, updo: bool) -> None:
    light = (224, 164, 128)

    def place(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
        return smooth([(x + px * size, y + py * size) for px, py in points])

    body = place(
        [(-0.36, 0.62), (-0.92, 0.95), (-1.12, 1.7), (-1.15, 3.4), (1.15, 3.4), (1.12, 1.7), (0.92, 0.95), (0.36, 0.62)]
    )
    hall.shape(body, light, opacity=rim)
    hall.shape(
        [(px + side * size * 0.07, py + size * 0.06) for px, py in body], Down((tone, shaded(tone, 0.8))), inside=body
    )
    hall.shape(place([(-0.17, 0.3), (-0.2, 0.8), (0.2, 0.8), (0.17, 0.3)]), shaded(tone, 0.25))
    head = place(
        [(0, -0.56), (-0.36, -0.40), (-0.44, 0.0), (-0.28, 0.44), (0, 0.54), (0.28, 0.44), (0.44, 0.0), (0.36, -0.40)]
    )
    if updo:
        hall.shape(ellipse(x + side * size * 0.05, y - size * 0.66, size * 0.24, size * 0.22), tone)
    hall.shape(head, light, opacity=rim)
    hall.shape([(px + side * size * 0.075, py + size * 0.03) for px, py in head], tone, inside=head)


def _flash() -> Bytes:
    y, x = np.mgrid[-40:40, -40:40]
    away = np.hypot(x, y)
    glow: Bytes = (220 * np.exp(-((away / 7) ** 2)) + 60 * np.exp(-((away / 24) ** 2))).clip(0, 220).astype(np.uint8)
    return glow


def _brighten(luma: Bytes, glow: Bytes, x: int, y: int) -> None:
    top, left = y - glow.shape[0] // 2, x - glow.shape[1] // 2
    part = luma[max(top, 0) : top + glow.shape[0], max(left, 0) : left + glow.shape[1]]
    if part.shape == glow.shape:
        part[:] = np.minimum(part.astype(np.uint16) + glow, 235)


def _yuv(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """BT.601, limited range: what WebRTC's H.264 is taken for when nothing else is said."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 16 + (65.738 * r + 129.057 * g + 25.064 * b) / 256
    blue = 128 + (-37.945 * r - 74.494 * g + 112.439 * b) / 256
    red = 128 + (112.439 * r - 94.154 * g - 18.285 * b) / 256
    return np.stack([luma, blue, red], axis=-1)


# ---- what is written ---------------------------------------------------------------------------


@lru_cache(maxsize=32)
def _text(words: str, size: int, spaced: int = 0) -> Bytes:
    """Brightness of a line of text, 0–255, letters `spaced` pixels apart."""
    font = ImageFont.load_default(size)
    lengths = [font.getlength(letter) for letter in words]
    image = Image.new("L", (int(sum(lengths) + spaced * len(words)) + 4, int(size * 1.5)))
    pen = ImageDraw.Draw(image)
    x = 2.0
    for letter, length in zip(words, lengths, strict=True):
        pen.text((x, 0), letter, fill=255, font=font)
        x += length + spaced
    return np.asarray(image)


def _plain(words: str) -> str:
    """Capitals without their accents: Pillow's own font draws a box for É."""
    return "".join(mark for mark in unicodedata.normalize("NFKD", words) if not unicodedata.combining(mark))


@lru_cache(maxsize=16)
def _title(number: int, title: str) -> Bytes:
    one, other = _text(f"LOOK {number:02d}", 26, 6), _text(_plain(title.upper()), 12, 4)
    both = np.zeros((one.shape[0] + other.shape[0], max(one.shape[1], other.shape[1])), dtype=np.uint8)
    for part, y in ((one, 0), (other, one.shape[0])):
        x = (both.shape[1] - part.shape[1]) // 2
        both[y : y + part.shape[0], x : x + part.shape[1]] = part
    return both


def _write_time(luma: Bytes, wall_ms: int) -> None:
    moment = datetime.datetime.fromtimestamp(wall_ms / 1000, datetime.UTC)
    words = f"{moment:%H:%M:%S}.{wall_ms % 1000:03d}"
    x = 640 - len(words) * 5
    for letter in words:
        _lay(luma, _text(letter, 15), x + 5, 132)
        x += 10


def _lay(luma: Bytes, text: Bytes, middle: int, top: int) -> None:
    left = middle - text.shape[1] // 2
    part = luma[top : top + text.shape[0], left : left + text.shape[1]]
    cover = text.astype(np.uint16)
    part[:] = (part * (255 - cover) + 235 * cover) // 255


def _write_strip(luma: Bytes, blue: Bytes, red: Bytes, wall_ms: int) -> None:
    left, top = round(timecode.LEFT * WIDTH), round(timecode.TOP * HEIGHT)
    width, height = round(timecode.CELL_WIDTH * WIDTH), round(timecode.CELL_HEIGHT * HEIGHT)
    # A dark frame keeps a bright dress from leaking into the outer cells.
    right = left + width * timecode.CELLS
    luma[top - 4 : top + height + 4, left - 4 : right + 4] = 16
    cells = np.where(timecode.encode(wall_ms), 235, 16).astype(np.uint8)
    luma[top : top + height, left:right] = np.repeat(cells, width)
    for plane in (blue, red):
        plane[top // 2 - 2 : (top + height) // 2 + 2, left // 2 - 2 : right // 2 + 2] = 128
