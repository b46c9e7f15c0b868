"""The game over the picture, in a real browser: drawn from the partial, fed with the wire's own events."""

from __future__ import annotations

import json
import mimetypes
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from jinja2 import Environment, FileSystemLoader
from playwright.async_api import Browser, Page, Route

from live.clock import SetClock
from live.events import (
    Poll,
    PollClosed,
    PollCounted,
    PollOpened,
    Quiz,
    QuizClosed,
    QuizCounted,
    QuizOpened,
    Rain,
    RainCaught,
    RainFallen,
    RainOpened,
)
from live.money import Money

ROOT = Path(__file__).parents[2]
ORIGIN = "http://page.test"
NOW_MS = SetClock().now_ms()
HOSTILE = '<img src=x onerror="window.broken=1">'

PAGE = """
{% from "partials/poll.html" import game, game_choice %}
{% from "partials/poll_desk.html" import poll_desk %}
<!doctype html><html data-ground="ink"><head><title>game</title>
{% for sheet in ["tokens", "reset", "base", "button", "field", "poll"] %}
<link rel="stylesheet" href="/static/css/{{ sheet }}.css">{% endfor %}</head>
<body>{% if desk %}{{ poll_desk("EUR", 2) }}{% else %}{{ game() }}{% endif %}
<template id="game-choice-template">{{ game_choice() }}</template>
<script type="module">
import { GameView } from "/static/js/controllers/poll.js";
import { PollDesk } from "/static/js/controllers/poll_desk.js";
window.sent = []; window.refuse = null;
window.local_ms = {{ now_ms }};
const clock = { now: () => window.local_ms };
const send = async (kind, body) => {
  window.sent.push([kind, body]);
  if (window.refuse) throw window.refuse;
  return {};
};
window.view = {% if desk %}new PollDesk({ send, clock }){% else -%}
new GameView(document.getElementById("games"), { send, clock, delay: () => 1234.5 }){% endif %};
window.ready = true;
</script></body></html>
"""


async def serve(route: Route) -> None:
    path = route.request.url.removeprefix(ORIGIN).split("?")[0]
    if path in ("/", "/desk"):
        shell = Environment(loader=FileSystemLoader(ROOT / "templates"), autoescape=True)
        html = shell.from_string(PAGE).render(now_ms=NOW_MS, desk=path == "/desk")
        await route.fulfill(body=html, content_type="text/html")
        return
    file = ROOT / path.lstrip("/")
    if not file.is_file():
        await route.fulfill(status=404)
        return
    await route.fulfill(body=file.read_text(), content_type=mimetypes.guess_type(file.name)[0] or "text/plain")


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    context = await browser.new_context(viewport={"width": 390, "height": 844})
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    await page.route("**/*", serve)
    await page.goto(ORIGIN + "/")
    await page.wait_for_function("window.ready")
    yield page
    await context.close()
    assert wrong == []


async def tell(page: Page, kind: str, body: msgspec.Struct) -> None:
    envelope = {"kind": kind, "body": json.loads(msgspec.json.encode(body))}
    await page.evaluate("envelope => window.view.event(envelope)", envelope)


async def sent(page: Page) -> list[Any]:
    return await page.evaluate("window.sent")


def a_poll(**more: Any) -> Poll:
    facts = {"question": "Coat or cape?", "choices": ["coat", "cape", "both"], "counts": [0, 0, 0], **more}
    return Poll(id="ply_1", closes_ms=NOW_MS + 30_000, **{"closed": False, **facts})


def a_quiz(**more: Any) -> Quiz:
    facts = {"question": "Since when?", "choices": ["2015", "2016"], "answers": 0, **more}
    return Quiz(id="ply_2", closes_ms=NOW_MS + 10_000, **{"closed": False, **facts})


async def test_a_viewer_votes_changes_her_mind_and_sees_how_it_came_out(page: Page) -> None:
    game = page.get_by_test_id("game")
    assert not await game.is_visible()
    await tell(page, "poll.opened", PollOpened(a_poll()))
    assert await game.is_visible()
    assert await game.locator("[data-field=time]").inner_text() == "0:30"
    await page.get_by_test_id("choice-0").click()
    await page.get_by_test_id("choice-1").click()
    assert await sent(page) == [
        ["poll.vote", {"poll": "ply_1", "choice": 0}],
        ["poll.vote", {"poll": "ply_1", "choice": 1}],
    ]
    assert await page.get_by_test_id("choice-1").get_attribute("aria-pressed") == "true"
    assert await page.get_by_test_id("choice-0").get_attribute("aria-pressed") == "false"

    await tell(page, "poll.counted", PollCounted("ply_1", [1, 1, 1]))
    shares = [await page.get_by_test_id(f"choice-{n}").locator("[data-field=share]").inner_text() for n in range(3)]
    assert shares == ["34 %", "33 %", "33 %"]
    await tell(page, "poll.closed", PollClosed(a_poll(closed=True, counts=[3, 1, 0])))
    await tell(page, "poll.counted", PollCounted("ply_1", [1, 1, 1]))  # a straggler
    assert await game.locator("[data-field=note]").inner_text() == "4 votes"
    assert await page.get_by_test_id("choice-0").is_disabled()
    assert await page.get_by_test_id("choice-1").get_attribute("aria-pressed") == "true", "her own vote stays told"


async def test_how_a_poll_stands_is_not_told_to_who_has_not_voted(page: Page) -> None:
    await tell(page, "poll.opened", PollOpened(a_poll()))
    await tell(page, "poll.counted", PollCounted("ply_1", [5, 1, 0]))
    assert await page.get_by_test_id("choice-0").locator("[data-field=share]").inner_text() == ""


async def test_a_refused_vote_is_taken_back_and_explained(page: Page) -> None:
    await tell(page, "poll.opened", PollOpened(a_poll()))
    await page.evaluate("window.refuse = { code: 'wrong_state', facts: {} }")
    await page.get_by_test_id("choice-2").click()
    await page.wait_for_function("document.querySelector('[data-field=note]').textContent !== ''")
    assert await page.get_by_test_id("choice-2").get_attribute("aria-pressed") == "false"


async def test_a_late_joiner_sees_the_poll_with_her_own_vote(page: Page) -> None:
    snapshot = json.loads(msgspec.json.encode([a_poll(counts=[1, 0, 0], mine=0)]))
    await page.evaluate("games => window.view.snapshot(games)", snapshot)
    assert await page.get_by_test_id("choice-0").get_attribute("aria-pressed") == "true"
    await page.evaluate("window.view.snapshot([])")
    assert not await page.get_by_test_id("game").is_visible()


async def test_a_quiz_is_answered_with_the_pictures_delay_and_keeps_its_answer_to_the_end(page: Page) -> None:
    await tell(page, "quiz.opened", QuizOpened(a_quiz()))
    await page.get_by_test_id("choice-1").click()
    assert await sent(page) == [["quiz.answer", {"quiz": "ply_2", "choice": 1, "delay_ms": 1235}]]
    await tell(page, "quiz.counted", QuizCounted("ply_2", 7))
    await page.evaluate("window.local_ms += 11_000; window.view.tick()")
    assert not await page.get_by_test_id("choice-0").is_disabled(), "her picture is late, so her time is not up"
    await page.evaluate("window.local_ms += 1_000; window.view.tick()")
    assert await page.get_by_test_id("choice-0").is_disabled()
    note = page.get_by_test_id("game").locator("[data-field=note]")
    assert await note.inner_text() == "Time is up. 7 answered."
    await tell(page, "quiz.closed", QuizClosed(a_quiz(closed=True, answers=7, right=1, counts=[3, 4])))
    assert await note.inner_text() == "You knew it."
    assert await page.get_by_test_id("choice-1").get_attribute("data-right") == "yes"


async def test_rain_falls_on_who_stood_in_it(page: Page) -> None:
    facts = {"budget": Money(5_000, "EUR"), "portions": 10, "closes_ms": NOW_MS + 5_000, "commitment": "c"}
    rain: dict[str, Any] = {"id": "ply_3", **facts}
    await tell(page, "rain.opened", RainOpened(Rain(**rain, closed=False)))
    await page.get_by_test_id("game-join").click()
    assert await page.get_by_test_id("game-join").is_disabled()
    await tell(page, "rain.fallen", RainFallen(Rain(**rain, closed=True, caught=4)))
    note = page.get_by_test_id("game").locator("[data-field=note]")
    headline = page.get_by_test_id("game").get_by_role("heading")
    assert await headline.inner_text() == "The rain is over"
    assert await note.inner_text() == "It fell on 4 people."
    await tell(page, "rain.caught", RainCaught("ply_3", Money(1_250, "EUR")))
    assert await headline.inner_text() == "€12.50 fell on you"
    assert await note.inner_text() == "It is a coupon in your bag, good for one order."


async def test_what_hosts_type_is_text_and_nothing_else(page: Page) -> None:
    await tell(page, "poll.opened", PollOpened(a_poll(question=HOSTILE, choices=[HOSTILE, "b"], counts=[0, 0])))
    assert await page.get_by_test_id("game").locator("[data-field=question]").inner_text() == HOSTILE
    assert await page.evaluate("document.querySelectorAll('#games img').length") == 0
    assert await page.evaluate("window.broken") is None


async def test_a_vote_can_be_cast_by_keyboard(page: Page) -> None:
    await tell(page, "poll.opened", PollOpened(a_poll()))
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    assert await sent(page) == [["poll.vote", {"poll": "ply_1", "choice": 1}]]
    await tell(page, "poll.counted", PollCounted("ply_1", [0, 1, 0]))
    assert await page.evaluate("document.activeElement.dataset.testid") == "choice-1", "a count must not take the focus"


async def test_a_host_asks_and_closes(page: Page) -> None:
    await page.goto(ORIGIN + "/desk")
    await page.wait_for_function("window.ready")
    await page.get_by_test_id("poll-fold").click()
    await page.get_by_test_id("poll-question").fill("Coat or cape?")
    await page.get_by_test_id("poll-choice-1").fill("coat")
    await page.get_by_test_id("poll-choice-2").fill("cape")
    await page.get_by_test_id("poll-open").click()
    asked = {"question": "Coat or cape?", "choices": ["coat", "cape"], "seconds": 60}
    assert await sent(page) == [["poll.open", asked]]
    assert await page.get_by_test_id("poll-question").input_value() == ""
    assert not await page.get_by_test_id("poll-close").is_visible()
    await tell(page, "poll.opened", PollOpened(a_poll()))
    await tell(page, "poll.counted", PollCounted("ply_1", [3, 1, 0]))
    assert await page.get_by_test_id("choice-0").locator("[data-field=share]").inner_text() == "75 %"
    assert await page.get_by_test_id("choice-0").is_disabled(), "a host takes no part from the desk"
    await page.get_by_test_id("poll-close").click()
    assert (await sent(page))[-1] == ["poll.close", {"poll": "ply_1"}]


async def test_a_host_asks_a_quiz_whose_empty_fields_are_no_choices(page: Page) -> None:
    await page.goto(ORIGIN + "/desk")
    await page.wait_for_function("window.ready")
    await page.get_by_test_id("poll-fold").click()
    await page.get_by_test_id("poll-question").fill("Since when?")
    for field, text in ((1, "2015"), (2, "2016"), (4, "2017")):
        await page.get_by_test_id(f"poll-choice-{field}").fill(text)
    await page.get_by_label("Right answer").select_option("3")
    await page.get_by_test_id("poll-open").click()
    asked = {"question": "Since when?", "choices": ["2015", "2016", "2017"], "right": 2, "seconds": 60}
    assert await sent(page) == [["quiz.open", asked]]


async def test_a_host_opens_a_draw(page: Page) -> None:
    await page.goto(ORIGIN + "/desk")
    await page.wait_for_function("window.ready")
    await page.get_by_test_id("draw-fold").click()
    await page.get_by_test_id("draw-prize").fill("The scarf of look 3")
    await page.get_by_test_id("draw-open").click()
    assert await sent(page) == [["draw.open", {"prize": "The scarf of look 3", "places": 1, "seconds": 60}]]
