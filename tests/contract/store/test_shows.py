"""Shows on both SQL stores."""

import pytest

from live.errors import Conflict, Invalid
from live.store.tables import shows


async def test_a_slug_is_one_shows_and_fit_for_an_address(s):
    brand = await s.catalogue.add_brand(slug="a", name="A", currency="EUR", country="FR")
    assert (await s.shows.create(brand, "aw-26", "AW26")).slug == "aw-26"
    with pytest.raises(Conflict):
        await s.shows.create(brand, "aw-26", "Again")
    for slug in ("", "AW26", "a/b", "a b", "../x", "-a", "a-", "x" * 65):
        with pytest.raises(Invalid):
            await s.shows.create(brand, slug, "Odd")


async def test_shows_are_listed_live_first_then_to_come_then_the_last_that_ended(s):
    brand = await s.catalogue.add_brand(slug="a", name="A", currency="EUR", country="FR")
    made = {
        slug: await s.shows.create(brand, slug, slug, starts_ms=at)
        for slug, at in (("later", 300), ("sooner", 200), ("live", 100), ("over", 50))
    }
    for slug in ("live", "over"):
        await s.shows.advance(made[slug].id, "open", at_ms=0, actor="t")
    await s.shows.advance(made["over"].id, "end", at_ms=0, actor="t")
    assert [show.slug for show in await s.shows.list()] == ["live", "sooner", "later", "over"]
    assert await s.shows.live_ids() == [made["live"].id]


async def test_a_publishing_key_is_kept_as_its_digest_alone(s):
    brand = await s.catalogue.add_brand(slug="a", name="A", currency="EUR", country="FR")
    show = await s.shows.create(brand, "aw26", "AW26")
    assert not await s.shows.has_publish_key(show.id)
    key = await s.shows.set_publish_key(show.id)
    assert await s.shows.check_publish_key(key) == show.id
    assert await s.shows.check_publish_key(key[:-1]) is None
    assert key not in str(await s.db.read(lambda sql: [tuple(row) for row in sql.execute(shows.select())]))
    assert key.encode() not in b"".join(path.read_bytes() for path in s.settings.data_dir.glob("frontrow.sqlite3*"))
