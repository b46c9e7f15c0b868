"""H.264 as MP4 wants it: NAL units by length instead of start codes, and what the SPS says of the picture. Pure.

ITU-T H.264 section 7.3.2.1 (SPS) and annex B; ISO/IEC 14496-15 section 5.3.3 (avcC).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import NamedTuple

_SPS, _PPS, _DELIMITER = 7, 8, 9
_START = re.compile(rb"\x00{2,}\x01")
# Profiles whose SPS states chroma and depths, and may carry scaling lists.
_HIGH = {100, 110, 122, 244, 44, 83, 86, 118, 128}


class BadSps(ValueError):
    """The parameter set is cut off or states no picture."""


class Sps(NamedTuple):
    """`width`, `height`: pixels that are shown. The rest is for avcC."""

    width: int
    height: int
    profile: int
    chroma: int
    depth_luma: int
    depth_chroma: int


def units(annex_b: bytes) -> list[bytes]:
    """NAL units out of a byte stream with start codes of three or four bytes (annex B)."""
    return [unit for unit in _START.split(annex_b) if unit]


def parameter_sets(nals: Sequence[bytes]) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
    """SPS and PPS among them, in their order."""
    return tuple(n for n in nals if n[0] & 31 == _SPS), tuple(n for n in nals if n[0] & 31 == _PPS)


def by_length(annex_b: bytes) -> bytes:
    """The access unit as an MP4 sample; parameter sets stay out, they are in avcC."""
    kept = (n for n in units(annex_b) if n[0] & 31 not in (_SPS, _PPS, _DELIMITER))
    return b"".join(struct.pack(">I", len(n)) + n for n in kept)


def avc_configuration(sps: Sequence[bytes], pps: Sequence[bytes], shape: Sps) -> bytes:
    """AVCDecoderConfigurationRecord."""
    out = b"\1" + sps[0][1:4] + b"\xff" + bytes((0xE0 | len(sps),))
    out += b"".join(struct.pack(">H", len(n)) + n for n in sps) + bytes((len(pps),))
    out += b"".join(struct.pack(">H", len(n)) + n for n in pps)
    if shape.profile in _HIGH:
        out += bytes((0xFC | shape.chroma, 0xF8 | shape.depth_luma - 8, 0xF8 | shape.depth_chroma - 8, 0))
    return out


def read_sps(nal: bytes) -> Sps:
    """Raises BadSps."""
    bits = _Bits(nal[1:].replace(b"\0\0\3", b"\0\0"))
    profile, _, _ = bits.take(8), bits.take(8), bits.take(8)
    bits.exp_golomb()  # seq_parameter_set_id
    chroma, depth_luma, depth_chroma, separate = 1, 8, 8, 0
    if profile in _HIGH:
        chroma = bits.exp_golomb()
        separate = bits.take(1) if chroma == 3 else 0
        depth_luma, depth_chroma = 8 + bits.exp_golomb(), 8 + bits.exp_golomb()
        bits.take(1)
        if bits.take(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.take(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.exp_golomb()  # log2_max_frame_num
    order = bits.exp_golomb()
    if order == 0:
        bits.exp_golomb()
    elif order == 1:
        bits.take(1)
        bits.signed()
        bits.signed()
        for _ in range(min(bits.exp_golomb(), 255)):
            bits.signed()
    bits.exp_golomb()  # max_num_ref_frames
    bits.take(1)
    width, height = (bits.exp_golomb() + 1) * 16, (bits.exp_golomb() + 1) * 16
    frames_only = bits.take(1)
    height *= 2 - frames_only
    if not frames_only:
        bits.take(1)
    bits.take(1)
    if bits.take(1):  # cropping, in units of chroma samples
        across = 2 if chroma in (1, 2) and not separate else 1
        down = (2 if chroma == 1 and not separate else 1) * (2 - frames_only)
        width -= across * (bits.exp_golomb() + bits.exp_golomb())
        height -= down * (bits.exp_golomb() + bits.exp_golomb())
    if not (0 < width <= 16384 and 0 < height <= 16384 and chroma <= 3):
        raise BadSps
    return Sps(width, height, profile, chroma, depth_luma, depth_chroma)


def _skip_scaling_list(bits: _Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


class _Bits:
    def __init__(self, raw: bytes) -> None:
        self._value, self._left = int.from_bytes(raw, "big"), len(raw) * 8

    def take(self, count: int) -> int:
        self._left -= count
        if self._left < 0:
            raise BadSps
        return self._value >> self._left & (1 << count) - 1

    def exp_golomb(self) -> int:
        """Section 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise BadSps
        return (1 << zeros) - 1 + self.take(zeros)

    def signed(self) -> int:
        code = self.exp_golomb()
        return (code + 1) // 2 if code % 2 else -(code // 2)
