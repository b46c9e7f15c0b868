"""The checkout in a real browser, beside a picture that plays on."""

from __future__ import annotations

from pathlib import Path

from pages_of_people import fill_contact, hold, new_page, picture_moves, until
from playwright.async_api import Browser as Chromium
from playwright.async_api import Page, expect
from redis import Redis
from sqlalchemy import select, text
from theatre import Theatre, theatre

from live.store.tables import orders, payments, saved_buyers

CARD = "4000 0027 6000 3184"  # its bank asks each time
PLAIN_CARD = "4242 4242 4242 4242"


async def taps(page: Page) -> int:
    return int(await page.evaluate("window.taps"))


async def count_taps(page: Page) -> None:
    await page.evaluate(
        "window.taps = 0; addEventListener('pointerdown', (e) => { if (e.isTrusted) window.taps++; }, true)"
    )


async def played_s(page: Page) -> float:
    return float(await page.evaluate("document.querySelector('[data-front=yes]').currentTime"))


async def buy_by_form(page: Page, card: str, *, remember: bool = True) -> None:
    await page.get_by_test_id("bag-button").click()
    await page.get_by_test_id("checkout-button").click()
    await fill_contact(page)
    if remember:
        await page.get_by_test_id("remember").check()
    await page.get_by_test_id("pay-button").click()
    provider = page.frame_locator('[data-testid="pay-frame"]')
    await provider.get_by_test_id("card-number").fill(card)
    await provider.get_by_test_id("pay-success").click()
    if card == CARD:
        await provider.get_by_test_id("code-input").fill("123456")
        await provider.get_by_test_id("code-send").click()
    await expect(page.get_by_test_id("order-done")).to_be_visible()
    await page.locator('[data-view="done"] [data-act="close"]').click()


async def drop(house: Theatre, number: int) -> None:
    await house.services.desk.drop(house.show.id, house.looks[number - 1], "test")


async def test_a_returning_buyer_buys_in_two_taps_and_the_picture_never_stops(
    browser: Chromium, tmp_path: Path
) -> None:
    async with theatre(tmp_path) as house:
        await house.publish_file()
        await house.services.desk.open_show(house.show.id, "test")
        await drop(house, 1)
        page = await new_page(browser, phone=True)
        await page.goto(house.page)
        await picture_moves(page)
        await hold(page, "L1-S")
        await buy_by_form(page, PLAIN_CARD)
        kept = await house.one(select(saved_buyers))
        assert kept.method_label == "Card ·· 4242"
        assert "Paix" not in kept.sealed

        await page.reload()
        await drop(house, 2)
        await picture_moves(page)
        card = page.get_by_test_id("pinned-card")
        await expect(card).to_contain_text("Coat 2")
        await card.get_by_test_id("size-L2-S").check()
        await count_taps(page)
        before_s = await played_s(page)
        await card.get_by_test_id("hold-button").click()
        express = card.get_by_test_id("express-button")
        await expect(express).to_have_text("Pay €129.00 with ·· 4242")
        await page.wait_for_function("performance.now() > 0")
        await until(lambda: _paid_after(page, express), what="paid by the second tap")
        assert await taps(page) == 2
        await picture_moves(page)
        assert await played_s(page) > before_s
        assert await page.evaluate("window.peers.length") == 1, "the picture was never started again"
        assert not await page.evaluate("document.querySelector('[data-front=yes]').paused")
        paid = await house.all(select(orders).where(orders.c.status == "paid"))
        assert len(paid) == 2
        assert {order.name for order in paid} == {"Ada Lovelace"}

        # Forget me: nothing is left here, and no button comes.
        await page.locator('[data-view="done"] [data-act="close"]').click()
        await expect(page.locator("#sheet")).to_be_hidden()
        await drop(house, 3)
        await expect(card).to_contain_text("Coat 3")
        await hold(page, "L3-S")
        await expect(express).to_be_visible()
        await page.get_by_test_id("bag-button").click()
        await page.get_by_test_id("checkout-button").click()
        await page.get_by_test_id("forget-me").click()
        await expect(page.locator("#checkout-note")).to_contain_text("Forgotten")
        assert await house.all(select(saved_buyers)) == []
        await expect(page.get_by_label("Name", exact=True)).to_have_value("")


async def _paid_after(page: Page, express: object) -> bool:
    """Her second tap, once the button has been there long enough to be meant."""
    if await page.get_by_test_id("order-done").is_visible():
        return True
    if await taps(page) < 2 and await page.evaluate("window.armed ??= performance.now() + 800") < await page.evaluate(
        "performance.now()"
    ):
        await express.click()  # type: ignore[attr-defined]
    return False


async def test_no_card_number_comes_near_our_logs_rows_or_keys(browser: Chromium, tmp_path: Path) -> None:
    async with theatre(tmp_path) as house:
        await house.publish_file()
        await house.services.desk.open_show(house.show.id, "test")
        await drop(house, 1)
        page = await new_page(browser)
        sent: list[str] = []
        page.on("request", lambda request: sent.append(f"{request.url} {request.post_data or ''}"))
        await page.goto(house.page)
        await hold(page, "L1-S")
        await buy_by_form(page, CARD)
        assert (await house.one(select(payments.c.status))).status == "captured"
        await hold(page, "L1-M")  # the second tap is there at once, without a reload
        await expect(page.get_by_test_id("pinned-card").get_by_test_id("express-button")).to_be_visible()
        needles = [CARD, CARD.replace(" ", "")]
        found = [name for name, whole in _everything(house).items() if any(needle in whole for needle in needles)]
        assert found == []
        assert not [line for line in sent if any(needle in line for needle in needles)], "nor did it leave the browser"
        rows = await house.services.db.read(lambda c: _all_rows(c))
        assert "3184" in rows, "the premise: what may be kept, its end, is found"
        assert not any(needle in rows for needle in needles)


def _all_rows(connection) -> str:  # type: ignore[no-untyped-def]
    from live.store.tables import metadata

    return "\n".join(
        str(tuple(row))
        for table in metadata.sorted_tables
        for row in connection.execute(text(f'select * from "{table.name}"'))
    )


def _everything(house: Theatre) -> dict[str, str]:
    """Every file of the installation (logs, SQL, the store's log of commands) and every value of the store."""
    folder = house.server.data_dir
    found = {str(path): path.read_bytes().decode(errors="replace") for path in folder.rglob("*") if path.is_file()}
    assert any(name.endswith("web.log") for name in found), "the premise: the logs are read"
    with Redis(unix_socket_path=str(folder / "store.sock")) as client:
        for key in client.scan_iter():
            found[f"redis {key!r}"] = repr(client.dump(key))
    return found


async def test_the_form_follows_the_country_and_keeps_what_was_typed(browser: Chromium, tmp_path: Path) -> None:
    async with theatre(tmp_path) as house:
        s = house.services
        brand = house.show.brand_id
        await s.terms.add_method(brand, name="Post", places="EU", price_minor=490)
        await s.terms.add_method(brand, name="Courier", places="EU", price_minor=1_900, days=(1, 1))
        await s.terms.add_method(brand, name="Air", places="US", price_minor=2_900)
        await s.promotions.add(brand, "TENTH", "percent", 1_000)
        await s.desk.open_show(house.show.id, "test")
        await drop(house, 1)
        page = await new_page(browser, phone=True)
        await page.goto(house.page)
        await hold(page, "L1-S")
        await page.get_by_test_id("bag-button").click()
        await page.get_by_test_id("checkout-button").click()
        form = page.get_by_test_id("checkout-form")
        await fill_contact(page)
        total, sums = page.get_by_test_id("checkout-total"), page.get_by_test_id("sums")
        await expect(total).to_have_text("€133.90")
        await expect(sums).to_contain_text("of which VAT 20 %€22.32")
        await page.get_by_test_id("ways").get_by_text("Courier").click()
        await expect(total).to_have_text("€148.00")

        await page.get_by_test_id("code-text").fill("nonsense")
        await page.get_by_test_id("code-use").click()
        await expect(page.locator("#code-error")).to_have_text(
            "We know no code NONSENSE. Check its letters, or go on without it."
        )
        await page.get_by_test_id("code-text").fill("tenth")
        await page.get_by_test_id("code-text").press("Enter")
        await expect(total).to_have_text("€135.10")
        await expect(sums).to_contain_text("Code TENTH−€12.90")

        await form.locator("[name=country]").select_option("US")
        await expect(form.get_by_label("State")).to_be_visible()
        await expect(form.locator("[name=city]")).to_have_value("Paris")
        await expect(total).to_have_text("€145.10")
        await page.get_by_test_id("pay-button").click()
        await expect(page.locator("#contact-area-error")).to_have_text("State, please.")
        await expect(page.locator("#contact-postcode-error")).to_be_empty()
        await form.locator("[name=country]").select_option("JP")
        await expect(page.locator("#contact-country-error")).to_have_text("We do not send there yet.")
        await page.get_by_test_id("pay-button").click()
        await expect(page.locator("#contact-country-error")).to_have_text("We do not send there yet.")
        await form.locator("[name=country]").select_option("FR")
        await expect(form.locator("[name=postcode]")).to_have_value("75002")
        await expect(total).to_have_text("€121.00")  # what she sees is of before

        # The price changes while she reads: it is said, and she agrees before paying.
        await s.catalogue.set_price("L1-S", 14_900)
        await page.get_by_test_id("pay-button").click()
        await expect(page.get_by_test_id("changes")).to_contain_text("€129.00 is now €149.00")
        await expect(page.get_by_test_id("pay-button")).to_contain_text("Agree to")
        await page.get_by_test_id("pay-button").click()
        await expect(page.get_by_test_id("pay-frame")).to_be_visible()
        order = await house.one(select(orders))
        assert (order.goods_minor, order.discount_minor, order.tax_place) == (14_900, 1_490, "FR")
