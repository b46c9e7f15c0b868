"""Every page under axe-core, with real data: nothing serious or critical, and nothing said in the browser's console.

axe-core is another project's work, so it is not kept here: npm fetches it into a folder of this run.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bought import bought
from house import PASSWORD, Served, served, settings_for, until
from pages_of_people import fill_contact, hold, new_page, say
from PIL import Image
from playwright.async_api import Browser, Page, expect

from live.media.seen import LayerSeen, LineSeen, PictureSeen, ShowSeen, together

AXE = "axe-core@4"
RUN = """
async () => {
  const { violations } = await axe.run(document, { resultTypes: ["violations"], iframes: false });
  return violations.map(({ id, impact, nodes }) => ({ id, impact, where: nodes.map((node) => node.target.join(" ")) }));
}
"""


@pytest.fixture(scope="module")
def axe() -> Iterator[str]:
    """The source of axe-core, or the test is skipped where no registry can be reached."""
    npm = shutil.which("npm")
    assert npm, "npm is missing: `make test` installs it (Debian's package npm)"
    with tempfile.TemporaryDirectory(prefix="frontrow-axe-") as folder:
        command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", folder, AXE]
        run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=180)
        if run.returncode != 0:
            pytest.fail(f"npm could not fetch {AXE}: {run.stderr.strip()[-300:]}")
        yield (Path(folder) / "node_modules/axe-core/axe.min.js").read_text()


class Inspector:
    """A person's page that is looked at, again and again."""

    def __init__(self, page: Page, axe: str) -> None:
        self.page = page
        self.console: list[str] = []
        self._axe = axe
        page.on("console", lambda message: message.type in ("error", "warning") and self.console.append(message.text))
        page.on("pageerror", lambda error: self.console.append(str(error)))

    async def look(self, name: str) -> None:
        """Fails with what axe holds against the page as it is now."""
        # Motion over, and none that begins meanwhile: a card half faded in has no contrast yet.
        await self.page.emulate_media(reduced_motion="reduce")
        await self.page.evaluate("() => document.getAnimations().forEach((one) => one.finish())")
        if not await self.page.evaluate("'axe' in window"):
            await self.page.evaluate(self._axe + ";0")
        found: list[dict[str, Any]] = await self.page.evaluate(RUN)
        await self.page.emulate_media(reduced_motion="no-preference")
        grave = [one for one in found if one["impact"] in ("serious", "critical")]
        assert not grave, f"{name}: {grave}"
        assert self.console == [], name


@pytest.fixture
async def site(tmp_path: Path, redis_url: str) -> AsyncIterator[Served]:
    async with served(settings_for(tmp_path, redis_url)) as site:
        yield site


async def opened(browser: Browser, axe: str, url: str, *, phone: bool = False) -> tuple[Inspector, Page]:
    page = await new_page(browser, phone=phone)
    inspector = Inspector(page, axe)
    await page.goto(url)
    return inspector, page


async def signed_in(
    browser: Browser, axe: str, site: Served, staff: Any, path: str, *, phone: bool = False
) -> tuple[Inspector, Page]:
    token = await site.services.signin.issue_link(staff_id=staff.id, ttl_s=600)
    return await opened(browser, axe, f"{site.origin}/sign-in/{token}?next={path}", phone=phone)


@pytest.mark.parametrize("phone", [True, False], ids=["phone", "desktop"])
async def test_a_viewers_pages_from_the_front_to_the_receipt(browser: Browser, axe: str, site: Served, phone: bool):
    front, _ = await opened(browser, axe, site.origin, phone=phone)
    await front.look("front")
    eyes, page = await opened(browser, axe, f"{site.origin}/shows/aw26", phone=phone)
    await eyes.look("show to come")

    await site.house.go_live(1, 2)
    await expect(page.get_by_test_id("pinned-card")).to_contain_text("Coat 2")
    await say(page, "what a coat", name="Ada")
    await expect(page.get_by_test_id("chat-line")).to_have_count(1)
    await eyes.look("show with a card")
    await page.get_by_test_id("stats-button").click()
    await expect(page.get_by_test_id("stats")).to_be_visible()
    await eyes.look("the picture's figures")
    await page.keyboard.press("Escape")
    await expect(page.get_by_test_id("stats")).to_be_hidden()
    async with site.room(await site.signed_in(site.house.host)) as desk:
        assert (await desk.post("poll.open", {"question": "Coat?", "choices": ["coat", "cape"], "seconds": 60})).ok
    await page.get_by_test_id("choice-0").click()
    await eyes.look("show with a poll")

    await page.get_by_role("button", name="All looks").click()
    await eyes.look("the looks")
    await page.get_by_test_id("look-tile").first.click()
    await eyes.look("a look")
    await page.get_by_role("button", name="Close").click()

    await hold(page, "L2-S")
    await page.get_by_test_id("bag-button").click()
    await eyes.look("the bag")
    await page.get_by_test_id("checkout-button").click()
    await page.get_by_test_id("pay-button").click()
    await expect(page.locator("[aria-invalid=true]").first).to_be_visible()
    await eyes.look("the form with what is wrong")
    await fill_contact(page)
    await page.get_by_test_id("pay-button").click()
    provider = page.frame_locator('[data-testid="pay-frame"]')
    await expect(provider.get_by_test_id("pay-success")).to_be_visible()
    await eyes.look("the payment")
    hosted, _ = await opened(browser, axe, str(await page.locator("iframe").evaluate("frame => frame.src")))
    await hosted.look("the provider's page")
    await provider.get_by_test_id("pay-success").click()
    await expect(page.get_by_test_id("order-done")).to_be_visible()
    await eyes.look("the order is done")
    receipt, _ = await opened(browser, axe, str(await page.get_by_test_id("order-link").evaluate("a => a.href")))
    await receipt.look("the receipt")

    await site.services.desk.end_show(site.house.show.id, "test")
    await expect(page.locator("#show")).to_have_attribute("data-status", "ended")
    await page.get_by_role("button", name="Back to the show").click()
    await eyes.look("show that is over")


async def test_the_pages_of_those_who_make_the_show(browser: Browser, axe: str, site: Served):
    door, page = await opened(browser, axe, f"{site.origin}/sign-in")
    await door.look("sign-in")
    await site.services.staff.add("ines@example.org", "Ines", PASSWORD)
    await page.get_by_label("Email").fill("ines@example.org")
    await page.get_by_label("Password").fill("not this one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    door.console.clear()  # the browser itself says that the answer was 401
    await door.look("sign-in refused")

    shows, _ = await signed_in(browser, axe, site, site.house.staff, "/studio")
    await shows.look("the shows")
    desk, page = await signed_in(browser, axe, site, site.house.host, "/studio/shows/aw26")
    await desk.look("the desk before")
    await page.get_by_test_id("go-live").click()
    await page.get_by_test_id("drop-1").click()
    await expect(page.get_by_test_id("withdraw-1")).to_be_visible()
    for fold in ("poll-fold", "draw-fold"):
        await page.get_by_test_id(fold).click()
    await page.get_by_text("An encoder (OBS, FFmpeg)").click()
    await page.get_by_test_id("rotate-key").click()
    await expect(page.locator("#key-reveal")).to_be_visible()
    await desk.look("the desk on air, everything open")
    await page.get_by_test_id("poll-question").fill("Coat or cape?")
    await page.get_by_test_id("poll-choice-1").fill("coat")
    await page.get_by_test_id("poll-choice-2").fill("cape")
    await page.get_by_test_id("poll-open").click()
    await expect(page.get_by_test_id("game")).to_be_visible()
    await desk.look("the desk that asks")

    picture, page = await signed_in(browser, axe, site, site.house.host, "/studio/shows/aw26/picture")
    await expect(page.get_by_test_id("watching")).to_have_text("0")
    await picture.look("the picture desk with nobody on")
    said = msgspec.json.encode(a_bad_evening())
    await page.route("**/api/shows/aw26/picture/seen", lambda route: route.fulfill(body=said, status=200))
    await expect(page.get_by_test_id("worst").get_by_role("row")).to_have_count(8)
    await expect(page.get_by_test_id("recording")).to_contain_text("the disk is full")
    kept = await page.get_by_test_id("worst").get_by_role("row").first.element_handle()
    async with page.expect_response("**/picture/seen"):
        pass
    assert kept is not None
    assert await kept.is_visible(), "rows are kept, so that nothing jumps"
    await picture.look("the picture desk on a bad evening")

    _, viewer = await opened(browser, axe, f"{site.origin}/shows/aw26")
    await say(viewer, "what a coat", name="Ada")
    room, page = await signed_in(browser, axe, site, site.house.moderator, "/studio/shows/aw26/room")
    await expect(page.get_by_test_id("mod-line")).to_have_count(1)
    await page.get_by_test_id("term-input").fill("scam")
    await page.get_by_test_id("term-add").click()
    await expect(page.get_by_test_id("term-remove")).to_be_visible()
    await page.get_by_test_id("mod-timeout").click()
    await room.look("the room with a menu open")
    await page.get_by_test_id("timeout-600").click()
    await expect(page.get_by_test_id("silence-lift")).to_be_visible()
    await room.look("the room with somebody silenced")


@pytest.mark.parametrize("phone", [True, False], ids=["phone", "desktop"])
async def test_the_order_desk_is_worked_by_keyboard_alone(browser: Browser, axe: str, site: Served, phone: bool):
    await site.house.go_live(1, 2)
    order = await bought(site.services, site.house.show.id, ("L1-S", 2), ("L2-M", 1))
    eyes, page = await signed_in(browser, axe, site, site.house.staff, "/studio/orders", phone=phone)
    await eyes.look("the orders")
    await page.get_by_test_id("search").fill(order.number.lower())
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name=order.number).focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("status")).to_have_text("Paid")
    await eyes.look("an order")

    await page.get_by_label("Coat 2, M · Ink of 1").first.fill("0")
    await page.get_by_test_id("fulfil").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("done")).to_be_visible()
    await expect(page.get_by_test_id("status")).to_have_text("Shipped in part")
    for act in ("return", "refund", "cancel", "note"):
        await page.get_by_test_id(f"act-{act}").focus()
        await page.keyboard.press("Enter")
    await eyes.look("an order with everything open")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs over"

    await page.get_by_label("Amount in EUR").fill("12.50")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Refund €12.50 to Ada Lovelace?")).to_be_visible()
    await eyes.look("the question")
    await page.get_by_test_id("confirm-button").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("refund-row")).to_contain_text("€12.50")
    await page.get_by_label("Amount in EUR").evaluate("field => { field.closest('details').open = true }")
    await page.get_by_label("Amount in EUR").fill("99999")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("trouble")).to_contain_text("That is more than is left to give back: €")
    eyes.console.clear()  # the browser itself says that the answer was 409
    await eyes.look("an act that was refused")

    await page.get_by_role("link", name="Packing list").click()
    await expect(page.get_by_test_id("sheet")).to_have_count(1)
    await eyes.look("the packing list")
    receipt, _ = await opened(browser, axe, f"{site.origin}/orders/{order.token}", phone=phone)
    await receipt.look("the receipt of what was shipped and repaid")


def a_bad_evening() -> PictureSeen:
    lines = [LineSeen(f"{number}aaaaa", "n", 90, 40, 0.2, 900, "smaller", 820, 12) for number in range(8)]
    layers = [
        LayerSeen("video", "H264", "h", 2480, 0.04, 3.0, True, True),
        LayerSeen("audio", "OPUS", "", 64, 0, 1, True, True),
    ]
    part = ShowSeen(1.0, 1000, 0.9, 1.0, "cpu", "live", 90_000, True, layers, 6200, {"full": 5, "smaller": 8}, 8)
    part.lines, part.recording = lines, "disk_full"
    return together([("relay_one", part)], worst=8)


async def test_axe_itself_finds_what_is_wrong(browser: Browser, axe: str, site: Served):
    """The premise of the others: a page with a nameless field does not pass."""
    eyes, page = await opened(browser, axe, f"{site.origin}/sign-in")
    await page.evaluate("document.querySelector('label[for=email]').remove()")
    with pytest.raises(AssertionError, match="label"):
        await eyes.look("a field without a label")


@pytest.mark.parametrize("phone", [True, False], ids=["phone", "desktop"])
async def test_tokens_and_webhooks_are_kept_by_keyboard_alone(browser: Browser, axe: str, site: Served, phone: bool):
    eyes, page = await signed_in(browser, axe, site, site.house.staff, "/studio/api", phone=phone)
    await eyes.look("no token yet")
    await page.get_by_label("What it is for").fill("Till")
    await page.keyboard.press("Enter")
    first = page.get_by_role("checkbox").first
    await expect(first).to_be_focused()
    await expect(first).to_have_accessible_description("Choose at least one.")
    eyes.console.clear()  # the browser itself says that the answer was 422
    await eyes.look("a token that may do nothing")
    await page.get_by_label("Change what is on hand").focus()
    await page.keyboard.press("Space")
    await page.get_by_test_id("make").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("secret")).to_contain_text("fr_")
    await eyes.look("a token that was made")
    await page.get_by_text("Revoke Till", exact=True).first.focus()
    await page.keyboard.press("Enter")
    await eyes.look("a token to be revoked")
    await page.get_by_role("button", name="Revoke Till").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("token")).to_have_attribute("data-state", "revoked")

    await page.goto(f"{site.origin}/studio/webhooks")
    await eyes.look("no endpoint yet")
    await page.get_by_label("Address").fill("https://erp.example.com/in")
    await page.get_by_test_id("add").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("secret")).to_contain_text("whsec_")
    await page.get_by_test_id("test").focus()
    await page.keyboard.press("Enter")
    entry = page.get_by_test_id("log").locator("summary").first
    await expect(entry).to_contain_text("webhook.test")
    await entry.focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("replay")).to_be_visible()
    for summary in ("What it hears", "A new secret", "Turn it off", "Remove"):
        await page.locator("summary", has_text=summary).focus()
        await page.keyboard.press("Enter")
    await eyes.look("an endpoint with everything open")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs over"
    await page.get_by_test_id("off").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("state")).to_contain_text("Off.")
    await page.get_by_role("link", name="Webhooks").first.click()
    await eyes.look("an endpoint that is off")

    cdp = await page.context.new_cdp_session(page)
    await cdp.send("Emulation.setTimezoneOverride", {"timezoneId": "Asia/Kolkata"})
    await page.goto(f"{site.origin}/studio/terms")
    way, code = page.get_by_test_id("way-form"), page.get_by_test_id("code-form")
    await way.get_by_label("Name").fill("Post")
    await way.get_by_label("Where it goes").fill("FR")
    await way.get_by_label("Price").fill("1,000")
    await page.keyboard.press("Enter")
    await expect(way.get_by_label("Price")).to_be_focused()
    await expect(way.get_by_label("Price")).to_have_accessible_description("Price takes at most 2 decimals.")
    await expect(way.get_by_label("Where it goes")).to_have_value("FR")
    assert len(eyes.console) == 1, "the browser notes the page's 422, and nothing else"
    eyes.console.clear()
    await eyes.look("a price that is none")
    await page.keyboard.press("ControlOrMeta+a")
    await page.keyboard.type("4.90")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("done")).to_contain_text("Post is offered so")
    await code.get_by_label("Code", exact=True).fill("spring")
    await code.get_by_label("Amount, EUR").fill("20")
    await expect(code.get_by_label("An amount", exact=True)).to_be_checked()
    await code.get_by_label("Ends, your time").fill("2030-06-01T12:00")
    await page.get_by_test_id("code-add").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("code")).to_contain_text("€20.00 off")
    (kept,) = await site.services.promotions.of_brand(site.house.show.brand_id)
    assert kept.ends_ms == 1_906_525_800_000, "noon in Kolkata is 06:30 UTC"
    await page.get_by_test_id("code-off").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("done")).to_contain_text("is switched off")
    await eyes.look("a code that is switched off")
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), "nothing hangs over"
    await page.get_by_test_id("undo").focus()
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("code")).to_contain_text("SPRING")


async def test_the_catalogues_pages_a_picture_that_falls_in_and_a_feed_that_is_checked(
    browser: Browser, site: Served, axe: str, tmp_path: Path
) -> None:
    await site.house.go_live(1)
    s = site.services
    page = await new_page(browser, phone=True)
    inspector = Inspector(page, axe)
    token = await s.signin.issue_link(staff_id=site.house.staff.id, ttl_s=600)
    await page.goto(f"{site.origin}/sign-in/{token}?next=/studio/catalogue?q=L1-S")
    await inspector.look("the catalogue")
    await page.get_by_test_id("product-row").get_by_role("link").click()
    Image.new("RGB", (1200, 1600), "#8a6a54").save(tmp_path / "coat.jpg")
    await page.get_by_test_id("picture-file").set_input_files(tmp_path / "coat.jpg")
    await page.get_by_test_id("alt").fill("A coat in sand, from the front")
    await page.get_by_test_id("picture-send").click()
    await expect(page.get_by_test_id("shot")).to_have_count(1)
    unit = page.get_by_test_id("unit-L1-S")
    await unit.get_by_label("Sale price").fill("99,50")
    await unit.get_by_role("button", name="Save price").click()
    await expect(unit).to_contain_text("€99.50")
    await page.get_by_test_id("cap").fill("2")
    await page.get_by_test_id("save-cap").click()
    await expect(page.locator("#cap-note")).to_contain_text("2 a buyer")
    assert list((await s.programmes.of(site.house.show.id)).product_caps.values()) == [2]
    await inspector.look("a piece")
    await page.goto(f"{site.origin}/studio/catalogue/import")
    feed = tmp_path / "autumn.tsv"
    feed.write_text("id\ttitle\tprice\nNEW\tNew coat\t20.00 EUR\nBAD\tBad coat\tfree\n")
    await page.get_by_test_id("feed-file").set_input_files(feed)
    await expect(page.get_by_test_id("import")).to_be_visible()
    assert await s.imports.work(s.rail.changed)
    await expect(page.get_by_test_id("rejects")).to_contain_text("is not like 129.00 EUR")
    await inspector.look("a feed that is checked")
    await page.get_by_test_id("import-apply").click()
    await until(lambda: s.imports.work(s.rail.changed))
    await expect(page.get_by_test_id("import-state")).to_contain_text("1 new row")
    # A second tab sees the same, though it began nothing.
    other = await page.context.new_page()
    await other.goto(page.url)
    await expect(other.get_by_test_id("past")).to_contain_text("autumn.tsv")


async def test_the_moderators_desk_is_worked_by_keyboard_alone(browser: Browser, axe: str, site: Served):
    await site.house.go_live(1)
    ann_eyes, ann = await opened(browser, axe, f"{site.origin}/shows/aw26", phone=True)
    await say(ann, "good evening", name="Ann")
    eyes, desk = await signed_in(browser, axe, site, site.house.moderator, "/studio/shows/aw26/room")
    await expect(desk.get_by_test_id("mod-line")).to_have_count(1)
    await desk.keyboard.press("?")
    await expect(desk.get_by_role("heading", name="Keys")).to_be_visible()
    await eyes.look("the desk's keys")
    await desk.keyboard.press("Escape")

    # A line that waits is approved by a key, and goes out.
    await desk.get_by_test_id("hold-mode").check()
    await expect(ann.locator("#say-kept")).to_contain_text("A moderator reads each line first")
    await say(ann, "is it lined?")
    await expect(ann.locator("#say-note")).to_contain_text("looks at your line first")
    await expect(desk.get_by_test_id("case")).to_have_count(1)
    await desk.get_by_role("heading", name="The room", exact=True).click()
    await desk.keyboard.press("q")
    await expect(desk.get_by_test_id("case")).to_be_focused()
    await desk.keyboard.press("c")
    await expect(desk.get_by_test_id("case")).to_contain_text("You are on it")
    await eyes.look("the desk with something waiting")
    # Who said it can be silenced from here too, and by the same keys where she is looked at.
    await desk.keyboard.press("t")
    await expect(desk.locator("#person").get_by_test_id("timeout-10")).to_be_focused()
    await desk.keyboard.press("Escape")
    await desk.keyboard.press("Shift+B")
    await expect(desk.locator("#person").get_by_test_id("silence-reason")).to_be_focused()
    await desk.keyboard.press("Escape")
    await expect(desk.get_by_role("button", name="Ban with a reason")).to_be_focused()
    await desk.keyboard.press("Escape")
    await expect(desk.get_by_test_id("case")).to_be_focused()
    await desk.keyboard.press("a")
    await expect(ann.get_by_test_id("chat-line").filter(has_text="is it lined?")).to_have_count(1)
    await expect(ann.locator("#say-note")).to_contain_text("Your line is in")
    await desk.get_by_test_id("hold-mode").uncheck()

    # A line is answered and pinned; a question is asked and answered.
    await ann.get_by_test_id("chat-line").filter(has_text="good evening").click()
    await ann_eyes.look("a line's menu")
    await ann.keyboard.press("Escape")
    await desk.get_by_role("heading", name="The room", exact=True).click()
    await desk.keyboard.press("l")
    await desk.keyboard.press("i")
    await expect(ann.get_by_test_id("room-pin")).to_contain_text("is it lined?")
    await ann.get_by_test_id("questions-button").click()
    await ann.get_by_test_id("ask-text").fill("Does it come in petite?")
    await ann.get_by_test_id("ask-send").click()
    await expect(ann.locator("#asked")).to_contain_text("petite")
    await ann_eyes.look("the questions")
    await desk.locator("#questions").get_by_test_id("case-approve").click()
    await expect(ann.locator("#asked")).to_contain_text("Answered by")
    await ann.get_by_role("button", name="Close").click()

    # Who is it? A note, a ban by a key, and the appeal with its reason.
    await desk.get_by_role("heading", name="The room", exact=True).click()
    await desk.keyboard.press("l")
    await desk.keyboard.press("p")
    await expect(desk.locator("#person")).to_contain_text("lines")
    await expect(desk.locator("#person-name")).to_have_text("Ann")
    await expect(desk.locator("#person")).not_to_contain_text("per_")
    await desk.get_by_test_id("note-input").fill("asks kindly")
    await desk.keyboard.press("Enter")
    await expect(desk.locator("#person")).to_contain_text("asks kindly")
    await eyes.look("the desk with a person")
    await desk.keyboard.press("Escape")
    await desk.keyboard.press("l")
    await desk.keyboard.press("t")
    await eyes.look("the desk asks for how long")
    await desk.keyboard.press("Escape")
    await desk.keyboard.press("Shift+B")
    await expect(desk.get_by_test_id("silence-reason")).to_be_focused()
    await desk.get_by_test_id("silence-reason").fill("Be kind to each other")
    await eyes.look("the desk asks why")
    await desk.keyboard.press("Enter")
    await expect(ann.locator("#say-note")).to_contain_text("You are banned")
    await expect(ann.locator("#say-note")).to_contain_text("Be kind to each other")
    await expect(ann.get_by_test_id("chat-line")).to_have_count(0)
    await ann.get_by_test_id("appeal-text").fill("What for?")
    await ann.get_by_test_id("appeal-send").click()
    await expect(ann.locator("#say-note")).to_contain_text("look at it again")
    await ann_eyes.look("a banned viewer's page")
    await expect(desk.get_by_test_id("case").filter(has_text="What for?")).to_have_count(1)
    await desk.get_by_role("heading", name="The room", exact=True).click()
    await desk.keyboard.press("z")
    await expect(ann.get_by_test_id("chat-input")).to_be_enabled()
