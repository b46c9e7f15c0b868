"""Draw every page at phone and desktop size: `python -m tests.browser.pages.shots [name …]` → tests/browser/shots/.

Real templates, styles and modules over painted data, in Debian's chromium. Complains of anything the console says.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from playwright.async_api import Browser, Page, async_playwright
from starlette.applications import Starlette
from starlette.routing import Mount

from .fixture_app import create

SHOTS = Path(__file__).resolve().parents[1] / "shots"
SIZES = {"phone": (390, 844), "desktop": (1440, 900)}
EXTRA = {"small": (320, 568), "side": (844, 390), "wide": (2200, 1000)}
Act = Callable[[Page], Awaitable[None]]


async def nothing(_: Page) -> None: ...


async def hold(page: Page) -> None:
    await page.get_by_test_id("hold-button").first.click()


async def open_bag(page: Page) -> None:
    await page.get_by_test_id("bag-button").click()


async def figures(page: Page) -> None:
    await page.keyboard.press("i")


async def looks(page: Page) -> None:
    await page.locator(".card [data-act=looks]").first.click()


async def look(page: Page) -> None:
    await looks(page)
    await page.get_by_test_id("look-tile").nth(1).click()


async def checkout(page: Page) -> None:
    await open_bag(page)
    await page.get_by_test_id("checkout-button").click()
    await page.get_by_label("Name", exact=True).fill("Ines Albrecht")
    await page.get_by_test_id("pay-button").click()


async def fill(page: Page) -> None:
    await open_bag(page)
    await page.get_by_test_id("checkout-button").click()
    await page.get_by_label("Country").select_option("FR")
    await page.locator(".fields__pair [name=postcode]").wait_for()
    for label, text in (
        ("Name", "Ines"),
        ("Email", "ines@example.org"),
        ("Street and number", "Rue 1"),
        ("Postcode", "75002"),
        ("City", "Paris"),
    ):
        await page.get_by_label(label, exact=True).fill(text)
    await page.get_by_test_id("pay-button").click()
    await page.frame_locator("[data-testid=pay-frame]").get_by_test_id("pay-success").wait_for()


async def whole(page: Page) -> None:
    await open_bag(page)
    await page.get_by_test_id("checkout-button").click()
    await page.get_by_label("Country").select_option("FR")
    await page.get_by_test_id("code-text").fill("TENTH")
    await page.get_by_test_id("code-use").click()
    await page.locator(".code").wait_for()
    await page.get_by_test_id("sums").scroll_into_view_if_needed()


async def declined(page: Page) -> None:
    await fill(page)
    await page.frame_locator("[data-testid=pay-frame]").get_by_test_id("pay-decline").click()
    await page.get_by_test_id("pay-retry").wait_for()


async def done(page: Page) -> None:
    await fill(page)
    page.context.pages  # noqa: B018 - the order is paid by the address below
    await page.request.get("/fixture/paid")
    await page.get_by_test_id("order-done").wait_for(timeout=8000)


async def name(page: Page) -> None:
    await page.get_by_test_id("chat-input").fill("is it lined?")
    await page.get_by_test_id("chat-send").click()


async def line_menu(page: Page) -> None:
    await page.get_by_test_id("chat-line").last.click()


async def questions(page: Page) -> None:
    await page.get_by_test_id("questions-button").click()


async def report(page: Page) -> None:
    await line_menu(page)
    await page.get_by_test_id("line-report").click()


async def why(page: Page) -> None:
    await page.locator("#lines > li").nth(2).focus()
    await page.keyboard.press("t")


async def whose(page: Page) -> None:
    await page.get_by_test_id("mod-person").nth(3).click()
    await page.get_by_role("heading", name="Deals4U").wait_for()


async def erasing(page: Page) -> None:
    await whose(page)
    await page.locator(".person__data").evaluate("part => { part.hidden = false }")
    await page.get_by_test_id("person-erase").click()
    await page.get_by_test_id("erase-word").fill("Deals4U")


async def legend(page: Page) -> None:
    await page.keyboard.press("?")


async def key(page: Page) -> None:
    await page.locator(".source summary").click()


async def terms(page: Page) -> None:
    await page.locator("[data-testid=look-4] summary").click()


async def secure(page: Page) -> None:
    await page.locator("#choose").evaluate("e => { e.hidden = true; document.getElementById('secure').hidden = false }")


PAGES: dict[str, tuple[str, Act]] = {
    "front": ("/", nothing),
    "show": ("/shows/winter", nothing),
    "show-tall": ("/shows/winter?shape=tall", nothing),
    "show-held": ("/shows/winter?shape=tall", hold),
    "show-name": ("/shows/winter?shape=tall", name),
    "show-silenced": ("/shows/winter?silenced=1", nothing),
    "show-menu": ("/shows/winter?shape=tall", line_menu),
    "sheet-questions": ("/shows/winter", questions),
    "sheet-report": ("/shows/winter", report),
    **{
        f"show-{how}": (f"/shows/winter?shape=tall&drop={how}", nothing)
        for how in ("soon", "join", "lobby", "line", "turn", "closing", "closed")
    },
    **{
        f"show-{how}": (f"/shows/winter?shape=tall&play={how}", nothing)
        for how in ("poll", "quiz", "quiz-over", "draw", "draw-over", "rain", "rain-caught", "rain-missed")
    },
    "host-terms": ("/studio/shows/winter?drop=join", terms),
    "show-slate": ("/shows/winter?picture=slate", nothing),
    "show-figures": ("/shows/winter", figures),
    "show-figures-tall": ("/shows/winter?shape=tall", figures),
    "show-sound": ("/shows/winter?own=sound", nothing),
    "show-before": ("/shows/winter?status=scheduled", nothing),
    "show-after": ("/shows/winter?status=ended", nothing),
    "sheet-bag": ("/shows/winter?bag=1", open_bag),
    "sheet-bag-tall": ("/shows/winter?bag=1&shape=tall", open_bag),
    "sheet-coupon": ("/shows/winter?bag=1&coupon=1&shape=tall", open_bag),
    "sheet-empty": ("/shows/winter", open_bag),
    "sheet-looks": ("/shows/winter", looks),
    "sheet-look": ("/shows/winter", look),
    "sheet-checkout": ("/shows/winter?bag=1", checkout),
    "sheet-sums": ("/shows/winter?bag=1", whole),
    "sheet-pay": ("/shows/winter?bag=1", fill),
    "sheet-declined": ("/shows/winter?bag=1", declined),
    "sheet-done": ("/shows/winter?bag=1", done),
    "order": ("/orders/t", nothing),
    "sign-in": ("/sign-in", nothing),
    "sign-in-wrong": ("/sign-in?wrong=1", nothing),
    "studio": ("/studio", nothing),
    "host": ("/studio/shows/winter", nothing),
    "host-key": ("/studio/shows/winter?status=scheduled&picture=waiting", key),
    "moderator": ("/studio/shows/winter/room", nothing),
    "moderator-why": ("/studio/shows/winter/room", why),
    "moderator-person": ("/studio/shows/winter/room", whose),
    "moderator-erase": ("/studio/shows/winter/room", erasing),
    "moderator-keys": ("/studio/shows/winter/room", legend),
    "picture-desk": ("/studio/shows/winter/picture", nothing),
    "picture-trouble": ("/studio/shows/winter/picture?trouble", nothing),
    "sandbox": ("/sandbox/pay/sbx", nothing),
    "sandbox-code": ("/sandbox/pay/sbx", secure),
    "error": ("/nowhere", nothing),
}


async def draw(browser: Browser, base: str, name: str, size: str, box: tuple[int, int]) -> list[str]:
    path, act = PAGES[name]
    said: list[str] = []
    context = await browser.new_context(
        viewport={"width": box[0], "height": box[1]}, device_scale_factor=1, base_url=base, reduced_motion="reduce"
    )
    page = await context.new_page()
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    await page.goto(path)
    await page.wait_for_load_state("networkidle")
    try:
        await act(page)
    except Exception as error:
        said.append(f"{type(error).__name__}: {str(error)[:300]}")
    await page.wait_for_timeout(700)
    await page.screenshot(path=SHOTS / f"{name}.{size}.png", full_page=not path.startswith("/shows"))
    over = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    if over > 0:
        said.append(f"{over}px wider than the window")
    await context.close()
    return [f"{name}.{size}: {text}" for text in said]


@asynccontextmanager
async def served(app: Starlette) -> AsyncIterator[str]:
    """The painted pages on a port of their own: their origin."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.05)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await serving


async def main(names: list[str]) -> None:
    SHOTS.mkdir(exist_ok=True)
    sizes = {**SIZES, **(EXTRA if "--all" in names else {})}
    names = [one for one in names if one in PAGES] or list(PAGES)
    app = create()

    async def paid(scope, receive, send):  # type: ignore[no-untyped-def]
        app.state.order_status = "paid"
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    app.router.routes.append(Mount("/fixture/paid", paid))
    async with served(app) as base, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for name in names:
            app.state.order_status = "pending"
            for size, box in sizes.items():
                app.state.order_status = "pending"
                for said in await draw(browser, base, name, size, box):
                    print(said)
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
