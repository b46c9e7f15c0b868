"""How many of each process run: `relay=2,worker=3`, as honcho and Procfile hosts write it; and which of them this is.

Each relay has a UDP port of its own: the first has `FRONTROW_RELAY_UDP_PORT`, the second the next, and so on. Which one
a process is, it reads in the name that its host gives it (`relay.2`), or that our own supervisor does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from live.settings import Settings

PROCESSES = ("web", "relay", "tail", "worker")
MOST = 64  # of a kind; a core each is plenty
_PART = re.compile(r"([a-z]+)=(\d{1,3})")
_NAMED_BY = ("HONCHO_PROCESS_NAME", "PS")  # honcho, foreman; our supervisor does as honcho


class BadFormation(ValueError):
    """`why` is a sentence for a person."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def parse(text: str) -> dict[str, int]:
    """Process -> how many; 1 of what isn't named. Raises BadFormation."""
    counts = dict.fromkeys(PROCESSES, 1)
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _PART.fullmatch(part)
        if found is None or found[1] not in (*PROCESSES, "all"):
            raise BadFormation(f"{part!r} is no part of a formation; it is written like relay=2,worker=2")
        number = int(found[2])
        if number > MOST:
            raise BadFormation(f"{part}: at most {MOST}")
        for name in PROCESSES if found[1] == "all" else (found[1],):
            counts[name] = number
    for name in ("web", "tail"):
        if counts[name] > 1:
            raise BadFormation(f"{name}={counts[name]}: one runs here; a Procfile host gives more of them a port each")
    return counts


def names(process: str, count: int) -> list[str]:
    """What the processes of a kind are called: `relay`, or `relay.1`, `relay.2` where there are several."""
    return [process] if count == 1 else [f"{process}.{number}" for number in range(1, count + 1)]


def index_of(process: str, env: Mapping[str, str]) -> int:
    """Which of its kind this process is, from 0."""
    for variable in _NAMED_BY:
        kind, dot, number = env.get(variable, "").partition(".")
        if kind == process and dot and number.isdigit() and 1 <= int(number) <= MOST:
            return int(number) - 1
    return 0


def of_relay(settings: Settings, index: int) -> Settings:
    """The settings of the relay `index`: ports of its own, where they are not just any."""
    ports = {
        name: number + index for name in ("relay_udp_port", "relay_control_port") if (number := getattr(settings, name))
    }
    return settings.model_copy(update=ports)
