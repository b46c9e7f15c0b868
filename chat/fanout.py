"""The sockets of a room that are in step: each has had everything so far, and takes the next frame by one bare write.

What a delivery costs is mostly the kernel's, and what the kernel did in between has pushed our objects out of the CPU's
caches: each object that is looked at on the way to a socket costs about as much as the looking. So the loop over the
sockets in step touches nothing but their transports. Who falls out of step (her buffer is full, she is
leaving, she is being brought up) is told by an event, not found by asking; she is then one of the `others`, and the
hub looks at those one by one.
"""

from __future__ import annotations

from chat.seat import Prepared, Seat, Sender


class Fanout:
    """`seq` is the newest number that everyone in step has had."""

    def __init__(self) -> None:
        self.seq = 0
        self.others: set[Seat] = set()
        self._plain: dict[Seat, Sender] = {}
        self._packed: dict[Seat, Sender] = {}  # those who take permessage-deflate
        self._fallen: list[Seat] | None = None  # a list while the loop runs: a write may fill a buffer

    def __len__(self) -> int:
        return len(self._plain) + len(self._packed)

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
        sender = seat.wire.direct(lambda: self.step_out(seat))
        if sender is not None:
            (self._packed if seat.wire.packs else self._plain)[seat] = sender
            self.others.discard(seat)

    def step_out(self, seat: Seat) -> None:
        """`seat.seq` is true again, and she is looked at one by one. Nothing happens to one who is not in step."""
        if self._fallen is not None:
            self._fallen.append(seat)
        elif self._plain.pop(seat, None) or self._packed.pop(seat, None):
            seat.seq = self.seq
            self.others.add(seat)

    def write(self, prepared: Prepared, last: int) -> None:
        """`prepared` to everyone in step; they have had all up to number `last` then."""
        fallen = self._fallen = []
        if self._plain:
            fallen += _write(self._plain, prepared.frame)
        if self._packed:
            fallen += _write(self._packed, prepared.packed)
        self._fallen = None
        self.seq = last
        for seat in fallen:
            self.step_out(seat)

    def break_up(self, seq: int) -> None:
        """Nobody is in step any more: the numbers start again at `seq`."""
        for seat in [*self._plain, *self._packed]:
            self.step_out(seat)
        self.seq = seq


def _write(senders: dict[Seat, Sender], frame: bytes) -> list[Seat]:
    """`frame` to each; those who can't be written to any more."""
    gone: set[int] = set()
    left = iter(senders.values())
    while True:
        try:
            for sender in left:
                sender.write(frame)
            break
        except RuntimeError:
            # uvloop: closed since the last turn of the loop. The loop goes on with the next.
            gone.add(id(sender))
    return [seat for seat, sender in senders.items() if id(sender) in gone] if gone else []
