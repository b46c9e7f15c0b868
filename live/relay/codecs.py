"""Where a key frame starts, told from payload bytes alone; and the picture ids of VP8 and VP9 kept continuous.

H.264: RFC 6184. VP8: RFC 7741. VP9: RFC 9628. AV1: the AOM's RTP payload specification, section 4.4.
"""

from __future__ import annotations

from typing import NamedTuple

_IDR, _SPS, _PPS, _STAP_A, _FU_A = 5, 7, 8, 24, 28


def starts_key_frame(codec: str, payload: bytes) -> bool:
    """Whether this payload is (one of) the first of a frame that a decoder can start from."""
    if not payload:
        return False
    if codec == "H264":
        return _h264_key(payload)
    if codec == "VP8":
        return _vp8_key(payload)
    if codec == "VP9":
        # P (inter-picture predicted) clear and B (start of frame) set.
        return payload[0] & 0x48 == 0x08
    if codec == "AV1":
        return bool(payload[0] & 0x08)  # N: first packet of a coded video sequence
    return False


def _h264_key(payload: bytes) -> bool:
    kind = payload[0] & 31
    if kind in (_IDR, _SPS):
        return True
    if kind == _FU_A:
        return len(payload) > 1 and payload[1] & 0x80 != 0 and payload[1] & 31 == _IDR
    if kind == _STAP_A:
        return any(unit[0] & 31 in (_IDR, _SPS) for unit in stap_units(payload))
    return False


def _vp8_key(payload: bytes) -> bool:
    if payload[0] & 0x10 == 0 or payload[0] & 7:  # S set, first partition
        return False
    start = vp8_descriptor_size(payload)
    return start < len(payload) and payload[start] & 1 == 0


def stap_units(payload: bytes) -> list[bytes]:
    """The NAL units inside an H.264 STAP-A; what is cut off is left out."""
    units, position = [], 1
    while position + 2 < len(payload):
        size = int.from_bytes(payload[position : position + 2], "big")
        unit = payload[position + 2 : position + 2 + size]
        if not size or len(unit) < size:
            break
        units.append(unit)
        position += 2 + size
    return units


def parameter_sets(payload: bytes) -> list[bytes]:
    """SPS and PPS units carried by an H.264 payload."""
    kind = payload[0] & 31 if payload else 0
    units = [payload] if kind in (_SPS, _PPS) else stap_units(payload) if kind == _STAP_A else []
    return [unit for unit in units if unit[0] & 31 in (_SPS, _PPS)]


def stap(units: list[bytes]) -> bytes:
    """One STAP-A of these units."""
    reference = max(unit[0] & 0x60 for unit in units)
    return bytes((reference | _STAP_A,)) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in units)


def vp8_descriptor_size(payload: bytes) -> int:
    """Bytes before the VP8 bitstream; may be more than there are."""
    if payload[0] & 0x80 == 0 or len(payload) < 2:
        return 1
    flags, size = payload[1], 2
    if flags & 0x80:
        size += 2 if len(payload) > size and payload[size] & 0x80 else 1
    if flags & 0x40:
        size += 1
    if flags & 0x30:
        size += 1
    return size


class PictureIds(NamedTuple):
    """What VP8 and VP9 count besides RTP: the picture, and its base layer. None where a payload does not say.

    `wide`: the picture's number has 15 bits, else 7.
    """

    picture: int | None
    tl0: int | None
    wide: bool = True


Shift = tuple[int, int]  # what to add to a payload's picture id and to its TL0PICIDX
NO_SHIFT: Shift = (0, 0)
COUNTS_PICTURES = ("VP8", "VP9")


def picture_ids(codec: str, payload: bytes) -> PictureIds:
    """The ids of a payload of one of `COUNTS_PICTURES` (RFC 7741 section 4.2, RFC 9628 section 4.2)."""
    picture_at, wide, tl0_at = _places(codec, payload)
    picture = None
    if picture_at:
        number = int.from_bytes(payload[picture_at : picture_at + 2], "big") if wide else payload[picture_at]
        picture = number & _mask(wide)
    return PictureIds(picture, payload[tl0_at] if tl0_at else None, wide)


def shifted(codec: str, payload: bytes, shift: Shift) -> bytes:
    """The payload with its ids moved on, around the wrap; its length stays."""
    picture_at, wide, tl0_at = _places(codec, payload)
    out = bytearray(payload)
    if picture_at and wide:
        number = int.from_bytes(payload[picture_at : picture_at + 2], "big") + shift[0] & 0x7FFF
        out[picture_at : picture_at + 2] = (number | 0x8000).to_bytes(2, "big")
    elif picture_at:
        out[picture_at] = payload[picture_at] + shift[0] & 0x7F
    if tl0_at:
        out[tl0_at] = payload[tl0_at] + shift[1] & 0xFF
    return bytes(out)


def _mask(wide: bool) -> int:
    return 0x7FFF if wide else 0x7F


def _places(codec: str, payload: bytes) -> tuple[int, bool, int]:
    """Where the picture id is, whether it has 15 bits, and where TL0PICIDX is; 0 for what is not there."""
    size = len(payload)
    if size < 3:
        return 0, False, 0
    if codec == "VP8":
        if payload[0] & 0x80 == 0:
            return 0, False, 0
        at, has_picture, has_tl0 = 2, payload[1] & 0x80, payload[1] & 0x40
    else:
        first = payload[0]
        # TL0PICIDX follows the layer's byte, in non-flexible mode only.
        at, has_picture, has_tl0 = 1, first & 0x80, first & 0x20 and not first & 0x10
    picture_at, wide = 0, False
    if has_picture:
        picture_at, wide = at, payload[at] & 0x80 != 0
        at += 2 if wide else 1
    if codec == "VP9" and has_tl0:
        at += 1
    if at > size:
        return 0, False, 0
    return picture_at, wide, at if has_tl0 and at < size else 0


class Pictures:
    """Ids that go on counting when another source takes over a track.

    A decoder that sees them jump back drops frames until the next key frame (RFC 7741 section 4.2).
    """

    def __init__(self) -> None:
        self.last = PictureIds(None, None)  # as sent
        self._shift = NO_SHIFT
        self._fresh = True

    def switch(self) -> None:
        """Another source follows: its first id comes right after the last one sent."""
        self._fresh = True

    def rewrite(self, codec: str, payload: bytes) -> bytes:
        """The payload with continuous ids; unchanged when it carries none."""
        ids = picture_ids(codec, payload)
        if self._fresh:
            self._fresh = False
            self._shift = following(self.last, ids)
            self.last = moved(ids, self._shift)
        self.last = _later(self.last, moved(ids, self._shift))
        return shifted(codec, payload, self._shift) if self._shift != NO_SHIFT else payload


def following(last: PictureIds, first: PictureIds) -> Shift:
    """The shift by which `first` comes right after `last`."""
    return (
        (last.picture + 1 - first.picture) & 0x7FFF if last.picture is not None and first.picture is not None else 0,
        (last.tl0 + 1 - first.tl0) & 0xFF if last.tl0 is not None and first.tl0 is not None else 0,
    )


def moved(ids: PictureIds, shift: Shift) -> PictureIds:
    """What `ids` are after a shift."""
    return PictureIds(
        (ids.picture + shift[0]) & _mask(ids.wide) if ids.picture is not None else None,
        (ids.tl0 + shift[1]) & 0xFF if ids.tl0 is not None else None,
        ids.wide,
    )


def _later(last: PictureIds, ids: PictureIds) -> PictureIds:
    """The later of each: a packet that came late must not turn the count back."""
    picture, tl0, wide = last
    if ids.picture is not None:
        mask = _mask(ids.wide)
        if picture is None or wide != ids.wide or (ids.picture - picture & mask) <= mask // 2:
            picture, wide = ids.picture, ids.wide
    if ids.tl0 is not None and (tl0 is None or (ids.tl0 - tl0 & 0xFF) < 0x80):
        tl0 = ids.tl0
    return PictureIds(picture, tl0, wide)
