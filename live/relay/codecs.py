"""Where a key frame starts, told from payload bytes alone; and VP8's picture ids kept continuous.

H.264: RFC 6184. VP8: RFC 7741. VP9: RFC 9628. AV1: the AOM's RTP payload specification, section 4.4.
"""

from __future__ import annotations

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


class Vp8Pictures:
    """Picture ids and TL0PICIDX that go on counting when another source or layer takes over.

    A decoder that sees them jump back drops frames until the next key frame (RFC 7741 section 4.2).
    """

    def __init__(self) -> None:
        self._offset = 0
        self._tl0_offset = 0
        self._last = 0
        self._last_tl0 = 0
        self._fresh = True

    def switch(self) -> None:
        """Another source follows: its first id comes right after the last one sent."""
        self._fresh = True

    def rewrite(self, payload: bytes) -> bytes:
        """The payload with continuous ids; unchanged when it carries none."""
        if len(payload) < 3 or payload[0] & 0x80 == 0:
            return payload
        flags, position = payload[1], 2
        out = bytearray(payload)
        fresh, self._fresh = self._fresh, False
        if flags & 0x80:
            wide = payload[position] & 0x80 != 0
            if wide and len(payload) < position + 2:
                return payload
            mask = 0x7FFF if wide else 0x7F
            value = int.from_bytes(payload[position : position + 2], "big") & mask if wide else payload[position]
            if fresh and self._last:
                self._offset = self._last + 1 - value
            value = (value + self._offset) & mask
            if fresh or (value - self._last & mask) <= mask // 2:
                self._last = value
            if wide:
                out[position : position + 2] = (value | 0x8000).to_bytes(2, "big")
            else:
                out[position] = value
            position += 2 if wide else 1
        if flags & 0x40 and position < len(payload):
            tl0 = payload[position]
            if fresh and self._last_tl0:
                self._tl0_offset = self._last_tl0 + 1 - tl0
            self._last_tl0 = out[position] = (tl0 + self._tl0_offset) & 0xFF
        return bytes(out)
