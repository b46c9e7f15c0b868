"""What people say and what moderators do: the handlers of chat's own intents.

Rules decide on the text (`moderation.rules`); what must not race is decided again inside the script that posts.
It is one file because each handler is a few lines over the same stores and the same way of writing an act down.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Any

import msgspec

from chat import keys
from chat.bus import RedisBus
from chat.envelope import decode_envelope, tail
from chat.errors import Blocked, Forbidden, Invalid, NotFound, Silenced, SlowMode, StoreDown, Throttled
from chat.history import LINES_KEPT, LOG_KEPT, ROOM_LIFE_S, new_epoch, script
from chat.intent import Intent
from chat.kinds import (
    ClockAsk,
    HeartSend,
    LinePost,
    LinePosted,
    LineRemove,
    Mode,
    ModeChanged,
    ModeSet,
    NameChanged,
    NameSet,
    PersonBan,
    PersonSilenced,
    PersonTimeout,
    PersonUnban,
    SilencesChanged,
    TermIntent,
    TermsChanged,
)
from chat.message import Line, display_name, line_text, reason_text
from chat.moderation import rules
from chat.moderation.store import Decisions, public, silence_of
from chat.ports import FOREVER_MS, Act, Archive, LineRecord, Member, SilenceRecord
from chat.seat import Bucket

OP_LIFE_MS = 600_000
HEARTS_A_SEND = 20
_HEARTS_S, _HEARTS_BURST = 20.0, 60.0
_NAMES_S, _NAMES_BURST = 5 / 60, 5.0
_PERSONS_REMEMBERED = 20_000
_LINES_REMEMBERED = 6
_RANKS = ("moderator", "host", "staff")


class Who(msgspec.Struct, frozen=True):
    """What a moderator's act needs to know of a person who may have left."""

    device: str
    name: str
    roles: list[str]

    @classmethod
    def of(cls, member: Member) -> Who:
        return cls(member.device, member.name, sorted(member.roles))


class Rules(msgspec.Struct, frozen=True):
    """A room's rules as this process knows them."""

    terms: rules.Terms
    links: bool


class Talk:
    """`hearts(room, n)` and `archived(room, record)` hand over what the hub sends and keeps later."""

    def __init__(
        self,
        bus: RedisBus,
        decisions: Decisions,
        archive: Archive,
        now_ms: Callable[[], int],
        *,
        hearts: Callable[[str, int], None],
        archived: Callable[[str, LineRecord], None],
        media_ms: Callable[[str], int | None],
    ) -> None:
        self._bus = bus
        self._decisions = decisions
        self._archive = archive
        self._now_ms = now_ms
        self._hearts = hearts
        self._archived = archived
        self._media_ms = media_ms
        self._post = script(bus.redis, "post")
        self._remove = script(bus.redis, "remove")
        self._rules: dict[str, Rules] = {}
        self._said: OrderedDict[tuple[str, str], deque[tuple[int, str, str]]] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, str], Bucket] = OrderedDict()

    @property
    def handlers(self) -> dict[str, Callable[[Intent], Any]]:
        return {
            "line.post": self.post,
            "line.remove": self.remove,
            "person.timeout": self.timeout,
            "person.ban": self.ban,
            "person.unban": self.unban,
            "terms.add": self.add_term,
            "terms.remove": self.remove_term,
            "mode.set": self.set_mode,
            "name.set": self.set_name,
            "heart.send": self.heart,
            "clock.ask": self.clock,
        }

    # ---- what the hub tells us of a room

    async def refresh(self, room: str) -> None:
        """Read the room's rules again."""
        await self._decisions.load_if_empty(room)
        terms = await self._decisions.terms(room)
        mode = await self._decisions.mode(room)
        self._rules[room] = Rules(rules.Terms(terms), mode.links)

    def mode_changed(self, room: str, mode: Mode) -> None:
        if room in self._rules:
            self._rules[room] = Rules(self._rules[room].terms, mode.links)

    def forget(self, room: str) -> None:
        self._rules.pop(room, None)

    async def private(self, room: str, member: Member) -> list[tuple[str, object]]:
        """What a moderator's page starts with."""
        if not member.may("moderator"):
            return []
        return [
            ("terms.changed", TermsChanged(await self._decisions.terms(room))),
            ("silences.changed", SilencesChanged(await self._decisions.silences_in_force(room))),
        ]

    # ---- talk

    async def post(self, intent: Intent) -> dict[str, object]:
        said = intent.read(LinePost)
        text = line_text(said.text)
        member, now = intent.member, self._now_ms()
        exempt = is_crew(member)
        if not exempt:
            self._check_text(intent.room, member.person, intent.op, text, now)
        line = Line("", member.person, member.name, text, now, member.badge, self._media_ms(intent.room))
        epoch, seq, is_new = await self._append(intent, line, exempt)
        line_id = f"{epoch}.{seq}"
        if is_new:
            self._remember(intent.room, member.person, intent.op, text, now)
            self._archived(intent.room, LineRecord(epoch, seq, msgspec.structs.replace(line, id=line_id)))
        return {"line": line_id, "seq": seq, "nonce": said.nonce}

    def _check_text(self, room: str, person: str, op: str, text: str, now: int) -> None:
        known = self._rules[room]
        if known.terms.hit(text):
            raise Blocked("term")
        if not known.links and rules.has_link(text):
            raise Blocked("link")
        said = self._said.get((room, person), ())
        if any(old_op == op for _, _, old_op in said):
            return  # asked again: the script answers with the first result
        recent = [key for at, key, _ in said if at > now - rules.REPEAT_WITHIN_MS]
        if rules.is_repeat(text, recent):
            raise Blocked("repeat")

    async def _append(self, intent: Intent, line: Line, exempt: bool) -> tuple[str, int, bool]:
        room, member = intent.room, intent.member
        # `id` is the first field of the first field: the script writes it where these two halves meet.
        before, _, after = tail("line.posted", LinePosted(line), at=line.at).partition(b'"id":""')
        answer: list[Any] = []
        for _ in range(2):
            answer = await self._post(
                keys=[
                    keys.head(room),
                    keys.log(room),
                    keys.lines(room),
                    keys.lines_by(room, member.person),
                    keys.op(room, member.person, intent.op),
                    keys.pace(room, member.person),
                    keys.silences(room),
                    keys.mode(room),
                    keys.who(room),
                ],
                args=[
                    new_epoch(),
                    before + b'"id":"',
                    b'"' + after,
                    LOG_KEPT,
                    keys.channel(room),
                    ROOM_LIFE_S,
                    self._now_ms(),
                    member.person,
                    member.device,
                    int(exempt),
                    intent.op,
                    rules.FLOOD_LINES,
                    rules.FLOOD_MS,
                    msgspec.json.encode(Who.of(member)),
                    LINES_KEPT,
                    OP_LIFE_MS,
                    "!" if exempt else member.person,
                ],
            )
            if answer[0] != b"unloaded":
                break
            # Redis came back empty: its bans are put back before anyone talks.
            await self._decisions.load_if_empty(room)
        return _posted(answer)

    def _remember(self, room: str, person: str, op: str, text: str, now: int) -> None:
        said = self._said.setdefault((room, person), deque(maxlen=_LINES_REMEMBERED))
        self._said.move_to_end((room, person))
        said.append((now, rules.plain_key(text), op))
        while len(self._said) > _PERSONS_REMEMBERED:
            self._said.popitem(last=False)

    async def remove(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(LineRemove).line
        epoch, _, number = wanted.rpartition(".")
        now_epoch, _ = await self._bus.history.position(intent.room)
        if epoch != now_epoch or not number.isdecimal():
            raise NotFound("line", wanted)
        entry: Any = await self._bus.redis.hget(keys.log(intent.room), number)
        if entry is None:
            raise NotFound("line", wanted)
        envelope = decode_envelope(entry)
        if envelope.kind != "line.posted":
            if envelope.kind == "line.removed":
                return {"line": wanted}  # someone was faster
            raise NotFound("line", wanted)
        line = msgspec.json.decode(envelope.body, type=LinePosted).line
        by_author = line.person == intent.member.person
        if not by_author and not intent.member.may("moderator"):
            raise Forbidden("moderator")
        await self._take_out(intent.room, number, line.person, "author" if by_author else "moderator")
        now = self._now_ms()
        await self._archive_now(
            self._archive.lines_removed(intent.room, [wanted], intent.member.person, now),
            Act(intent.room, intent.member.person, intent.kind, wanted, "", line.text, "", now),
        )
        return {"line": wanted}

    async def _take_out(self, room: str, which: str, person: str, by: str) -> list[str]:
        """Ids of the lines that were there."""
        answer = await self._remove(
            keys=[keys.head(room), keys.log(room), keys.lines(room), keys.lines_by(room, person)],
            args=[new_epoch(), LOG_KEPT, keys.channel(room), ROOM_LIFE_S, by, which],
        )
        return [found.decode() for found in answer[2:]]

    # ---- silences

    async def timeout(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(PersonTimeout)
        shortest, longest = rules.TIMEOUT_S
        if not shortest <= wanted.seconds <= longest:
            raise Invalid("seconds", f"{shortest} to {longest}")
        until_ms = self._now_ms() + 1000 * wanted.seconds
        record = await self._silence(intent, wanted.person, "timeout", until_ms, wanted.reason)
        await self._keep_silence(intent, record)
        return {"person": record.person, "until_ms": until_ms}

    async def ban(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(PersonBan)
        record = await self._silence(intent, wanted.person, "ban", FOREVER_MS, wanted.reason)
        lines = await self._take_out(intent.room, "*", record.person, "moderator")
        await self._keep_silence(intent, record, lines)
        return {"person": record.person, "until_ms": record.until_ms, "lines": lines}

    async def unban(self, intent: Intent) -> dict[str, object]:
        person = intent.read(PersonUnban).person
        await self._decisions.load_if_empty(intent.room)
        was = await self._decisions.lift(intent.room, person)
        if was is None:
            raise NotFound("silence", person)
        await self._bus.tell(intent.room, person, "person.silenced", PersonSilenced(person, None))
        await self._tell_silences(intent.room)
        now = self._now_ms()
        act = Act(intent.room, intent.member.person, intent.kind, person, "", _json(public(was)), "", now)
        await self._archive_now(self._archive.lifted(intent.room, person, now), act)
        return {"person": person}

    async def _silence(self, intent: Intent, person: str, kind: Any, until_ms: int, reason: str) -> SilenceRecord:
        room, actor = intent.room, intent.member
        if person == actor.person or not person:
            raise Invalid("person", "not yourself" if person else "empty")
        found: Any = await self._bus.redis.hget(keys.who(room), person)
        who = msgspec.json.decode(found, type=Who) if found else Who("", "", [])
        rank = _rank(who.roles)
        if rank and rank >= _rank(actor.roles):
            raise Forbidden(_RANKS[min(rank, len(_RANKS) - 1)])
        await self._decisions.load_if_empty(room)
        now = self._now_ms()
        record = SilenceRecord(
            id=f"sil_{new_epoch()}",
            person=person,
            # A device that its owner shares with the moderator must not silence the moderator.
            device="" if who.device == actor.device else who.device,
            name=who.name,
            kind=kind,
            until_ms=until_ms,
            reason=reason_text(reason),
            actor=actor.person,
            wall_ms=now,
        )
        await self._decisions.silence(room, record)
        await self._bus.tell(room, person, "person.silenced", PersonSilenced(person, public(record)))
        await self._tell_silences(room)
        return record

    async def _keep_silence(self, intent: Intent, record: SilenceRecord, lines: list[str] | None = None) -> None:
        if lines:
            await self._archive_now(
                self._archive.lines_removed(intent.room, lines, intent.member.person, record.wall_ms), None
            )
        act = Act(
            intent.room,
            intent.member.person,
            intent.kind,
            record.person,
            record.reason,
            "",
            _json(public(record)),
            record.wall_ms,
        )
        await self._archive_now(self._archive.silenced(intent.room, record), act)

    async def _tell_silences(self, room: str) -> None:
        silences = await self._decisions.silences_in_force(room)
        await self._bus.tell_role(room, "moderator", "silences.changed", SilencesChanged(silences))

    # ---- how the room is kept

    async def add_term(self, intent: Intent) -> dict[str, object]:
        return await self._term(intent, blocked=True)

    async def remove_term(self, intent: Intent) -> dict[str, object]:
        return await self._term(intent, blocked=False)

    async def _term(self, intent: Intent, *, blocked: bool) -> dict[str, object]:
        room, term = intent.room, " ".join(intent.read(TermIntent).term.split())
        if not rules.plain_key(term).strip("* ") or len(term) > rules.MAX_TERM_CHARS:
            raise Invalid("term", f"1 to {rules.MAX_TERM_CHARS} characters")
        await self._decisions.load_if_empty(room)
        await (self._decisions.block(room, term) if blocked else self._decisions.free(room, term))
        await self.refresh(room)
        await self._bus.terms_changed(room)
        terms = await self._decisions.terms(room)
        await self._bus.tell_role(room, "moderator", "terms.changed", TermsChanged(terms))
        actor, now = intent.member.person, self._now_ms()
        await self._archive_now(
            self._archive.term(room, term, blocked=blocked, actor=actor, wall_ms=now),
            Act(room, actor, intent.kind, term, "", "", "", now),
        )
        return {"terms": terms}

    async def set_mode(self, intent: Intent) -> dict[str, object]:
        wanted = intent.read(ModeSet)
        was = await self._decisions.mode(intent.room)
        mode = Mode(
            was.slow_s if wanted.slow_s is None else wanted.slow_s, was.links if wanted.links is None else wanted.links
        )
        if not 0 <= mode.slow_s <= rules.MAX_SLOW_S:
            raise Invalid("slow_s", f"0 to {rules.MAX_SLOW_S}")
        await self._decisions.set_mode(intent.room, mode)
        await self._bus.publish(intent.room, "mode.changed", ModeChanged(mode))
        act = Act(intent.room, intent.member.person, intent.kind, "", "", _json(was), _json(mode), self._now_ms())
        await self._archive_now(None, act)
        return {"mode": mode}

    # ---- names and hearts

    async def set_name(self, intent: Intent) -> dict[str, object]:
        name = display_name(intent.read(NameSet).name)
        member, room = intent.member, intent.room
        if self._rules[room].terms.hit(name) or rules.has_link(name):
            raise Blocked("term")
        silence = await self._decisions.silence_in_force(room, member.person, member.device)
        if silence is not None and not _rank(member.roles):
            raise Silenced(silence.until_ms, silence.reason, silence.kind)
        self._spend("name", member.person, _NAMES_S, _NAMES_BURST)
        if is_crew(member):
            await self._bus.redis.hset(keys.crew(room), member.person, name)
        else:
            crew: Any = await self._bus.redis.hvals(keys.crew(room))
            if rules.imitates(name, [other.decode() for other in crew]):
                raise Blocked("name")
        await self._archive_now(self._archive.named(room, member, name), None)
        await self._bus.renamed(room, member.person, name)
        await self._bus.tell(room, member.person, "name.changed", NameChanged(name))
        return {"name": name}

    async def clock(self, intent: Intent) -> dict[str, object]:
        intent.read(ClockAsk)
        return {"now_ms": self._now_ms()}

    async def heart(self, intent: Intent) -> dict[str, object]:
        n = intent.read(HeartSend).n
        if not 1 <= n <= HEARTS_A_SEND:
            raise Invalid("n", f"1 to {HEARTS_A_SEND}")
        self._spend("heart", intent.member.person, _HEARTS_S, _HEARTS_BURST, n)
        self._hearts(intent.room, n)
        return {}

    def _spend(self, what: str, person: str, rate_s: float, burst: float, n: int = 1) -> None:
        bucket = self._buckets.get((what, person))
        if bucket is None:
            bucket = self._buckets[what, person] = Bucket(rate_s, burst)
        self._buckets.move_to_end((what, person))
        while len(self._buckets) > _PERSONS_REMEMBERED:
            self._buckets.popitem(last=False)
        wait_s = bucket.wait_s(self._now_ms() / 1000, n)
        if wait_s > 0:
            raise Throttled(int(1000 * wait_s) + 1)

    async def _archive_now(self, work: Any, act: Act | None) -> None:
        """What a moderator did holds already; that it was also written down is part of the answer.

        Raises: StoreDown (carries `.applied`): in force, but it may not outlive the store."""
        try:
            if work is not None:
                await work
            if act is not None:
                await self._archive.act(act)
        except Exception as error:
            raise StoreDown(store="archive", applied=True) from error


def _posted(answer: list[Any]) -> tuple[str, int, bool]:
    """(epoch, seq, whether this was the first time it was asked)."""
    match answer:
        case [b"posted" | b"again" as how, epoch, seq]:
            return epoch.decode(), int(seq), how == b"posted"
        case [b"silenced", stored]:
            record = silence_of(stored)[1]
            raise Silenced(record.until_ms, record.reason, record.kind)
        case [b"slow", retry_ms, slow_s]:
            raise SlowMode(int(retry_ms), int(slow_s))
        case [b"flood", retry_ms]:
            raise Throttled(int(retry_ms))
        case _:
            raise StoreDown()


def is_crew(member: Member) -> bool:
    """Whether the room's limits don't bind her."""
    return _rank(member.roles) > 0


def _rank(roles: Any) -> int:
    return max((_RANKS.index(role) + 1 for role in roles if role in _RANKS), default=0)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
