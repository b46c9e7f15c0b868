"""What a page asks for, and by whom."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from chat.envelope import decode_body
from chat.ports import Member

T = TypeVar("T")


class Intent(msgspec.Struct, frozen=True):
    """`op` is the client's id of it: an intent that changes something answers the same `op` with its first result.
    `received_ms` is server time."""

    room: str
    member: Member
    op: str
    kind: str
    body: msgspec.Raw
    received_ms: int

    def read(self, shape: type[T]) -> T:
        """The body in its shape. Raises: Invalid."""
        return decode_body(self.body, shape)
