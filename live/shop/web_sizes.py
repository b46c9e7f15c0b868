"""A picture as a camera or a studio sends it, made into what pages need: several widths of WebP and one JPEG. No store.

Nothing of the file that came in is served: it is decoded, turned upright as its EXIF says, put into sRGB and encoded
anew, so that no place of taking, no serial number and no second meaning of the bytes goes along. SVG is a program and
is not taken; of moving pictures neither is any.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from pathlib import Path

import msgspec
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from live.errors import Invalid

FORMATS = ("JPEG", "PNG", "WEBP")
BYTES_MAX = 20 * 1024 * 1024
PIXELS_MAX = 40_000_000  # a full-frame camera's; decoded they are 160 MB
WIDTHS = (320, 640, 960, 1600)
CARD_WIDTH = 960  # of the one that is named where only one can be
JPEG_WIDTH = 1200  # for search engines and letters
WEBP_QUALITY, JPEG_QUALITY = 82, 84


class Made(msgspec.Struct, frozen=True):
    """`width` and `height` of the original, upright; `widths` there are files of."""

    width: int
    height: int
    widths: tuple[int, ...]


def file_name(name: str, width: int) -> str:
    return f"{name}-{width}.webp"


def jpeg_name(name: str) -> str:
    return f"{name}.jpg"


def url_of(name: str, widths: str) -> str:
    """The path of the one for a card."""
    known = [int(width) for width in widths.split(",")]
    return f"/media/{file_name(name, max([w for w in known if w <= CARD_WIDTH] or known[:1]))}"


def srcset_of(name: str, widths: str) -> str:
    return ", ".join(f"/media/{file_name(name, int(width))} {width}w" for width in widths.split(","))


def jpeg_of(url: str) -> str:
    """The JPEG of a picture of ours, for those who read no WebP; any other address as it is."""
    name, dash, _ = url.rpartition("-")
    return f"{name}.jpg" if dash and url.startswith("/media/p-") else url


def make(source: Path, folder: Path, name: str) -> Made:
    """Write the picture's files into `folder`: all of them or none.

    Raises: Invalid("picture", why), OSError (the disk). A camera's picture takes half a second: call it on a thread.
    """
    picture = _decoded(source)
    widths = tuple(width for width in WIDTHS if width < picture.width) or ()
    if len(widths) < len(WIDTHS):
        widths = (*widths, picture.width)  # no pixel is lost, and none is made up
    drafts: list[tuple[Path, Path]] = []
    try:
        for width in widths:
            path = folder / file_name(name, width)
            drafts.append((path.with_name(f".{path.name}.part"), path))
            _sized(picture, width).save(drafts[-1][0], "WEBP", quality=WEBP_QUALITY, method=4)
        path = folder / jpeg_name(name)
        drafts.append((path.with_name(f".{path.name}.part"), path))
        flat = _sized(picture, min(JPEG_WIDTH, picture.width))
        if flat.mode == "RGBA":  # JPEG has no transparency: white paper below
            paper = Image.new("RGB", flat.size, "white")
            paper.paste(flat, mask=flat.getchannel("A"))
            flat = paper
        flat.save(drafts[-1][0], "JPEG", quality=JPEG_QUALITY, optimize=True, progressive=True)
        for draft, path in drafts:
            draft.replace(path)
    except BaseException:
        for draft, path in drafts:
            draft.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        raise
    return Made(picture.width, picture.height, widths)


def _decoded(source: Path) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own cap is lower, and says why
            with Image.open(source, formats=FORMATS) as opened:
                if opened.width * opened.height > PIXELS_MAX:
                    millions = PIXELS_MAX // 1_000_000
                    raise Invalid(
                        "picture", f"has {opened.width} × {opened.height} pixels; {millions} million are most"
                    )
                # An iPhone's JPEG holds a second, for depth; anything else that has frames moves.
                if getattr(opened, "n_frames", 1) > 1 and opened.format != "MPO":
                    raise Invalid("picture", "moves: choose one that stands still")
                opened.draft("RGB", (2 * WIDTHS[-1], 2 * WIDTHS[-1]))  # JPEG: decoded no larger than is needed
                opened.load()
                return _plain(opened)
    except UnidentifiedImageError:
        raise Invalid("picture", "is no JPEG, PNG or WebP") from None
    except Image.DecompressionBombError:
        raise Invalid("picture", "has far too many pixels") from None
    except (OSError, SyntaxError, ValueError, EOFError) as why:
        if isinstance(why, OSError) and why.errno:
            raise  # the disk's, not the picture's
        raise Invalid("picture", "is damaged: it can't be decoded") from None


def _plain(opened: Image.Image) -> Image.Image:
    """Upright, sRGB, 8 bits a channel, nothing beside its pixels."""
    profile = opened.info.get("icc_profile")
    picture = ImageOps.exif_transpose(opened)
    if picture.mode.startswith("I"):  # 16 bits of grey
        picture = picture.convert("I").point(lambda value: value / 256).convert("L")
    if profile:
        with contextlib.suppress(ImageCms.PyCMSError, OSError, ValueError):  # a broken profile: as without one
            alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
            base = picture if picture.mode in ("RGB", "CMYK", "L") else picture.convert("RGB")
            coloured = ImageCms.profileToProfile(
                base, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), outputMode="RGB"
            )
            if coloured is not None:
                picture = coloured
                if alpha is not None:
                    picture.putalpha(alpha)
    picture = picture.convert("RGBA" if picture.has_transparency_data else "RGB")
    picture.info = {}
    return picture


def _sized(picture: Image.Image, width: int) -> Image.Image:
    if width >= picture.width:
        return picture
    height = max(1, round(picture.height * width / picture.width))
    return picture.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
