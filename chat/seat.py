"""One socket in a room, as the hub sees it: who sits there, what she has had, what she still has to get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from chat.envelope import deflated_frame, joined, server_frame
from chat.kinds import EVENTS
from chat.outbox import Item, Outbox, StateOf, explained
from chat.ports import Member

# Above this many unsent bytes a reader is slow: her events wait in the outbox, where they can still be thinned.
SLOW_BYTES = 64 * 1024
# Most envelopes put into one frame, so that a long resume doesn't become one message of megabytes.
FRAME_ENVELOPES = 500
# What a banned reader doesn't get: all that the room itself numbers. The show's events are the app's.
TALK = frozenset(EVENTS)
# Below this a frame is about as small packed as it is.
PACKED_FROM_BYTES = 256


class Prepared:
    """A payload and, made once for all sockets, its frame. `shared`: it is for many, so that it is worth packing for
    those who asked for that."""

    __slots__ = ("_packed", "frame", "payload", "shared")

    def __init__(self, envelopes: list[bytes], *, shared: bool = False) -> None:
        self.payload = joined(envelopes)
        self.frame = server_frame(self.payload)
        self.shared = shared
        self._packed: bytes | None = None

    @property
    def packed(self) -> bytes:
        """The frame for who takes permessage-deflate: deflated when that pays, and only if it is shared.

        What one person alone gets stays plain: packing it would cost as much for one as a tick does for all, and from
        the length of private text packed beside chosen text the private one can be guessed (CRIME)."""
        if self._packed is None:
            worth_it = self.shared and len(self.payload) >= PACKED_FROM_BYTES
            self._packed = deflated_frame(self.payload) if worth_it else self.frame
        return self._packed


class Sender(Protocol):
    """Writes a frame that is ready to go: a transport."""

    def write(self, frame: bytes, /) -> None: ...


class Wire(Protocol):
    """A way to the client that never blocks. `packs`: the client takes permessage-deflate."""

    packs: bool

    def write(self, prepared: Prepared) -> None: ...

    def direct(self, out: Callable[[], None]) -> Sender | None:
        """What may be written to without asking `buffered` or `is_closing` first, until `out` is called: then
        the buffer is full or the connection is closing. None: this wire has to be asked each time."""
        ...

    def buffered(self) -> int:
        """Bytes written that the client's side has not taken yet."""
        ...

    def is_closing(self) -> bool: ...

    def close(self, code: int, reason: str) -> None:
        """Send a close frame; cut the connection when it can't be delivered. Closing twice is one close."""
        ...


class Bucket:
    """`burst` at once, `rate_s` a second."""

    __slots__ = ("_at", "_burst", "_left", "_rate_s")

    def __init__(self, rate_s: float, burst: float) -> None:
        self._rate_s, self._burst, self._left, self._at = rate_s, burst, burst, 0.0

    def wait_s(self, now: float, n: float = 1) -> float:
        """0 when `n` may pass now (they are counted), else seconds until they may."""
        self._left = min(self._burst, self._left + (now - self._at) * self._rate_s)
        self._at = now
        if self._left >= n:
            self._left -= n
            return 0.0
        return (n - self._left) / self._rate_s

    def take(self, now: float, n: int) -> int:
        """How many of `n` may pass now; they are counted."""
        self.wait_s(now, 0)
        passed = min(n, int(self._left))
        self._left -= passed
        return passed


class Seat:
    """`seq` is the newest number she has had. While `held` is a list, her snapshot is on its way and events wait."""

    __slots__ = (
        "bucket",
        "entered_ms",
        "held",
        "kept_out",
        "member",
        "out_of_step",
        "outbox",
        "over",
        "refused",
        "room",
        "seq",
        "slow_since",
        "state_of",
        "turn",
        "wire",
    )

    def __init__(
        self, room: str, member: Member, wire: Wire, bucket: Bucket, state_of: StateOf, entered_ms: int
    ) -> None:
        self.room = room
        self.member = member
        self.wire = wire
        self.bucket = bucket
        self.state_of = state_of
        self.entered_ms = entered_ms
        self.seq = 0
        self.turn = 0  # which bringing-up holds: a reset overtakes a join that is still reading
        self.held: list[Item] | None = []
        self.kept_out = ""  # the person under whose ban she has the show alone, without the talk
        self.outbox: Outbox | None = None
        self.slow_since = 0.0
        self.over = False
        self.refused = 0
        # Whoever counts on `seq` asks for it by this first: see chat.fanout.
        self.out_of_step: Callable[[Seat], None] = _nothing

    def hold(self) -> None:
        """What comes from now on waits for a snapshot. So does what waited already, but for events, which the snapshot
        has: an answer is given once."""
        self.held = [item for item in self.held or () if item.seq is None]

    def send(self, item: Item) -> bool:
        """To this socket alone. False when she must go: too much is waiting for her."""
        if self.held is not None:
            self.held.append(item)
            return len(self.held) <= 10_000
        if self.outbox is None and self.wire.buffered() <= SLOW_BYTES:
            if not self.wire.is_closing():
                self.wire.write(Prepared([item.data]))
            return True
        return self.wait_with([item])

    def wait_with(self, items: list[Item]) -> bool:
        """The transport is full: keep what is new to her in the outbox. False when that is full as well."""
        self.out_of_step(self)
        if self.outbox is None:
            self.outbox = Outbox(self.member.person, state_of=self.state_of)
        fits = True
        for item in items:
            if item.seq is None or item.seq > self.seq:
                fits = self.outbox.push(item, withheld=self._withholds(item)) and fits
        return fits

    def catch_up(self) -> bool:
        """Write what waits, if there is room for it again; True when nothing waits any more."""
        if self.outbox is None:
            return True
        if self.wire.buffered() > SLOW_BYTES // 2:
            return False
        last = self.outbox.last
        items = self.outbox.take(self.seq)
        self.outbox = None
        self.write(items)
        self.seq = max(self.seq, last)
        return True

    def write_frames(self, frames: list[Prepared]) -> None:
        """What others get as well, whatever the buffer says. `seq` is the caller's to set."""
        self.out_of_step(self)
        for prepared in frames:
            if not self.wire.is_closing():
                self.wire.write(prepared)

    def write(self, items: list[Item]) -> None:
        """Write what is new to her of `items`, which are in order, whatever the buffer says."""
        self.out_of_step(self)
        last = max((item.seq for item in items if item.seq is not None), default=self.seq)
        if self.kept_out:
            items = explained([item for item in items if not self._withholds(item)], self.seq, last)
        fresh = []
        for item in items:
            if item.seq is None:
                fresh.append(item.data)
            elif item.seq > self.seq:
                fresh.append(item.data)
                self.seq = item.seq
        self.seq = max(self.seq, last)
        for start in range(0, len(fresh), FRAME_ENVELOPES):
            if self.wire.is_closing():
                return
            self.wire.write(Prepared(fresh[start : start + FRAME_ENVELOPES]))

    def _withholds(self, item: Item) -> bool:
        return bool(self.kept_out) and item.kind in TALK


def _nothing(seat: Seat) -> None:
    """She is not in a room yet."""
