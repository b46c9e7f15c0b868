"""Who makes room in a full foyer."""

from __future__ import annotations

from live.relay.foyer import Waiting, who_goes


def test_the_one_who_never_sent_a_check_goes_first_and_the_eldest_of_them() -> None:
    waiting = [
        Waiting("checked", "a", True, 7000),
        Waiting("young", "a", False, 400),
        Waiting("old", "b", False, 3000),
        Waiting("older", "a", False, 3500),
    ]
    assert who_goes(waiting, "c") == "older"
    assert who_goes(waiting[1:2], "c") is None, "nobody is pushed out before she could answer"


def test_among_those_who_checked_the_heaviest_network_makes_room_for_a_lighter_one() -> None:
    flood = [Waiting(f"f{n}", "flood", True, 3000 + n) for n in range(5)]
    house = [Waiting(f"h{n}", "house", True, 9000) for n in range(2)]
    assert who_goes([*flood, *house], "new") == "f4"
    assert who_goes([*flood, *house], "flood") is None, "the flood does not push out the house"
    assert who_goes([*flood[:1], *house[:1]], "new") is None, "two networks do not take turns"
    young = [one._replace(age_ms=500) for one in flood]
    assert who_goes(young, "new") is None
