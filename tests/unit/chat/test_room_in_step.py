"""Who is in step, and what falling out of it means."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from chat.fanout import Fanout
from chat.outbox import Item, volatile
from chat.ports import Member
from chat.seat import Bucket, Prepared, Seat, Sender


class PaperWire:
    """Keeps what was written. `full_after` frames its buffer is full; `gone` raises as a closed uvloop transport."""

    def __init__(self, *, full_after: int | None = None, asks: bool = False, packs: bool = False) -> None:
        self.frames: list[bytes] = []
        self.packs = packs
        self.full_after = full_after
        self.asks = asks
        self.gone = False
        self.out: Callable[[], None] | None = None

    def write(self, prepared: Prepared) -> None:
        self._write(prepared.frame)

    def direct(self, out: Callable[[], None]) -> Sender | None:
        self.out = out
        return None if self.asks else SimpleNamespace(write=self._write)

    def buffered(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.gone

    def close(self, code: int, reason: str) -> None:
        self.gone = True

    def _write(self, frame: bytes) -> None:
        if self.gone:
            raise RuntimeError("the handler is closed")
        self.frames.append(frame)
        if len(self.frames) == self.full_after:
            assert self.out is not None
            self.out()


def frame(text: bytes) -> Prepared:
    """A frame of its own bytes."""
    prepared = Prepared([text], shared=True)
    prepared.frame = text
    return prepared


def seated(fanout: Fanout, wire: PaperWire) -> Seat:
    member = Member("per_1", "Ann", frozenset(), "dev_1", "ses_1")
    seat = Seat("spring", member, wire, Bucket(1, 1), volatile, 0)
    seat.held = None
    seat.seq = fanout.seq
    fanout.add(seat)
    fanout.step_in(seat)
    return seat


def test_everyone_in_step_gets_the_frame_and_no_number_is_kept_for_each() -> None:
    fanout, wires = Fanout(), [PaperWire() for _ in range(3)]
    seats = [seated(fanout, wire) for wire in wires]
    fanout.write(frame(b"one"), 1)
    fanout.write(frame(b"two"), 5)
    assert [wire.frames for wire in wires] == [[b"one", b"two"]] * 3
    fanout.step_out(seats[0])
    assert (seats[0].seq, len(fanout), fanout.others) == (5, 2, {seats[0]})


def test_who_fills_up_during_a_frame_has_had_that_frame_and_gets_no_other() -> None:
    fanout, wire = Fanout(), PaperWire(full_after=2)
    seat = seated(fanout, wire)
    other = seated(fanout, PaperWire())
    for number in (1, 2, 3):
        fanout.write(frame(b"%d" % number), number)
    assert wire.frames == [b"1", b"2"]
    assert seat.seq == 2
    assert fanout.others == {seat}
    fanout.step_out(other)
    assert other.seq == 3


def test_a_connection_that_closed_since_the_last_turn_hurts_nobody_else() -> None:
    fanout, wires = Fanout(), [PaperWire() for _ in range(3)]
    seats = [seated(fanout, wire) for wire in wires]
    wires[1].gone = True
    fanout.write(frame(b"one"), 1)
    assert [wire.frames for wire in wires] == [[b"one"], [], [b"one"]]
    assert fanout.others == {seats[1]}


def test_a_wire_that_must_be_asked_stays_among_the_others() -> None:
    fanout = Fanout()
    seat = seated(fanout, PaperWire(asks=True))
    assert (len(fanout), fanout.others) == (0, {seat})


def test_who_has_to_wait_is_out_of_step_first_so_that_nothing_is_lost_or_sent_twice() -> None:
    fanout, wire = Fanout(), PaperWire()
    seat = seated(fanout, wire)
    fanout.write(frame(b"seven"), 7)
    seat.wait_with([Item("card.dropped", b"{}", 7), Item("card.dropped", b"{}", 8)])
    assert seat.outbox is not None
    assert len(seat.outbox) == 1, "7 she has had"
    assert fanout.others == {seat}


def test_who_left_is_nowhere() -> None:
    fanout, wire = Fanout(), PaperWire()
    seat = seated(fanout, wire)
    fanout.remove(seat)
    fanout.write(frame(b"one"), 1)
    assert (wire.frames, len(fanout), fanout.others) == ([], 0, set())


def test_only_who_has_had_everything_may_step_in() -> None:
    fanout = Fanout()
    seat = seated(fanout, PaperWire())
    fanout.step_out(seat)
    fanout.write(frame(b"one"), 1)
    with pytest.raises(AssertionError):
        fanout.step_in(seat)


def test_who_takes_packed_frames_gets_one_packed_once_for_all_of_them() -> None:
    fanout, plain, wires = Fanout(), PaperWire(), [PaperWire(packs=True) for _ in range(2)]
    for wire in (plain, *wires):
        seated(fanout, wire)
    prepared = Prepared([b'{"text":"%s"}' % (b"hello " * 100)], shared=True)
    fanout.write(prepared, 1)
    assert plain.frames == [prepared.frame]
    assert wires[0].frames[0] is wires[1].frames[0]
    assert len(wires[0].frames[0]) < len(prepared.frame) / 5
    fanout.write(Prepared([b"{}"], shared=True), 2)
    assert wires[0].frames[1] == plain.frames[1], "a short one is no shorter packed"
