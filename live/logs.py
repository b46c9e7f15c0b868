"""Logs: one event a line, for people or as JSON. Nothing that opens a door goes in: no token, key, address or query."""

from __future__ import annotations

import logging
import sys

import structlog
from structlog.types import EventDict, Processor

from live.settings import Settings

SECRETS = frozenset(
    {"token", "key", "password", "secret", "cookie", "authorization", "csrf", "publish_key", "email", "address"}
)
# Too much below a warning; the lines of those that serve and call name whom they talk to.
CHATTY = ("alembic", "aioice", "httpx", "httpcore", "uvicorn.access", "chat.wire")


def configure(settings: Settings) -> None:
    """Sends structlog's events and those of the libraries (stdlib logging) to stderr, in the settings' form."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        redact,
    ]
    as_json = settings.log_format == "json"
    # A plain traceback: the pretty one prints local variables, and those are sessions, tokens and addresses.
    for_people = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
    )
    last: list[Processor] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()] if as_json else [for_people]
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in CHATTY:
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """The last line of defence: a field by one of these names is never written out."""
    for name in event.keys() & SECRETS:
        event[name] = "…"
    return event
