"""The demo's pictures, drawn by us: one for each look, 900 × 1,200, and the show's poster, 1,280 × 720."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from live.demo.brush import Colour, Sheet, ellipse, hex_colour, lit, mix, ramp, shaded, smooth
from live.demo.figure import draw
from live.demo.looks import LOOKS, Look, dressed

WIDTH, HEIGHT = 900, 1200
POSTER_WIDTH, POSTER_HEIGHT = 1280, 720
WEBP_QUALITY = 88
POSTER_LOOKS = (3, 1, 8, 4, 2)  # positions in LOOKS, from left to right


def name_of(look: Look) -> str:
    return f"{look.slug}.webp"


POSTER = "first-light.webp"


def alt_of(look: Look) -> str:
    """What the picture shows, for those who don't see it."""
    return f"Illustration: a model walks towards us in the {look.title} in {look.shades[0].name.lower()}."


def draw_all(folder: Path) -> None:
    """Draw what is missing in `folder`; a second call does nothing. Uses every core: it is the demo's longest wait."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [number for number, look in enumerate(LOOKS) if not (folder / name_of(look)).exists()]
    with_poster = not (folder / POSTER).exists()
    if not missing and not with_poster:
        return
    with ProcessPoolExecutor() as pool:
        jobs = [pool.submit(_keep_look, folder, number) for number in missing]
        if with_poster:
            jobs.append(pool.submit(_keep_poster, folder))
        for job in jobs:
            job.result()


def look_picture(look: Look) -> Image.Image:
    """The look on a model in front of an arch in the look's own colours."""
    upper, middle, lower = (hex_colour(text) for text in look.backdrop)
    wall = _wall(WIDTH, HEIGHT, upper, middle)
    scene = Sheet(WIDTH, HEIGHT, scale=1.0, origin=(WIDTH / 2, 0))
    # A floor that the wall runs into, an arch to stand in, a low sun.
    scene.shape([(-460, 985), (460, 985), (460, 1210), (-460, 1210)], mix(middle, lower, 0.55))
    scene.shape([(-460, 960), (460, 960), (460, 1010), (-460, 1010)], mix(middle, lower, 0.4), blur=22, opacity=0.9)
    arch = [(-250, 985), *((x, y) for x, y in ellipse(0, 420, 250, 262) if y <= 420.1), (250, 985)]
    arch = [arch[0], *sorted(arch[1:-1]), arch[-1]]
    scene.shape(arch, mix(upper, lower, 0.62))
    scene.shape([(x + 46, y + 26) for x, y in arch], lit(lower, 0.35), inside=arch, blur=30, opacity=0.55)
    scene.shape(ellipse(128, 380, 84, 84), lit(upper, 0.6), inside=arch, opacity=0.9)
    # Her shadow falls to the right, away from the light.
    scene.shape(
        smooth([(-60, 1122), (80, 1100), (420, 1128), (440, 1150), (90, 1152), (-50, 1140)]),
        shaded(lower, 0.55),
        blur=13,
        opacity=0.5,
    )
    scene.shape(ellipse(8, 1130, 96, 14), shaded(lower, 0.8), blur=7, opacity=0.6)
    figure = Sheet(WIDTH, HEIGHT, scale=1.02, origin=(WIDTH / 2, 112))
    draw(figure, dressed(look), 0.2)
    model = figure.done()
    picture = Image.alpha_composite(
        Image.alpha_composite(wall.convert("RGBA"), scene.done()), _halo(model, lit(upper, 0.4))
    )
    return _grain(Image.alpha_composite(picture, model).convert("RGB"))


def poster() -> Image.Image:
    """Five looks on the way to us, the nearest in front."""
    night, dusk, dawn = (24, 20, 34), (78, 48, 70), (214, 140, 104)
    picture = _wall(POSTER_WIDTH, POSTER_HEIGHT, night, dusk).convert("RGBA")
    scene = Sheet(POSTER_WIDTH, POSTER_HEIGHT, origin=(POSTER_WIDTH / 2, 0))
    scene.shape(ellipse(0, 300, 250, 250), dawn, blur=40, opacity=0.55)
    scene.shape(ellipse(0, 300, 190, 190), lit(dawn, 0.35), opacity=0.92)
    scene.shape([(-160, 560), (160, 560), (620, 740), (-620, 740)], mix(dawn, dusk, 0.55), opacity=0.55)
    scene.shape([(-640, 545), (640, 545), (640, 575), (-640, 575)], lit(dusk, 0.2), blur=10, opacity=0.5)
    picture = Image.alpha_composite(picture, scene.done())
    places = ((-430, 0.50, 0.0), (430, 0.50, 0.5), (-235, 0.575, 0.7), (235, 0.575, 0.2), (0, 0.655, 0.2))
    for index, (x, scale, phase) in enumerate(places):
        figure = Sheet(
            POSTER_WIDTH,
            POSTER_HEIGHT,
            scale=scale,
            origin=(POSTER_WIDTH / 2 + x, 700 - 1000 * scale - (5 - index) * 7),
        )
        figure.shape(ellipse(0, 992, 90, 12), shaded(dusk, 0.9), blur=9, opacity=0.7)
        draw(figure, dressed(LOOKS[POSTER_LOOKS[index]]), phase)
        picture = Image.alpha_composite(picture, figure.done())
    return _grain(picture.convert("RGB"))


def _keep_look(folder: Path, number: int) -> None:
    _keep(look_picture(LOOKS[number]), folder / name_of(LOOKS[number]))


def _keep_poster(folder: Path) -> None:
    _keep(poster(), folder / POSTER)


def _keep(picture: Image.Image, path: Path) -> None:
    # Whole or not at all: a run that is interrupted leaves no half picture that the next one would take for done.
    draft = path.with_suffix(".part")
    picture.save(draft, "WEBP", quality=WEBP_QUALITY, method=4)
    draft.replace(path)


def _wall(width: int, height: int, upper: Colour, lower: Colour) -> Image.Image:
    """A studio wall: a gradient, brighter around the upper left."""
    colours: Sequence[Colour] = (lit(upper, 0.3), upper, lower)
    wall = np.asarray(
        ramp(colours, height).transpose(Image.Transpose.ROTATE_270).resize((width, height)), dtype=np.float32
    )
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    away = np.hypot((x - width * 0.3) / width, (y - height * 0.25) / height)
    bright = (1.05 - 0.22 * away**1.5)[..., None]
    return Image.fromarray(np.clip(wall * bright, 0, 255).astype(np.uint8))


def _halo(model: Image.Image, colour: Colour) -> Image.Image:
    """A breath of light around the model that lifts her off the wall."""
    glow = Image.new("RGBA", model.size, (*colour, 0))
    glow.putalpha(model.getchannel("A").filter(ImageFilter.GaussianBlur(26)).point(lambda value: value * 0.42))
    return glow


def _grain(picture: Image.Image) -> Image.Image:
    """A little paper grain: it keeps the gradients from banding. The same each time."""
    noise = np.random.default_rng(7).normal(0, 2.6, (picture.height, picture.width, 1))
    return Image.fromarray(np.clip(np.asarray(picture, dtype=np.float32) + noise, 0, 255).astype(np.uint8))
