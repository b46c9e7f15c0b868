"""What one slow socket still has to get: bounded, with a named policy for each kind. Pure.

A socket that keeps up has an empty outbox: the hub writes the shared bytes of a tick straight to it. Only when its
transport's buffer is full do events wait here, and then

    COALESCE  presence, and what the app says tells all of a thing: a newer one replaces the older
    THIN      lines of talk: the older half goes when the outbox is full, but never one's own, a moderator's, or what
              mentions or answers the reader
    KEEP      everything else

and when nothing is left to thin, the outbox is over: the socket is closed with 1013 and comes back by resume.
Numbers that were dropped are announced (`events.skipped`): a client never meets an unexplained gap.
"""

from __future__ import annotations

import enum
import operator
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from chat.envelope import decode_envelope, encode
from chat.kinds import EventsSkipped
from chat.message import Mention, Reply

MAX_ITEMS = 1_000
MAX_BYTES = 1024 * 1024
_VOLATILE = frozenset({"presence.counted", "hearts.counted", "service.changed"})


class Policy(enum.Enum):
    KEEP = "keep"
    THIN = "thin"
    COALESCE = "coalesce"


class Item:
    """An encoded envelope on its way. `seq` is None when it has no number; `author` is a line's person, or "!"; `named`
    are the persons whom a line mentions or answers."""

    __slots__ = ("author", "data", "kind", "named", "seq")

    def __init__(
        self, kind: str, data: bytes, seq: int | None = None, author: str = "", named: Sequence[str] = ()
    ) -> None:
        self.kind = kind
        self.data = data
        self.seq = seq
        self.author = author
        self.named = named

    def concerns(self, person: str) -> bool:
        """Whether it is hers or meant for her, so that she gets it whatever is thinned."""
        return self.author == person or person in self.named


class _About(msgspec.Struct):
    """Of a line, whom it concerns."""

    person: str = ""
    badge: str = ""
    reply: Reply | None = None
    mentions: list[Mention] = []


class _Said(msgspec.Struct):
    line: _About


def logged(data: bytes) -> Item:
    """An event off the log, as the bus would have told of it."""
    envelope = decode_envelope(data)
    if envelope.kind != "line.posted":
        return Item(envelope.kind, data, envelope.seq)
    line = msgspec.json.decode(envelope.body, type=_Said).line
    author = line.person if line.badge in ("", "buyer") else "!"
    return Item(envelope.kind, data, envelope.seq, author, named(line.reply, line.mentions))


def named(reply: Reply | None, mentions: list[Mention]) -> list[str]:
    """The persons whom a line mentions or answers."""
    return list(dict.fromkeys([*(one.person for one in mentions), *([reply.person] if reply else [])]))


class State(NamedTuple):
    """An event that tells all of a thing: `of` names it. `revs` say how new what it tells is, each part's; none where
    the last to come is the newest."""

    of: str
    revs: tuple[int, ...] = ()

    def replaces(self, other: State | None) -> bool:
        """What came later may be older, if two processes told it."""
        return other is not None and self.of == other.of and all(map(operator.ge, self.revs, other.revs))


# What an event tells all of, or None: then no other makes it superfluous.
StateOf = Callable[[Item], State | None]


def volatile(item: Item) -> State | None:
    """Presence, hearts and the switches replace themselves; nothing else does unless the app says so."""
    return State(item.kind) if item.kind in _VOLATILE else None


def is_talk(item: Item) -> bool:
    """A line that may be left out: staff's never are."""
    return item.kind == "line.posted" and item.author != "!"


def sampled(items: list[Item], before: int, most: int) -> tuple[list[Item], list[Item]]:
    """A tick with at most `most` lines of talk, the newest, and the lines that were left out. Staff's lines and all
    that isn't talk stay. What is left out after number `before` is announced."""
    talk = [item for item in items if is_talk(item)]
    left_out = talk[: max(0, len(talk) - most)]
    if not left_out:
        return items, []
    gone = set(map(id, left_out))
    last = max(item.seq for item in items if item.seq is not None)
    return explained([item for item in items if id(item) not in gone], before, last), left_out


def explained(items: list[Item], after: int, last: int) -> list[Item]:
    """`items` that are newer than number `after`, with every gap up to `last` announced."""
    told: list[Item] = []
    for item in items:
        if item.seq is not None:
            if item.seq <= after:
                continue
            if item.seq > after + 1:
                told.append(_skipped(after + 1, item.seq - 1))
            after = item.seq
        told.append(item)
    if last > after:
        told.append(_skipped(after + 1, last))
    return told


class Outbox:
    """Ordered, at most `max_items` and `max_bytes`. `reader` is the person whose own lines, and those that are
    meant for her, are never thinned."""

    def __init__(
        self,
        reader: str,
        *,
        state_of: StateOf = volatile,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._reader = reader
        self._state_of = state_of
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: list[tuple[Item, State | None]] = []
        self._bytes = 0
        self._last = 0  # highest number pushed since the last take

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last(self) -> int:
        """The highest number that was pushed: what `take` brings the reader up to."""
        return self._last

    def policy(self, item: Item) -> Policy:
        if self._state_of(item) is not None:
            return Policy.COALESCE
        if item.kind == "line.posted" and item.author != "!" and not item.concerns(self._reader):
            return Policy.THIN
        return Policy.KEEP

    def push(self, item: Item, *, withheld: bool = False) -> bool:
        """False: it doesn't fit any more, whatever is thinned; the socket must go. What is `withheld` leaves its number
        alone, announced with the gaps."""
        if withheld:
            self._last = item.seq or self._last
            return True
        state = self._state_of(item)
        if state is not None:
            self._keep([held for held in self._items if not state.replaces(held[1])])
        self._items.append((item, state))
        self._bytes += len(item.data)
        self._last = item.seq or self._last
        if self._is_full():
            self._thin()
        return not self._is_full()

    def take(self, after: int) -> list[Item]:
        """Everything, in order, with the gaps after number `after` announced; the outbox is empty then."""
        taken = explained([item for item, _ in self._items], after, self._last)
        self._items, self._bytes, self._last = [], 0, 0
        return taken

    def _is_full(self) -> bool:
        return len(self._items) > self._max_items or self._bytes > self._max_bytes

    def _thin(self) -> None:
        thinnable = [item for item, _ in self._items if self.policy(item) is Policy.THIN]
        gone = set(map(id, thinnable[: (len(thinnable) + 1) // 2]))
        self._keep([held for held in self._items if id(held[0]) not in gone])

    def _keep(self, held: list[tuple[Item, State | None]]) -> None:
        self._items = held
        self._bytes = sum(len(item.data) for item, _ in held)


def _skipped(from_seq: int, to_seq: int) -> Item:
    return Item("events.skipped", encode("events.skipped", EventsSkipped(from_seq, to_seq)))
