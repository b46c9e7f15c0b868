import pytest

from live.errors import WrongState
from live.stage.show import Show, advance

SHOW = Show(
    "shw_1", "aw26", "AW26", "", "", "brd_1", "Atelier", "EUR", "scheduled", 1, None, None, 300, 4, "takes_over"
)


def test_a_show_opens_once_and_ends_once():
    live, events = advance(SHOW, "open", 10)
    assert (live.status, live.opened_ms, [event.kind for event in events]) == ("live", 10, ["show.opened"])
    ended, events = advance(live, "end", 20)
    assert (ended.status, ended.ended_ms, [event.kind for event in events]) == ("ended", 20, ["show.ended"])


@pytest.mark.parametrize(
    ("acts", "state", "need"),
    [
        (["end"], "scheduled", "live"),
        (["open", "open"], "live", "scheduled"),
        (["open", "end", "end"], "ended", "live"),
        (["open", "end", "open"], "ended", "scheduled"),
    ],
)
def test_there_is_no_other_way_through_a_shows_life(acts, state, need):
    show = SHOW
    for act in acts[:-1]:
        show, _ = advance(show, act, 10)
    with pytest.raises(WrongState) as refused:
        advance(show, acts[-1], 20)
    assert refused.value.facts == {"state": state, "need": need}


def test_what_viewers_may_know_holds_no_key_and_no_limit():
    assert not {"publish_key_digest", "brand_id"} & set(SHOW.facts.__struct_fields__)
