"""Changes of promotion codes, each with its entry in the house's audit log: who made a code hold longer, or oftener."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from chat.ports import Act
from live.clock import Clock
from live.desk import audit_log
from live.desk.people import HOUSE
from live.shop.promotions import CodeTerms, Promotions, Row


class CodeDesk:
    """`promotions` does the change; the act is written in its transaction."""

    def __init__(self, promotions: Promotions, clock: Clock) -> None:
        self._promotions = promotions
        self._clock = clock

    async def change(self, brand_id: str, code: str, terms: CodeTerms, *, by: str, edition: str = "") -> Row:
        """From now on the code holds so. `edition` is the one (`Row.edition`) that the change was made from.

        Raises: NotFound (also for one that is switched off), Invalid, Edited.
        """
        now = self._clock.now_ms()

        def note(sql: Connection, was: Row) -> None:
            before, after = (msgspec.json.encode(one).decode() for one in (was.terms, terms))
            if before != after:
                audit_log.append(sql, Act(HOUSE, by, "promotion.change", was.id, was.code, before, after, now))

        return await self._promotions.change(brand_id, code, terms, edition=edition, also=note)
