"""The games at the desk: intents in, events out, closed by the clock.

Counts are told by the worker's beat, not by each vote, so that a storm of votes is one small message a second.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from chat.bus import RedisBus
from chat.hub import Hub
from chat.intent import Intent
from chat.ports import Member
from live.errors import Invalid, NotFound
from live.events import (
    PLAY_INTENTS,
    Draw,
    DrawDrawn,
    DrawEnter,
    DrawOpen,
    DrawOpened,
    DrawProof,
    Game,
    Poll,
    PollClose,
    PollClosed,
    PollCounted,
    PollOpen,
    PollOpened,
    PollVote,
    Quiz,
    QuizAnswer,
    QuizClosed,
    QuizCounted,
    QuizOpen,
    QuizOpened,
    RainCaught,
    RainFallen,
    RainOpen,
    RainOpened,
    RainTap,
)
from live.money import Money
from live.play.service import Closed, PlayService
from live.shop.coupons import Coupons


class PlayDesk:
    """Wiring: `register(hub)` in each web process, `close_due()` every second in the worker, `snapshot` as
    `LiveSnapshot.play`."""

    def __init__(self, bus: RedisBus, play: PlayService, coupons: Coupons) -> None:
        self._bus = bus
        self._play = play
        self._coupons = coupons
        self._told: dict[str, object] = {}

    def register(self, hub: Hub) -> None:
        """Take the intents of live.events.PLAY_INTENTS, each for its least role."""
        acts: dict[str, Callable[[Intent], Awaitable[object]]] = {
            "poll.open": self._on_poll_open,
            "poll.vote": self._on_poll_vote,
            "poll.close": self._on_poll_close,
            "quiz.open": self._on_quiz_open,
            "quiz.answer": self._on_quiz_answer,
            "draw.open": self._on_draw_open,
            "draw.enter": self._on_draw_enter,
            "draw.proof": self._on_draw_proof,
            "rain.open": self._on_rain_open,
            "rain.tap": self._on_rain_tap,
        }
        assert acts.keys() == PLAY_INTENTS.keys(), "every intent of the games has its handler"
        for kind, handler in acts.items():
            hub.on(kind, handler, role=PLAY_INTENTS[kind][1])

    async def snapshot(self, show_id: str, member: Member) -> list[Game]:
        """The games that `member`'s page shows now. Raises: StoreDown."""
        return await self._play.shown(show_id, member.person)

    async def close_due(self) -> int:
        """Close the games whose time is up, tell how they came out, and tell the counts of those that go on. Answers
        how many were closed. The worker calls it every second."""
        due = await self._play.due()
        for show_id, game_id in due:
            try:
                closed = await self._play.close(show_id, game_id)
            except NotFound:
                # Its opening never came to be, or it outlived its keys.
                await self._play.done(show_id, game_id)
                continue
            if closed is not None:
                await self._tell_closed(show_id, closed)
        await self._tell_counts()
        return len(due)

    # ---- intents -------------------------------------------------------------------------------

    async def _on_poll_open(self, intent: Intent) -> object:
        ask = intent.read(PollOpen)
        poll = await self._play.open_poll(intent.room, ask.question, ask.choices, ask.seconds, op=_op(intent))
        await self._bus.publish(intent.room, "poll.opened", PollOpened(poll))
        return {"poll": poll}

    async def _on_poll_vote(self, intent: Intent) -> object:
        vote = intent.read(PollVote)
        await self._play.choose(intent.room, vote.poll, intent.member.person, vote.choice)
        return {"poll": vote.poll, "choice": vote.choice}

    async def _on_poll_close(self, intent: Intent) -> object:
        poll = intent.read(PollClose).poll
        # A quiz or a lot can't be cut short: somebody's picture isn't there yet.
        if not isinstance(await self._play.game(intent.room, poll), Poll):
            raise NotFound("poll", poll)
        closed = await self._play.close(intent.room, poll, early=True)
        assert closed is not None, "closed before its time"
        if closed.first:
            await self._tell_closed(intent.room, closed)
        return {"poll": closed.game}

    async def _on_quiz_open(self, intent: Intent) -> object:
        ask = intent.read(QuizOpen)
        quiz = await self._play.open_quiz(
            intent.room, ask.question, ask.choices, ask.right, ask.seconds, op=_op(intent)
        )
        await self._bus.publish(intent.room, "quiz.opened", QuizOpened(quiz))
        return {"quiz": quiz}

    async def _on_quiz_answer(self, intent: Intent) -> object:
        answer = intent.read(QuizAnswer)
        person = intent.member.person
        await self._play.choose(intent.room, answer.quiz, person, answer.choice, delay_ms=answer.delay_ms)
        return {"quiz": answer.quiz, "choice": answer.choice}

    async def _on_draw_open(self, intent: Intent) -> object:
        ask = intent.read(DrawOpen)
        draw = await self._play.open_draw(intent.room, ask.prize, ask.places, ask.seconds, op=_op(intent))
        await self._bus.publish(intent.room, "draw.opened", DrawOpened(draw))
        return {"draw": draw}

    async def _on_draw_enter(self, intent: Intent) -> object:
        draw = intent.read(DrawEnter).draw
        await self._play.enter(intent.room, draw, intent.member.person, intent.member.name)
        return {"draw": draw}

    async def _on_draw_proof(self, intent: Intent) -> object:
        ask = intent.read(DrawProof)
        draw, entries, after = await self._play.proof(intent.room, ask.draw, ask.start)
        return {"draw": draw, "entries": entries, "next": after}

    async def _on_rain_open(self, intent: Intent) -> object:
        ask = intent.read(RainOpen)
        currency = await self._coupons.currency_of(intent.room)
        if ask.budget.currency != currency:
            raise Invalid("budget", f"falls in {currency}, which it is spent in")
        rain = await self._play.open_rain(intent.room, ask.budget, ask.portions, ask.seconds, op=_op(intent))
        await self._bus.publish(intent.room, "rain.opened", RainOpened(rain))
        return {"rain": rain}

    async def _on_rain_tap(self, intent: Intent) -> object:
        tap = intent.read(RainTap)
        await self._play.enter(intent.room, tap.rain, intent.member.person, delay_ms=tap.delay_ms)
        return {"rain": tap.rain}

    # ---- telling -------------------------------------------------------------------------------

    async def _tell_closed(self, show_id: str, closed: Closed) -> None:
        """Events say what is, so being told twice, after a worker died half-way, changes nothing."""
        game = closed.game
        if isinstance(game, Poll):
            await self._bus.publish(show_id, "poll.closed", PollClosed(game))
        elif isinstance(game, Quiz):
            await self._bus.publish(show_id, "quiz.closed", QuizClosed(game))
        elif isinstance(game, Draw):
            await self._bus.publish(show_id, "draw.drawn", DrawDrawn(game))
        else:
            # Before anybody hears of it: what she is told, she can spend.
            await self._coupons.give(show_id, game.id, closed.amounts)
            await self._bus.publish(show_id, "rain.fallen", RainFallen(game))
            for person, minor in closed.amounts.items():
                caught = RainCaught(game.id, Money(minor, game.budget.currency))
                await self._bus.tell(show_id, person, "rain.caught", caught)
        await self._play.done(show_id, game.id)

    async def _tell_counts(self) -> None:
        going_on = await self._play.going_on()
        self._told = {game_id: self._told.get(game_id) for _, game_id in going_on}
        for show_id, game_id in going_on:
            game = await self._play.game(show_id, game_id)
            if game is None or game.closed:
                continue
            if isinstance(game, Poll) and self._is_news(game_id, game.counts):
                await self._bus.hint(show_id, "poll.counted", PollCounted(game_id, game.counts))
            elif isinstance(game, Quiz) and self._is_news(game_id, game.answers):
                await self._bus.hint(show_id, "quiz.counted", QuizCounted(game_id, game.answers))

    def _is_news(self, game_id: str, told: object) -> bool:
        if self._told.get(game_id) == told:
            return False
        self._told[game_id] = told
        return True


def _op(intent: Intent) -> str:
    return f"{intent.member.person}:{intent.op}"
