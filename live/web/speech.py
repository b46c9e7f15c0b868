"""What an endpoint takes and gives, said once: `@speaks(takes=StockChange, gives=StockNow)`.

The same types read the request, are checked against the answer (security.py) and become the OpenAPI document
(openapi.py), so the three can't part. A test fails when a door below /api/ says nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

E = TypeVar("E", bound=Callable[[Request], Awaitable[Response]])


@dataclass(frozen=True)
class Speech:
    """`takes` is the JSON body, `asks` the query as a struct, `gives` the JSON answer (None: 204).

    `takes_as` and `gives_as` name another media type where it isn't JSON. `sends` are headers the request must bring.
    `example` is a body that could be sent; a test holds it to `takes`.
    """

    takes: Any = None
    asks: type[msgspec.Struct] | None = None
    gives: Any = None
    status: int = 200
    takes_as: str = "application/json"
    gives_as: str = "application/json"
    sends: tuple[str, ...] = ()
    example: object = None


_SAID: dict[object, Speech] = {}


def speaks(
    *,
    takes: Any = None,
    asks: type[msgspec.Struct] | None = None,
    gives: Any = None,
    status: int | None = None,
    takes_as: str = "application/json",
    gives_as: str = "application/json",
    sends: tuple[str, ...] = (),
    example: object = None,
) -> Callable[[E], E]:
    """State what an endpoint takes and gives; `status` is 200, or 204 where it gives nothing."""
    empty = gives is None and gives_as == "application/json"
    speech = Speech(takes, asks, gives, status or (204 if empty else 200), takes_as, gives_as, tuple(sends), example)

    def state(endpoint: E) -> E:
        _SAID[endpoint] = speech
        return endpoint

    return state


def speech_of(endpoint: object) -> Speech | None:
    """What it said of itself; None where it said nothing."""
    return _SAID.get(endpoint)


def keep_word(endpoint: object, response: Response) -> None:
    """A good answer is of the type that was stated. Raises: TypeError, a bug of ours that no test may let pass."""
    speech, said = speech_of(endpoint), getattr(response, "said", None)
    if speech is None or said is None or not isinstance(speech.gives, type) or response.status_code >= 300:
        return
    if type(said) is not speech.gives or response.status_code != speech.status:
        raise TypeError(f"{endpoint} answers {response.status_code} {type(said)}, and states {speech}")


def stated(request: Request, what: str, kind: object) -> None:
    """What is read is what was stated. Raises: TypeError."""
    endpoint = request.state.door.endpoint
    speech = speech_of(endpoint)
    if speech is not None and getattr(speech, what) is not kind:
        raise TypeError(f"{endpoint} reads {kind}, and states {speech}")
