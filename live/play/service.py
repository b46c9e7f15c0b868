"""The games of a show in Redis: opened, taken part in, closed, each step one script.

Everything a game is worth is decided by the rules beside this file from what Redis kept; closing twice, by two workers
or after a crash, gives the same result. Fails closed: `StoreDown`.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from live.clock import Clock
from live.errors import Conflict, Invalid, NotFound, StoreDown, WrongState
from live.events import Draw, Game, Poll, Quiz, Rain, Winner
from live.money import Money
from live.play import draws, polls, quizzes, rain
from live.store import keys
from live.store.redis import load_script

G = TypeVar("G", Poll, Quiz, Draw, Rain)

LIFE_S = 7 * 24 * 3600
SHOWN_MS = 120_000  # how long a closed game stays in snapshots
SHOWN_MAX = 8
CLAIM_MS = 5_000
DUE_AT_ONCE = 100
PROOF_PAGE = 200


class Secret(msgspec.Struct, frozen=True):
    """What nobody is told before the close: a quiz's right choice, or the seed (hex) of a lot."""

    right: int | None = None
    seed: str = ""


@dataclass(frozen=True)
class Closed:
    """A game that is over. `first`: this call ended it. `amounts` is the rain's, by person, in minor units."""

    game: Game
    first: bool
    amounts: dict[str, int]


class PlayService:
    """Games by show id and game id. Ids come from the opening's operation, so asking twice opens once."""

    def __init__(self, redis: Redis, clock: Clock) -> None:
        self._redis = redis
        self._clock = clock
        self._open = load_script(redis, "play_open")
        self._take = load_script(redis, "play_take")
        self._close = load_script(redis, "play_close")
        self._due = load_script(redis, "play_due")
        self._forget = load_script(redis, "play_forget")

    # ---- opening -------------------------------------------------------------------------------

    async def open_poll(self, show: str, question: str, choices: list[str], seconds: int, *, op: str) -> Poll:
        """Raises: Invalid, Conflict (too many games at once), StoreDown."""
        question, choices = polls.check(question, choices, seconds)
        poll = Poll(_id(show, op), question, choices, self._in(seconds), False, [0] * len(choices))
        return await self._begin(show, poll, Secret())

    async def open_quiz(
        self, show: str, question: str, choices: list[str], right: int, seconds: int, *, op: str
    ) -> Quiz:
        """Raises: Invalid, Conflict, StoreDown."""
        question, choices = quizzes.check(question, choices, right, seconds)
        quiz = Quiz(_id(show, op), question, choices, self._in(seconds), False, 0)
        return await self._begin(show, quiz, Secret(right=right))

    async def open_draw(self, show: str, prize: str, places: int, seconds: int, *, op: str) -> Draw:
        """Commits to a seed. Raises: Invalid, Conflict, StoreDown."""
        prize = draws.check(prize, places, seconds)
        seed = secrets.token_bytes(32)
        draw = Draw(_id(show, op), prize, places, self._in(seconds), False, draws.commitment(seed), 0)
        return await self._begin(show, draw, Secret(seed=seed.hex()))

    async def open_rain(self, show: str, budget: Money, portions: int, seconds: int, *, op: str) -> Rain:
        """Commits to a seed. Raises: Invalid, Conflict, StoreDown."""
        rain.check(budget, portions, seconds)
        seed = secrets.token_bytes(32)
        shower = Rain(_id(show, op), budget, portions, self._in(seconds), False, draws.commitment(seed))
        return await self._begin(show, shower, Secret(seed=seed.hex()))

    async def _begin(self, show: str, game: G, secret: Secret) -> G:
        grace_ms = quizzes.DELAY_MAX_MS if isinstance(game, Quiz | Rain) else 0
        due_ms = game.closes_ms + grace_ms
        # Before the game itself: an entry without a game is found to be nothing, a game without one never ends.
        await _asked(self._redis.zadd(keys.PLAYS_DUE, {f"{show}|{game.id}": due_ms}, nx=True))
        fields: dict[str, str | int] = {
            "facts": msgspec.json.encode(game).decode(),
            "secret": msgspec.json.encode(secret).decode(),
            "closes": game.closes_ms,
            "grace": grace_ms,
            "choices": len(game.choices) if isinstance(game, Poll | Quiz) else 0,
        }
        answer = await self._open(
            [keys.plays(show), keys.play(show, game.id)],
            [game.id, self._clock.now_ms(), due_ms + SHOWN_MS, SHOWN_MAX, LIFE_S, *chain.from_iterable(fields.items())],
        )
        if answer == b"FULL":
            await self.done(show, game.id)
            raise Conflict("too many games at once")
        if answer == b"EXISTS":
            first = await self.game(show, game.id)
            if not isinstance(first, type(game)):
                raise Conflict("another game was opened by this operation")
            return first
        return game

    def _in(self, seconds: int) -> int:
        return self._clock.now_ms() + seconds * 1000

    # ---- taking part ---------------------------------------------------------------------------

    async def choose(self, show: str, game_id: str, person: str, choice: int, *, delay_ms: int = 0) -> None:
        """A vote or an answer; a later one replaces it. Raises: Invalid, NotFound, WrongState, StoreDown."""
        await self._took(show, game_id, person, str(choice), delay_ms, is_choice=True)

    async def enter(self, show: str, game_id: str, person: str, name: str = "", *, delay_ms: int = 0) -> None:
        """Enter a draw, or stand in the rain: once, the rest is the same entry. Raises: NotFound, WrongState."""
        await self._took(show, game_id, person, name, delay_ms, is_choice=False)

    async def _took(self, show: str, game_id: str, person: str, value: str, delay_ms: int, *, is_choice: bool) -> None:
        answer = await self._take(
            [keys.play(show, game_id), keys.play_people(show, game_id)],
            [person, value, self._clock.now_ms(), delay_ms, "1" if is_choice else "0", LIFE_S],
        )
        if answer == b"GONE":
            raise NotFound("game", game_id)
        if answer == b"CLOSED":
            raise WrongState("closed", "open")
        if answer == b"INVALID":
            raise Invalid("choice", "not one of the choices")

    async def forget(self, person: str, shows: Collection[str] | None = None) -> list[str]:
        """Take her out of the games of `shows` (None: of all); answers in which she was. After a draw her id stays, by
        which it is proven, without her name. Any number of times. Raises: StoreDown."""
        found: set[str] = set()
        try:
            async for key in self._redis.scan_iter(match=keys.play_people("*", "*"), count=1000):
                show, game_id = keys.play_of(key.decode())
                in_it = [keys.play(show, game_id), keys.play_people(show, game_id)]
                if (shows is None or show in shows) and await self._forget(in_it, [person]):
                    found.add(show)
        except (RedisError, OSError) as error:
            raise StoreDown("redis") from error
        return sorted(found)

    # ---- closing -------------------------------------------------------------------------------

    async def close(self, show: str, game_id: str, *, early: bool = False) -> Closed | None:
        """End a game and say how it came out; None while its time is not up. Any number of times.

        Raises: NotFound, StoreDown.
        """
        answer = await self._close(
            [keys.plays(show), keys.play(show, game_id)],
            [game_id, self._clock.now_ms(), "1" if early else "0", SHOWN_MS],
        )
        if answer == b"GONE":
            raise NotFound("game", game_id)
        if answer == b"EARLY":
            return None
        game, amounts = await self._came_out(show, game_id)
        return Closed(game, answer == b"CLOSED", amounts)

    async def due(self) -> list[tuple[str, str]]:
        """Games (show, id) whose time is up, claimed for `CLAIM_MS`: call `done` when everyone was told."""
        return _pairs(await self._due([keys.PLAYS_DUE], [self._clock.now_ms(), CLAIM_MS, DUE_AT_ONCE]))

    async def done(self, show: str, game_id: str) -> None:
        await _asked(self._redis.zrem(keys.PLAYS_DUE, f"{show}|{game_id}"))

    # ---- reading -------------------------------------------------------------------------------

    async def shown(self, show: str, person: str | None = None) -> list[Game]:
        """Games that are open or were closed a moment ago, oldest first; with `mine` for `person`."""
        ids = await _asked(self._redis.zrangebyscore(keys.plays(show), self._clock.now_ms(), "+inf"))
        games = [await self.game(show, one.decode(), person) for one in ids]
        return sorted((game for game in games if game is not None), key=lambda game: game.closes_ms)

    async def going_on(self) -> list[tuple[str, str]]:
        """Games (show, id) that nobody closed yet."""
        return _pairs(await _asked(self._redis.zrange(keys.PLAYS_DUE, 0, -1)))

    async def game(self, show: str, game_id: str, person: str | None = None) -> Game | None:
        """One game as `person` may see it now."""
        record = await _asked(self._redis.hgetall(keys.play(show, game_id)))
        if not record:
            return None
        if record[b"state"] == b"open":
            game = await self._so_far(show, _game(record[b"facts"]), record)
        elif b"result" in record:
            game = _game(record[b"result"])
        else:  # whoever closed it died before the result was kept: it is the same again
            game, _ = await self._came_out(show, game_id)
        return await self._with_mine(show, game, person) if person else game

    async def proof(self, show: str, game_id: str, start: int) -> tuple[Draw, list[str], int | None]:
        """The drawn draw, a page of its entries in order, and where the next page starts. Raises: NotFound, WrongState
        (not drawn yet)."""
        draw = await self.game(show, game_id)
        if not isinstance(draw, Draw):
            raise NotFound("draw", game_id)
        if not draw.closed:
            raise WrongState("open", "drawn")
        people = sorted(await self._people(show, game_id))
        start = max(0, start)
        end = start + PROOF_PAGE
        return draw, people[start:end], end if end < len(people) else None

    async def _so_far(self, show: str, game: Game, record: dict[bytes, bytes]) -> Game:
        if isinstance(game, Poll | Quiz):
            counts = _counts(record, len(game.choices))
            if isinstance(game, Poll):
                return msgspec.structs.replace(game, counts=counts)
            return msgspec.structs.replace(game, answers=sum(counts))
        if isinstance(game, Draw):
            entries = await _asked(self._redis.hlen(keys.play_people(show, game.id)))
            return msgspec.structs.replace(game, entries=entries)
        return game

    async def _came_out(self, show: str, game_id: str) -> tuple[Game, dict[str, int]]:
        """The result of a closed game, and the rain's amounts; kept so that it isn't worked out for every page."""
        record = await _asked(self._redis.hgetall(keys.play(show, game_id)))
        game, secret = _game(record[b"facts"]), msgspec.json.decode(record[b"secret"], type=Secret)
        game = msgspec.structs.replace(game, closed=True)
        amounts: dict[str, int] = {}
        if isinstance(game, Poll):
            game = msgspec.structs.replace(game, counts=_counts(record, len(game.choices)))
        elif isinstance(game, Quiz):
            counts = _counts(record, len(game.choices))
            game = msgspec.structs.replace(game, counts=counts, answers=sum(counts), right=secret.right)
        elif isinstance(game, Draw):
            people, seed = await self._people(show, game_id), bytes.fromhex(secret.seed)
            game = msgspec.structs.replace(
                game,
                entries=len(people),
                seed=secret.seed,
                entries_digest=draws.digest(people),
                winners=[Winner(one, people[one]) for one in draws.winners(seed, people, game.places)],
            )
        else:
            people = await self._people(show, game_id)
            amounts = rain.fall(bytes.fromhex(secret.seed), people, game.budget.minor, game.portions)
            game = msgspec.structs.replace(game, caught=len(amounts), seed=secret.seed)
            for some in _chunks(amounts):
                await _asked(self._redis.hset(keys.play_people(show, game_id), items=some))
        await _asked(self._redis.hset(keys.play(show, game_id), "result", msgspec.json.encode(game)))
        return game, amounts

    async def _people(self, show: str, game_id: str) -> dict[str, str]:
        found = await _asked(self._redis.hgetall(keys.play_people(show, game_id)))
        return {person.decode(): value.decode() for person, value in found.items()}

    async def _with_mine(self, show: str, game: Game, person: str) -> Game:
        value = await _asked(self._redis.hget(keys.play_people(show, game.id), person))
        if value is None:
            return game
        if isinstance(game, Poll | Quiz):
            return msgspec.structs.replace(game, mine=int(value))
        if isinstance(game, Draw):
            return msgspec.structs.replace(game, mine=True)
        part = Money(int(value), game.budget.currency) if value else None
        return msgspec.structs.replace(game, mine=part)


def _id(show: str, op: str) -> str:
    # Of the operation, so that a repeated one opens nothing new.
    return "ply_" + hashlib.sha256(f"{show}\0{op}".encode()).hexdigest()[:24]


def _game(raw: bytes) -> Game:
    game: Game = msgspec.json.decode(raw, type=Game)
    return game


def _chunks(amounts: dict[str, int]) -> Iterator[list[str | int]]:
    """field, value, field, value … in commands of a size that holds nobody up."""
    pairs = list(amounts.items())
    for start in range(0, len(pairs), 500):
        yield list(chain.from_iterable(pairs[start : start + 500]))


def _counts(record: dict[bytes, bytes], choices: int) -> list[int]:
    return [int(record.get(f"n:{choice}".encode(), 0)) for choice in range(choices)]


def _pairs(members: list[bytes]) -> list[tuple[str, str]]:
    pairs = (member.decode().partition("|") for member in members)
    return [(show, game_id) for show, _, game_id in pairs]


async def _asked(command: Any) -> Any:
    try:
        return await command
    except (RedisError, OSError) as error:
        raise StoreDown("redis") from error
