"""The room's words: blocked, held for review, allowed whatever the others say; and a dry run against what was said."""

from __future__ import annotations

import asyncio

from chat.errors import Invalid, StoreDown
from chat.intent import Intent
from chat.moderation import rules
from chat.moderation.kinds import FoundLine, TermIntent, TermsChanged, TermTry
from chat.moderation.office import Handlers, Office

TRIED_LINES = 5_000
EXAMPLES = 5


class RoomWords:
    """`terms_of(room)` are the words as this process looks for them; other processes read them again when told."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._known: dict[str, rules.RoomTerms] = {}

    @property
    def handlers(self) -> Handlers:
        return {"terms.add": self.add, "terms.remove": self.remove, "terms.try": self.dry_run}

    async def of(self, room: str) -> rules.RoomTerms:
        return self._known.get(room) or await self.refresh(room)

    async def refresh(self, room: str) -> rules.RoomTerms:
        await self._office.decisions.load_if_empty(room)
        found = self._known[room] = rules.RoomTerms(await self._office.decisions.terms(room))
        return found

    def forget(self, room: str) -> None:
        self._known.pop(room, None)

    async def add(self, intent: Intent) -> TermsChanged:
        return await self._change(intent, is_kept=True)

    async def remove(self, intent: Intent) -> TermsChanged:
        return await self._change(intent, is_kept=False)

    async def dry_run(self, intent: Intent) -> dict[str, object]:
        term = _term(intent.read(TermTry).term)
        try:
            lines = await self._office.archive.find(intent.room, most=TRIED_LINES)
        except Exception as error:
            raise StoreDown(store="archive") from error
        # Five thousand lines are a tenth of a second: not on the loop, where everyone would wait.
        hits = await asyncio.to_thread(_hits, term, lines)
        return {"lines": len(lines), "hits": len(hits), "examples": hits[:EXAMPLES]}

    async def _change(self, intent: Intent, *, is_kept: bool) -> TermsChanged:
        office, room, wanted = self._office, intent.room, intent.read(TermIntent)
        term = _term(wanted.term)
        if is_kept and wanted.kind == "allowed" and rules.is_address(term) and rules.is_public_suffix(term):
            raise Invalid("term", f"anybody may have an address under {term}: allow the very one that you mean")
        await office.decisions.load_if_empty(room)
        was = (await office.decisions.terms(room)).get(term, "")
        await (office.decisions.block(room, term, wanted.kind) if is_kept else office.decisions.free(room, term))
        changed = changed_of(await self.refresh(room))
        await office.bus.terms_changed(room)
        await office.bus.tell_role(room, "moderator", "terms.changed", changed)
        kind = wanted.kind if is_kept else None
        work = office.archive.term(room, term, kind, actor=intent.member.person, wall_ms=office.now_ms())
        await office.book(intent, term, work, before=was, after=kind or "")
        return changed


def changed_of(terms: rules.RoomTerms) -> TermsChanged:
    return TermsChanged(terms.blocked, terms.held, terms.allowed)


def _term(raw: str) -> str:
    term = " ".join(raw.split())
    if not rules.plain_key(term).strip("* ") or len(term) > rules.MAX_TERM_CHARS:
        raise Invalid("term", f"1 to {rules.MAX_TERM_CHARS} characters")
    return term


def _hits(term: str, lines: list[FoundLine]) -> list[FoundLine]:
    terms = rules.Terms([term])
    return [found for found in lines if terms.hit(found.line.text)]
