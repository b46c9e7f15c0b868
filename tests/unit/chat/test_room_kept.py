"""The moderation table, row by row: over real sockets, a real server and a real store, some over two processes."""

from __future__ import annotations

import asyncio

import msgspec
from room_process import until, web_process

from chat.moderation.silences import NETWORK_LIFE_MS
from chat.ports import FOREVER_MS

START = 1_750_000_000_000


async def said(client, text: str, **more):
    return await client.post("line.post", {"text": text, **more})


def texts(client) -> list[str]:
    return [body["line"]["text"] for body in client.seen("line.posted")]


# ---- delete


async def test_a_deleted_line_leaves_every_screen_on_every_process_and_the_pin(two_webs, house) -> None:
    one, two = two_webs
    ann, mod = await one.join(house.person("ann")), await two.join(house.person("mod", "moderator"))
    line = (await said(ann, "regrettable")).body["line"]
    assert (await mod.post("line.pin", {"line": line})).ok
    assert (await ann.wait("line.pinned"))["line"]["text"] == "regrettable"
    assert (await two.join(house.person("late"))).welcome["room"]["pinned"]["id"] == line
    assert (await mod.post("line.remove", {"line": line})).ok
    assert (await ann.wait("line.removed"))["line"] == line
    later = await one.join(house.person("later"))
    assert (later.welcome["room"]["pinned"], later.welcome["room"]["lines"]) == (None, [])


async def test_a_pin_is_taken_down_and_a_line_that_is_not_there_cannot_be_pinned(web, house) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    line = (await said(ann, 'a "body":{"line": in it')).body["line"]
    assert (await mod.post("line.pin", {"line": line})).ok
    assert (await ann.wait("line.pinned"))["line"]["text"] == 'a "body":{"line": in it'
    assert (await mod.post("line.pin", {"line": ""})).ok
    await ann.wait("line.pinned", lambda body: body["line"] is None)
    assert (await mod.post("line.pin", {"line": f"{mod.epoch}.999"})).code == "not_found"
    assert (await ann.post("line.pin", {"line": line})).code == "forbidden"


# ---- ban: account, device, network


async def test_who_comes_anew_from_a_banned_network_is_reviewed_and_neighbours_of_before_are_not(
    redis_url, house, archive
) -> None:
    now = [START]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        troll = await web.join(house.person("troll", network="net_1", since_ms=START - 1))
        mod = await web.join(house.person("mod", "moderator"))
        neighbour = await web.join(house.person("neighbour", network="net_1", since_ms=START - 1))
        assert (await mod.post("person.ban", {"person": "per_troll"})).ok
        troll = await web.join(house.person("troll", network="net_1", since_ms=START - 1))
        assert (await said(troll, "hm")).code == "silenced"
        assert "line" in (await said(neighbour, "good evening")).body

        now[0] += 1000
        fresh = await web.join(house.person("fresh", network="net_1", since_ms=now[0]))
        answer = await said(fresh, "me again")
        assert answer.body["why"] == "evasion"
        elsewhere = await web.join(house.person("elsewhere", network="net_2", since_ms=now[0]))
        assert "line" in (await said(elsewhere, "hello")).body

        assert archive.silences["shw_spring", "per_troll"].network == "net_1"
        now[0] += NETWORK_LIFE_MS
        assert "line" in (await said(fresh, "a day later")).body
        assert (await said(troll, "a day later")).code == "silenced", "the ban itself goes on"


async def test_lifting_a_ban_also_lifts_it_from_every_device_and_the_network(redis_url, house, archive) -> None:
    now = [START]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        mod = await web.join(house.person("mod", "moderator"))
        await web.join(house.person("troll", device="dev_phone", network="net_1"))
        assert (await mod.post("person.ban", {"person": "per_troll"})).ok
        await web.join(house.person("troll", device="dev_laptop", network="net_1"))
        assert (await mod.post("person.timeout", {"person": "per_troll", "seconds": 60})).ok
        assert (await mod.post("person.unban", {"person": "per_troll"})).ok
        for device in ("dev_phone", "dev_laptop"):
            back = await web.join(house.person("troll", device=device, network="net_1", since_ms=now[0] + 1))
            assert "line" in (await said(back, f"on {device}")).body


# ---- modes


async def test_modes_are_kept_by_the_server_and_staff_are_exempt(redis_url, house, archive) -> None:
    now = [START]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        ann = await web.join(house.person("ann", since_ms=START - 100_000))
        buyer = await web.join(house.person("buyer", badge="buyer"))
        mod = await web.join(house.person("mod", "moderator"))
        assert (await mod.post("mode.set", {"buyers": True})).ok
        assert (await said(ann, "a")).facts == {"why": "buyers"}
        assert (await said(buyer, "b")).ok
        assert (await said(mod, "c")).ok

        assert (await mod.post("mode.set", {"buyers": False, "age_s": 200})).ok
        assert (await said(ann, "d")).facts == {"why": "age", "until_ms": START + 100_000}
        now[0] += 100_000
        assert (await said(ann, "d")).ok

        assert (await mod.post("mode.set", {"age_s": 0, "emote": True})).body["mode"]["emote"] is True
        assert (await said(ann, "words 🔥")).facts == {"why": "emote"}
        assert (await said(ann, "🔥🔥👏🏽 !!")).ok
        assert (await mod.post("mode.set", {"age_s": 10**9})).code == "invalid"
        assert (await mod.post("mode.set", {"links": "sometimes"})).code == "invalid"


async def test_a_raid_is_kept_out_on_every_process_at_once_and_ends_by_itself(redis_url, house, archive) -> None:
    now = [START]
    clock = {"now_ms": lambda: now[0]}
    async with (
        web_process(redis_url, house, archive, **clock) as one,
        web_process(redis_url, house, archive, **clock) as two,
    ):
        mod = await one.join(house.person("mod", "moderator"))
        regular = await two.join(house.person("regular", since_ms=START - 3_600_000))
        raider = await two.join(house.person("raider", since_ms=START - 1))
        buyer = await two.join(house.person("buyer", since_ms=START - 1, badge="buyer"))
        assert (await mod.post("mode.set", {"links": "on"})).ok
        assert (await mod.post("mode.set", {"raid_s": 600})).ok
        # The very next line, on the other process: the script reads the mode where it posts.
        assert (await said(raider, "RAID")).facts == {"why": "raid", "until_ms": START + 600_000}
        assert await regular.wait("mode.changed", lambda body: body["mode"]["raid_until_ms"] > 0)
        assert (await said(regular, "see example.com/x")).facts == {"why": "link"}
        assert (await said(regular, "one")).ok
        assert (await said(regular, "two")).code == "slow_mode"
        assert (await said(buyer, "my coat came")).ok
        now[0] += 300_000
        assert (await mod.post("mode.set", {"raid_s": 600})).ok
        newcomer = await two.join(house.person("newcomer", since_ms=START - 1_000))
        assert (await said(newcomer, "RAID")).code == "blocked", "longer is not later: who was kept out stays out"
        now[0] += 600_001
        assert (await said(raider, "sorry")).ok
        assert (await said(regular, "see example.com/x")).ok


async def test_the_mode_outlives_an_empty_store(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    assert (await mod.post("mode.set", {"buyers": True})).ok
    await redis.flushall()
    assert (await said(ann, "open?")).facts == {"why": "buyers"}


async def test_two_moderators_who_set_two_things_have_set_both(web, house) -> None:
    one = await web.join(house.person("one", "moderator"))
    two = await web.join(house.person("two", "moderator"))
    await asyncio.gather(one.post("mode.set", {"slow_s": 5}), two.post("mode.set", {"emote": True}))
    late = await web.join(house.person("late"))
    assert (late.welcome["room"]["mode"]["slow_s"], late.welcome["room"]["mode"]["emote"]) == (5, True)


# ---- links


async def test_links_lead_where_the_room_allows(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    buyer = await web.join(house.person("buyer", badge="buyer"))
    assert (await mod.post("mode.set", {"links": "listed"})).ok
    assert (await mod.post("terms.add", {"term": "atelier.example.com", "kind": "allowed"})).body["allowed"]
    assert (await said(ann, "on https://www.atelier.example.com/coat 1")).ok
    assert (await said(ann, "on shop.atelier.example.com 2")).ok
    assert (await mod.post("terms.add", {"term": "maison.co.uk", "kind": "allowed"})).ok
    assert (await said(ann, "on shop.maison.co.uk/coat 3")).ok
    assert (await mod.post("terms.add", {"term": "Bücher.example", "kind": "allowed"})).ok
    assert (await said(ann, "on https://xn--bcher-kva.example/a and https://bücher.example/b")).ok
    for suffix in ("co.uk", "www.CO.UK.", "github.io"):
        refused = await mod.post("terms.add", {"term": suffix, "kind": "allowed"})
        assert (refused.code, refused.facts["field"]) == ("invalid", "term"), suffix
    await redis.hset("c:{shw_spring}:terms", "co.uk", "allowed")  # as one from before suffixes were refused
    added = await mod.post("terms.add", {"term": "Atelier Inc.", "kind": "allowed"})
    assert added.body["allowed"] == [
        "Atelier Inc.",
        "Bücher.example",
        "atelier.example.com",
        "co.uk",
        "maison.co.uk",
    ], "the premise"
    for elsewhere in (
        "other.co.uk",
        "https://co.uk/x",
        "maison.co.uk.evil.com",
        "example.com/x",
        "https://atelier.example.com.evil.com",
        "http://atelier.example.com@evil.com/",
    ):
        assert (await said(ann, f"on {elsewhere}")).facts == {"why": "link"}, elsewhere
    assert (await mod.post("mode.set", {"links": "buyers"})).ok
    assert (await said(ann, "see example.org/a")).facts == {"why": "link"}
    assert (await said(buyer, "see example.org/a")).ok
    assert (await mod.post("mode.set", {"links": "held"})).ok
    assert (await said(ann, "see example.org/b")).body["why"] == "link"


# ---- hold for review


async def test_a_held_line_waits_and_approval_gives_it_a_new_number(two_webs, house, archive) -> None:
    one, two = two_webs
    ann, bob = await one.join(house.person("ann", badge="buyer")), await two.join(house.person("bob"))
    mod = await two.join(house.person("mod", "moderator"))
    asked = (await said(bob, "whose?")).body["line"]
    # On the process on which she talks, which knows it with the answer; the other ones learn of it a moment later.
    near = await one.join(house.person("mod2", "moderator"))
    assert (await near.post("terms.add", {"term": "refund", "kind": "held"})).body["held"] == ["refund"]
    words = "@bob about my refund"
    answer = await said(ann, words, nonce="n7", reply=asked, mentions=["per_bob"])
    assert (answer.body["why"], answer.body["nonce"]) == ("term", "n7")
    case = (await mod.wait("case.changed"))["case"]
    assert (case["id"], case["kind"], case["person"], case["line"]["text"]) == (
        answer.body["held"],
        "line",
        "per_ann",
        words,
    )
    assert (await said(bob, "meanwhile")).ok
    late = await one.join(house.person("mod3", "moderator"))
    assert [one["id"] for one in (await late.wait("cases.changed"))["cases"]] == [case["id"]]
    seen = len([e for e in bob.envelopes if "seq" in e])

    decided = await mod.post("case.decide", {"case": case["id"], "verdict": "approve"})
    posted = await bob.wait("line.posted", lambda body: body["line"]["text"] == words)
    assert decided.body["line"] == posted["line"]["id"]
    assert int(posted["line"]["id"].rpartition(".")[2]) > seen
    facts = [posted["line"][name] for name in ("name", "badge", "mentions")]
    assert facts == ["ann", "buyer", [{"person": "per_bob", "name": "bob"}]]
    assert posted["line"]["reply"]["line"] == asked
    assert (await ann.wait("line.reviewed"))["verdict"] == "approve"
    assert (await late.wait("case.closed"))["by"] == "mod"
    await until(lambda: posted["line"]["id"] in archive.lines)
    assert msgspec.to_builtins(archive.lines[posted["line"]["id"]].line) == posted["line"]
    assert [notice.kind for notice in archive.notices] == ["line.held"]


async def test_a_refused_line_is_never_seen_and_its_author_is_told_why(web, house, redis) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("mode.set", {"hold": True})).ok
    held = (await said(ann, "unkind")).body
    assert held["why"] == "hold"
    answer = await mod.post("case.decide", {"case": held["held"], "verdict": "refuse", "reason": "be kind"})
    assert answer.ok
    told = await ann.wait("line.reviewed")
    assert (told["verdict"], told["reason"]) == ("refuse", "be kind")
    assert (await said(mod, "staff pass")).ok
    await bob.wait("line.posted")
    assert texts(bob) == ["staff pass"]
    assert not any(b"unkind" in entry for entry in await redis.hvals("c:{shw_spring}:log"))


async def test_of_two_moderators_who_race_one_decides(two_webs, house) -> None:
    one, two = two_webs
    ann = await one.join(house.person("ann"))
    mods = [await one.join(house.person("mo", "moderator")), await two.join(house.person("flo", "moderator"))]
    assert (await mods[0].post("mode.set", {"hold": True})).ok
    for number in range(10):
        case = (await said(ann, f"{number} {chr(97 + number) * 14}")).body["held"]
        answers = await asyncio.gather(
            mods[0].post("case.decide", {"case": case, "verdict": "approve"}),
            mods[1].post("case.decide", {"case": case, "verdict": "refuse"}),
        )
        won, lost = sorted(answers, key=lambda answer: not answer.ok)
        assert won.ok
        assert (lost.code, lost.facts["verdict"]) == ("decided", won.body["verdict"])
        assert lost.facts["by"] == ("mo" if won.body["verdict"] == "approve" else "flo")
        again = await mods[0 if won.body["verdict"] == "approve" else 1].post(
            "case.decide", {"case": case, "verdict": won.body["verdict"]}
        )
        assert again.body == won.body, "asking again after a lost answer is no second decision"


async def test_a_claim_keeps_other_moderators_off_until_it_runs_out(redis_url, house, archive) -> None:
    now = [START]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        ann = await web.join(house.person("ann"))
        mo, flo = await web.join(house.person("mo", "moderator")), await web.join(house.person("flo", "moderator"))
        assert (await mo.post("mode.set", {"hold": True})).ok
        case = (await said(ann, "hello")).body["held"]
        assert (await mo.post("case.claim", {"case": case})).body["case"]["claimed_by"] == "mo"
        assert await flo.wait("case.changed", lambda body: body["case"]["claimed_by"] == "mo")
        refused = await flo.post("case.decide", {"case": case, "verdict": "refuse"})
        assert (refused.code, refused.facts["by"]) == ("claimed", "mo")
        assert (await flo.post("case.claim", {"case": case})).code == "claimed"
        assert (await mo.post("case.claim", {"case": case, "release": True})).body["case"]["claimed_by"] == ""
        assert (await flo.post("case.claim", {"case": case})).ok
        now[0] += 60_001
        assert (await mo.post("case.decide", {"case": case, "verdict": "approve"})).ok


async def test_a_banned_persons_held_lines_and_questions_go_with_her(web, house) -> None:
    troll, mod = await web.join(house.person("troll")), await web.join(house.person("mod", "moderator"))
    assert (await troll.post("question.ask", {"text": "rude question"})).ok
    assert (await mod.post("mode.set", {"hold": True})).ok
    case = (await said(troll, "rude line")).body["held"]
    assert (await mod.post("person.ban", {"person": "per_troll"})).ok
    assert (await mod.wait("case.closed"))["case"] == case
    assert (await mod.post("case.decide", {"case": case, "verdict": "refuse"})).ok, "she decided it by the ban"
    late = await web.join(house.person("late"))
    assert late.welcome["room"]["questions"] == []


# ---- terms


async def test_what_is_allowed_wins_over_what_is_blocked(web, house) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    assert (await mod.post("terms.add", {"term": "hell"})).ok
    assert (await mod.post("terms.add", {"term": "hell of a coat", "kind": "allowed"})).ok
    assert (await said(ann, "one Hell of a coat!")).ok
    assert (await said(ann, "hell of a coat, go to hell")).facts == {"why": "term"}


async def test_a_term_is_tried_against_what_was_said_and_changes_nothing(web, house, archive) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    for text in ("nice sleeves", "those SLEEVES though", "and the collar"):
        assert (await said(ann, text)).ok
    await until(lambda: len(archive.lines) == 3)
    answer = await mod.post("terms.try", {"term": "sleeves"})
    assert (answer.body["lines"], answer.body["hits"]) == (3, 2)
    assert {found["line"]["text"] for found in answer.body["examples"]} == {"nice sleeves", "those SLEEVES though"}
    assert (await said(ann, "more sleeves")).ok


async def test_a_room_takes_a_thousand_terms_and_no_more(web, house, redis) -> None:
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("terms.add", {"term": "first"})).ok
    await redis.hset("c:{shw_spring}:terms", mapping={f"t{n}": "blocked" for n in range(999)})
    assert (await mod.post("terms.add", {"term": "one too many"})).code == "invalid"
    assert (await mod.post("terms.add", {"term": "first", "kind": "held"})).ok, "one that is there may change its kind"


# ---- flood and repeats


async def test_short_honest_lines_pass_and_copies_do_not(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    for text in ("size 36?", "size 38?", "size 40?", "do you have it in 36 please", "do you have it in 38 please",
                 "do you have it in 40 please"):  # fmt: skip
        assert (await said(ann, text)).ok, text
    for text in ("follow my page now", "follow my page now!", "Follow my pagé now"):
        answer = await said(bob, text)
    assert answer.facts == {"why": "repeat"}


async def test_repeats_count_over_processes_and_on_the_person(two_webs, house) -> None:
    one, two = two_webs
    cookie = house.person("ann", network="net_1")
    tabs = [await one.join(cookie), await two.join(cookie)]
    assert (await said(tabs[0], "come to my sale tonight")).ok
    assert (await said(tabs[1], "come to my sale tonight")).ok
    assert (await said(tabs[0], "come to my sale tonight")).facts == {"why": "repeat"}
    other = await one.join(house.person("bob", network="net_1"))
    assert (await said(other, "come to my sale tonight")).ok


# ---- notes, people


async def test_moderators_know_a_person_by_what_she_said_and_what_was_noted(web, house, archive) -> None:
    ann, mod = await web.join(house.person("ann", badge="buyer")), await web.join(house.person("mod", "moderator"))
    for text in ("first look", "second look"):
        assert (await said(ann, text)).ok
    await until(lambda: len(archive.lines) == 2)
    assert (await mod.post("person.note", {"person": "per_ann", "text": "asked\nnicely"})).ok
    assert (await mod.post("person.timeout", {"person": "per_ann", "seconds": 60, "reason": "caps"})).ok
    facts = (await mod.post("person.look", {"person": "per_ann"})).body["facts"]
    assert (facts["name"], facts["badge"], facts["said"]) == ("ann", "buyer", 2)
    assert [note["text"] for note in facts["notes"]] == ["asked nicely"]
    assert facts["silence"]["kind"] == "timeout"
    assert {one["act"] for one in facts["acts"]} >= {"person.timeout"}
    found = (await mod.post("lines.find", {"words": "SECOND"})).body["lines"]
    assert [one["line"]["text"] for one in found] == ["second look"]
    assert len((await mod.post("lines.find", {"person": "per_ann"})).body["lines"]) == 2
    assert (await mod.post("lines.find", {})).code == "invalid"
    for kind, body in [("person.look", {"person": "per_ann"}), ("person.note", {"person": "p", "text": "x"}),
                       ("lines.find", {"words": "x"}), ("case.decide", {"case": "x", "verdict": "approve"}),
                       ("case.claim", {"case": "x"}), ("terms.try", {"term": "x"}),
                       ("question.mark", {"question": "x", "state": "open"})]:  # fmt: skip
        assert (await ann.post(kind, body)).facts == {"need": "moderator"}, kind


# ---- reports and appeals


async def test_reports_of_a_line_come_up_as_one_case_and_each_viewer_counts_once(web, house, archive) -> None:
    troll, mod = await web.join(house.person("troll")), await web.join(house.person("mod", "moderator"))
    line = (await said(troll, "send me your card number")).body["line"]
    viewers = [await web.join(house.person(name)) for name in ("ann", "bob")]
    for viewer in viewers:
        for _ in range(2):
            assert (await viewer.post("line.report", {"line": line, "why": "scam"})).ok
    case = await mod.wait("case.changed", lambda body: body["case"]["reports"] == 2)
    assert (case["case"]["kind"], case["case"]["why"], case["case"]["person"]) == ("report", "scam", "per_troll")
    assert (await troll.post("line.report", {"line": line})).code == "invalid", "one's own"
    assert (await viewers[0].post("line.report", {"line": "x.1"})).code == "not_found"
    assert [notice.kind for notice in archive.notices] == ["line.reported"]
    assert (await mod.post("case.decide", {"case": case["case"]["id"], "verdict": "refuse"})).ok
    assert (await viewers[0].wait("line.removed"))["line"] == line
    assert archive.removed[line] == "per_mod"


async def test_a_report_that_was_looked_at_does_not_come_up_again(web, house) -> None:
    bob, mod = await web.join(house.person("bob")), await web.join(house.person("mod", "moderator"))
    ann, eve = await web.join(house.person("ann")), await web.join(house.person("eve"))
    line = (await said(bob, "I prefer the blue one")).body["line"]
    assert (await ann.post("line.report", {"line": line})).ok
    case = (await mod.wait("case.changed"))["case"]["id"]
    assert (await mod.post("case.decide", {"case": case, "verdict": "approve"})).ok
    assert (await eve.post("line.report", {"line": line})).ok
    assert len(mod.seen("case.changed")) == 1
    assert bob.seen("line.removed") == []


async def test_a_ban_is_appealed_once_and_the_answer_has_its_reason(web, house) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    assert (await ann.post("appeal.send", {"text": "what for?"})).code == "not_found"
    assert (await mod.post("person.ban", {"person": "per_ann", "reason": "spam"})).ok
    ann = await web.join(house.person("ann"))
    first = await ann.post("appeal.send", {"text": "that was my sister"})
    assert first.ok
    case = (await mod.wait("case.changed"))["case"]
    assert (case["kind"], case["why"], case["text"]) == ("appeal", "spam", "that was my sister")
    assert (await mod.post("case.decide", {"case": case["id"], "verdict": "refuse", "reason": "thrice now"})).ok
    told = await ann.wait("line.reviewed")
    assert (told["kind"], told["verdict"], told["reason"]) == ("appeal", "refuse", "thrice now")
    assert (await ann.post("appeal.send", {"text": "please"})).code == "decided"
    assert (await mod.post("person.unban", {"person": "per_ann"})).ok
    assert (await mod.post("person.ban", {"person": "per_ann"})).ok
    ann = await web.join(house.person("ann"))
    again = await ann.post("appeal.send", {"text": "another ban, another appeal"})
    assert (await mod.post("case.decide", {"case": again.body["case"], "verdict": "approve"})).ok
    await ann.wait("person.silenced", lambda body: body["silence"] is None)
    assert (await said(ann, "thank you")).ok


async def test_every_act_is_written_with_actor_reason_before_and_after(web, house, archive) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    line = (await said(ann, "oops")).body["line"]
    question = (await ann.post("question.ask", {"text": "wool?"})).body["question"]
    acts = [
        ("line.pin", {"line": line}),
        ("line.remove", {"line": line}),
        ("question.mark", {"question": question, "state": "answered"}),
        ("mode.set", {"slow_s": 5}),
        ("terms.add", {"term": "x1"}),
        ("terms.remove", {"term": "x1"}),
        ("person.note", {"person": "per_ann", "text": "hm"}),
        ("person.timeout", {"person": "per_ann", "seconds": 60, "reason": "caps"}),
        ("person.ban", {"person": "per_ann", "reason": "spam"}),
        ("person.unban", {"person": "per_ann"}),
    ]
    for kind, body in acts:
        assert (await mod.post(kind, body)).ok, kind
    assert [act.act for act in archive.acts] == [kind for kind, _ in acts]
    assert {act.actor for act in archive.acts} == {"per_mod"}
    by = {act.act: act for act in archive.acts}
    assert by["line.remove"].before == "oops"
    assert by["person.ban"].reason == "spam"
    assert msgspec.json.decode(by["person.unban"].before)["until_ms"] == FOREVER_MS
    assert msgspec.json.decode(by["mode.set"].before)["slow_s"] == 0
    assert msgspec.json.decode(by["mode.set"].after)["slow_s"] == 5


# ---- what a second look found


async def test_a_removed_line_that_was_pinned_comes_back_with_no_resume(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    bob_cookie = house.person("bob")
    bob = await web.join(bob_cookie)
    stood = (bob.epoch, bob.seq)
    await bob.aclose()
    lines = [(await said(ann, text)).body["line"] for text in ("regrettable", "harmless")]
    for line in [*lines, lines[0]]:
        assert (await mod.post("line.pin", {"line": line})).ok
    assert any(b"regrettable" in entry for entry in await redis.hvals("c:{shw_spring}:log")), "the premise"
    assert (await mod.post("line.remove", {"line": lines[0]})).ok
    back = await web.join(bob_cookie, resume_from=stood)
    await back.wait("resumed")
    assert [body["line"] and body["line"]["text"] for body in back.seen("line.pinned")] == [None, "harmless", None]
    assert not any(b"regrettable" in entry for entry in await redis.hvals("c:{shw_spring}:log"))
    assert (await mod.post("person.ban", {"person": "per_ann"})).ok
    assert not any(b"harmless" in entry for entry in await redis.hvals("c:{shw_spring}:log"))


async def test_a_line_of_the_epoch_before_is_still_deleted_pinned_and_banned(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    lines = [(await said(ann, text)).body["line"] for text in ("one", "two", "three")]
    was = mod.epoch
    epoch, _ = await web.bus.history.renew("shw_spring", was, 1_000)  # the store came back without its newest numbers
    assert epoch != was
    assert (await said(mod, "on we go")).ok
    await ann.wait("reset")
    late = await web.join(house.person("late"))
    shown = [line["id"] for line in late.welcome["room"]["lines"]]
    assert shown[:3] == lines, "the premise: they are on the screens under their old ids"
    assert (await mod.post("line.pin", {"line": lines[0]})).ok
    assert (await mod.post("line.remove", {"line": lines[0]})).ok
    assert (await late.wait("line.removed"))["line"] == lines[0]
    assert (await mod.post("line.remove", {"line": f"{epoch}.2"})).code == "not_found"
    assert (await mod.post("person.ban", {"person": "per_ann"})).body["lines"] == lines[1:]
    assert (await late.wait("lines.removed"))["lines"] == lines[1:]


async def test_an_appeal_lifts_the_silence_it_was_against_and_no_later_one(web, house) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.timeout", {"person": "per_ann", "seconds": 600})).ok
    case = (await ann.post("appeal.send", {"text": "it was the cat"})).body["case"]
    assert (await mod.post("person.ban", {"person": "per_ann", "reason": "threats"})).ok
    assert (await mod.post("case.decide", {"case": case, "verdict": "approve"})).ok
    ann = await web.join(house.person("ann"))
    assert (await said(ann, "hello")).code == "silenced"
