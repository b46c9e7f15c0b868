"""The sockets of a room that are in step: each has had everything so far, and takes the next frame by one bare write.

What a delivery costs is mostly the kernel's, and what the kernel did in between has pushed our objects out of the CPU's
caches: each object that is looked at on the way to a socket costs about as much as the looking. So the loop over the
sockets in step touches nothing but the transports' write functions. Who falls out of step (her buffer is full, she is
leaving, she is being brought up) is told by an event, not found by asking; she is then one of the `others`, and the
hub looks at those one by one.
"""

from __future__ import annotations

from chat.seat import Prepared, Seat, Write


class Fanout:
    """`seq` is the newest number that everyone in step has had."""

    def __init__(self) -> None:
        self.seq = 0
        self.others: set[Seat] = set()
        self._writes: dict[Seat, Write] = {}
        self._packed: dict[Seat, Write] = {}  # those who take permessage-deflate
        self._fallen: list[Seat] | None = None  # a list while the loop runs: a write may fill a buffer

    def __len__(self) -> int:
        return len(self._writes) + len(self._packed)

    def add(self, seat: Seat) -> None:
        seat.out_of_step = self.step_out
        self.others.add(seat)

    def remove(self, seat: Seat) -> None:
        self.step_out(seat)
        self.others.discard(seat)

    def step_in(self, seat: Seat) -> None:
        """From the next frame on she gets what everyone gets, if her wire can be written to without asking."""
        assert seat.seq == self.seq
        assert seat.held is None
        assert seat.outbox is None
        write = seat.wire.direct(lambda: self.step_out(seat))
        if write is not None:
            (self._packed if seat.wire.packs else self._writes)[seat] = write
            self.others.discard(seat)

    def step_out(self, seat: Seat) -> None:
        """`seat.seq` is true again, and she is looked at one by one. Nothing happens to one who is not in step."""
        if self._fallen is not None:
            self._fallen.append(seat)
        elif self._writes.pop(seat, None) or self._packed.pop(seat, None):
            seat.seq = self.seq
            self.others.add(seat)

    def write(self, prepared: Prepared, last: int) -> None:
        """`prepared` to everyone in step; they have had all up to number `last` then."""
        fallen = self._fallen = []
        frame = prepared.frame
        for seat, write in self._writes.items():
            try:
                write(frame)
            except RuntimeError:
                # uvloop: closed since the last turn of the loop.
                fallen.append(seat)
        if self._packed:
            frame = prepared.packed
            for seat, write in self._packed.items():
                try:
                    write(frame)
                except RuntimeError:
                    fallen.append(seat)
        self._fallen = None
        self.seq = last
        for seat in fallen:
            self.step_out(seat)

    def break_up(self, seq: int) -> None:
        """Nobody is in step any more: the numbers start again at `seq`."""
        for seat in [*self._writes, *self._packed]:
            self.step_out(seat)
        self.seq = seq
