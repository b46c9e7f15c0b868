"""Talk and moderation over real sockets, a real server and a real store."""

from __future__ import annotations

import asyncio

from room_process import until, web_process

from chat.expulsion import BANNED
from chat.ports import FOREVER_MS


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


async def test_asking_again_with_the_same_op_answers_with_the_first_line(web, house) -> None:
    ann = await web.join(house.person("ann"))
    first = await ann.post("line.post", {"text": "once"}, op="op-1")
    again = await ann.post("line.post", {"text": "once"}, op="op-1")
    other = await ann.post("line.post", {"text": "twice"}, op="op-2")
    assert again.body == first.body
    assert other.body["seq"] == first.body["seq"] + 1
    await ann.wait("line.posted", lambda body: body["line"]["text"] == "twice")
    assert len(ann.seen("line.posted")) == 2


async def test_two_people_may_use_the_same_op(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    one = await ann.post("line.post", {"text": "ann's"}, op="same")
    two = await bob.post("line.post", {"text": "bob's"}, op="same")
    assert one.body["line"] != two.body["line"]


async def test_a_late_joiner_sees_the_newest_50_lines_in_order(web, house) -> None:
    host = await web.join(house.person("host", "host", "moderator"))
    for number in range(55):
        assert (await host.post("line.post", {"text": f"line {number}"})).ok
    late = await web.join(house.person("late"))
    assert [line["text"] for line in late.welcome["room"]["lines"]] == [f"line {n}" for n in range(5, 55)]
    assert late.seq == 55


async def test_a_deleted_line_is_in_no_join_no_resume_and_no_log(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    bob_cookie = house.person("bob")
    bob = await web.join(bob_cookie)
    stood = (bob.epoch, bob.seq)
    line = (await ann.post("line.post", {"text": "regrettable"})).body["line"]
    await bob.wait("line.posted")
    await bob.aclose()
    assert (await mod.post("line.remove", {"line": line})).ok
    assert (await ann.wait("line.removed")) == {"line": line, "by": "moderator"}

    resumed = await web.join(bob_cookie, resume_from=stood)
    await resumed.wait("line.removed")
    assert resumed.welcome is None
    assert [e["kind"] for e in resumed.envelopes if "seq" in e] == ["line.removed", "line.removed"]
    late = await web.join(house.person("late"))
    assert late.welcome["room"]["lines"] == []
    kept = [await redis.dump(key) or b"" for key in await redis.keys("c:{shw_spring}:log")]
    log = await redis.hvals("c:{shw_spring}:log")
    assert kept
    assert not any(b"regrettable" in entry for entry in log)


async def test_an_author_may_remove_her_own_line_and_nobody_elses(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    line = (await ann.post("line.post", {"text": "mine"})).body["line"]
    refused = await bob.post("line.remove", {"line": line})
    assert (refused.code, refused.facts) == ("forbidden", {"need": "moderator"})
    assert (await ann.post("line.remove", {"line": line})).ok
    assert (await bob.wait("line.removed"))["by"] == "author"
    assert (await ann.post("line.remove", {"line": line})).ok, "removing twice is one removal"
    assert (await ann.post("line.remove", {"line": "x.1"})).code == "not_found"


async def test_a_ban_outlives_reconnect_rename_second_tab_and_a_new_person_on_the_device(web, house) -> None:
    cookie = house.person("troll", network="net_1")
    troll, mod = await web.join(cookie), await web.join(house.person("mod", "moderator"))
    neighbour = await web.join(house.person("neighbour", network="net_1"))
    assert (await troll.post("line.post", {"text": "bad thing"})).ok
    assert (await troll.post("name.set", {"name": "angel"})).ok
    answer = await mod.post("person.ban", {"person": "per_troll", "reason": "spam"})
    assert answer.ok
    assert len(answer.body["lines"]) == 1
    told = await troll.wait("person.silenced")
    assert told["silence"] == {"until_ms": FOREVER_MS, "reason": "spam", "kind": "ban"}
    assert (await neighbour.wait("lines.removed"))["lines"] == answer.body["lines"]
    back = await web.join(cookie)
    assert back.welcome["you"]["silenced"]["kind"] == "ban"
    assert back.welcome["room"]["lines"] == []
    refused = await back.post("line.post", {"text": "still here"})
    assert refused.code == "silenced"
    assert refused.facts == {"until_ms": FOREVER_MS, "reason": "spam", "kind": "ban"}
    assert (await back.post("name.set", {"name": "another"})).code == "silenced"
    other = await web.join(house.person("newname", device="dev_troll"))
    assert (await other.post("line.post", {"text": "not me"})).code == "silenced"
    assert (await neighbour.post("line.post", {"text": "same network, other person"})).ok


async def test_a_ban_outlives_the_process_and_an_empty_store(redis_url, house, archive, redis) -> None:
    troll, mod = house.person("troll"), house.person("mod", "moderator")
    async with web_process(redis_url, house, archive) as web:
        await web.join(troll)
        moderator = await web.join(mod)
        assert (await moderator.post("person.ban", {"person": "per_troll"})).ok
        assert (await moderator.post("terms.add", {"term": "rude"})).ok
    await redis.flushall()
    async with web_process(redis_url, house, archive) as web:
        back = await web.join(troll)
        assert (await back.post("line.post", {"text": "hello"})).code == "silenced"
        ann = await web.join(house.person("ann"))
        assert (await ann.post("line.post", {"text": "RUDE"})).facts == {"why": "term"}


async def test_bans_hold_when_the_store_is_emptied_while_the_room_runs(web, house, redis) -> None:
    troll, mod = await web.join(house.person("troll")), await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.ban", {"person": "per_troll"})).ok
    troll = await web.join(house.person("troll"))
    await redis.flushall()
    assert (await troll.post("line.post", {"text": "now?"})).code == "silenced"


async def test_a_timeout_ends_and_a_ban_can_be_lifted(redis_url, house, archive) -> None:
    now = [1_750_000_000_000]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
        assert (await mod.post("person.timeout", {"person": "per_ann", "seconds": 9})).code == "invalid"
        answer = await mod.post("person.timeout", {"person": "per_ann", "seconds": 60, "reason": "calm down"})
        assert answer.body["until_ms"] == now[0] + 60_000
        assert (await ann.post("line.post", {"text": "why"})).facts["kind"] == "timeout"
        now[0] += 60_001
        assert (await ann.post("line.post", {"text": "sorry"})).ok

        assert (await mod.post("person.ban", {"person": "per_ann"})).ok
        ann = await web.join(house.person("ann"))
        assert (await ann.post("line.post", {"text": "oh"})).code == "silenced"
        assert (await mod.post("person.unban", {"person": "per_ann"})).ok
        await ann.wait("person.silenced", lambda body: body["silence"] is None)
        assert (await ann.post("line.post", {"text": "thanks"})).ok
        assert (await mod.post("person.unban", {"person": "per_ann"})).code == "not_found"


async def test_a_moderator_cannot_silence_a_host_or_herself(web, house) -> None:
    await web.join(house.person("host", "host", "moderator"))
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("person.ban", {"person": "per_host"})).code == "forbidden"
    assert (await mod.post("person.ban", {"person": "per_mod"})).code == "invalid"


async def test_a_viewer_may_not_moderate_whatever_she_claims(web, house) -> None:
    ann = await web.join(house.person("ann"))
    await ann.send({"kind": "hello", "body": {"epoch": None, "seq": None, "roles": ["host"]}, "roles": ["moderator"]})
    for kind, body in [
        ("person.ban", {"person": "per_x", "roles": ["moderator"]}),
        ("person.timeout", {"person": "per_x", "seconds": 60}),
        ("person.unban", {"person": "per_x"}),
        ("terms.add", {"term": "x"}),
        ("terms.remove", {"term": "x"}),
        ("mode.set", {"slow_s": 5}),
    ]:
        refused = await ann.post(kind, body)
        assert (refused.code, refused.facts) == ("forbidden", {"need": "moderator"}), kind


async def test_blocked_terms_take_effect_on_every_process(two_webs, house) -> None:
    one, two = two_webs
    mod, ann = await one.join(house.person("mod", "moderator")), await two.join(house.person("ann"))
    other_mod = await two.join(house.person("mod2", "moderator"))
    assert (await ann.post("line.post", {"text": "a Fudge sundae"})).ok
    assert (await mod.post("terms.add", {"term": "fudge"})).body["terms"] == ["fudge"]
    await other_mod.wait("terms.changed", lambda body: body["terms"] == ["fudge"])
    async with asyncio.timeout(60):
        while (await ann.post("line.post", {"text": "f u d g e !"})).code != "blocked":
            pass
    assert (await mod.post("line.post", {"text": "don't say fudge"})).ok, "moderators are exempt"
    assert ann.seen("terms.changed") == [], "the list is not for viewers"


async def test_links_are_refused_until_the_room_allows_them(web, house) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    assert (await ann.post("line.post", {"text": "buy at example.com/x"})).facts == {"why": "link"}
    assert (await mod.post("mode.set", {"links": "on"})).body["mode"]["links"] == "on"
    await ann.wait("mode.changed")
    assert (await ann.post("line.post", {"text": "buy at example.com/x"})).ok


async def test_slow_mode_is_kept_by_the_server_and_moderators_are_exempt(redis_url, house, archive) -> None:
    now = [1_750_000_000_000]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
        assert (await mod.post("mode.set", {"slow_s": 30})).ok
        assert (await ann.wait("mode.changed"))["mode"]["slow_s"] == 30
        assert (await ann.post("line.post", {"text": "one"})).ok
        now[0] += 10_000
        refused = await ann.post("line.post", {"text": "two"})
        assert (refused.code, refused.facts) == ("slow_mode", {"retry_after_ms": 20_000, "slow_s": 30})
        now[0] += 20_000
        assert (await ann.post("line.post", {"text": "two"})).ok
        assert (await mod.post("line.post", {"text": "a"})).ok
        assert (await mod.post("line.post", {"text": "b"})).ok
        late = await web.join(house.person("late"))
        assert late.welcome["room"]["mode"]["slow_s"] == 30


async def test_the_21st_line_in_30_seconds_is_refused_whichever_tab_it_comes_from(redis_url, house, archive) -> None:
    now = [1_750_000_000_000]
    async with web_process(redis_url, house, archive, now_ms=lambda: now[0]) as web:
        cookie = house.person("ann")
        tabs = [await web.join(cookie), await web.join(cookie)]
        for number in range(20):
            assert (await tabs[number % 2].post("line.post", {"text": f"{number} {chr(97 + number) * 9}"})).ok
        assert (await tabs[0].post("line.post", {"text": "one more"})).code == "throttled"
        now[0] += 30_001
        assert (await tabs[0].post("line.post", {"text": "one more"})).ok


async def test_saying_the_same_a_third_time_is_refused(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    assert (await ann.post("line.post", {"text": "BUY my shoes now"})).ok
    assert (await ann.post("line.post", {"text": "buy my shoes now!"})).ok
    assert (await ann.post("line.post", {"text": "buy my shoes now!!"})).facts == {"why": "repeat"}
    assert (await bob.post("line.post", {"text": "buy my shoes now!!"})).ok


async def test_a_name_is_told_to_every_tab_on_every_process_and_kept(two_webs, house, archive) -> None:
    one, two = two_webs
    cookie = house.person("ann")
    here, there = await one.join(cookie), await two.join(cookie)
    assert (await here.post("name.set", {"name": " Ann\u200b  B "})).body == {"name": "Ann B"}
    assert await there.wait("name.changed") == {"name": "Ann B"}
    await there.post("line.post", {"text": "who am I"})
    assert (await here.wait("line.posted"))["line"]["name"] == "Ann B"
    assert archive.names == {"per_ann": "Ann B"}
    assert (await here.post("name.set", {"name": "\u200b"})).code == "invalid"


async def test_a_viewer_cannot_be_called_what_looks_like_one_of_the_crew(web, house) -> None:
    ann, host = await web.join(house.person("ann")), await web.join(house.person("Laura Miles", "host", "moderator"))
    greek = "LAURA  \N{GREEK CAPITAL LETTER MU}lLES"  # in small letters it looks otherwise
    for name in ("laura miles", "Lаurа Miles", greek, "L4ura_M1les", "Moderator"):
        assert (await ann.post("name.set", {"name": name})).facts == {"why": "name"}, name
    assert (await host.post("name.set", {"name": "Vera"})).ok
    bob = await web.join(house.person("bob"))
    assert (await bob.post("name.set", {"name": "Vеrа"})).code == "blocked", "also by the name she took just now"
    assert (await bob.post("name.set", {"name": "ADM1N"})).code == "blocked"
    assert (await bob.post("name.set", {"name": "Lara Miles"})).ok


async def test_hearts_are_counted_together(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    for _ in range(3):
        assert (await ann.post("heart.send", {"n": 5})).ok
    await until(lambda: sum(body["n"] for body in bob.seen("hearts.counted")) == 15)
    assert (await ann.post("heart.send", {"n": 21})).code == "invalid"
    # More than she may send in half a minute, however long they take here.
    answers = await asyncio.gather(*(ann.post("heart.send", {"n": 20}) for _ in range(35)))
    assert {answer.code for answer in answers} == {"", "throttled"}


async def test_lines_and_acts_reach_the_archive(web, house, archive) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    line = (await ann.post("line.post", {"text": "kept"})).body["line"]
    await until(lambda: line in archive.lines)
    assert archive.lines[line].line.text == "kept"
    await mod.post("line.remove", {"line": line})
    assert archive.removed == {line: "per_mod"}
    assert [(act.act, act.actor, act.before) for act in archive.acts] == [("line.remove", "per_mod", "kept")]


async def test_an_act_that_could_not_be_written_down_holds_and_the_moderator_is_told(web, house, archive) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    archive.down = True
    refused = await mod.post("person.ban", {"person": "per_ann"})
    assert (refused.code, refused.facts["applied"]) == ("store_down", True)
    assert await ann.wait_closed() == BANNED
    ann = await web.join(house.person("ann"))
    assert (await ann.post("line.post", {"text": "?"})).code == "silenced"
