"""Changes of the terms of sale, each with its entry in the house's audit log: who made a code hold longer, sending cost
more, or a country go without tax. Every door to them goes through here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import Connection

from chat.ports import Act
from live.clock import Clock
from live.desk import audit_log
from live.desk.people import HOUSE
from live.shop.promotions import CodeTerms, Promotions, Row
from live.shop.taxes import Taxes
from live.shop.terms import Note, Terms
from live.shop.totals import PromotionKind


class CodeDesk:
    """`promotions` and `terms` do the change, `by` whom it is; the act is written in its transaction."""

    def __init__(self, promotions: Promotions, terms: Terms, clock: Clock) -> None:
        self._promotions = promotions
        self._terms = terms
        self._clock = clock

    # ---- promotion codes

    async def add(self, brand_id: str, code: str, kind: PromotionKind, value: int, terms: CodeTerms, *, by: str) -> str:
        """As Promotions.add."""
        said = msgspec.structs.asdict(terms)
        return await self._promotions.add(
            brand_id, code, kind, value, **said, also=self._of_code("promotion.add", by, None, _whole)
        )

    async def change(self, brand_id: str, code: str, terms: CodeTerms, *, by: str, edition: str = "") -> Row:
        """From now on the code holds so. `edition` is the one (`Row.edition`) that the change was made from.

        Raises: NotFound (also for one that is switched off), Invalid, Edited.
        """
        note = self._of_code("promotion.change", by, lambda was: was.terms, lambda was: terms)
        return await self._promotions.change(brand_id, code, terms, edition=edition, also=note)

    async def retire(self, brand_id: str, code: str, *, by: str) -> None:
        """As Promotions.retire."""
        await self._promotions.retire(brand_id, code, also=self._of_code("promotion.retire", by, _whole, None))

    async def restore(self, brand_id: str, code: str, *, by: str) -> None:
        """As Promotions.restore."""
        await self._promotions.restore(brand_id, code, also=self._of_code("promotion.restore", by, None, _whole))

    # ---- ways of sending, and tax

    async def add_method(self, brand_id: str, *, by: str, **said: Any) -> str:
        """As Terms.add_method."""
        return await self._terms.add_method(brand_id, **said, also=self._note("shipping.add", by))

    async def change_method(self, brand_id: str, method_id: str, *, by: str, **said: Any) -> None:
        """As Terms.change_method."""
        await self._terms.change_method(brand_id, method_id, **said, also=self._note("shipping.change", by))

    async def retire_method(self, brand_id: str, method_id: str, *, by: str) -> None:
        """As Terms.retire_method."""
        await self._terms.retire_method(brand_id, method_id, also=self._note("shipping.retire", by))

    async def restore_method(self, brand_id: str, method_id: str, *, by: str) -> None:
        """As Terms.restore_method."""
        await self._terms.restore_method(brand_id, method_id, also=self._note("shipping.restore", by))

    async def set_rates(
        self, brand_id: str, rates: Mapping[str, int | None], *, by: str, included: bool | None = None
    ) -> Taxes:
        """As Terms.set_rates."""
        return await self._terms.set_rates(brand_id, rates, included=included, also=self._note("tax.set", by))

    async def reset_tax(self, brand_id: str, *, by: str) -> None:
        """By the country's defaults again, as Terms.set_tax."""
        await self._terms.set_tax(brand_id, None, also=self._note("tax.reset", by))

    def _of_code(
        self,
        act: str,
        by: str,
        before: Callable[[Row], object] | None,
        after: Callable[[Row], object] | None,
    ) -> Callable[[Connection, Row], None]:
        note = self._note(act, by)

        def write(sql: Connection, code: Row) -> None:
            was, now = (None if one is None else one(code) for one in (before, after))
            note(sql, code.id, code.code, was, now)

        return write

    def _note(self, act: str, by: str) -> Note:
        now = self._clock.now_ms()

        def write(sql: Connection, target: str, name: str, before: object, after: object) -> None:
            was, will = ("" if one is None else msgspec.json.encode(one).decode() for one in (before, after))
            if was != will:
                audit_log.append(sql, Act(HOUSE, by, act, target, name, was, will, now))

        return write


def _whole(code: Row) -> object:
    """What it takes off, and its terms."""
    return {"kind": code.kind, "value": code.value, **msgspec.structs.asdict(code.terms)}
