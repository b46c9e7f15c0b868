"""What the store has to say to those who come, asked for many of them at once.

A lone newcomer waits for nobody; when a process died and thousands come to another, the store is asked dozens of times
instead of thousands. What many of them missed alike is framed, and packed, once.

Source: docs/decisions/0162-who-comes-together-is-asked-about-together.md
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec
from redis.exceptions import RedisError

from chat import keys
from chat.bus import RedisBus
from chat.envelope import decode_envelope
from chat.errors import NotAdmitted
from chat.history import LINES_REPLAYED, RESUMED_MOST, Newest
from chat.kinds import RoomFacts
from chat.message import Line, Question
from chat.ports import Member, Scene, SilenceRecord
from chat.rounds import Rounds
from chat.seat import FRAME_ENVELOPES, Prepared
from chat.talk import Talk, Who, is_crew

WHO_LIFE_S = 24 * 3600

Private = list[tuple[str, object]]  # (kind, body)


class Newcomer(msgspec.Struct, frozen=True):
    """`asked_ms`: who was signed out since then is not let in. `had`: the epoch and number she comes back with.
    `history`: a snapshot shows the newest lines."""

    member: Member
    asked_ms: int
    had: tuple[str, int] | None = None
    history: bool = True


class Missed(msgspec.Struct, frozen=True):
    """What she missed, in frames that are shared by all who missed the same, up to number `seq`."""

    epoch: str
    seq: int
    frames: list[Prepared]


class Snapshot(msgspec.Struct, frozen=True):
    """The room at number `seq`, encoded (a RoomFacts)."""

    epoch: str
    seq: int
    facts: msgspec.Raw


class Found(msgspec.Struct, frozen=True):
    """`silence` is what she may know of her own; `kept_out` the person under whose ban she has the show alone, or "".
    What she missed, with the `private` state that no log has, or else the whole room."""

    silence: SilenceRecord | None
    kept_out: str
    brings: Missed | Snapshot
    private: Private = []


class Arrivals:
    """Rounds of questions, one at a time a room (chat/rounds.py)."""

    def __init__(self, bus: RedisBus, talk: Talk, scene: Scene, *, store_s: float) -> None:
        self._bus = bus
        self._talk = talk
        self._scene = scene
        self._store_s = store_s
        self._rounds: dict[str, Rounds[Newcomer, Found]] = {}

    async def of(self, room: str, newcomer: Newcomer) -> Found:
        """Notes her for moderators' acts to come, and reads what she needs: in one round with others, for all of which
        it was asked after this was called.

        Raises: NotAdmitted 4401 (signed out since she was asked who she is), RedisError, OSError (after twice
        `store_s`, with the wait in line), and what the app's scene raises."""
        rounds = self._rounds.get(room)
        if rounds is None:
            rounds = self._rounds[room] = Rounds(partial(self._answers_in_time, room))
        # Many rounds of a store that hangs, one after the other, would be minutes for who is at the end of the line.
        async with asyncio.timeout(2 * self._store_s):
            return await rounds.of(newcomer)

    def forget(self, room: str) -> None:
        self._rounds.pop(room, None)

    async def _answers_in_time(self, room: str, newcomers: list[Newcomer]) -> list[Found | Exception]:
        # A store that hangs is a store that is down (a TimeoutError is an OSError).
        async with asyncio.timeout(self._store_s):
            return await self._answers(room, newcomers)

    async def _answers(self, room: str, newcomers: list[Newcomer]) -> list[Found | Exception]:
        members = [newcomer.member for newcomer in newcomers]
        positions = Counter(newcomer.had for newcomer in newcomers if newcomer.had is not None)
        revoked, silences, newest = await asyncio.gather(
            self._check_in(room, newcomers),
            self._talk.silences_of(room, members),
            self._bus.history.newest(room, positions, most=RESUMED_MOST),
        )
        missed = {had: _missed(newest, *had, many=n > 1) for had, n in positions.items()}
        banned = {id(one): _ban(one.member, silence) for one, silence in zip(newcomers, silences, strict=True)}
        afresh = [one for one in newcomers if one.had is None or missed[one.had] is None or banned[id(one)]]
        rooms = dict(zip(map(id, afresh), await self._snapshots(room, afresh, banned), strict=True))
        resumed = [one.member for one in newcomers if id(one) not in rooms]
        private = iter(await self._private(room, resumed))
        answers: list[Found | Exception] = []
        for newcomer, silence in zip(newcomers, silences, strict=True):
            member, since_ms = newcomer.member, newcomer.asked_ms
            brings: Missed | Snapshot | None = rooms.get(id(newcomer))
            hers: Private | Exception = []
            if brings is None:
                brings, hers = missed[newcomer.had], next(private)  # type: ignore[index]  # else she is afresh
                assert brings is not None
            if isinstance(hers, Exception):
                answers.append(hers)
            elif any(revoked.get(mark, -1) >= since_ms for mark in (f"s {member.session}", f"p {member.person}")):
                answers.append(NotAdmitted(4401, "signed out"))
            else:
                answers.append(Found(silence, banned[id(newcomer)], brings, hers))
        return answers

    async def _private(self, room: str, members: list[Member]) -> Sequence[Private | Exception]:
        """Asked after they were seated: what is told them from then on is held, and comes after this."""
        if not members:
            return []
        try:
            return await self._scene.private(room, members)
        except Exception as error:
            is_store = isinstance(error, (RedisError, OSError)) or getattr(error, "code", "") in (
                "store_down",
                "overloaded",
            )
            if is_store or len(members) == 1:
                return [error] * len(members)
        # Something of one of them can't be read: that is hers alone.
        return [(await self._private(room, [member]))[0] for member in members]

    async def _check_in(self, room: str, newcomers: list[Newcomer]) -> dict[str, int]:
        """Note what a moderator's act will need to know of each; who was signed out meanwhile (marks), and when."""
        crew = {n.member.person: n.member.name for n in newcomers if is_crew(n.member)}
        async with self._bus.redis.pipeline(transaction=False) as pipe:
            pipe.zrangebyscore(keys.REVOKED, min(n.asked_ms for n in newcomers), "+inf", withscores=True)
            who = {n.member.person: msgspec.json.encode(Who.of(n.member)) for n in newcomers}
            pipe.hset(keys.who(room), mapping=who)  # type: ignore[arg-type]  # its stub wants a wider dict
            pipe.expire(keys.who(room), WHO_LIFE_S)
            if crew:
                pipe.hset(keys.crew(room), mapping=crew)  # type: ignore[arg-type]
                pipe.expire(keys.crew(room), WHO_LIFE_S)
            done = await pipe.execute()
        if crew and done[3]:
            await self._bus.terms_changed(room)  # nobody may be called what she is
        return {mark.decode(): int(at_ms) for mark, at_ms in done[0]}

    async def _snapshots(self, room: str, newcomers: list[Newcomer], banned: dict[int, str]) -> list[Snapshot]:
        """The room as each may see it. Without history nobody gets lines: whom only she hears would know by hers.
        Who is banned gets nothing that was said."""
        if not newcomers:
            return []
        history = newcomers[0].history  # a switch flipped within a round holds from the next on
        people = [newcomer.member.person for newcomer in newcomers]
        # The position first, then the state: the state may be newer, and events say what is, not what changed.
        wanted = LINES_REPLAYED if history else 0
        moment = await self._bus.history.moment(room, lines=wanted)
        if not moment.is_whole:
            await self._talk.put_back(room)
            moment = await self._bus.history.moment(room, lines=wanted)
        own = await self._talk.own_lines(room, people) if history else [[] for _ in newcomers]
        asked = await self._talk.own_questions(room, people)
        lines = [_line_of(envelope) for envelope in moment.lines]

        def showing(facts: RoomFacts) -> Snapshot:
            return Snapshot(moment.epoch, moment.seq, msgspec.Raw(msgspec.json.encode(facts)))

        def with_talk(shown: list[Line], questions: list[Question]) -> Snapshot:
            return showing(RoomFacts(max(moment.viewers, 1), shown, moment.mode, moment.pinned, questions))

        shared = with_talk(lines, moment.questions)
        shown = [
            with_talk(_among(lines, hers), sorted([*moment.questions, *questions], key=lambda one: one.wall_ms))
            if hers or questions
            else shared
            for hers, questions in zip(own, asked, strict=True)
        ]
        bare = showing(RoomFacts(max(moment.viewers, 1), [], moment.mode))
        return [bare if banned[id(one)] else hers for one, hers in zip(newcomers, shown, strict=True)]


def _ban(member: Member, silence: SilenceRecord | None) -> str:
    """Under whose ban she is kept from the talk, or "". Those who keep the room are not."""
    return silence.person if silence is not None and silence.kind == "ban" and not is_crew(member) else ""


def _missed(newest: Newest, epoch: str, seq: int, *, many: bool) -> Missed | None:
    envelopes = newest.since(epoch, seq)
    if envelopes is None:
        return None
    starts = range(0, len(envelopes), FRAME_ENVELOPES)
    frames = [Prepared(envelopes[start : start + FRAME_ENVELOPES], shared=many) for start in starts]
    return Missed(epoch, newest.seq, frames)


def _line_of(envelope: bytes) -> Any:
    """The bytes of the line in a line.posted envelope, without decoding the text again."""
    body: dict[str, msgspec.Raw] = msgspec.json.decode(decode_envelope(envelope).body, type=dict[str, msgspec.Raw])
    return body["line"]


def _among(lines: list[Any], hers: list[Line]) -> list[Line]:
    """The newest lines for one whom nobody else hears, with hers among them."""
    both = [*(msgspec.json.decode(line, type=Line) for line in lines), *hers]
    return sorted(both, key=lambda line: line.wall_ms)[-LINES_REPLAYED:]
