"""The host says what happens to a second publisher."""

from __future__ import annotations

import pytest
from house import Web

RULE = "/api/shows/aw26/publisher-rule"


async def test_a_new_show_lets_the_newcomer_take_over(web: Web):
    assert web.house.show.second_publisher == "takes_over"


async def test_the_host_changes_it_and_sees_it_again(web: Web):
    host = await web.signed_in(web.house.host)
    await host.open("/studio/shows/aw26")
    answer = await host.send("PUT", RULE, {"second": "refused"})
    assert answer.json() == {"second": "refused"}
    assert (await web.services.shows.by_slug("aw26")).second_publisher == "refused"
    page = (await host.open("/studio/shows/aw26")).text
    assert 'id="second-refused" data-testid="second-refused" checked' in page
    await host.send("PUT", RULE, {"second": "takes_over"})
    assert (await web.services.shows.by_slug("aw26")).second_publisher == "takes_over"


@pytest.mark.parametrize("rule", ["sometimes", "", None, 1])
async def test_a_rule_that_is_none_is_refused(web: Web, rule: object):
    host = await web.signed_in(web.house.host)
    answer = await host.send("PUT", RULE, {"second": rule})
    assert answer.status_code == 422
    assert (await web.services.shows.by_slug("aw26")).second_publisher == "takes_over"
