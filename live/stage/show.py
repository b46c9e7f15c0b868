"""A show's life, scheduled → live → ended: pure. There is no way back; a second night is a second show."""

from __future__ import annotations

from typing import Literal

import msgspec

from live.errors import WrongState
from live.events import ShowFacts, ShowStatus

Act = Literal["open", "end"]
SecondPublisher = Literal["takes_over", "refused"]


class Show(msgspec.Struct, frozen=True):
    """A show as the rules and the pages see it. Times are server milliseconds, or None while they lie ahead."""

    id: str
    slug: str
    title: str
    tagline: str
    poster: str
    brand_id: str
    brand: str
    currency: str
    status: ShowStatus
    starts_ms: int | None
    opened_ms: int | None
    ended_ms: int | None
    hold_ttl_s: int
    max_per_buyer: int
    second_publisher: SecondPublisher  # who comes with the key while a picture is on

    @property
    def facts(self) -> ShowFacts:
        """What every viewer may know."""
        return ShowFacts(
            id=self.id,
            slug=self.slug,
            title=self.title,
            tagline=self.tagline,
            brand=self.brand,
            status=self.status,
            starts_ms=self.starts_ms,
            opened_ms=self.opened_ms,
            ended_ms=self.ended_ms,
            hold_ttl_s=self.hold_ttl_s,
            currency=self.currency,
            poster=self.poster,
        )


class Opened(msgspec.Struct, frozen=True):
    """The show went on air."""

    kind = "show.opened"


class Ended(msgspec.Struct, frozen=True):
    """The show is over."""

    kind = "show.ended"


def advance(show: Show, act: Act, now_ms: int) -> tuple[Show, list[Opened | Ended]]:
    """The show after `act`, and what came of it. Raises: WrongState (carries `.state` and what was needed)."""
    if act == "open":
        if show.status != "scheduled":
            raise WrongState(show.status, "scheduled")
        return msgspec.structs.replace(show, status="live", opened_ms=now_ms), [Opened()]
    if show.status != "live":
        raise WrongState(show.status, "live")
    return msgspec.structs.replace(show, status="ended", ended_ms=now_ms), [Ended()]
