"""The catalogue's pages and what they ask for, by staff; and what a file that comes in may be."""

from __future__ import annotations

import io
import os
import re
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from house import Browser, Web
from PIL import Image
from sqlalchemy import select

from live.clock import SystemClock
from live.shop import web_sizes
from live.shop.catalogue import NewVariant
from live.shop.pictures import A_PRODUCT, KEPT_S
from live.store.tables import products, variants

GPS, ORIENTATION, TURNED = 0x8825, 0x0112, 6


def drawn(size: tuple[int, int] = (1800, 2400), kind: str = "JPEG", *, mode: str = "RGB", **more: object) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, "#7a4b3a" if mode != "CMYK" else (0, 128, 128, 20)).save(out, kind, **more)
    return out.getvalue()


def with_exif(content: bytes) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = TURNED
    exif.get_ifd(GPS)[1] = "N"
    exif[0x010E] = "a secret place"
    out = io.BytesIO()
    Image.open(io.BytesIO(content)).save(out, "JPEG", exif=exif)
    return out.getvalue()


async def product_of(web: Web, number: int = 1) -> str:
    query = select(variants.c.product_id).where(variants.c.sku == f"L{number}-S")
    return str(await web.services.db.read(lambda c: c.execute(query).scalar_one()))


async def upload(browser: Browser, product: str, content: bytes, alt: str = "A coat"):
    headers = {"Origin": browser.origin, "X-CSRF": browser.csrf}
    path = f"/api/catalogue/products/{product}/pictures?alt={quote(alt)}"
    return await browser.client.post(path, content=content, headers=headers)


async def test_a_picture_is_made_anew_in_every_width_upright_and_without_the_cameras_notes(web: Web, tmp_path: Path):
    staff = await web.signed_in(web.house.staff)
    answer = await upload(staff, await product_of(web), with_exif(drawn((1800, 2400))))
    assert answer.status_code == 201, answer.text
    picture = answer.json()["picture"]
    widths = [int(part.split()[1].removesuffix("w")) for part in picture["srcset"].split(", ")]
    assert widths == [320, 640, 960, 1600]
    for part in picture["srcset"].split(", "):
        path = part.split()[0]
        served = await staff.client.get(path)
        assert (served.status_code, served.headers["content-type"]) == (200, "image/webp")
        assert "immutable" in served.headers["cache-control"]
        made = Image.open(io.BytesIO(served.content))
        assert made.width > made.height, "it lay on its side, and stands as its EXIF says"
        assert not made.getexif()
        assert b"secret place" not in served.content
    jpegs = list((tmp_path / "pictures").glob("p-*.jpg"))
    assert len(jpegs) == 1
    with Image.open(jpegs[0]) as made:
        assert not made.getexif()
    assert not [path for path in (tmp_path / "pictures").iterdir() if path.name.startswith(".")], "nothing half made"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "no JPEG, PNG or WebP"),
        (b"GIF89a" + bytes(100), "no JPEG, PNG or WebP"),
        (drawn((300, 300))[:-400], "damaged"),
        (drawn((7000, 6000), "PNG", mode="1"), "million are most"),
        (drawn((60, 60), "WEBP", save_all=True, append_images=[Image.new("RGB", (60, 60), "red")]), "moves"),
        (drawn((60, 60), "PNG") + bytes(21 * 1024 * 1024), "MiB"),
    ],
    ids=["empty", "svg", "gif", "cut", "bomb", "moving", "heavy"],
)
async def test_what_is_no_picture_for_a_page_is_refused_with_its_reason(
    web: Web, tmp_path: Path, content: bytes, why: str
):
    staff = await web.signed_in(web.house.staff)
    answer = await upload(staff, await product_of(web), content)
    if len(content) > 20 * 1024 * 1024:
        assert answer.status_code == 413
    else:
        assert (answer.status_code, answer.json()["facts"]["field"]) == (422, "picture")
        assert why in answer.json()["facts"]["why"]
    assert list((tmp_path / "pictures").iterdir()) == []


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
def test_every_kind_of_pixel_a_camera_or_a_studio_sends_becomes_a_picture(tmp_path: Path, mode: str):
    source = tmp_path / "in"
    if mode == "CMYK":
        source.write_bytes(drawn((400, 500), "JPEG", mode="CMYK"))
    elif mode == "I;16":
        Image.new("I;16", (400, 500), 40_000).save(source, "PNG")
    else:
        Image.new("RGBA", (400, 500), (200, 30, 30, 128)).convert(mode).save(source, "PNG")
    made = web_sizes.make(source, tmp_path, "p-x")
    assert made.widths == (320, 400), "no width is made up"
    small = Image.open(tmp_path / "p-x-320.webp").convert("RGBA")
    if mode == "I;16":
        assert abs(small.getpixel((5, 5))[0] - 156) < 4, "40,000 of 65,535 is grey, not white"
    assert (small.getpixel((5, 5))[3] < 255) == (mode in ("RGBA", "P"))


async def test_a_disk_that_is_full_is_said_and_nothing_half_made_stays(web: Web, tmp_path: Path, monkeypatch):
    staff = await web.signed_in(web.house.staff)
    real = Image.Image.save

    def full(self, path, kind, **more):
        if str(path).endswith(".jpg.part"):
            raise OSError(28, "No space left on device")
        real(self, path, kind, **more)

    monkeypatch.setattr(Image.Image, "save", full)
    answer = await upload(staff, await product_of(web), JPEG)
    assert (answer.status_code, answer.json()["facts"]["store"]) == (503, "disk")
    assert list((tmp_path / "pictures").iterdir()) == []


JPEG = drawn((900, 1200))


async def test_the_first_picture_is_the_cards_and_says_what_it_shows(web: Web):
    await web.house.go_live(1)
    staff, product = await web.signed_in(web.house.staff), await product_of(web)
    first = (await upload(staff, product, JPEG, "From the front")).json()["picture"]
    second = (await upload(staff, product, drawn((900, 900)), "From behind")).json()["picture"]

    async def card() -> tuple[str, str, str]:
        piece = (await staff.client.get("/api/shows/aw26")).json()["cards"][0]["pieces"][0]
        return piece["picture"], piece["picture_alt"], piece["srcset"]

    assert await card() == (first["url"], "From the front", first["srcset"])
    changed = await staff.send("PATCH", f"/api/catalogue/pictures/{second['id']}", {"first": True, "alt": "Her back"})
    assert changed.status_code == 200, changed.text
    assert await card() == (second["url"], "Her back", second["srcset"])
    assert (await staff.send("DELETE", f"/api/catalogue/pictures/{second['id']}")).status_code == 204
    assert await card() == (first["url"], "From the front", first["srcset"])
    assert (await staff.client.get(second["url"])).status_code == 200, "a bag may show it for a while"


async def test_files_of_no_picture_go_when_no_bag_and_no_receipt_can_show_them(web: Web, tmp_path: Path):
    staff, product = await web.signed_in(web.house.staff), await product_of(web)
    kept = (await upload(staff, product, JPEG)).json()["picture"]
    gone = (await upload(staff, product, JPEG)).json()["picture"]
    await staff.send("DELETE", f"/api/catalogue/pictures/{gone['id']}")
    folder = tmp_path / "pictures"
    (folder / ".p-x.upload").touch()
    assert await web.services.pictures.prune() == 0, "not yet"
    old = time.time() - KEPT_S - 60
    for path in folder.iterdir():
        os.utime(path, (old, old))
    assert await web.services.pictures.prune() == len(gone["srcset"].split(", ")) + 1
    assert (await staff.client.get(gone["url"])).status_code == 404
    assert (await staff.client.get(kept["url"])).status_code == 200


async def test_a_picture_without_words_and_a_thirteenth_are_refused(web: Web):
    staff, product = await web.signed_in(web.house.staff), await product_of(web)
    nameless = await upload(staff, product, JPEG, " ")
    assert (nameless.status_code, nameless.json()["facts"]["field"]) == (422, "alt")
    small = drawn((40, 40), "PNG")
    for _ in range(A_PRODUCT):
        assert (await upload(staff, product, small)).status_code == 201
    assert (await upload(staff, product, small)).json()["facts"]["why"] == "too_many_pictures"


async def test_a_stale_tab_overwrites_neither_words_nor_cap_nor_price(web: Web):
    staff, s = await web.signed_in(web.house.staff), web.services
    product = (await s.programmes.of(web.house.show.id)).pieces[web.house.looks[0]][0].product
    page = (await staff.open(f"/studio/catalogue/{product}")).text
    words, cap = (re.search(rf'id="{form}"[^>]*data-edition="(\w+)"', page) for form in ("words", "cap"))
    price = re.search(r'data-testid="unit-L1-S".*?data-edition="(\w+)"', page, re.S)
    assert words
    assert cap
    assert price
    forms = (
        (f"products/{product}", {"title": "Ours"}, {"title": "Theirs"}, words[1]),
        (f"products/{product}/cap", {"limit": 2}, {"limit": 3}, cap[1]),
        ("variants/L1-S/price", {"price_minor": 9_900}, {"price_minor": 8_800}, price[1]),
    )
    for path, ours, theirs, edition in forms:
        saved = await staff.send("PUT", f"/api/catalogue/{path}", {**ours, "edition": edition})
        assert saved.status_code == 200, saved.text
        stale = await staff.send("PUT", f"/api/catalogue/{path}", {**theirs, "edition": edition})
        assert (stale.status_code, stale.json()["code"]) == (409, "edited")
        again = await staff.send("PUT", f"/api/catalogue/{path}", {**ours, "edition": saved.json()["edition"]})
        assert again.status_code == 200, "what was answered is the edition to go on from"
    sheet = await s.assortment.sheet(product)
    assert (sheet.title, sheet.cap, sheet.units[0].price.minor) == ("Ours", 2, 9_900)
    assert (await staff.send("PUT", f"/api/catalogue/products/{product}", {"title": "A feed's"})).status_code == 200


async def test_the_list_finds_by_title_and_sku_and_a_product_page_shows_what_there_is(web: Web):
    staff = await web.signed_in(web.house.staff)
    everything = await staff.open("/studio/catalogue")
    assert all(f"Coat {n}" in everything.text for n in (1, 2, 3))
    assert "Hat" not in everything.text, "another brand's"
    found = await staff.open("/studio/catalogue?q=l2-s")
    assert "Coat 2" in found.text
    assert "Coat 1" not in found.text
    assert "Nothing is called that" in (await staff.open("/studio/catalogue?q=%25")).text
    piece = await staff.open(f"/studio/catalogue/{await product_of(web, 2)}")
    assert "L2-M" in piece.text
    assert "waits for its drop" in piece.text


async def test_a_piece_of_many_colours_is_folded_by_colour_and_the_first_is_open(web: Web):
    s, brand = web.services, web.house.show.brand_id
    made = [
        NewVariant(f"K-{colour}-{size}", size, colour, "#112", 12_900, 5)
        for colour in ("Bone", "Ink", "Moss")
        for size in ("S", "M")
    ]
    product = await s.catalogue.add_product(brand, slug="knit", title="Knit", variants=made)
    staff = await web.signed_in(web.house.staff)
    page = (await staff.open(f"/studio/catalogue/{product}")).text
    folds = re.findall(r'<details class="colour"[^>]*?( open)?>(.*?)</details>', page, re.S)
    skus = [re.findall(r'data-testid="unit-([^"]+)"', inside) for _, inside in folds]
    assert skus == [[f"K-{colour}-S", f"K-{colour}-M"] for colour in ("Bone", "Ink", "Moss")]
    assert [bool(is_open) for is_open, _ in folds] == [True, False, False]
    facts = [re.sub(r"<[^>]+>", "", re.findall(r"<summary.*?</summary>", inside, re.S)[0]) for _, inside in folds]
    assert facts == ["Bone2 SKUs · 10 left", "Ink2 SKUs · 10 left", "Moss2 SKUs · 10 left"]
    assert page.count('data-form="price"') == page.count('data-form="stock"') == 6
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    alone = (await staff.open(f"/studio/catalogue/{await product_of(web)}")).text
    assert "<details" not in alone, "one colour needs no fold"
    assert alone.count('data-form="price"') == 2


async def test_a_price_and_a_sale_are_set_and_the_card_says_them(web: Web):
    await web.house.go_live(1)
    staff = await web.signed_in(web.house.staff)
    sale = {"minor": 9_900, "until_ms": SystemClock().now_ms() + 60_000}
    answer = await staff.send("PUT", "/api/catalogue/variants/L1-S/price", {"price_minor": 12_900, "sale": sale})
    assert answer.status_code == 200, answer.text
    priced = answer.json()
    assert priced.pop("edition"), "what the page's next save was made from"
    assert priced == {
        "charged": {"minor": 9_900, "currency": "EUR"},
        "was": {"minor": 12_900, "currency": "EUR"},
    }
    variant = (await staff.client.get("/api/shows/aw26")).json()["cards"][0]["pieces"][0]["variants"]
    assert {one["sku"]: one["price"]["minor"] for one in variant} == {"L1-S": 9_900, "L1-M": 12_900}
    dear = await staff.send(
        "PUT", "/api/catalogue/variants/L1-S/price", {"price_minor": 9_000, "sale": {"minor": 9_000}}
    )
    assert dear.status_code == 422


async def test_another_brands_staff_find_nothing_of_it(web: Web):
    other = await web.services.staff.add("kim@example.org", "Kim")
    await web.services.people.grant(other.id, "staff", brand_id=web.house.other.brand_id)
    kim, stef = await web.signed_in(other), await web.signed_in(web.house.staff)
    product = await product_of(web)
    picture = (await upload(stef, product, JPEG)).json()["picture"]["id"]
    refused = [
        await kim.client.get(f"/studio/catalogue/{product}"),
        await kim.client.get("/studio/catalogue?brand=atelier"),
        await kim.client.get("/studio/catalogue/export.tsv?brand=atelier"),
        await kim.client.get("/api/catalogue/imports?brand=atelier"),
        await kim.send("PUT", f"/api/catalogue/products/{product}", {"title": "Mine"}),
        await kim.send("PUT", "/api/catalogue/variants/L1-S/price", {"price_minor": 1}),
        await upload(kim, product, JPEG),
        await kim.send("PATCH", f"/api/catalogue/pictures/{picture}", {"alt": "Mine"}),
        await kim.send("DELETE", f"/api/catalogue/pictures/{picture}"),
    ]
    assert [answer.status_code for answer in refused] == [404] * len(refused)
    assert "Hat" in (await kim.open("/studio/catalogue")).text, "the premise: her own she sees"
    title = select(products.c.title).where(products.c.id == product)
    assert await web.services.db.read(lambda c: c.execute(title).scalar_one()) == "Coat 1"


async def test_the_export_door_gives_a_file_that_the_import_takes_as_nothing_new(web: Web):
    staff = await web.signed_in(web.house.staff)
    exported = await staff.client.get("/studio/catalogue/export.tsv")
    assert exported.headers["content-disposition"] == 'attachment; filename="atelier.tsv"'
    headers = {"Origin": staff.origin, "X-CSRF": staff.csrf}
    sent = await staff.client.post("/api/catalogue/imports?name=again.tsv", content=exported.content, headers=headers)
    assert sent.status_code == 201, sent.text
    s = web.services
    assert await s.imports.work(s.rail.changed)
    second_tab = await web.signed_in(web.house.staff)
    (seen,) = (await second_tab.client.get("/api/catalogue/imports")).json()["imports"]
    assert (seen["state"], seen["same"], seen["new"], seen["changed"]) == ("checked", 6, 0, 0)
