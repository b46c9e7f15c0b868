"""The time burnt into the demo's picture for machines: a row of black and white cells that a page reads from a canvas.

The strip lies in the picture's lower left corner: LEFT, TOP, CELL_WIDTH and CELL_HEIGHT are shares of the picture's
width and height, so that it is found at any size. It has CELLS cells, left to right:

    cells 0–3    white black white black    what white and black look like here (and that there is a strip at all)
    cells 4–27   24 bits, highest first     milliseconds of the sender's clock since 1970, modulo 2^24 (4.66 hours)
    cells 28–35  8 bits, highest first      checksum: the three bytes XORed together and with 0xA5

A cell is read as the mean of its middle; it is white when it is above half-way between the reference cells.
"""

from __future__ import annotations

from collections.abc import Sequence

CELLS = 36
BITS = 24
MODULO = 1 << BITS
LEFT, TOP = 16 / 1280, 700 / 720
CELL_WIDTH, CELL_HEIGHT = 8 / 1280, 12 / 720
SALT = 0xA5
LEAST_CONTRAST = 40  # of 255, between the reference cells


def encode(wall_ms: int) -> list[bool]:
    """The cells for this moment; True is white."""
    value = wall_ms % MODULO
    check = _checksum(value)
    bits = [value >> shift & 1 for shift in range(BITS - 1, -1, -1)] + [
        check >> shift & 1 for shift in range(7, -1, -1)
    ]
    return [True, False, True, False, *map(bool, bits)]


def decode(row: Sequence[float]) -> int | None:
    """The milliseconds (modulo 2^24) out of the brightness (0–255) of the CELLS cells, or None: no strip."""
    if len(row) != CELLS:
        return None
    white, black = (row[0] + row[2]) / 2, (row[1] + row[3]) / 2
    if white - black < LEAST_CONTRAST:
        return None
    bits = [brightness > (white + black) / 2 for brightness in row]
    if bits[:4] != [True, False, True, False]:
        return None
    number = 0
    for bit in bits[4:]:
        number = number << 1 | bit
    value, check = number >> 8, number & 0xFF
    return value if check == _checksum(value) else None


def decode_picture(rows: Sequence[Sequence[float]]) -> int | None:
    """`decode` for a whole picture: rows of brightness (0–255), as wide and high as it was received."""
    height, width = len(rows), len(rows[0])
    middle = int((TOP + CELL_HEIGHT / 2) * height)
    cells = []
    for cell in range(CELLS):
        x = int((LEFT + (cell + 0.5) * CELL_WIDTH) * width)
        around = [rows[y][column] for y in (middle - 1, middle, middle + 1) for column in (x - 1, x, x + 1)]
        cells.append(sum(around) / len(around))
    return decode(cells)


def age_ms(value: int, now_ms: int) -> int:
    """How long ago a frame with this `value` was made: 0 to 2^24 ms. A clock slightly behind gives a small negative."""
    behind = (now_ms - value) % MODULO
    return behind - MODULO if behind > MODULO // 2 else behind


def _checksum(value: int) -> int:
    return (value >> 16 ^ value >> 8 ^ value) & 0xFF ^ SALT
