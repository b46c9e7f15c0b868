"""Questions apart from the talk; replies, mentions, names and hearts: over real sockets and a real store."""

from __future__ import annotations

from room_process import until, web_process


async def test_a_question_is_asked_claimed_and_answered_with_its_moment(redis_url, house, archive) -> None:
    media = {"shw_spring": 61_000}
    async with web_process(redis_url, house, archive, media_ms=media.get) as web:
        ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
        host, mod = (
            await web.join(house.person("host", "host", "moderator")),
            await web.join(house.person("mod", "moderator")),
        )
        asked = (await ann.post("question.ask", {"text": "is it lined?"})).body["question"]
        question = (await bob.wait("question.changed"))["question"]
        assert (question["id"], question["state"], question["at"]) == (asked, "open", 61_000)
        assert bob.seen("line.posted") == [], "apart from the talk"

        assert (await host.post("question.mark", {"question": asked, "state": "claimed"})).ok
        refused = await mod.post("question.mark", {"question": asked, "state": "answered"})
        assert (refused.code, refused.facts["by"]) == ("claimed", "host")
        media["shw_spring"] = 95_000
        assert (await host.post("question.mark", {"question": asked, "state": "answered"})).ok
        await bob.wait("question.changed", lambda body: body["question"]["answered_at"] == 95_000)
        late = await web.join(house.person("late"))
        kept = late.welcome["room"]["questions"]
        assert [(one["id"], one["state"], one["by"], one["answered_at"]) for one in kept] == [
            (asked, "answered", "host", 95_000)
        ]
        assert archive.questions[asked][1].answered_at == 95_000


async def test_a_dismissed_question_is_wiped_from_the_log(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    bob_cookie = house.person("bob")
    bob = await web.join(bob_cookie)
    stood = (bob.epoch, bob.seq)
    await bob.aclose()
    asked = (await ann.post("question.ask", {"text": "regrettable"})).body["question"]
    assert (await mod.post("question.mark", {"question": asked, "state": "claimed"})).ok
    assert (await mod.post("question.mark", {"question": asked, "state": "dismissed"})).ok
    back = await web.join(bob_cookie, resume_from=stood)
    await back.wait("question.changed")
    assert [e["body"]["question"]["state"] for e in back.envelopes if "seq" in e] == ["dismissed"] * 3
    assert not any(b"regrettable" in entry for entry in await redis.hvals("c:{shw_spring}:log"))
    assert (await web.join(house.person("late"))).welcome["room"]["questions"] == []
    assert (await mod.post("question.mark", {"question": asked, "state": "open"})).code == "not_found"


async def test_questions_pass_the_rooms_rules_and_a_person_may_have_three_open(web, house) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    assert (await mod.post("terms.add", {"term": "rude"})).ok
    assert (await ann.post("question.ask", {"text": "rude?"})).facts == {"why": "term"}
    for text in ("is it wool", "which sizes are there", "when does it ship"):
        assert (await ann.post("question.ask", {"text": text})).ok
    assert (await ann.post("question.ask", {"text": "and the price"})).facts == {"why": "full"}
    assert (await mod.post("person.ban", {"person": "per_ann"})).ok
    ann = await web.join(house.person("ann"))
    assert (await ann.post("question.ask", {"text": "hello?"})).code == "silenced"


async def test_a_held_question_is_approved_as_a_question(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    mod = await web.join(house.person("mod", "moderator"))
    assert (await mod.post("mode.set", {"hold": True})).ok
    held = (await ann.post("question.ask", {"text": "is it lined?"})).body["held"]
    case = (await mod.wait("case.changed"))["case"]
    assert (case["id"], case["kind"]) == (held, "question")
    assert (await mod.post("case.decide", {"case": held, "verdict": "approve"})).ok
    assert (await bob.wait("question.changed"))["question"]["text"] == "is it lined?"
    assert bob.seen("line.posted") == []


async def test_questions_outlive_an_empty_store(web, house, redis) -> None:
    ann = await web.join(house.person("ann"))
    asked = (await ann.post("question.ask", {"text": "is it lined?"})).body["question"]
    await redis.flushall()
    assert (await ann.post("line.post", {"text": "hello"})).ok, "the first line puts back what the archive holds"
    late = await web.join(house.person("late"))
    assert [one["id"] for one in late.welcome["room"]["questions"]] == [asked]


async def test_a_reply_names_the_line_but_never_repeats_its_words(web, house) -> None:
    ann, bob = await web.join(house.person("ann")), await web.join(house.person("bob"))
    line = (await ann.post("line.post", {"text": "secret words"})).body["line"]
    assert (await bob.post("line.post", {"text": "agreed", "reply": line})).ok
    answer = (await ann.wait("line.posted", lambda body: body["line"]["text"] == "agreed"))["line"]
    assert answer["reply"] == {"line": line, "person": "per_ann", "name": "ann"}
    assert (await ann.post("line.remove", {"line": line})).ok
    assert (await bob.post("line.post", {"text": "too late", "reply": line})).ok
    late = (await ann.wait("line.posted", lambda body: body["line"]["text"] == "too late"))["line"]
    assert late["reply"] is None
    assert (await bob.post("line.post", {"text": "to nothing", "reply": "nope.1"})).ok
    lost = (await ann.wait("line.posted", lambda body: body["line"]["text"] == "to nothing"))["line"]
    assert lost["reply"] is None


async def test_mentions_are_of_people_here_whom_the_text_names(web, house) -> None:
    ann = await web.join(house.person("ann"))
    await web.join(house.person("bob"))
    named = {"text": "what says @bob ?", "mentions": ["per_bob", "per_ann", "per_nobody"]}
    assert (await ann.post("line.post", named)).ok
    line = (await ann.wait("line.posted"))["line"]
    assert line["mentions"] == [{"person": "per_bob", "name": "bob"}]


async def test_a_badge_won_while_watching_is_on_the_next_line(two_webs, house) -> None:
    one, two = two_webs
    ann, host = await two.join(house.person("ann")), await two.join(house.person("host", "host", badge="host"))
    await one.bus.badged("shw_spring", "per_ann", "buyer")
    await one.bus.badged("shw_spring", "per_host", "buyer")
    await one.bus.renamed("shw_spring", "per_ann", "ann")
    async with __import__("asyncio").timeout(60):
        number = 0
        while True:
            number += 1
            assert (await host.post("line.post", {"text": "h"})).ok
            await ann.post("line.post", {"text": f"bought {number}"})
            body = await host.wait("line.posted", lambda b, n=number: b["line"]["text"] == f"bought {n}")
            if body["line"]["badge"] == "buyer":
                break
    assert {b["line"]["badge"] for b in host.seen("line.posted") if b["line"]["person"] == "per_host"} == {"host"}


async def test_nobody_is_called_what_somebody_granted_the_room_is_called_even_before_she_comes(
    web, house, archive
) -> None:
    archive.crews["shw_spring"] = ["Vera Lind"]
    ann = await web.join(house.person("ann"))
    assert (await ann.post("name.set", {"name": "VERA  LlND"})).facts == {"why": "name"}
    # A name taken elsewhere, before: it is found when she speaks.
    imposter = await web.join(house.person("Vera LInd"))
    assert (await imposter.post("line.post", {"text": "give me your card"})).facts == {"why": "name"}


async def test_hearts_of_two_processes_are_told_together_and_none_is_lost(two_webs, house) -> None:
    one, two = two_webs
    here, there = await one.join(house.person("ann")), await two.join(house.person("bob"))
    for _ in range(3):
        assert (await here.post("heart.send", {"n": 5})).ok
        assert (await there.post("heart.send", {"n": 7})).ok
    await until(lambda: sum(body["n"] for body in here.seen("hearts.counted")) == 36)
    assert here.seen("hearts.counted") == there.seen("hearts.counted")


async def test_dismissing_a_question_of_a_long_show_looks_through_the_log_and_no_further(web, house, redis) -> None:
    ann, mod = await web.join(house.person("ann")), await web.join(house.person("mod", "moderator"))
    asked = (await ann.post("question.ask", {"text": "is it lined?"})).body["question"]
    await redis.hset("c:{shw_spring}:head", "seq", 60_000)

    async def looks() -> int:
        return (await redis.info("commandstats"))["cmdstat_hget"]["calls"]

    before = await looks()
    assert (await mod.post("question.mark", {"question": asked, "state": "dismissed"})).ok
    assert await looks() - before < 10_500, "each one more is time in which the store serves nobody"
