"""AV1 temporal units out of RTP: the AOM's "RTP Payload Format For AV1" 1.0, section 4. Pure.

What comes out is the low-overhead bitstream format (AV1 specification section 5.2): every OBU states its size, and
temporal delimiters are left out, as MP4's samples and WebM's blocks want it.
"""

from __future__ import annotations

from live.relay.depacketise import FRAME_BYTES_MAX, Frame, Ordered

SEQUENCE_HEADER, TEMPORAL_DELIMITER, FRAME_HEADER, FRAME, TILE_LIST = 1, 2, 3, 6, 8
_LEFT_OUT = {TEMPORAL_DELIMITER, TILE_LIST, 15}  # 15 is padding
_LEB_BYTES_MAX = 8


class AV1Frames:
    """Whole temporal units. `format` is the sequence header, as an OBU that states its size (what av1C holds)."""

    def __init__(self) -> None:
        self.wants_key = True
        self._ts: int | None = None
        self._obus: list[bytes] = []
        self._fragment: list[bytes] | None = None
        self._torn = False
        self._size = 0

    def push(self, packet: Ordered) -> list[Frame]:
        out: list[Frame] = []
        if packet.lost:
            self._start()
            self._ts, self.wants_key = None, True
        if not packet.payload:
            return out
        if self._ts is not None and packet.ts != self._ts:
            out += self._end()
        self._ts = packet.ts
        self._size += len(packet.payload)
        if self._size > FRAME_BYTES_MAX or not self._take(packet.payload):
            self._torn = True
        if packet.marker:
            out += self._end()
            self._ts = None
        return out

    def _take(self, payload: bytes) -> bool:
        elements = read_elements(payload)
        if elements is None:
            return False
        continues, goes_on = payload[0] & 0x80, payload[0] & 0x40
        if bool(continues) != (self._fragment is not None):
            return False
        for number, element in enumerate(elements):
            if number == 0 and self._fragment is not None:
                self._fragment.append(element)
            else:
                self._fragment = [element]
            if goes_on and number == len(elements) - 1:
                return True
            self._obus.append(b"".join(self._fragment))
            self._fragment = None
        return True

    def _end(self) -> list[Frame]:
        torn = self._torn or self._fragment is not None
        obus = [sized(obu) for obu in self._obus if obu[0] >> 3 & 15 not in _LEFT_OUT]
        ts = self._ts
        assert ts is not None
        self._start()
        whole = [obu for obu in obus if obu is not None]
        if torn or len(whole) < len(obus):
            self.wants_key = True
            return []
        if not whole:
            return []
        form = key_format(whole)
        if form is not None:
            self.wants_key = False
        elif self.wants_key:
            return []
        return [Frame(ts, b"".join(whole), form is not None, form or b"")]

    def _start(self) -> None:
        self._obus, self._fragment, self._torn, self._size = [], None, False, 0


def read_elements(payload: bytes) -> list[bytes] | None:
    """The OBU elements behind the aggregation header (section 4.4), none empty; None when lengths contradict."""
    if len(payload) < 2:
        return None
    count, at = payload[0] >> 4 & 3, 1
    out: list[bytes] = []
    while at < len(payload):
        if count and len(out) == count - 1:
            size = len(payload) - at  # W says how many there are: the last one's length is what is left
        else:
            found = leb128(payload, at)
            if found is None:
                return None
            size, at = found
        if not size or at + size > len(payload):
            return None
        out.append(payload[at : at + size])
        at += size
        if count and len(out) == count:
            break
    if at != len(payload) or (count and len(out) != count):
        return None
    return out


def sized(obu: bytes) -> bytes | None:
    """The OBU with its size stated (section 5.3 of the AV1 specification); None when it is none."""
    head = 2 if obu[0] & 4 else 1
    if obu[0] & 0x80 or len(obu) < head:
        return None
    body = obu[head:]
    if obu[0] & 2:
        found = leb128(obu, head)
        if found is None or found[1] + found[0] > len(obu):
            return None
        body = obu[found[1] : found[1] + found[0]]
    return bytes([obu[0] | 2]) + obu[1:head] + to_leb128(len(body)) + body


def key_format(obus: list[bytes]) -> bytes | None:
    """The sequence header of a temporal unit that a decoder can start from: it has one, and a key frame first."""
    header = next((obu for obu in obus if obu[0] >> 3 & 15 == SEQUENCE_HEADER), None)
    frame = next((obu for obu in obus if obu[0] >> 3 & 15 in (FRAME_HEADER, FRAME)), None)
    if header is None or frame is None:
        return None
    still = _body(header)[:1]
    if not still:
        return None
    if still[0] & 0x08:  # reduced_still_picture_header: there are only key frames
        return header
    first = _body(frame)[:1]
    # show_existing_frame, then two bits of frame_type, of which 0 is a key frame.
    return header if first and not first[0] & 0xE0 else None


def _body(obu: bytes) -> bytes:
    """What follows header and size of an OBU that states it."""
    found = leb128(obu, 2 if obu[0] & 4 else 1)
    return obu[found[1] :] if found is not None else b""


def leb128(buffer: bytes, at: int) -> tuple[int, int] | None:
    """The value at `at` and where it ends (AV1 specification section 4.10.5); None when it is cut off or too long."""
    value = 0
    for number in range(_LEB_BYTES_MAX):
        if at + number >= len(buffer):
            return None
        byte = buffer[at + number]
        value |= (byte & 0x7F) << 7 * number
        if not byte & 0x80:
            return (value, at + number + 1) if value < 1 << 32 else None
    return None


def to_leb128(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
