"""One room on one process: the numbers off the bus, the tick, and everyone who is in step with it.

Laws that the code below keeps:
- Numbers reach a socket without gap or duplicate. A gap on the bus is filled from the log; a gap for a slow reader is
  announced; another epoch is a `reset`.
- A joining socket is seated before its snapshot is read, and what happens meanwhile is held for it.
- A tick is encoded once and the same bytes are written to every socket. No socket is ever waited for.
- Only `line.posted` and what is volatile may wait for a tick; anything else takes along what waits.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from chat.fanout import Fanout
from chat.outbox import Item, is_talk, sampled
from chat.pace import Pace
from chat.room import Attendance
from chat.seat import SLOW_BYTES, Bucket, Prepared, Seat
from chat.service import Service

MAY_WAIT = frozenset({"line.posted", "presence.counted", "hearts.counted"})
HELD_MOST = 10_000
# While not every line is sent: so many a tick, which is at most 20 a second, and still more than anyone reads.
LINES_A_TICK = 5
# While every line is: above this no screen could show them, and what a viewer costs would grow with them without end.
# What came late, or in one burst, is shown as well: two seconds of it.
LINES_S, LINES_BURST = 120.0, 240.0


class Room:
    """`seq` is the newest number taken off the bus; while `behind`, the bus is stashed until the log has filled the
    gap, and `fall_behind(room)` says that it has to."""

    def __init__(self, name: str, *, fall_behind: Callable[[Room], None]) -> None:
        self.name = name
        self.epoch = ""
        self.seq = 0
        self.viewers = 0
        self.behind = True
        self.seats: set[Seat] = set()
        self.slow: set[Seat] = set()
        self.crew: set[Seat] = set()
        self.by_person: dict[str, set[Seat]] = {}
        self.fanout = Fanout()
        self.attendance = Attendance()
        self.service = Service()
        self.opened = asyncio.Event()
        self.empty_since = time.monotonic()
        self.tell_all = True  # the next beat names everyone, not only who came and went
        self.unheard: frozenset[str] = frozenset()  # who is shadow-banned: `p:<person>`, `d:<device>`
        self.hearts = 0
        self.hearts_apart: dict[str, int] = {}  # of such a person: for her own tabs
        self.hearts_at = 0.0
        self.hearts_wait = False  # some are gathered in the store, and the gap isn't over
        self.beat_at = 0.0
        self.deliveries = 0
        self._stash: list[tuple[str, Item]] = []
        self._waiting: list[Item] = []
        self._pace = Pace()
        self._shown = Bucket(LINES_S, LINES_BURST)
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0  # when the timer runs, on the loop's clock
        self._fall_behind = fall_behind

    # ---- who is here

    def seat(self, seat: Seat) -> None:
        self.seats.add(seat)
        if seat.member.may("moderator"):
            self.crew.add(seat)
        self.fanout.add(seat)
        self.by_person.setdefault(seat.member.person, set()).add(seat)
        self.attendance.enter(seat.member.person)

    def unseat(self, seat: Seat) -> None:
        self.slow.discard(seat)
        if seat not in self.seats:
            return
        self.seats.discard(seat)
        self.crew.discard(seat)
        self.fanout.remove(seat)
        person = seat.member.person
        self.by_person[person].discard(seat)
        if not self.by_person[person]:
            del self.by_person[person]
        self.attendance.leave(person)
        self.empty_since = time.monotonic()

    # ---- numbers

    def begin(self, epoch: str, seq: int) -> None:
        """Where the room stands; what was stashed up to here is dropped, what came after it is taken."""
        self.epoch, self.seq = epoch, seq
        self.fanout.seq = seq

    def event(self, epoch: str, item: Item) -> None:
        """A numbered event off the bus, in whatever order and how often it came."""
        assert item.seq is not None
        if not self.behind and epoch == self.epoch:
            if item.seq <= self.seq:
                return
            if item.seq == self.seq + 1:
                self.take(item)
                return
        # A gap, another epoch, or a room that is being opened: the log decides.
        self._stash.append((epoch, item))
        if len(self._stash) > HELD_MOST:
            self._stash.clear()
        self.behind = True
        self._fall_behind(self)

    def take(self, item: Item) -> None:
        assert item.seq is not None
        self.seq = item.seq
        self.queue(item)

    def forget_stash(self) -> None:
        """Before the log is asked: it has all that came so far, but for what is of an epoch that is over."""
        self._stash.clear()

    def caught_up(self) -> None:
        self.behind = False
        stash, self._stash = self._stash, []
        for epoch, item in stash:
            self.event(epoch, item)

    # ---- ticks

    def queue(self, item: Item) -> None:
        """To everyone, with the next tick."""
        self._waiting.append(item)
        urgent = item.kind not in MAY_WAIT
        if self._timer is not None and not urgent:
            return
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = now + self._pace.due_in(now, len(self.seats), urgent=urgent)
        if self._timer is not None:
            # Not timer.when(): uvloop gives a plain handle for what is due at once.
            if self._due <= due:
                return
            self._timer.cancel()
        # At once means after what else has arrived by now: a burst becomes one write.
        self._due = due
        self._timer = loop.call_at(due, self.flush)

    def flush(self) -> None:
        self.stop()
        items, self._waiting = self._waiting, []
        if not items or not self.seats:
            return
        loop = asyncio.get_running_loop()
        started = loop.time()
        fanout = self.fanout
        numbers = [item.seq for item in items if item.seq is not None]
        before, last = (numbers[0] - 1, numbers[-1]) if numbers else (fanout.seq, fanout.seq)
        if before != fanout.seq:
            fanout.break_up(before)
        whole = Prepared([item.data for item in items], shared=True)
        shown, left_out = self._thinned(items, before, started)
        prepared = whole if not left_out else Prepared([item.data for item in shown], shared=True)
        # Whom a line that is left out concerns gets it all: its author, those whom it mentions or answers, and the
        # crew, behind whose back nothing is said.
        gets_all = self._gets_all(left_out)
        for seat in gets_all:
            fanout.step_out(seat)
        fanout.write(prepared, last)
        for seat in list(fanout.others):
            if not _offer(self, seat, items, whole if seat in gets_all else prepared, before, last):
                self.close_slow(seat)
            elif seat.seq == last and seat.held is None and seat.outbox is None and not seat.kept_out:
                fanout.step_in(seat)
        self.deliveries += len(shown) * len(self.seats)
        urgent = any(item.kind not in MAY_WAIT for item in items)
        self._pace.flushed(started, loop.time(), len(items), urgent=urgent)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _thinned(self, items: list[Item], before: int, now: float) -> tuple[list[Item], list[Item]]:
        """What most get of a tick, and the lines that they don't."""
        lines = sum(is_talk(item) for item in items)
        # The newest of a tick is always shown: it may be the last for long.
        most = max(1, self._shown.take(now, lines)) if self.service.every_line else LINES_A_TICK
        return sampled(items, before, most) if lines > most else (items, [])

    def _gets_all(self, left_out: list[Item]) -> set[Seat]:
        if not left_out:
            return set()
        people = {person for item in left_out for person in (item.author, *item.named)}
        return self.crew.union(*(self.by_person.get(person, ()) for person in people))

    # ---- one by one

    def tell(self, seat: Seat, item: Item) -> None:
        self.deliveries += 1
        if not seat.send(item):
            self.close_slow(seat)

    def tell_each(self, item: Item) -> None:
        """To everyone at once, past the ticks: what this process alone has to say."""
        for seat in list(self.seats):
            self.tell(seat, item)

    def close_slow(self, seat: Seat) -> None:
        self.slow.discard(seat)
        seat.wire.close(1013, "too slow")

    def look_after_the_slow(self, now: float, slow_s: float) -> None:
        for seat in list(self.slow):
            if seat.wire.is_closing() or seat.catch_up():
                self.slow.discard(seat)
            elif now - seat.slow_since > slow_s:
                self.close_slow(seat)


def _offer(room: Room, seat: Seat, items: list[Item], prepared: Prepared, before: int, last: int) -> bool:
    """A tick for one who is not in step; `prepared` is what she gets of it if she has had all before. False when she
    must go: too much is waiting for her."""
    wire = seat.wire
    if seat.held is not None:
        seat.held += items
        return len(seat.held) <= HELD_MOST
    if wire.is_closing():
        return True
    if seat.outbox is not None or wire.buffered() > SLOW_BYTES:
        if seat.outbox is None:
            seat.slow_since = time.monotonic()
            room.slow.add(seat)
        return seat.wait_with(items)
    if seat.seq == before and not seat.kept_out:
        wire.write(prepared)
        seat.seq = last
    else:
        seat.write(items)
    return True
