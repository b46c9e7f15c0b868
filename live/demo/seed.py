"""The demo's data: the house, its ten looks, a show that isn't over, people to run it. Run again, it keeps all."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from live.accounts.roles import Role
from live.accounts.staff import Staff
from live.demo import looks, pictures
from live.desk.wiring import Services
from live.shop.catalogue import NewVariant
from live.stage.show import Show
from live.store.tables import products, variants

HOST_EMAIL, HOST_NAME = "host@maison-aurelle.example", "Camille"
MODERATOR_EMAIL, MODERATOR_NAME = "moderator@maison-aurelle.example", "Noor"
LINK_TTL_S = 24 * 3600


@dataclass(frozen=True)
class Seeded:
    """What stands: the show, its key for publishing (new each time), and tokens of one-click links."""

    show: Show
    publish_key: str
    host_link: str
    moderator_link: str
    bot_link: str


async def seed(s: Services) -> Seeded:
    """Make what is missing. A show that ended is followed by a fresh one with full shelves."""
    brand_id = await s.catalogue.add_brand(
        slug=looks.BRAND_SLUG, name=looks.BRAND_NAME, currency=looks.CURRENCY, country=looks.COUNTRY
    )
    product_ids = await _products(s, brand_id)
    show = await _show(s, brand_id, product_ids)
    host = await _person(s, HOST_EMAIL, HOST_NAME, "host", brand_id)
    moderator = await _person(s, MODERATOR_EMAIL, MODERATOR_NAME, "moderator", brand_id)
    return Seeded(
        show=show,
        publish_key=await s.shows.set_publish_key(show.id),
        host_link=await s.signin.issue_link(staff_id=host.id, ttl_s=LINK_TTL_S),
        moderator_link=await s.signin.issue_link(staff_id=moderator.id, ttl_s=LINK_TTL_S),
        bot_link=await s.signin.issue_link(staff_id=host.id, ttl_s=LINK_TTL_S),
    )


def sku_of(look: looks.Look, shade: looks.Shade, size: str) -> str:
    """`MA-03-MIDNIGHT-38`."""
    return f"MA-{look.number:02d}-{shade.name}-{size}".upper().replace(" ", "")


def _variants(look: looks.Look) -> list[NewVariant]:
    made = []
    for shade in look.shades:
        for position, size in enumerate(look.sizes):
            # The middle sizes are stocked deepest; one piece of each look is nearly gone.
            deep = look.depth if 0 < position < len(look.sizes) - 1 or len(look.sizes) == 1 else max(1, look.depth // 2)
            last = look.number % 3 == 0 and shade is look.shades[-1] and position == len(look.sizes) - 1
            made.append(
                NewVariant(
                    sku=sku_of(look, shade, size),
                    size=size,
                    colour=shade.name,
                    colour_hex=shade.hex,
                    price_minor=look.price_minor,
                    was_minor=look.was_minor,
                    on_hand=min(deep, 2) if last else deep,
                )
            )
    return made


async def _products(s: Services, brand_id: str) -> dict[int, str]:
    """Product ids by look number."""

    def known(sql: Connection) -> dict[str, str]:
        rows = sql.execute(select(products.c.slug, products.c.id).where(products.c.brand_id == brand_id))
        return {str(row.slug): str(row.id) for row in rows}

    have = await s.db.read(known)
    found: dict[int, str] = {}
    for look in looks.LOOKS:
        found[look.number] = have.get(look.slug) or await s.catalogue.add_product(
            brand_id,
            slug=look.slug,
            title=look.title,
            blurb=look.blurb,
            picture=f"/media/{pictures.name_of(look)}",
            picture_alt=pictures.alt_of(look),
            variants=_variants(look),
        )
    return found


async def _show(s: Services, brand_id: str, product_ids: dict[int, str]) -> Show:
    mine = await s.shows.list(brand_id=brand_id)
    for show in mine:
        if show.status != "ended":
            return show
    slug = looks.SHOW_SLUG if not mine else f"{looks.SHOW_SLUG}-{len(mine) + 1}"
    if mine:
        await _restock(s)
    show = await s.shows.create(
        brand_id,
        slug,
        looks.SHOW_TITLE,
        tagline=looks.SHOW_TAGLINE,
        poster=f"/media/{pictures.POSTER}",
        starts_ms=s.clock.now_ms(),
        hold_ttl_s=s.settings.hold_ttl_s,
        max_per_buyer=s.settings.max_per_buyer,
    )
    for look in looks.LOOKS:
        await s.runsheets.add_look(show.id, look.number, look.title, [product_ids[look.number]])
    return show


async def _restock(s: Services) -> None:
    """What was sold at the last show comes in again. Only between shows: no gate counts these units now."""

    def write(sql: Connection) -> None:
        for look in looks.LOOKS:
            for variant in _variants(look):
                sql.execute(
                    update(variants)
                    .where(variants.c.sku == variant.sku)
                    .values(on_hand=variants.c.sold + variant.on_hand)
                )

    await s.db.write(write)


async def _person(s: Services, email: str, name: str, role: Role, brand_id: str) -> Staff:
    person = await s.staff.by_email(email) or await s.staff.add(email, name)
    await s.staff.grant(person.id, role, brand_id=brand_id)
    return person
