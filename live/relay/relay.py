"""All shows and sessions of one relay process: offers become sessions, sessions become publishers and viewers.

No HTTP and no Redis in here: `control.py` asks, `server.py` owns the process, `Watch` hears what changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import structlog

from live.clock import Clock
from live.relay import foyer, sdp
from live.relay.admission import Gate, Sample
from live.relay.errors import BadOffer, Full, HandshakeFailed, NoSession, NotReady, StaleTag, Taken
from live.relay.fanout import Counters, Fanout
from live.relay.kernel import Kernel
from live.relay.metrics import RelayFigures
from live.relay.peer import RelayCertificate
from live.relay.session import Session
from live.relay.show import RelayedShow
from live.relay.udp import UdpPort

log = structlog.get_logger(__name__)

TICK_S = 0.02
_MEASURED_EVERY = 25  # ticks
MAX_PUBLISHING = 32  # publishers' unfinished ones, counted apart: they showed a key, and viewers can't keep them out
SHOW_KEPT_MS = 10 * 60 * 1000  # a show without publisher and viewers is forgotten after this


class Relay:
    """`changed(show)` is called when a show's state moves, `taken(show)` when it has got a publisher here."""

    def __init__(
        self,
        port: UdpPort,
        *,
        capacity: int,
        max_kbps: int,
        clock: Clock,
        changed: Callable[[RelayedShow], None],
        taken: Callable[[RelayedShow], None] | None = None,
        now_ms: Callable[[], int] | None = None,
        kernel: Kernel | None = None,
        busy: float = 0.0,
    ) -> None:
        """`busy`: share of a core above which newcomers are refused before `capacity` is reached; 0 never."""
        self.port = port
        self.capacity = capacity
        self.gate = Gate(busy)
        self.cpu_s: Callable[[], float] = time.process_time
        self.counters = Counters()
        self.shows: dict[str, RelayedShow] = {}
        self.sessions: dict[str, Session] = {}
        self.draining = False
        self.certificate = RelayCertificate.generateCertificate()
        self.handshakes_failed = 0
        self.figures = RelayFigures(self)
        self.pipe_stats: Callable[[], dict[str, int]] = dict
        self.feeds_mirrors: Callable[[str], bool] = lambda show: False
        self._fanout = Fanout(port.sockets, self.counters, kernel)
        self.max_kbps = max_kbps
        self._clock = clock
        self.wall_ms = clock.now_ms
        self._changed = changed
        self._taken = taken
        self._now_ms = now_ms or monotonic_ms
        self._tasks: asyncio.TaskGroup | None = None

    @property
    def viewers(self) -> int:
        return sum(len(show.viewers) for show in self.shows.values())

    def load(self) -> float:
        """How full: 0 empty, 1 takes no more viewers."""
        return 1.0 if self.draining else self.gate.load(self.viewers, self.capacity)

    async def run(self) -> None:
        """Own the sessions' tasks and the tick, until cancelled; then everybody is told."""
        self.port.open()
        try:
            async with asyncio.TaskGroup() as self._tasks:
                await self._tick_for_ever()
        finally:
            self._tasks = None
            for session in list(self.sessions.values()):
                self._end(session)
            for show in self.shows.values():
                show.close()
            self.port.close()

    # ---- orders --------------------------------------------------------------------------------

    def publish(
        self,
        show_name: str,
        offer_text: str,
        first_wall_ms: int | None = None,
        *,
        takes_over: bool = True,
        yields: bool = False,
    ) -> tuple[Session, str]:
        """A publisher's offer; she takes over when her handshake is through. Raises BadOffer, Unsupported, Full, Taken.

        `first_wall_ms`: server time of the show's first frame, when another process relayed it before.
        `takes_over`: False from a client that was sent away, so that two do not take over from each other for ever.
        `yields`: the show's rule is that nobody takes over from a picture that moves; a stale session is no picture.
        """
        self._admit("publish", MAX_PUBLISHING)
        here = self.shows.get(show_name)
        if here is not None and here.publisher is not None and (not takes_over or (yields and here.state == "live")):
            raise Taken()
        offer = sdp.read_offer(offer_text)
        session = self._session("publish", show_name, offer)
        try:
            answer, incoming = sdp.answer_publisher(offer, session.ours())
        except BaseException:
            session.peer.close()
            raise
        show = self._show(show_name, first_wall_ms)

        def connected() -> None:
            if yields and show.publisher is not None and show.state == "live":
                self._end(session)  # of two that offered at once the first is on
            else:
                self._take_over(show, session, incoming)

        self._start(session, connected)
        return session, answer

    def now_ms(self) -> int:
        """Monotonic: what sessions, tracks and reports are timed by."""
        return self._now_ms()

    def play(self, show_name: str, offer_text: str, network: str = "", *, mirror: bool = False) -> tuple[Session, str]:
        """A viewer's offer. `network` is where it came from ("" counts for none); `mirror`: another relay asks, whom a
        busy one sends the picture gladly. Raises BadOffer, Unsupported, NotReady, Full."""
        if self.draining:
            raise Full()
        show = self.shows.get(show_name)
        offer = sdp.read_offer(offer_text)
        if show is None or not show.playable:
            raise NotReady()
        if not mirror and (self.viewers >= self.capacity or not self.gate.admits(self._now_ms(), self.viewers)):
            raise Full()
        self._admit("play", foyer.MOST, network)  # last: it may send somebody away, for an offer that is good
        session = self._session("play", show_name, offer)
        try:
            answer, agreed = sdp.answer_viewer(offer, session.ours(), show.streams())
        except BaseException:
            session.peer.close()
            raise
        session.network = network
        session.on_picture = lambda: self.figures.joins.observe((self._now_ms() - session.started_ms) / 1000)
        watching = show.admit(session, agreed)
        self._start(session, lambda: show.start(watching))
        return session, answer

    def patch(self, show_name: str, session_id: str, fragment: str, if_match: str | None) -> tuple[str, str] | None:
        """Trickle (None) or ICE restart ((tag, fragment)). `if_match` is the tag without quotes, "*", or None when
        the client sent none. Raises NoSession, BadOffer, StaleTag. RFC 9725 section 4.3."""
        session = self._known(show_name, session_id)
        ufrag, password = sdp.read_fragment(fragment)
        if if_match not in (None, "*", session.tag):
            raise StaleTag()
        remote = session.ice.generation.remote_ufrag
        if not ufrag or ufrag == remote:
            return None  # candidates only: we learn addresses from checks
        if not password:
            raise BadOffer("a restart needs ice-pwd")
        if if_match not in (None, "*"):
            raise StaleTag()
        session.ice.restart(ufrag, password)
        self.port.forget_names(session)
        self.port.admit(session)
        return session.tag, sdp.restart_fragment(session.ours())

    def delete(self, show_name: str, session_id: str) -> None:
        """End at once. Raises NoSession."""
        self._end(self._known(show_name, session_id))

    def drop_publisher(self, show_name: str) -> None:
        """The show's key was rotated: whoever publishes with the old one goes."""
        show = self.shows.get(show_name)
        if show is not None:
            for session in list(self.sessions.values()):
                if session.show == show_name and session.kind == "publish":
                    self._end(session)

    def end_show(self, show_name: str) -> None:
        """The show is over: publisher and viewers go."""
        show = self.shows.pop(show_name, None)
        for session in list(self.sessions.values()):
            if session.show == show_name:
                self._end(session)
        if show is not None:
            show.close()

    def mirrored(self, show_name: str, first_wall_ms: int | None) -> RelayedShow:
        """The show, to be fed by another relay."""
        show = self._show(show_name, first_wall_ms)
        show.mirrored = True
        show.first_wall_ms = show.first_wall_ms if first_wall_ms is None else first_wall_ms
        return show

    def stats(self) -> dict[str, Any]:
        """For staff and for choosing a relay."""
        return {
            "viewers": self.viewers,
            "capacity": self.capacity,
            "sessions": len(self.sessions),
            "tasks": len(asyncio.all_tasks()),
            "draining": self.draining,
            "load": round(self.load(), 3),
            "shut": self.gate.why if self.gate.shut else "",
            "cpu": round(self.gate.measured.cpu, 3),
            "lag_ms": round(self.gate.measured.lag_ms, 1),
            "packets": self.counters.packets,
            "bytes": self.counters.bytes,
            "dropped": self.counters.dropped + self.port.dropped,
            "refused": self.counters.refused,
            "resent": self.counters.resent,
            "strays": self.port.strays,
            "gso": self.counters.gso,
            "handshakes_failed": self.handshakes_failed,
            "pipe": self.pipe_stats(),
            "shows": {name: show.stats() for name, show in self.shows.items()},
        }

    # ---- sessions ------------------------------------------------------------------------------

    def _admit(self, kind: str, most: int, network: str = "") -> None:
        if self.draining or self._tasks is None:
            raise Full()
        unfinished = [one for one in self.sessions.values() if one.kind == kind and not one.peer.connected]
        if network and sum(one.network == network for one in unfinished) >= foyer.OF_A_NETWORK:
            raise Full(1)
        if len(unfinished) >= most:
            goes = self._who_goes(unfinished, network) if kind == "play" else None
            if goes is None:
                raise Full(1)
            self._end(self.sessions[goes])

    def _who_goes(self, unfinished: list[Session], network: str) -> str | None:
        now_ms = self._now_ms()
        waiting = [
            foyer.Waiting(one.id, one.network, one.ice.address is not None, now_ms - one.started_ms)
            for one in unfinished
        ]
        return foyer.who_goes(waiting, network)

    def _known(self, show_name: str, session_id: str) -> Session:
        session = self.sessions.get(session_id)
        if session is None or session.show != show_name:
            raise NoSession()
        return session

    def _session(self, kind: Any, show_name: str, offer: sdp.Offer) -> Session:
        if self.certificate.ageing(datetime.fromtimestamp(self._clock.now_ms() / 1000, UTC)):
            # For sessions to come; those that are there keep theirs.
            self.certificate = RelayCertificate.generateCertificate()
        return Session(kind, show_name, offer, self.port, self.certificate, self._now_ms())

    def _show(self, name: str, first_wall_ms: int | None) -> RelayedShow:
        show = self.shows.get(name)
        if show is None:
            show = self.shows[name] = RelayedShow(
                name,
                port=self.port,
                fanout=self._fanout,
                now_ms=self._now_ms,
                wall_ms=self._clock.now_ms,
                max_kbps=self.max_kbps,
                changed=self._changed,
                ended=self._end,
                first_ms=first_wall_ms,
            )
        return show

    def _take_over(self, show: RelayedShow, session: Session, incoming: sdp.Incoming) -> None:
        show.mirrored = False
        show.take_over(session, incoming)
        if self._taken is not None:
            self._taken(show)

    def _start(self, session: Session, connected: Callable[[], None]) -> None:
        self.sessions[session.id] = session
        self.port.admit(session)
        session.peer.on_closed = lambda: self._end(session)
        assert self._tasks is not None
        session.task = self._tasks.create_task(self._handshake(session, connected), name=f"handshake of {session.kind}")

    async def _handshake(self, session: Session, connected: Callable[[], None]) -> None:
        try:
            await session.connect()
            if session.id not in self.sessions:
                return
            connected()
        except HandshakeFailed as failed:
            self.handshakes_failed += 1
            log.info("relay.handshake_failed", kind=session.kind, show=session.show, why=failed.why)
            self._end(session)
        except Exception:
            # A peer that finds a fault of ours ends her own session, never the others'.
            self.handshakes_failed += 1
            log.exception("relay.handshake_broke", kind=session.kind, show=session.show)
            self._end(session)
        else:
            self.figures.handshakes.labels(session.kind).observe((self._now_ms() - session.started_ms) / 1000)
            log.info("relay.connected", kind=session.kind, show=session.show)

    def _end(self, session: Session) -> None:
        if self.sessions.pop(session.id, None) is None:
            return
        show = self.shows.get(session.show)
        if show is not None:
            show.leave(session)
            show.publisher_gone(session)
        session.close()
        if session.task is not None and not session.task.done():
            session.task.cancel()

    # ---- time ----------------------------------------------------------------------------------

    async def _tick_for_ever(self) -> None:
        count = 0
        late_ms: list[float] = []
        while True:
            due_s = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            count += 1
            late_ms.append((time.monotonic() - due_s) * 1000)
            if count % _MEASURED_EVERY == 0:
                self._measure(sorted(late_ms)[len(late_ms) // 2])
                late_ms.clear()
            for show in list(self.shows.values()):
                try:
                    show.tick(count)
                except Exception:
                    log.exception("relay.tick_broke", show=show.name)  # the other shows go on
            if count % 50 == 0:
                self._sweep(self._now_ms())

    def _measure(self, lag_ms: float) -> None:
        dropped = self.counters.dropped + self.port.dropped
        sample = Sample(self._now_ms(), self.cpu_s(), lag_ms, self.counters.packets, dropped)
        self.gate.take(sample, self.viewers)

    def _sweep(self, now_ms: int) -> None:
        """Once a second: sessions whose consent ran out, shows that nobody needs."""
        for session in list(self.sessions.values()):
            if session.ice.lapsed(now_ms):
                log.info("relay.lapsed", kind=session.kind, show=session.show)
                self._end(session)
        has_sessions = {session.show for session in self.sessions.values()}  # those that shake hands, too
        for name, show in list(self.shows.items()):
            needed = name in has_sessions or show.mirrored or self.feeds_mirrors(name)
            if not needed and now_ms - show.idle_since_ms > SHOW_KEPT_MS:
                show.close()
                del self.shows[name]


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000
