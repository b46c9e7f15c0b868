"""Talk over real sockets, a real server and a real store."""

from __future__ import annotations


async def test_a_line_reaches_everyone_with_its_number(web, house) -> None:
    ann = await web.join(house.person("ann"))
    bob = await web.join(house.person("bob"))
    answer = await ann.post("line.post", {"text": "  hello\u202e   there ", "nonce": "n1"})
    assert answer.ok
    assert answer.body["nonce"] == "n1"
    envelope = await bob.wait_envelope("line.posted")
    assert envelope["seq"] == answer.body["seq"] == 1
    line = envelope["body"]["line"]
    assert line["text"] == "hello there"
    assert (line["id"], line["person"], line["name"]) == (answer.body["line"], "per_ann", "ann")
    assert await ann.wait("line.posted") == envelope["body"]
