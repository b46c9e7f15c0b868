"""Redis gone, hung and back: pages go on, money fails closed and says when to ask again, all recovers by itself."""

from __future__ import annotations

import signal

import pytest
from house import CONTACT, Web, running, settings_for, until

from live.web import security


@pytest.fixture
async def web(tmp_path, own_store_server):
    async with running(settings_for(tmp_path, own_store_server.url)) as web:
        await web.house.go_live(1)
        yield web


async def test_with_redis_gone_pages_go_on_and_buying_says_when_to_ask_again(web: Web, own_store_server):
    buyer = await web.viewer()
    adding = {"sku": "L1-S", "op": "1"}
    own_store_server.stop(kill=True)
    for path in ("/", "/shows/aw26"):
        assert (await buyer.client.get(path)).status_code == 200
    assert "Coat 1" in (await buyer.client.get("/shows/aw26")).text
    add = await buyer.send("POST", "/api/shows/aw26/cart", adding)
    order = await buyer.send("POST", "/api/shows/aw26/checkout", CONTACT, Idempotency_Key="k")
    for answer in (add, order, await buyer.client.get("/api/shows/aw26")):
        assert (answer.status_code, answer.json()["code"]) == (503, "store_down")
        assert answer.headers["retry-after"] == "5"
    ready = await buyer.client.get("/readyz")
    assert (ready.status_code, ready.json()["redis"], ready.json()["sql"]) == (503, False, True)
    assert (await buyer.client.get("/healthz")).status_code == 200
    own_store_server.start()
    assert (await buyer.send("POST", "/api/shows/aw26/cart", adding)).status_code == 200
    assert (await buyer.client.get("/readyz")).status_code == 200


async def test_a_hung_redis_is_one_that_is_down(web: Web, own_store_server, monkeypatch):
    buyer = await web.viewer()
    monkeypatch.setattr(security, "REDIS_ANSWERS_WITHIN_S", 0.2)
    own_store_server._process.send_signal(signal.SIGSTOP)
    try:
        answer = await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "1"})
        assert (answer.status_code, answer.json()["code"]) == (503, "store_down")
    finally:
        own_store_server._process.send_signal(signal.SIGCONT)
        monkeypatch.undo()

    async def bought() -> bool:
        return (await buyer.send("POST", "/api/shows/aw26/cart", {"sku": "L1-S", "op": "1"})).status_code == 200

    await until(bought)  # by itself, as soon as the store has woken up
