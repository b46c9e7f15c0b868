"""Hot drops at the desk: who stands where in line, the draw at the opening, and who is let in when.

Everybody is told of the line by one small message a second (`queue.moved`); a person hears only of her own place, when
it is drawn, when her turn comes, and when it is over. Who should have heard and did not (a worker died in between)
finds out from that message and asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from chat.bus import RedisBus
from chat.ports import Member
from live.clock import Clock
from live.desk.programme import Programme, Programmes
from live.errors import Error, NotFound, Overloaded
from live.events import DropDrawn, Place, PlaceChanged, Queue, QueueMoved, Work
from live.play import draws
from live.shop.drop_terms import Stale
from live.shop.line import Drawn, Lines, Round, name_of
from live.shop.stock import StockGate
from live.shop.waitlist import Waitlist
from live.shop.work import Proofs
from live.stage.runsheet import Look
from live.stage.shows import Shows
from live.store import keys

log = structlog.get_logger()

TELL_AT_ONCE = 48  # places told side by side: half of a process's connections
MOVED_EVERY_MS = 1_000
DRAW_CLAIM_MS = 3_000  # a worker that died at it holds nobody up for longer
STALE_TRIES = 5


class DropDesk:
    """Places in the lines of hot drops. `advance()` every quarter of a second in the worker."""

    def __init__(
        self,
        *,
        redis: Redis,
        bus: RedisBus,
        clock: Clock,
        shows: Shows,
        programmes: Programmes,
        gate: StockGate,
        waitlist: Waitlist,
        lines: Lines,
        proofs: Proofs,
    ) -> None:
        self._redis = redis
        self._bus = bus
        self._clock = clock
        self._shows = shows
        self._programmes = programmes
        self._gate = gate
        self._waitlist = waitlist
        self._lines = lines
        self._proofs = proofs
        self._told: dict[str, dict[str, Queue]] = {}

    # ---- a person ------------------------------------------------------------------------------

    async def take(self, show_id: str, member: Member, look_id: str, work: Work | None, *, op: str) -> Place:
        """Into the lobby or to the end of the line; who has a place keeps it, without doing the work again.

        Raises: NotFound, NotLive, Closed, WrongState (not hot), OverLimit, WorkNeeded, Overloaded, StoreDown."""
        for _ in range(STALE_TRIES):
            programme = await self._programmes.of(show_id)
            look = programme.hot(look_id)
            terms = programme.terms(look)
            if look.work_bits:
                place = await self._lines.place(show_id, member.person, look.id, terms.line)
                if place.state != "none":
                    return place
                await self.worked(show_id, look, member.person, work, op=op)
            try:
                return await self._lines.join(show_id, member.person, member.device, terms)
            except Stale:
                continue
        raise Overloaded()

    async def ask(self, show_id: str, person: str, look_id: str) -> Place:
        """Where she stands. Raises: NotFound, NotLive, WrongState (not hot), StoreDown."""
        look = (await self._programmes.of(show_id)).hot(look_id)
        return await self._lines.place(show_id, person, look.id, name_of(look.id, look.commitment))

    async def leave(self, show_id: str, person: str, look_id: str) -> Place:
        """Give the place up. Raises: NotFound, NotLive, WrongState (not hot), StoreDown."""
        look = (await self._programmes.of(show_id)).hot(look_id)
        await self._lines.leave(show_id, person, name_of(look.id, look.commitment))
        place = Place(look.id, "none")
        await self._bus.tell(show_id, person, "place.changed", PlaceChanged(place))  # her other tabs
        return place

    async def places(self, programme: Programme, person: str) -> list[Place]:
        """Where she stands in the lines of the drops that are out. Raises: StoreDown."""
        return (await self.places_of_each(programme, [person]))[0]

    async def places_of_each(self, programme: Programme, people: list[str]) -> list[list[Place]]:
        """`places` of many. Raises: StoreDown."""
        places: list[list[Place]] = [[] for _ in people]
        for look in _hot(programme, self._clock.now_ms()):
            line = name_of(look.id, look.commitment)
            for hers, place in zip(
                places, await self._lines.place_of_each(programme.show.id, people, look.id, line), strict=True
            ):
                hers.append(place)
        return places

    async def challenge(self, show_id: str, person: str, look_id: str) -> dict[str, object]:
        """A challenge for a look that is out. Raises: NotFound."""
        look = next((one for one in (await self._programmes.of(show_id)).runsheet.out if one.id == look_id), None)
        if look is None:
            raise NotFound("look", look_id)
        challenge, until_ms = self._proofs.challenge(show_id, look.id, person)
        return {"challenge": challenge, "bits": look.work_bits, "until_ms": until_ms}

    async def worked(self, show_id: str, look: Look, person: str, work: Work | None, *, op: str) -> None:
        """Raises: WorkNeeded, StoreDown."""
        await self._proofs.take(show_id, look.id, person, work, bits=look.work_bits, op=op)

    async def drawn(self, show_id: str, look_id: str) -> Drawn:
        """How the line of a look came out, the last time it was dropped. Raises: NotFound."""
        look = (await self._programmes.of(show_id)).runsheet.look(look_id)
        if not look.commitment:
            raise NotFound("draw", look_id)
        return await self._lines.drawn(look.id, look.commitment)

    # ---- the worker ----------------------------------------------------------------------------

    async def advance(self) -> int:
        """Draw what opened, let in whose turn it is, and tell how the lines moved. Answers how many people heard."""
        heard = 0
        for show_id in await self._shows.live_ids():
            try:
                heard += await self._advance(await self._programmes.of(show_id))
            except (Error, RedisError, OSError) as error:
                # One show's trouble is not another's: it is asked again at the next round.
                log.warning("lines.stood_still", show=show_id, error=str(error))
        return heard

    async def _advance(self, programme: Programme) -> int:
        heard = 0
        moved: dict[str, Queue] = {}
        for look in _hot(programme, self._clock.now_ms()):
            if not look.is_open(self._clock.now_ms()):
                continue
            drawn = await self._draw(programme, look)
            if drawn is None:
                continue  # until the line is laid it holds only those who came late: nobody is let in from it
            heard += drawn
            came = await self._let_in(programme, look)
            heard += len(came.came)
            moved[look.id] = Queue(came.gone, came.waiting)
        await self._tell_moved(programme.show.id, moved)
        return heard

    async def _draw(self, programme: Programme, look: Look) -> int | None:
        """The draw, once: its row in SQL decides, so that who comes after a death in between draws the same. None: it
        is another worker's, and not over."""
        show_id, terms = programme.show.id, programme.terms(look)
        people = await self._lines.sealed(show_id, terms)
        if people is None:
            return 0
        mine = await self._redis.set(keys.lock(f"draw:{terms.line}"), b"1", nx=True, px=DRAW_CLAIM_MS)
        if not mine:
            return None  # another worker is at it; should it die, its claim ends
        drawn = await self._lines.record(
            show_id,
            look.id,
            Drawn(look.commitment, look.seed, sorted(people), draws.digest(people), self._clock.now_ms()),
        )
        order = draws.in_order(bytes.fromhex(drawn.seed), drawn.entries)
        news = DropDrawn(look.id, drawn.commitment, drawn.seed, drawn.entries_digest, len(order))
        await self._bus.publish(show_id, "drop.drawn", news)
        await self._lines.lay(show_id, terms.line, order)
        log.info("line.drawn", show=show_id, look=look.id, people=len(order))
        # The first who are let in hear so at once; the others hear their places while these choose.
        first = await self._let_in(programme, look)
        line = await self._lines.everyone(show_id, terms.line)
        places = [(person, Place(look.id, "line", ahead, first.gone)) for ahead, person in enumerate(line)]
        await self._tell_places(show_id, places)
        await self._redis.delete(keys.lock(f"draw:{terms.line}"))
        return len(order)

    async def _let_in(self, programme: Programme, look: Look) -> Round:
        show_id, line = programme.show.id, name_of(look.id, look.commitment)
        skus = programme.skus(look.id)
        waited = set(await self._waitlist.waited_for(show_id, skus))  # what comes back of these is spoken for
        levels = await self._gate.levels(show_id, skus)
        free = [sku for sku in skus if sku not in waited and levels[sku].left > 0]
        heads = await self._lines.heads(show_id, line) if free else []
        there = await self._bus.history.present(show_id, heads)
        came = await self._lines.admit(show_id, line, free, [(person, person in there) for person in heads])
        states = {"TURN": "turn", "PASSED": "passed", "LOST": "lost"}
        await self._tell_places(
            show_id,
            [
                (person, Place(look.id, states[what], gone=came.gone, until_ms=until_ms))  # type: ignore[arg-type]
                for what, person, until_ms in came.came
            ],
        )
        return came

    async def _tell_places(self, show_id: str, places: Sequence[tuple[str, Place]]) -> None:
        for start in range(0, len(places), TELL_AT_ONCE):
            await asyncio.gather(
                *(
                    self._bus.tell(show_id, person, "place.changed", PlaceChanged(place))
                    for person, place in places[start : start + TELL_AT_ONCE]
                )
            )

    async def _tell_moved(self, show_id: str, moved: dict[str, Queue]) -> None:
        if not moved or self._told.get(show_id) == moved:
            return
        mine = await self._redis.set(keys.lock(f"queue:{show_id}"), b"1", nx=True, px=MOVED_EVERY_MS)
        if mine:
            self._told[show_id] = moved
            await self._bus.hint(show_id, "queue.moved", QueueMoved(moved))


def _hot(programme: Programme, now_ms: int) -> list[Look]:
    """The hot drops that are out and not over."""
    if programme.status != "live":
        return []
    return [look for look in programme.runsheet.out if look.hot and not look.is_closed(now_ms)]
