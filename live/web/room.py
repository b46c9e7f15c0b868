"""The room for programs, and for pages without a socket: whatever a moderator's page can do, by the same intents."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from chat.hub import Hub
from chat.kinds import INTENTS
from chat.message import Line, Question
from chat.moderation.kinds import Case, Mode, SilencedPerson, TermsChanged
from live.desk.person_data import Erased, Export
from live.desk.wiring import Services
from live.errors import Invalid, NotFound
from live.ids import new_id
from live.stage.show import Show
from live.web.reading import Json, body
from live.web.security import grants_of, member_of
from live.web.speech import speaks


class RoomIntent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`kind` and `body` are the socket's (docs/protocol.md); `op` names the act: sent again, it is the same one."""

    kind: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    op: Annotated[str, msgspec.Meta(max_length=64)] = ""
    body: dict[str, Any] = {}


class RoomDesk(msgspec.Struct, frozen=True):
    """`lines` are the newest 50, `cases` what waits for a moderator."""

    epoch: str
    seq: int
    viewers: int
    lines: list[Line]
    mode: Mode
    pinned: Line | None
    questions: list[Question]
    terms: TermsChanged
    silences: list[SilencedPerson]
    cases: list[Case]


@speaks(takes=RoomIntent, gives=dict, example={"kind": "mode.set", "body": {"slow_s": 15}})
async def act(request: Request) -> Response:
    """Do what the intent says: what the socket's `ok` would hold."""
    _, hub, show = _parts(request)
    wanted = await body(request, RoomIntent)
    if wanted.kind not in INTENTS:
        raise Invalid("kind", "none of the room's")
    member = await member_of(request, show)
    intent = msgspec.Raw(msgspec.json.encode(wanted.body))
    answer = await hub.ask(show.id, member, wanted.op or new_id("op"), wanted.kind, intent)
    return Json(msgspec.to_builtins(answer))


@speaks(gives=RoomDesk)
async def desk(request: Request) -> Response:
    """The room as its moderators have it."""
    services, hub, show = _parts(request)
    moment = await services.bus.history.moment(show.id)
    told: dict[str, Any] = dict(await hub.desk(show.id, await member_of(request, show)))
    return Json(
        RoomDesk(
            epoch=moment.epoch,
            seq=moment.seq,
            viewers=moment.viewers,
            lines=[msgspec.convert(msgspec.json.decode(line)["body"]["line"], Line) for line in moment.lines],
            mode=moment.mode,
            pinned=moment.pinned,
            questions=moment.questions,
            terms=told["terms.changed"],
            silences=told["silences.changed"].silences,
            cases=told["cases.changed"].cases,
        )
    )


@speaks(gives=Export)
async def person(request: Request) -> Response:
    """Everything kept of a person in shows of the brands of whoever asks."""
    services: Services = request.app.state.services
    export = await services.person_data.export(request.path_params["person"], brands=await _brands(request))
    if export.is_empty:
        raise NotFound("person", request.path_params["person"])
    name = f"frontrow-{request.path_params['person']}.json"
    return Json(export, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@speaks(gives=Erased)
async def person_erase(request: Request) -> Response:
    """Erase that, but for what the law says is kept: what was done, and what stays and why."""
    services: Services = request.app.state.services
    by = request.state.session.person
    brands = await _brands(request)
    done = await services.person_data.erase(request.path_params["person"], by=by, brands=brands)
    return Json(done)


async def _brands(request: Request) -> frozenset[str]:
    """Brands that whoever asks is staff of, as a whole: one show's staff has no say over a brand's people."""
    grants = await grants_of(request, request.state.session)
    return frozenset(grant.brand_id for grant in grants if grant.role == "staff" and grant.brand_id)


def _parts(request: Request) -> tuple[Services, Hub, Show]:
    return request.app.state.services, request.app.state.hub, request.state.show
