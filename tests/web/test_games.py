"""The games over real sockets: asked by a host, answered by viewers, told to everyone."""

import pytest
from house import CONTACT

from live.events import PLAY_INTENTS
from live.store import keys

POLL = {"question": "Coat or cape?", "choices": ["coat", "cape"], "seconds": 60}


async def test_a_poll_goes_from_the_host_to_every_page_and_back(site):
    await site.house.go_live()
    one, two, host = await site.viewer(), await site.viewer(), await site.signed_in(site.house.host)
    async with site.room(one) as seen, site.room(host) as desk:
        opened = await desk.post("poll.open", POLL)
        assert opened.ok, opened
        poll = (await seen.wait("poll.opened"))["poll"]
        assert poll == opened.body["poll"]
        assert (await seen.post("poll.vote", {"poll": poll["id"], "choice": 0})).ok
        assert (await seen.post("poll.vote", {"poll": poll["id"], "choice": 1})).ok
        assert (await seen.post("poll.vote", {"poll": poll["id"], "choice": 2})).code == "invalid"

        await site.services.play.close_due()  # the worker's beat
        assert (await desk.wait("poll.counted")) == {"poll": poll["id"], "counts": [0, 1]}
        counted = next(envelope for envelope in desk.envelopes if envelope["kind"] == "poll.counted")
        assert "seq" not in counted

        async with site.room(two) as late:  # joins mid-way
            (shown,) = late.welcome["live"]["play"]
            assert (shown["counts"], shown["mine"]) == ([0, 1], None)
            assert (await desk.post("poll.close", {"poll": poll["id"]})).ok
            for room in (seen, late):
                closed = (await room.wait("poll.closed"))["poll"]
                assert (closed["closed"], closed["counts"]) == (True, [0, 1])
            answer = await late.post("poll.vote", {"poll": poll["id"], "choice": 0})
            assert (answer.code, answer.facts["need"]) == ("wrong_state", "open")
    async with site.room(one) as again:  # reloads
        (shown,) = again.welcome["live"]["play"]
        assert (shown["closed"], shown["mine"]) == (True, 1)


@pytest.mark.parametrize("kind", [kind for kind, (_, role) in PLAY_INTENTS.items() if role == "host"])
async def test_games_are_the_hosts_to_open_and_close(site, kind):
    await site.house.go_live()
    for who in (None, site.house.moderator, site.house.other_host):
        browser = await (site.signed_in(who) if who else site.viewer())
        async with site.room(browser) as room:
            answer = await room.post(kind, {})
            assert (answer.code, answer.facts) == ("forbidden", {"need": "host"})


async def test_the_same_tap_of_the_host_asks_once(site):
    await site.house.go_live()
    host = await site.signed_in(site.house.host)
    async with site.room(host) as desk:
        first = await desk.post("poll.open", POLL, op="tap-1")
        again = await desk.post("poll.open", POLL, op="tap-1")
        assert first.body["poll"] == again.body["poll"]
    async with site.room(host) as desk:
        assert len(desk.welcome["live"]["play"]) == 1


async def test_a_quizs_answer_is_in_no_frame_before_its_close(site):
    await site.house.go_live()
    viewer, host = await site.viewer(), await site.signed_in(site.house.host)
    async with site.room(viewer) as seen, site.room(host) as desk:
        quiz = {"question": "Since when?", "choices": ["2015", "2016"], "right": 1, "seconds": 30}
        opened = await desk.post("quiz.open", quiz)
        told = (await seen.wait("quiz.opened"))["quiz"]
        assert (told["right"], told["counts"], opened.body["quiz"]["right"]) == (None, None, None)
        answer = await seen.post("quiz.answer", {"quiz": told["id"], "choice": 1, "delay_ms": 300})
        assert answer.body == {"quiz": told["id"], "choice": 1}
    async with site.room(viewer) as again:
        (shown,) = again.welcome["live"]["play"]
        assert (shown["right"], shown["mine"], shown["answers"]) == (None, 1, 1)


async def test_what_rained_is_in_the_bag_of_who_stood_in_it_and_of_nobody_else(site):
    await site.house.go_live(1)
    wet, dry, host = await site.viewer(), await site.viewer(), await site.signed_in(site.house.host)
    coupons, cart = "/api/shows/aw26/coupons", "/api/shows/aw26/cart"
    async with site.room(wet) as seen, site.room(host) as desk:
        pounds = await desk.post(
            "rain.open", {"budget": {"minor": 500, "currency": "GBP"}, "portions": 1, "seconds": 60}
        )
        assert (pounds.code, pounds.facts["field"]) == ("invalid", "budget")
        opened = await desk.post(
            "rain.open", {"budget": {"minor": 500, "currency": "EUR"}, "portions": 1, "seconds": 60}
        )
        rain = opened.body["rain"]["id"]
        assert (await seen.post("rain.tap", {"rain": rain})).ok
        assert (await wet.client.get(coupons)).json() == {"coupons": []}
        await site.services.redis.zadd(keys.PLAYS_DUE, {f"{site.house.show.id}|{rain}": 0})
        await site.services.redis.hset(keys.play(site.house.show.id, rain), mapping={"closes": 0, "grace": 0})
        assert await site.services.play.close_due() == 1
        assert (await seen.wait("rain.caught"))["amount"]["minor"] == 500
    (coupon,) = (await wet.client.get(coupons)).json()["coupons"]
    assert coupon["amount"] == {"minor": 500, "currency": "EUR"}
    assert (await dry.client.get(coupons)).json() == {"coupons": []}
    for browser in (wet, dry):
        assert (await browser.send("POST", cart, {"sku": "L1-S", "op": "1"})).status_code == 200
    order = {**CONTACT, "codes": [coupon["code"]]}
    stolen = await dry.send("POST", "/api/shows/aw26/checkout", order, Idempotency_Key="k")
    assert (stolen.status_code, stolen.json()["facts"]["why"]) == (422, "unknown")
    placed = await wet.send("POST", "/api/shows/aw26/checkout", order, Idempotency_Key="k")
    assert (placed.status_code, placed.json()["total"]["minor"]) == (201, 12_400)
    assert (await wet.client.get(coupons)).json() == {"coupons": []}
