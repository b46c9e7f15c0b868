"""Whatever keeps the room is booked: who changed what, from what, to what, by whichever door."""

from __future__ import annotations

from typing import Any

import msgspec
from room_process import until

from chat.kinds import INTENTS

ROOM = "shw_spring"
# They look, or say that somebody is looking.
CHANGE_NOTHING = {"person.look", "lines.find", "terms.try", "case.claim"}
OTHERS = "viewer"


async def test_every_act_of_who_keeps_the_room_is_booked_with_what_was_before_and_after(web, house, archive) -> None:
    cookie = house.person("mo", "host", "moderator")
    mo, bob = await web.join(cookie), await web.join(house.person("bob"))
    line = (await bob.post("line.post", {"text": "which coat?"})).body["line"]
    question = (await bob.post("question.ask", {"text": "which coat is it?"})).body["question"]
    assert (await (await web.join(house.person("eve"))).post("line.report", {"line": line})).ok
    await until(lambda: line in archive.lines)
    term, slow = {"term": "example.org", "kind": "held"}, '"slow_s":30'
    acts: list[tuple[str, dict[str, Any], str, tuple[str, str]]] = [
        ("terms.add", term, "example.org", ("", "held")),
        ("terms.add", term | {"kind": "allowed"}, "example.org", ("held", "allowed")),
        ("terms.remove", term | {"kind": "allowed"}, "example.org", ("allowed", "")),
        ("mode.set", {"slow_s": 30, "links": "listed"}, "", ('"slow_s":0', slow)),
        ("mode.set", {"raid_s": 60}, "", ('"raid_until_ms":0', '"raid_until_ms":1')),
        ("service.set", {"hearts": "off"}, "", ("hearts=auto", "hearts=off")),
        ("line.pin", {"line": line}, line, ("", "")),
        ("question.mark", {"question": question, "state": "answered"}, question, ("open", "answered")),
        ("person.note", {"person": "per_bob", "text": "kind"}, "per_bob", ("", "kind")),
        ("person.timeout", {"person": "per_bob", "seconds": 60}, "per_bob", ("", "timeout")),
        ("person.unban", {"person": "per_bob"}, "per_bob", ("timeout", "")),
        ("case.decide", {"case": f"rep_{line}", "verdict": "approve"}, "per_bob", ("which coat?", "approve")),
        ("line.remove", {"line": line}, line, ("which coat?", "")),
        ("person.ban", {"person": "per_bob", "shadow": True}, "per_bob", ("", "shadow")),
    ]
    kept = {kind for kind, (_, role) in INTENTS.items() if role != OTHERS} | {"line.remove"}
    assert {kind for kind, *_ in acts} == kept - CHANGE_NOTHING, "none is forgotten here"
    for number, (kind, body, target, (before, after)) in enumerate(acts):
        if number % 2:  # the API's door, where a bot acts
            raw = msgspec.Raw(msgspec.json.encode(body))
            await web.hub.ask(ROOM, house.members["mo"], f"op{number}", kind, raw)
        else:
            assert (await mo.post(kind, body)).ok, kind
        booked = archive.acts[-1]
        assert (len(archive.acts), booked.act, booked.actor, booked.target) == (number + 1, kind, "per_mo", target)
        assert before in booked.before, kind
        assert after in booked.after, kind
