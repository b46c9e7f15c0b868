"""What a recorder says, handed on: its row, the hosts' pages, the figures. Comes from the recorder's thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from live.errors import Error
from live.events import RecordingChanged
from live.relay import recording_rows
from live.relay.recording_events import (
    RecordingBehind,
    RecordingCaughtUp,
    RecordingEvent,
    RecordingFailed,
    RecordingFinished,
    RecordingPlaced,
    RecordingStarted,
)
from live.store.sql import Database

log = structlog.get_logger(__name__)

NOTED_WITHIN_S = 5.0  # what a recorder's thread waits for its row; its queue holds three times that


class Room(Protocol):
    """The part of the room's bus that is needed."""

    async def tell_role(self, room: str, role: str, kind: str, body: object) -> None: ...


@dataclass(eq=False)
class RecordingFigures(Collector):
    """Of this process since its start; `running` is now."""

    running: int = 0
    failed: int = 0
    dropped: int = 0

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("frontrow_relay_recordings", "Files being recorded.", value=self.running)
        words = "Times that a recording stopped."
        yield CounterMetricFamily("frontrow_relay_recordings_failed", words, value=self.failed)
        words = "Packets not recorded because the disk was slow."
        yield CounterMetricFamily("frontrow_relay_recording_dropped", words, value=self.dropped)


class RecordingNews:
    """Hands events on. Fails open: the file counts, and the worker ends the rows that nobody ended."""

    def __init__(self, db: Database | None, room: Room) -> None:
        self.figures = RecordingFigures()
        self._db = db
        self._room = room
        self._loop = asyncio.get_running_loop()
        self._dropped: dict[str, int] = {}
        self._ending: list[threading.Thread] = []

    def __call__(self, event: RecordingEvent) -> None:
        """Blocks the recorder's thread until the row is written, at most `NOTED_WITHIN_S`."""
        self._count(event)
        if not self._loop.is_running():
            return
        try:
            asyncio.run_coroutine_threadsafe(self._tell(event), self._loop).result(NOTED_WITHIN_S)
        except Exception as error:
            log.warning("relay.recording_unnoted", show=event.show, error=type(error).__name__)

    def end(self, close: Callable[[], None]) -> None:
        """Run `close`, which ends a recording, on a thread of its own: the loop must not wait for a disk."""
        self._ending = [thread for thread in self._ending if thread.is_alive()]
        thread = threading.Thread(target=close, name="recorder-close")
        self._ending.append(thread)
        thread.start()

    async def settled(self, within_s: float) -> None:
        """Waits for the recordings that are being ended, so that their rows say so; the loop must still run."""
        until = time.monotonic() + within_s
        for thread in self._ending:
            await asyncio.to_thread(thread.join, max(0.0, until - time.monotonic()))

    async def _tell(self, event: RecordingEvent) -> None:
        if self._db is not None:
            try:
                await self._db.write(lambda connection: recording_rows.note(connection, event))
            except Error as error:
                # A disk that is full is full for the books too: the host is told all the same.
                log.warning("relay.recording_unnoted", show=event.show, error=error.code)
        if not isinstance(event, RecordingPlaced):
            await self._room.tell_role(event.show, "host", "recording.changed", as_told(event))

    def _count(self, event: RecordingEvent) -> None:
        if isinstance(event, RecordingStarted):
            self.figures.running += 1
        elif isinstance(event, RecordingFinished):
            self.figures.running -= 1
        elif isinstance(event, RecordingFailed):
            self.figures.failed += 1
            self.figures.running -= event.recording is not None
        elif isinstance(event, RecordingBehind):
            self.figures.dropped += event.dropped - self._dropped.get(event.show, 0)
            self._dropped[event.show] = event.dropped


def as_told(event: RecordingEvent) -> RecordingChanged:
    """The event in the words of the room."""
    if isinstance(event, RecordingFailed):
        return RecordingChanged("failed", why=event.why)
    if isinstance(event, RecordingBehind):
        return RecordingChanged("behind", dropped=event.dropped)
    if isinstance(event, RecordingCaughtUp):
        return RecordingChanged("caught_up", dropped=event.dropped)
    return RecordingChanged("recording" if isinstance(event, RecordingStarted) else "finished")
