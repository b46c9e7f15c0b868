"""On what terms a look's pieces can be held: when, how many a buyer, and whether she stands in a line for it.

The terms are SQL's; a process reads them with the programme and hands them to the script that takes the unit, together
with the version of the stage they were read at. A script finds an older version stale: what the host changed a moment
ago holds for every hold after it, whichever process read what (decision 0117).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from live.errors import Closed, InLine, NotOpen

ANY_VERSION = "*"


class Stale(Exception):
    """The stage changed since the terms were read: read them again. Never leaves the desk."""


class Cap(msgspec.Struct, frozen=True):
    """At most `units` of all `skus` together, held and owned, for one buyer. `name`: product or drop."""

    name: str
    units: int
    skus: tuple[str, ...]


class DropTerms(msgspec.Struct, frozen=True):
    """`drop` is the timeline's entry that the look's present drop is. `opens_ms` and `closes_ms` are server time, 0 for
    none. `line` names the line of a hot drop, "" where nobody has to stand in one."""

    look: str = ""
    version: str = ANY_VERSION
    opens_ms: int = 0
    closes_ms: int = 0
    line: str = ""
    caps: tuple[Cap, ...] = ()
    drop: int | None = None

    @property
    def times(self) -> tuple[int, int, str]:
        """As the scripts take them."""
        return self.opens_ms, self.closes_ms, self.version

    @property
    def flat_caps(self) -> list[str | int]:
        """As shared.lua's `over_cap` takes them."""
        flat: list[str | int] = [len(self.caps)]
        for cap in self.caps:
            flat += [cap.name, cap.units, len(cap.skus), *cap.skus]
        return flat


ANY_DROP_TERMS = DropTerms()


def heed(terms: DropTerms, answer: Sequence[bytes]) -> None:
    """Raise what a script refused because of the terms: Stale, NotOpen, Closed, InLine."""
    what = answer[0]
    if what == b"STALE":
        raise Stale
    if what == b"NOT_OPEN":
        raise NotOpen(terms.look, int(answer[1]))
    if what == b"CLOSED":
        raise Closed(terms.look, int(answer[1]))
    if what == b"IN_LINE":
        raise InLine(terms.look)
