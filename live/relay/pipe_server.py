"""The origin's end of the pipe: shows in, datagrams out to whoever subscribed.

Who subscribes gets a socket and a queue of her own (`outflow.py`); who falls silent or dies is let go.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from live.relay import piped
from live.relay.outflow import Outflow, Subscriber
from live.relay.pipe import open_socket
from live.relay.piped import Bye, StreamInfo
from live.relay.show import RelayedShow

LOOK_EVERY_S = 0.1
CLOCK_EVERY = 10  # looks
SILENT_AFTER_S = 5.0  # a subscriber that doesn't beat
MAX_SUBSCRIBERS = 64
_MAX_READS = 64


class PipeServer:
    """This process's pipe. `show_of(name)`: the show, if this relay has it; one that comes later is waited for.
    `wanted(name)` is called for one that isn't here when somebody subscribes who forwards it to nobody else."""

    def __init__(
        self,
        folder: Path,
        name: str,
        token: str,
        *,
        show_of: Callable[[str], RelayedShow | None],
        wall_ms: Callable[[], int],
        wanted: Callable[[str], None] = lambda show: None,
    ) -> None:
        self.path = folder / name
        self._token = token.encode()
        self._show_of = show_of
        self._wall_ms = wall_ms
        self._wanted = wanted
        self._socket: socket.socket | None = None
        self._subscribers: dict[str, Subscriber] = {}
        self._flows: dict[str, Outflow] = {}
        self.refused = 0
        self._dropped = 0

    def open(self) -> None:
        """Raises OSError: then there is no pipe, and others pull over the network."""
        _sweep(self.path.parent)
        self._socket = open_socket(self.path)

    async def run(self) -> None:
        """Until cancelled: subscribers are served, what changed is told, who died is let go."""
        assert self._socket is not None, "open first"
        asyncio.get_running_loop().add_reader(self._socket, self._readable)
        try:
            looks = 0
            while True:
                await asyncio.sleep(LOOK_EVERY_S)
                looks += 1
                self._look(looks)
        finally:
            self.close()

    def close(self) -> None:
        """Subscribers are told."""
        for subscriber in list(self._subscribers.values()):
            self._leave(subscriber, "going")
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()
            self._socket = None
            self.path.unlink(missing_ok=True)

    def feeds_mirrors(self, show: str) -> bool:
        """Whether other relays have the show from here."""
        return any(one.mirror and one.show == show for one in self._subscribers.values())

    def stats(self) -> dict[str, int]:
        here = self._subscribers.values()
        return {
            "subscribers": len(here),
            "frames": sum(flow.frames for flow in self._flows.values()),
            "dropped": self._dropped + sum(one.dropped for one in here),
            "refused": self.refused,
        }

    def _readable(self) -> None:
        assert self._socket is not None
        for _ in range(_MAX_READS):
            try:
                datagram, address = self._socket.recvfrom(piped.MAX_DATAGRAM)
            except OSError:
                return
            try:
                request = piped.decode_request(datagram)
            except ValueError:
                self.refused += 1
                continue
            if address:
                self._heard(request, address)

    def _heard(self, request: piped.Request, address: str) -> None:
        subscriber = self._subscribers.get(address)
        if isinstance(request, piped.Subscribe):
            if subscriber is not None:
                self._leave(subscriber)
            self._subscribe(request, address)
            return
        if subscriber is None:
            self._answer(address, "unknown")
            return
        subscriber.heard = asyncio.get_running_loop().time()
        flow = self._flows.get(subscriber.show)
        if isinstance(request, piped.Leave):
            self._leave(subscriber)
        elif isinstance(request, piped.WantKey) and flow is not None:
            flow.want_key(request.rid)
        elif isinstance(request, piped.Again) and flow is not None:
            flow.again(subscriber, request)

    def _subscribe(self, request: piped.Subscribe, address: str) -> None:
        allowed = hmac.compare_digest(request.token.encode(), self._token)
        if not allowed or len(self._subscribers) >= MAX_SUBSCRIBERS:
            self.refused += 1
            self._answer(address, "refused")
            return
        show = self._show_of(request.show)
        if request.mirror and show is not None and show.mirrored:
            self._answer(address, "not_origin")
            return
        try:
            subscriber = Subscriber(request.show, address, request.mirror, asyncio.get_running_loop().time())
        except OSError:
            return  # gone already
        self._subscribers[address] = subscriber
        if show is not None:
            self._attach(subscriber, show)
        else:  # let in; the show may come, from another relay too
            if not request.mirror:
                self._wanted(request.show)
            subscriber.say(piped.encode(StreamInfo(request.show, "waiting", None, [])))

    def _attach(self, subscriber: Subscriber, show: RelayedShow) -> None:
        flow = self._flows.get(show.name)
        if flow is None:
            flow = self._flows[show.name] = Outflow(show, self._wall_ms)
        flow.join(subscriber)

    def _leave(self, subscriber: Subscriber, why: Literal["ended", "going", "not_origin"] | None = None) -> None:
        if why is not None:
            subscriber.say(piped.encode(Bye(why)))
        subscriber.close()
        self._dropped += subscriber.dropped
        del self._subscribers[subscriber.address]
        flow = self._flows.get(subscriber.show)
        if flow is not None and subscriber in flow.subscribers:
            flow.subscribers.remove(subscriber)
            if not flow.subscribers:
                flow.show.taps.remove(flow)
                del self._flows[subscriber.show]

    def _answer(self, address: str, why: Literal["unknown", "refused", "not_origin"]) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(piped.encode(Bye(why)), address)

    def _look(self, looks: int) -> None:
        now = asyncio.get_running_loop().time()
        for subscriber in list(self._subscribers.values()):
            show, flow = self._show_of(subscriber.show), self._flows.get(subscriber.show)
            if subscriber.dead or now - subscriber.heard > SILENT_AFTER_S:
                self._leave(subscriber)
            elif flow is not None and show is not flow.show:
                self._leave(subscriber, "ended")
            elif show is not None and show.mirrored and subscriber.mirror:
                self._leave(subscriber, "not_origin")
            elif show is not None and (flow is None or subscriber not in flow.subscribers):
                self._attach(subscriber, show)
            elif show is None and not subscriber.mirror and looks % CLOCK_EVERY == 0:
                self._wanted(subscriber.show)
        for flow in list(self._flows.values()):
            flow.look()
            if looks % CLOCK_EVERY == 0:
                for datagram in flow.clocks():
                    flow.say(datagram)


def _sweep(folder: Path) -> None:
    """Sockets that killed processes left behind."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as probe:
        for path in folder.iterdir():
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:
                continue
