from live.accounts.roles import Grant, badge, implied, roles_anywhere, roles_in

HERE = {"show_id": "shw_1", "brand_id": "brd_1"}


def test_whoever_has_no_grant_is_a_viewer():
    assert roles_in([], **HERE) == {"viewer"}


def test_a_host_of_one_show_moderates_it_and_is_a_viewer_in_the_next():
    grants = [Grant("host", show_id="shw_1")]
    assert roles_in(grants, **HERE) == {"viewer", "moderator", "host"}
    assert roles_in(grants, show_id="shw_2", brand_id="brd_1") == {"viewer"}


def test_a_moderator_is_no_host():
    assert "host" not in roles_in([Grant("moderator", show_id="shw_1")], **HERE)


def test_the_brands_staff_host_every_show_of_the_brand_and_none_of_another():
    grants = [Grant("staff", brand_id="brd_1")]
    assert roles_in(grants, **HERE) == {"viewer", "moderator", "host", "staff"}
    assert roles_in(grants, show_id="shw_9", brand_id="brd_2") == {"viewer"}


def test_a_grant_over_a_show_says_nothing_of_its_brand():
    assert roles_in([Grant("host", brand_id="brd_1", show_id="shw_9")], **HERE) == {"viewer"}


def test_a_misspelt_role_opens_no_door():
    assert implied("hots") == frozenset()
    assert roles_anywhere([Grant("hots", show_id="shw_1")]) == {"viewer"}


def test_roles_anywhere_gathers_what_is_held_over_any_show():
    assert roles_anywhere([Grant("moderator", show_id="a"), Grant("host", show_id="b")]) == {
        "viewer",
        "moderator",
        "host",
    }


def test_the_badge_is_the_highest_rung_and_viewers_have_none():
    assert badge(implied("host")) == "host"
    assert badge(implied("staff")) == "staff"
    assert badge(implied("viewer")) == ""
