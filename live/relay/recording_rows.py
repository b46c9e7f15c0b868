"""A recorder's events as rows of `recordings`. Sync SQL, for `Database.write`; in any order and any number of times."""

from __future__ import annotations

from sqlalchemy import Connection, insert, select, update

from live.relay.recording_events import (
    RecordingEvent,
    RecordingFailed,
    RecordingFinished,
    RecordingPlaced,
    RecordingStarted,
)
from live.store.tables import recordings


def note(connection: Connection, event: RecordingEvent) -> None:
    """Write what the event says. A row that has ended stays ended."""
    if isinstance(event, RecordingStarted):
        known = connection.execute(select(recordings.c.id).where(recordings.c.id == event.recording)).first()
        if known is None:
            connection.execute(
                insert(recordings).values(
                    id=event.recording,
                    show_id=event.show,
                    path=event.path,
                    state="recording",
                    starts_at_ms=event.starts_at_ms,
                    started_ms=event.started_ms,
                )
            )
    elif isinstance(event, RecordingPlaced):
        placed = {"starts_at_ms": event.starts_at_ms}
        connection.execute(update(recordings).where(recordings.c.id == event.recording).values(placed))
    elif isinstance(event, RecordingFinished | RecordingFailed) and event.recording is not None:
        # What was written before the disk was full plays, but the show is not whole: its state says so.
        ended: dict[str, int | str] = {"ended_ms": event.ended_ms, "bytes": event.bytes}
        ended["duration_ms"] = event.duration_ms
        ended |= {"state": "failed", "why": event.why} if isinstance(event, RecordingFailed) else {"state": "finished"}
        # Only while it is being recorded: the worker may have looked at it since.
        is_open = (recordings.c.id == event.recording) & (recordings.c.state == "recording")
        connection.execute(update(recordings).where(is_open).values(ended))
