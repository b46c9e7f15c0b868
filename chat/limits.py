"""Bounds and paces of one process of the room."""

from __future__ import annotations

import msgspec


class Limits(msgspec.Struct, frozen=True):
    """Sockets are capped per person and per network (in this process); intents are counted per socket; `slow_s` is how
    long a reader may lag before it is closed with 1013. `busy_share` is the share of a second this process's loop may
    work before it sheds what is decoration (chat.service); 0: it never does. `watch_s` and
    `finish_s`: how often chat.watch looks."""

    sockets_per_person: int = 12
    sockets_per_network: int = 2_000
    intents_s: float = 20.0
    intents_burst: float = 60.0
    intents_refused: int = 200
    intent_s: float = 15.0
    store_s: float = 10.0
    mend_s: float = 60.0
    hello_s: float = 10.0
    slow_s: float = 10.0
    pulse_s: float = 0.25
    beat_s: float = 2.0
    beat_life_s: float = 6.0
    watch_s: float = 0.5
    finish_s: float = 10.0
    hearts_every_s: float = 0.25
    drain_s: float = 2.0
    reconnect_within_s: float = 2.0
    empty_room_s: float = 60.0
    busy_share: float = 0.85
