"""One line a request, and figures of all of them. Doors are named (`api.cart_add`), never their paths: an order's
address opens the order."""

from __future__ import annotations

import time

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = structlog.get_logger()


class Figures:
    """What `/metrics` tells of this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "frontrow_requests_total", "Requests answered.", ["door", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "frontrow_request_seconds",
            "Seconds from the request to the end of its answer.",
            ["door"],
            buckets=(0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
            registry=self.registry,
        )
        self.shows = Gauge("frontrow_shows_live", "Shows on air.", registry=self.registry)
        self.viewers = Gauge("frontrow_viewers", "People in the rooms of shows on air.", registry=self.registry)
        self.room = Gauge(
            "frontrow_room",
            "The room on this process: sockets, slow_sockets, rooms, deliveries, lines_not_archived, load_level.",
            ["figure"],
            registry=self.registry,
        )
        self.relays = Gauge("frontrow_relays", "Relay processes that beat.", registry=self.registry)


class AccessLog:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, *, figures: Figures) -> None:
        self._app = app
        self._figures = figures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            took_s = time.perf_counter() - started
            door = getattr(Request(scope).state, "door", None)
            name = door.name if door is not None else "other"
            self._figures.requests.labels(name, str(status)).inc()
            self._figures.seconds.labels(name).observe(took_s)
            level = (
                "warning" if status >= 500 else "debug" if door is None or door.kind in ("house", "stream") else "info"
            )
            token = getattr(Request(scope).state, "token", None)
            more = {} if token is None else {"token": token.id}
            getattr(log, level)(
                "request", method=scope["method"], door=name, status=status, ms=round(took_s * 1000, 1), **more
            )
