"""The order desk: staff find, ship, take back, refund and cancel, on pages and by the API; nobody else does."""

from __future__ import annotations

import asyncio
import csv
import html
import io
import re
from pathlib import Path
from typing import Any

import httpx
import msgspec
from bought import BUYER, bought
from house import Browser, Web, running, settings_for

from live.clock import SetClock
from live.ids import new_id
from live.shop import invariants
from live.shop.catalogue import NewVariant
from live.shop.payments.sandbox import BANK_MS, CASE_MS, EVENTS_PATH, SandboxProvider

API = "/api/staff/orders"


async def an_order(web: Web, *pieces: tuple[str, int], **more: Any):
    if web.services.clock.now_ms() and (await web.services.shows.by_slug("aw26")).status != "live":
        await web.house.go_live(1, 2)
    return await bought(web.services, web.house.show.id, *(pieces or (("L1-S", 2), ("L2-M", 1))), **more)


async def act(staff: Browser, number: str, what: str, **body: Any) -> httpx.Response:
    return await staff.send("POST", f"{API}/{number}/{what}", {"op": new_id("op"), **body})


def fields_of(page: str, act: str) -> dict[str, str]:
    """The hidden fields of an act's form."""
    form = next(one for one in re.findall(r"<form.*?</form>", page, re.S) if f'name="act" value="{act}"' in one)
    return {
        name: html.unescape(value) for name, value in re.findall(r'type="hidden" name="([^"]+)" value="([^"]*)"', form)
    }


async def post(staff: Browser, number: str, fields: dict[str, str], *, follow: bool = True) -> httpx.Response:
    headers = {"Origin": staff.origin}
    return await staff.client.post(f"/studio/orders/{number}", data=fields, headers=headers, follow_redirects=follow)


async def told_twice(web: Web, kind: str, payment_ref: str) -> SandboxProvider:
    """The provider says that something became of a payment, and says it again."""
    provider, anyone = web.services.provider, await web.viewer()
    assert isinstance(provider, SandboxProvider)
    body = f'{{"id":"evt_1","kind":"{kind}","ref":"{payment_ref}"}}'.encode()
    for _ in range(2):
        told = await anyone.client.post(EVENTS_PATH, content=body, headers=provider.signed_headers(body))
        assert told.status_code == 204
    return provider


# ---- by the API --------------------------------------------------------------------------------


async def test_an_order_goes_its_whole_way_by_the_api(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    found = (await staff.client.get(f"{API}?q={order.number}")).json()
    assert [(row["number"], row["to_ship"], row["status"]) for row in found["orders"]] == [(order.number, 3, "paid")]
    whole = (await staff.client.get(f"{API}/{order.number}")).json()
    assert whole["acts"] == ["cancel", "fulfil", "refund"]
    assert whole["origins"]["L2-M"]["look"] == 2
    assert whole["origins"]["L2-M"]["drop"] > 0

    sent = await act(staff, order.number, "shipments", lines={"L1-S": 2}, carrier="DHL", seen=whole["version"])
    assert (sent.status_code, sent.json()["order"]["status"]) == (200, "part_fulfilled"), sent.text
    late = await act(staff, order.number, "shipments", lines={"L2-M": 1}, seen=whole["version"])
    assert (late.status_code, late.json()["facts"]["why"]) == (409, "order_moved")
    back = await act(staff, order.number, "returns", lines={"L1-S": 1}, restock={"L1-S": 1})
    assert (back.json()["order"]["status"], back.json()["left"]["minor"]) == ("part_refunded", 25_800)
    refund = await act(staff, order.number, "refunds", amount_minor=100, note="so sorry")
    assert [
        (one["amount"]["minor"], one["status"], one["by"] if "by" in one else one["actor"])
        for one in refund.json()["refunds"]
    ] == [
        (12_900, "done", "Stef"),
        (100, "done", "Stef"),
    ]
    rest = await act(staff, order.number, "cancel")
    assert (rest.json()["order"]["status"], rest.json()["left"]["minor"]) == ("part_refunded", 12_800)
    assert (await act(staff, order.number, "notes", note="the buyer called")).status_code == 200
    story = (await staff.client.get(f"{API}/{order.number}")).json()["ledger"]
    assert story[-1]["facts"]["note"] == "the buyer called"
    snapshot = (await (await web.viewer()).client.get("/api/shows/aw26")).json()
    assert snapshot["stock"]["L1-S"]["left"] == 4, "what can be sold again is on the cards"
    assert snapshot["stock"]["L2-M"]["left"] == 5
    assert await invariants.check(web.services.db, web.services.redis, web.house.show.id) == []


async def test_what_comes_back_is_told_to_every_page_at_once(web: Web):
    order = await an_order(web)
    staff, history, show = await web.signed_in(web.house.staff), web.services.bus.history, web.house.show.id
    epoch, seq = await history.position(show)
    assert (await act(staff, order.number, "cancel", lines={"L1-S": 2})).status_code == 200
    told = [one for one in await history.since(show, epoch, seq) or [] if one.kind == "stock.changed"]
    assert told, "not when the worker looks"
    assert msgspec.json.decode(msgspec.json.encode(told[-1].body))["stock"]["L1-S"]["left"] == 5


async def test_one_operation_is_one_act_however_often_it_is_sent(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    body = {"op": "refund-1", "amount_minor": 500}
    answers = await asyncio.gather(*(staff.send("POST", f"{API}/{order.number}/refunds", body) for _ in range(5)))
    assert [answer.status_code for answer in answers] == [200] * 5
    whole = (await staff.client.get(f"{API}/{order.number}")).json()
    assert (len(whole["refunds"]), whole["left"]["minor"]) == (1, 38_200)
    other = await staff.send("POST", f"{API}/{order.number}/refunds", {"op": "refund-1", "amount_minor": 501})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_what_was_sent_wrongly_is_named_and_nothing_is_done(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    for what, body, field in (
        ("shipments", {"lines": {}}, "lines"),
        ("shipments", {"lines": {"L1-S": -1}}, "lines[...]"),
        ("shipments", {"lines": {"NONE": 1}}, "sku"),
        ("shipments", {"lines": {"L1-S": 1}, "tracking_url": "http://x.example"}, "tracking_url"),
        ("shipments", {"lines": {"L1-S": 1}, "carrier": "D\u0007"}, "carrier"),
        ("refunds", {}, "amount_minor"),
        ("refunds", {"amount_minor": 1, "lines": {"L1-S": 1}}, "amount_minor"),
        ("refunds", {"amount_minor": 0}, "amount_minor"),
        ("refunds", {"amount_minor": 1.5}, "amount_minor"),
        ("refunds", {"amount_minor": 1, "more": 1}, "body"),
        ("notes", {"note": "   "}, "note"),
    ):
        answer = await act(staff, order.number, what, **body)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid"), (what, body, answer.text)
        assert answer.json()["facts"]["field"] == field, (what, body, answer.text)
    assert (await act(staff, order.number, "refunds", amount_minor=38_701)).json()["facts"]["left_minor"] == 38_700
    assert (await act(staff, order.number, "returns", lines={"L1-S": 1})).json()["code"] == "wrong_state"
    for query in ("status=lost", "limit=0", "since_ms=x", "nonsense=1", "q=%00"):
        assert (await staff.client.get(f"{API}?{query}")).status_code == 422, query
    whole = (await staff.client.get(f"{API}/{order.number}")).json()
    assert [entry["kind"] for entry in whole["ledger"]] == ["order.placed", "order.paid"]


async def test_another_brands_orders_are_not_there_for_anyone(web: Web):
    mine = await an_order(web)
    s = web.services
    await s.desk.open_show(web.house.other.id, "test")
    look = (await s.runsheets.of(web.house.other.id)).looks[0].id
    await s.desk.drop(web.house.other.id, look, "test")
    theirs = await bought(s, web.house.other.id, ("HAT", 1))
    staff, host, viewer = [await web.signed_in(one) for one in (web.house.staff, web.house.host, web.house.other_host)]
    listed = (await staff.client.get(f"{API}?status=all")).json()["orders"]
    assert [row["number"] for row in listed] == [mine.number]
    for number in (theirs.number, "FR-NONE-NONE", "%00", "☃"):
        assert (await staff.client.get(f"{API}/{number}")).status_code == 404
        assert (await staff.client.get(f"/studio/orders/{number}")).status_code == 404
        assert (await act(staff, number, "refunds", amount_minor=1)).status_code == 404
        assert (await post(staff, number, {"csrf": staff.csrf, "act": "note", "note": "x"})).status_code == 404
    assert theirs.number not in (await staff.client.get("/studio/orders.csv?status=all")).text
    assert theirs.number not in (await staff.client.get(f"/studio/packing?n={theirs.number}")).text
    for who in (host, viewer):
        assert (await who.client.get(API)).status_code == 403
        assert (await who.client.get("/studio/orders")).status_code == 403
        assert (await act(who, mine.number, "refunds", amount_minor=1)).status_code == 403
    assert (await staff.client.get(f"{API}/{mine.number}")).json()["refunds"] == []


async def test_an_order_that_waits_for_its_payment_is_given_up_by_the_providers_word(web: Web):
    await web.house.go_live(1)
    s, show = web.services, web.house.show.id
    await s.desk.add_to_cart(show, "per_ada", "L1-S", 1, op="1")
    placed = await s.desk.place(show, "per_ada", BUYER, idempotency_key="k")
    staff = await web.signed_in(web.house.staff)
    assert (await staff.client.get(f"{API}/{placed.number}")).json()["acts"] == ["cancel"]
    cancel = {"op": "cancel-1", "note": "she asked"}
    given_up = await act(staff, placed.number, "cancel", **cancel)
    assert given_up.json()["order"]["status"] == "cancelled", given_up.text
    again = await act(staff, placed.number, "cancel", **cancel)
    assert (again.status_code, again.json()) == (200, given_up.json()), "sent again, it is the same act"
    assert [entry["actor"] for entry in given_up.json()["ledger"]] == ["", "", "Stef"]
    await s.desk.add_to_cart(show, "per_bea", "L1-S", 1, op="1")
    other = await s.desk.place(show, "per_bea", BUYER, idempotency_key="k")
    await s.provider.choose(other.payment_ref, "success")  # type: ignore[attr-defined]
    paid = await act(staff, other.number, "cancel")
    assert (paid.status_code, paid.json()["facts"]["kind"]) == (409, "order.paid")
    assert (await s.orders.by_id(other.order_id)).status == "paid", "its buyer had just paid"
    assert await invariants.check(s.db, s.redis, show) == []


# ---- on the pages ------------------------------------------------------------------------------


async def test_a_refund_is_asked_about_with_its_amount_and_done_once_however_often_the_button_is_hit(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    page = (await staff.open(f"/studio/orders/{order.number}")).text
    asked = await post(staff, order.number, {**fields_of(page, "refund"), "of": "amount", "amount": "12,50"})
    assert asked.status_code == 200
    assert "Refund €12.50 to Ada Lovelace?" in asked.text
    assert "€374.50 of €387.00 stays." in asked.text
    assert (await web.services.orders.by_id(order.id)).refunds == [], "nothing happened yet"
    sure = fields_of(asked.text, "refund")
    assert sure["confirm"] == "yes"
    twice = await asyncio.gather(*(post(staff, order.number, sure, follow=False) for _ in range(3)))
    assert [answer.status_code for answer in twice] == [303] * 3
    refunded = (await web.services.orders.by_id(order.id)).refunded
    assert refunded is not None
    assert refunded.minor == 1250
    now = (await staff.open(str(twice[0].headers["location"]))).text
    assert "Refunded in part" in now
    assert "Refunded €12.50" in now
    page = (await staff.open(f"/studio/orders/{order.number}")).text
    asked = await post(staff, order.number, {**fields_of(page, "refund"), "of": "amount", "amount": "374,50"})
    sure = fields_of(asked.text, "refund")
    again = [await post(staff, order.number, sure, follow=False) for _ in range(2)]
    assert [answer.status_code for answer in again] == [303] * 2, "also of all that is left, and one after the other"


async def test_a_return_whose_button_is_hit_again_after_it_was_done_is_the_same_return(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    await act(staff, order.number, "shipments", lines={"L1-S": 2})
    page = (await staff.open(f"/studio/orders/{order.number}")).text
    asked = await post(staff, order.number, {**fields_of(page, "return"), "qty-L1-S": "2", "refund": "1"})
    sure = fields_of(asked.text, "return")
    hits = [await post(staff, order.number, sure, follow=False) for _ in range(2)]
    assert [answer.status_code for answer in hits] == [303] * 2
    refunded = (await web.services.orders.by_id(order.id)).refunded
    assert refunded is not None
    assert refunded.minor == 25_800


async def test_an_amount_with_a_thousands_mark_is_not_taken_for_a_small_one(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    for typed in ("1,000", "1.000", "0.010"):
        page = (await staff.open(f"/studio/orders/{order.number}")).text
        asked = await post(staff, order.number, {**fields_of(page, "refund"), "of": "amount", "amount": typed})
        assert (asked.status_code, "Refund €" in asked.text) == (422, False), typed
        assert "at most 2 decimals" in asked.text


async def test_an_amount_that_is_too_much_is_told_what_is_left_and_asked_for_again(web: Web):
    order = await an_order(web, ("L1-S", 1))
    staff = await web.signed_in(web.house.staff)
    page = (await staff.open(f"/studio/orders/{order.number}")).text
    folded = re.compile(r'<details class="fold">\s*<summary data-testid="act-refund">')
    assert folded.search(page)
    asked = await post(staff, order.number, {**fields_of(page, "refund"), "of": "amount", "amount": "999.00"})
    assert asked.status_code == 409
    assert "That is more than is left to give back: €129.00." in asked.text
    assert not folded.search(asked.text)


async def test_two_of_the_staff_at_once_get_one_outcome_and_the_other_is_told_by_whom(web: Web):
    order = await an_order(web)
    second = await web.services.staff.add("sam@example.org", "Sam")
    await web.services.staff.grant(second.id, "staff", brand_id=web.house.show.brand_id)
    stef, sam = await web.signed_in(web.house.staff), await web.signed_in(second)
    sure = []
    for who in (stef, sam):
        page = (await who.open(f"/studio/orders/{order.number}")).text
        asked = await post(who, order.number, {**fields_of(page, "refund"), "of": "amount", "amount": "20"})
        sure.append(fields_of(asked.text, "refund"))
    assert (await post(stef, order.number, sure[0])).status_code == 200
    told = await post(sam, order.number, sure[1])
    assert told.status_code == 409
    assert "Stef refunded of it a moment ago. Nothing was done" in told.text
    refunded = (await web.services.orders.by_id(order.id)).refunded
    assert refunded is not None
    assert refunded.minor == 2000


async def test_a_refund_that_came_back_is_seen_and_sent_again_by_the_form(tmp_path: Path, redis_url: str):
    clock = SetClock()
    async with running(settings_for(tmp_path, redis_url, sandbox_trouble="refund_fails"), clock=clock) as web:
        order = await an_order(web)
        staff = await web.signed_in(web.house.staff)
        await act(staff, order.number, "refunds", amount_minor=3_000)
        clock.advance(BANK_MS)
        provider = await told_twice(web, "refund.failed", order.payment_ref)
        words = "The refund of €30.00 came back: the card has expired. Send it again, or pay it another way"
        page = (await staff.open(f"/studio/orders/{order.number}")).text
        assert words in page
        assert "Came back: the card has expired" in page
        for query in ("", "?status=refund_failed"):
            listed = (await staff.client.get(f"/studio/orders{query}")).text
            assert (order.number in listed, "a refund came back" in listed) == (True, True)
        text = (await staff.client.get("/studio/orders.csv")).content.decode("utf-8-sig")
        row = next(csv.DictReader(io.StringIO(text)))
        assert (row["order_refunded"], row["order_refund_failed"]) == ("0.00", "30.00")
        assert "30.00" not in (await staff.client.get(f"/orders/{order.token}")).text, "nothing is on its way to her"

        provider._troubles = frozenset()
        asked = await post(staff, order.number, fields_of(page, "again"))
        assert "Send €30.00 to Ada Lovelace again?" in asked.text
        sure = fields_of(asked.text, "again")
        hits = [await post(staff, order.number, sure, follow=False) for _ in range(2)]
        assert [answer.status_code for answer in hits] == [303] * 2
        now = (await staff.open(f"/studio/orders/{order.number}")).text
        assert words not in now
        assert 'value="again"' not in now
        assert "Refunded in part" in now
        again = await act(staff, order.number, "refunds", again=sure["refund"])
        assert (again.status_code, again.json()["facts"]["why"]) == (409, "sent_again")
        both = await act(staff, order.number, "refunds", again=sure["refund"], amount_minor=1)
        assert (both.status_code, both.json()["facts"]["field"]) == (422, "again")
        assert await invariants.check(web.services.db, web.services.redis, web.house.show.id) == []


async def test_a_disputed_payment_is_seen_found_and_not_refunded(tmp_path: Path, redis_url: str):
    clock = SetClock()
    async with running(settings_for(tmp_path, redis_url, sandbox_trouble="disputed"), clock=clock) as web:
        order = await an_order(web)
        staff = await web.signed_in(web.house.staff)
        before = (await staff.open(f"/studio/orders/{order.number}")).text
        asked = await post(staff, order.number, {**fields_of(before, "refund"), "of": "amount", "amount": "10"})
        sure = fields_of(asked.text, "refund")
        clock.advance(BANK_MS)
        await told_twice(web, "charge.dispute.created", order.payment_ref)
        page = (await staff.open(f"/studio/orders/{order.number}")).text
        assert "The buyer&#39;s bank disputes €387.00: fraudulent." in page
        assert "Payment disputed: fraudulent, evidence until" in page
        assert page.count('data-testid="dispute-row"') == 1
        assert 'data-testid="act-refund"' not in page
        late = await post(staff, order.number, sure)
        assert (late.status_code, "A bank took the disputed money a moment ago." in late.text) == (409, True)
        refused = await act(staff, order.number, "refunds", amount_minor=1_000)
        assert (refused.status_code, refused.json()["facts"]) == (409, {"why": "disputed"})
        parcel = await post(staff, order.number, {**fields_of(page, "cancel"), "qty-L2-M": "1"})
        assert "The payment is disputed: no money is refunded by this." in parcel.text
        listed = (await staff.client.get("/studio/orders?status=disputed")).text
        assert (order.number in listed, "payment disputed" in listed) == (True, True)
        text = (await staff.client.get("/studio/orders.csv?status=disputed")).content.decode("utf-8-sig")
        assert {row["dispute"] for row in csv.DictReader(io.StringIO(text))} == {"open"}
        found = (await staff.client.get(f"{API}?status=disputed")).json()["orders"]
        assert [row["dispute"] for row in found] == ["open"]
        assert "disput" not in (await staff.client.get(f"/orders/{order.token}")).text


async def test_what_a_lost_dispute_took_is_off_every_figure(tmp_path: Path, redis_url: str):
    clock = SetClock()
    async with running(settings_for(tmp_path, redis_url, sandbox_trouble="disputed"), clock=clock) as web:
        order = await an_order(web)
        staff = await web.signed_in(web.house.staff)

        async def revenue() -> int:
            stats = (await staff.client.get("/api/shows/aw26/stats")).json()
            return int(stats["tally"]["revenue"]["minor"])

        assert await revenue() == 38_700, "the premise"
        clock.advance(BANK_MS + CASE_MS)
        await told_twice(web, "charge.dispute.closed", order.payment_ref)
        assert await revenue() == 0
        (row,) = (await staff.client.get(f"{API}?status=disputed")).json()["orders"]
        assert (row["dispute"], row["lost"]) == ("lost", {"minor": 38_700, "currency": "EUR"})
        listed = (await staff.client.get("/studio/orders")).text
        assert ("€387.00 lost" in listed, "dispute lost" in listed) == (True, True)
        text = (await staff.client.get("/studio/orders.csv")).content.decode("utf-8-sig")
        sums = {
            (row["order_total"], row["order_refunded"], row["order_lost"]) for row in csv.DictReader(io.StringIO(text))
        }
        assert sums == {("387.00", "0.00", "387.00")}


async def test_shipping_taking_back_and_cancelling_by_the_forms(web: Web):
    order = await an_order(web)
    staff = await web.signed_in(web.house.staff)
    url = f"/studio/orders/{order.number}"
    parcel = {"qty-L1-S": "2", "qty-L2-M": "0", "carrier": "DHL", "tracking_url": "https://dhl.example/1"}
    ship = {**fields_of((await staff.open(url)).text, "fulfil"), **parcel}
    bad = await post(staff, order.number, {**ship, "tracking_url": "ftp://x"})
    assert (bad.status_code, "The link to the parcel must be an https:// address." in bad.text) == (422, True)
    done = await post(staff, order.number, ship)
    assert "Shipped in part" in done.text
    assert "until then it can be taken back unseen" in done.text
    buyers = (await staff.client.get(f"/orders/{order.token}")).text
    assert "https://dhl.example/1" in buyers
    assert "On its way, in part." in buyers
    assert "Stef" not in buyers, "who packed it is nobody's business"

    gone = {**fields_of(done.text, "return"), "qty-L1-S": "1", "restock-L1-S": "yes", "refund": "yes"}
    asked = await post(staff, order.number, gone)
    assert "1 piece came back from Ada Lovelace?" in asked.text
    assert "€129.00 is refunded." in asked.text
    back = await post(staff, order.number, fields_of(asked.text, "return"))
    assert "Came back: 1 × Coat 1 S" in back.text

    rest = await post(staff, order.number, {**fields_of(back.text, "cancel"), "qty-L2-M": "1", "note": "sold <out>"})
    assert "€129.00 is refunded." in rest.text
    end = await post(staff, order.number, fields_of(rest.text, "cancel"))
    assert "sold &lt;out&gt;" in end.text
    void = await post(staff, order.number, fields_of(end.text, "void"))
    assert void.status_code == 409
    assert "A piece of that parcel came back" in void.text
    shown = await web.services.orders.by_id(order.id)
    assert (shown.status, [(line.shipped, line.returned, line.struck) for line in shown.lines]) == (
        "part_refunded",
        [(2, 1, 0), (0, 0, 1)],
    )
    buyers = (await staff.client.get(f"/orders/{order.token}")).text
    assert "sold" not in buyers
    assert "Sent back to where it came from" in buyers
    assert await invariants.check(web.services.db, web.services.redis, web.house.show.id) == []


async def test_the_list_finds_filters_and_says_when_there_is_nothing(web: Web):
    staff = await web.signed_in(web.house.staff)
    assert "No order yet." in (await staff.client.get("/studio/orders")).text
    bea = msgspec.structs.replace(BUYER, name="Bea <b>Bold</b>", email="bea@example.org")
    ada, other = await an_order(web), await an_order(web, ("L2-S", 1), contact=bea)
    everything = (await staff.client.get("/studio/orders")).text
    assert everything.index(other.number) < everything.index(ada.number)
    assert "Bea &lt;b&gt;Bold&lt;/b&gt;" in everything
    found = (
        await staff.client.get("/studio/orders?q=L2-S&status=to_ship&show=aw26&from=2020-01-01&to=2199-01-01")
    ).text
    assert other.number in found
    assert ada.number not in found
    assert "No order is like that." in (await staff.client.get("/studio/orders?q=nobody")).text
    wrong = await staff.client.get("/studio/orders?from=yesterday")
    assert 'role="alert"' in wrong.text
    assert (await staff.client.get("/studio/orders.csv?from=yesterday")).status_code == 422


async def test_the_csv_has_a_row_a_line_and_no_cell_that_a_spreadsheet_would_run(web: Web):
    evil = msgspec.structs.replace(BUYER, name='=HYPERLINK("http://evil.example","click")')
    order = await an_order(web, contact=evil)
    staff = await web.signed_in(web.house.staff)
    answer = await staff.client.get("/studio/orders.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["content-disposition"].startswith('attachment; filename="orders-20')
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [(row["number"], row["sku"], row["qty"], row["unit_price"], row["look"]) for row in rows] == [
        (order.number, "L1-S", "2", "129.00", "1"),
        (order.number, "L2-M", "1", "129.00", "2"),
    ]
    assert {row["name"] for row in rows} == {'\'=HYPERLINK("http://evil.example","click")'}
    assert {row["show"] for row in rows} == {"AW26"}
    assert all(re.fullmatch(r"\d+:\d\d:\d\d into the show", row["drop"]) for row in rows)
    assert all(row["media_second"].isdigit() for row in rows)
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row.values())


async def test_the_csv_has_all_of_an_address_and_how_the_total_came_about(web: Web):
    await web.services.terms.add_method(web.house.show.brand_id, name="Courier", places="*", price_minor=900)
    there = msgspec.structs.replace(BUYER.address, country="US", area="NY", city="New York", postcode="10001")
    order = await an_order(web, contact=msgspec.structs.replace(BUYER, address=there))
    staff = await web.signed_in(web.house.staff)
    text = (await staff.client.get("/studio/orders.csv")).content.decode("utf-8-sig")
    row = next(iter(csv.DictReader(io.StringIO(text))))
    assert (row["area"], row["district"], row["country"]) == ("NY", "", "US")
    assert (row["order_discount"], row["order_shipping"], row["order_tax"]) == ("0.00", "9.00", "0.00")
    assert (row["order_total"], order.total.minor) == ("396.00", 39_600)


async def test_packing_lists_have_what_is_still_to_be_shipped_and_nothing_else(web: Web):
    first, second = await an_order(web), await an_order(web, ("L2-S", 2))
    staff = await web.signed_in(web.house.staff)
    await act(staff, first.number, "shipments", lines={"L1-S": 2})
    page = (await staff.client.get(f"/studio/packing?n={first.number}&n={second.number}&n=FR-NONE-NONE")).text
    assert page.count('data-testid="sheet"') == 2
    assert "L2-M" in page
    assert "L1-S" not in page, "it left already"
    await act(staff, first.number, "cancel")
    assert first.number not in (await staff.client.get(f"/studio/packing?n={first.number}")).text
    assert "Nothing to pack" in (await staff.client.get("/studio/packing")).text


async def test_a_form_of_a_hundred_lines_brings_its_token_too(web: Web):
    """The form's own token is among its fields: however many lines an order has, it is found."""
    await web.house.go_live(1)
    s = web.services
    product = await s.catalogue.add_product(
        web.house.show.brand_id,
        slug="socks",
        title="Socks",
        variants=[NewVariant(f"SOCK-{n}", f"{n}", "Ink", "#112", 100, 5) for n in range(60)],
    )
    look = await s.runsheets.add_look(web.house.show.id, 9, "Socks", [product])
    await s.gate.open(web.house.show.id)
    await s.programmes.forget(web.house.show.id) if hasattr(s.programmes, "forget") else None
    await s.desk.drop(web.house.show.id, look, "test")
    order = await bought(s, web.house.show.id, *((f"SOCK-{n}", 1) for n in range(60)))
    staff = await web.signed_in(web.house.staff)
    fields = fields_of((await staff.open(f"/studio/orders/{order.number}")).text, "fulfil")
    answer = await post(staff, order.number, {**fields, **{f"qty-SOCK-{n}": "1" for n in range(60)}})
    assert answer.status_code == 200, answer.text[:300]
    assert (await s.orders.by_id(order.id)).status == "fulfilled"
