"""A show's page is laid out once for many: what is a reader's own is hers alone, and what changed is seen at once."""

from __future__ import annotations

import html
import json
import re
from typing import Any

from house import Web


def told(page: str) -> tuple[str, str, dict[str, Any]]:
    csrf = re.search(r'<meta name="csrf" content="([^"]*)"', page)
    nonces = set(re.findall(r'nonce="([^"]*)"', page))
    state = re.search(r'id="state" nonce="[^"]*">(.*?)</script>', page, re.S)
    assert csrf is not None
    assert state is not None
    assert len(nonces) == 1
    assert not re.search(r"place-[0-9a-f]{32}", page), "every place is filled"
    return html.unescape(csrf[1]), nonces.pop(), json.loads(state[1])


async def test_two_who_share_a_layout_share_nothing_of_their_own(web: Web):
    await web.house.go_live(1)
    one, other = await web.viewer(), await web.viewer()
    pages = [(await browser.client.get("/shows/aw26")) for browser in (one, other, one)]
    (csrf, nonce, state), (csrf_2, nonce_2, state_2), (csrf_3, nonce_3, state_3) = [told(page.text) for page in pages]
    assert (csrf, csrf_2, csrf_3) == (one.csrf, other.csrf, one.csrf)
    assert len({nonce, nonce_2, nonce_3}) == 3
    for page, its in zip(pages, (nonce, nonce_2, nonce_3), strict=True):
        assert f"'nonce-{its}'" in page.headers["content-security-policy"]
    assert state["you"]["person"] == state_3["you"]["person"] != state_2["you"]["person"]


async def test_a_card_that_came_and_a_unit_that_went_are_in_the_next_page(web: Web):
    await web.house.go_live(1)
    reader, buyer = await web.viewer(), await web.viewer()
    assert "Coat 2" not in (await reader.client.get("/shows/aw26")).text
    await web.services.desk.drop(web.house.show.id, web.house.looks[1], "test")
    page = (await reader.client.get("/shows/aw26")).text
    assert "Coat 2" in page
    assert "5 left" in page
    await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L2-S", "op": "tap", "qty": 1})
    assert "4 left" in (await reader.client.get("/shows/aw26")).text


async def test_what_people_call_themselves_ends_no_script_and_fills_no_place(web: Web):
    await web.house.go_live(1)
    reader = await web.viewer()
    name = "</script>place-0."
    await reader.send("POST", "/api/name", {"name": name})
    page = (await reader.client.get("/shows/aw26")).text
    assert told(page)[2]["you"]["name"] == name
    assert name not in page
