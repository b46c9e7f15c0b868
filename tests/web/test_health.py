async def test_healthz_answers_without_a_session(web):
    browser = await web.stranger()
    answer = await browser.client.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"ok": True})
    assert "set-cookie" not in answer.headers


async def test_readyz_names_each_store(web):
    answer = await (await web.stranger()).client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "redis": True, "sql": True, "relays": 0, "draining": False}


async def test_readyz_says_no_while_the_process_drains(web):
    web.app.state.draining = True
    answer = await (await web.stranger()).client.get("/readyz")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"


async def test_metrics_are_for_this_machine_and_for_staff(web):
    near = await (await web.stranger()).client.get("/metrics")
    assert near.status_code == 200
    assert "frontrow_requests_total" in near.text
    far = await web.viewer(client_host="203.0.113.9")
    assert (await far.client.get("/metrics")).status_code == 403
    await far.sign_in(web.services, web.house.staff)
    assert (await far.client.get("/metrics")).status_code == 200


async def test_metrics_are_not_shown_to_a_client_of_a_proxy_on_this_machine(web):
    answer = await (await web.stranger()).client.get("/metrics", headers={"X-Forwarded-For": "203.0.113.9"})
    assert answer.status_code == 403
