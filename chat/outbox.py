"""What one slow socket still has to get: bounded, with a named policy for each kind. Pure.

A socket that keeps up has an empty outbox: the hub writes the shared bytes of a tick straight to it. Only when its
transport's buffer is full do events wait here, and then

    COALESCE  presence, and what the app names a key for: a newer one replaces the older
    THIN      lines of talk: the older half goes when the outbox is full, but never one's own or a moderator's
    KEEP      everything else

and when nothing is left to thin, the outbox is over: the socket is closed with 1013 and comes back by resume.
Numbers that were dropped are announced (`events.skipped`): a client never meets an unexplained gap.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from chat.envelope import encode
from chat.kinds import EventsSkipped

MAX_ITEMS = 1_000
MAX_BYTES = 1024 * 1024


class Policy(enum.Enum):
    KEEP = "keep"
    THIN = "thin"
    COALESCE = "coalesce"


class Item:
    """An encoded envelope on its way. `seq` is None when it has no number; `author` is a line's person, or "!"."""

    __slots__ = ("author", "data", "kind", "seq")

    def __init__(self, kind: str, data: bytes, seq: int | None = None, author: str = "") -> None:
        self.kind = kind
        self.data = data
        self.seq = seq
        self.author = author


# Says under which key a newer item replaces an older one, or None.
CoalesceKey = Callable[[Item], str | None]


def volatile_key(item: Item) -> str | None:
    """Presence, hearts and the switches replace themselves; nothing else does unless the app says so."""
    return item.kind if item.kind in ("presence.counted", "hearts.counted", "service.changed") else None


def sampled(items: list[Item], before: int, most: int) -> tuple[list[Item], list[Item]]:
    """A tick with at most `most` lines of talk, the newest, and the lines that were left out. Staff's lines and all
    that isn't talk stay. What is left out after number `before` is announced."""
    talk = [item for item in items if item.kind == "line.posted" and item.author != "!"]
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
    """Ordered, at most `max_items` and `max_bytes`. `reader` is the person whose own lines are never thinned."""

    def __init__(
        self,
        reader: str,
        *,
        key_of: CoalesceKey = volatile_key,
        max_items: int = MAX_ITEMS,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._reader = reader
        self._key_of = key_of
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._items: list[Item] = []
        self._bytes = 0
        self._last = 0  # highest number pushed since the last take

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last(self) -> int:
        """The highest number that was pushed: what `take` brings the reader up to."""
        return self._last

    def policy(self, item: Item) -> Policy:
        if self._key_of(item) is not None:
            return Policy.COALESCE
        if item.kind == "line.posted" and item.author not in (self._reader, "!"):
            return Policy.THIN
        return Policy.KEEP

    def push(self, item: Item) -> bool:
        """False: it doesn't fit any more, whatever is thinned; the socket must go."""
        key = self._key_of(item)
        if key is not None:
            self._keep([held for held in self._items if self._key_of(held) != key])
        self._items.append(item)
        self._bytes += len(item.data)
        self._last = item.seq or self._last
        if self._is_full():
            self._thin()
        return not self._is_full()

    def take(self, after: int) -> list[Item]:
        """Everything, in order, with the gaps after number `after` announced; the outbox is empty then."""
        taken = explained(self._items, after, self._last)
        self._items, self._bytes, self._last = [], 0, 0
        return taken

    def _is_full(self) -> bool:
        return len(self._items) > self._max_items or self._bytes > self._max_bytes

    def _thin(self) -> None:
        thinnable = [item for item in self._items if self.policy(item) is Policy.THIN]
        gone = set(map(id, thinnable[: (len(thinnable) + 1) // 2]))
        self._keep([item for item in self._items if id(item) not in gone])

    def _keep(self, items: list[Item]) -> None:
        self._items = items
        self._bytes = sum(len(item.data) for item in items)


def _skipped(from_seq: int, to_seq: int) -> Item:
    return Item("events.skipped", encode("events.skipped", EventsSkipped(from_seq, to_seq)))
