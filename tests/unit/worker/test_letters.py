"""Letters to buyers: into the file mailbox, by a real SMTP server, once and again."""

from __future__ import annotations

import email
import email.policy
from collections.abc import AsyncIterator, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
import shop_world
from aiosmtpd.controller import Controller
from ports import free_port
from sqlalchemy import text

from live.clock import SetClock
from live.errors import Invalid
from live.shop.after_sale import By
from live.shop.contact import Address, Contact
from live.shop.order_acts import UNDO_MS, Parcel
from live.worker.letters import RETRY_AFTER_S, Letters
from live.worker.postman import Fate, Letter, Mailbox, Postman, Smtp

BASE = "https://shop.example.com"


class Server:
    """What the SMTP server was given, and how it answers."""

    def __init__(self) -> None:
        self.taken: list[EmailMessage] = []
        self.answer_to_rcpt = "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.answer_to_rcpt.startswith("250"):
            envelope.rcpt_tos.append(address)
        return self.answer_to_rcpt

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        self.taken.append(message)
        return "250 Taken"


@pytest.fixture
def smtp() -> Iterator[tuple[Server, str]]:
    server = Server()
    port = free_port()  # its controller knocks at the number it was given
    controller = Controller(server, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        yield server, f"smtp://127.0.0.1:{port}"
    finally:
        controller.stop(no_assert=True)


@pytest.fixture
async def world(redis_url: str, tmp_path: Path) -> AsyncIterator[shop_world.World]:
    async with shop_world.world(redis_url, tmp_path) as shop:
        shop.settings = shop.settings.model_copy(update={"public_url": BASE})
        await shop.stock_a_show({"RED": 5})
        yield shop


def letters(world: shop_world.World, postman: Postman) -> Letters:
    return Letters(world.db, world.orders, postman, world.settings, world.clock)


def boxed(folder: Path) -> list[EmailMessage]:
    found = []
    for path in sorted(folder.glob("*.eml")):
        message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        found.append(message)
    return found


def plain(message: EmailMessage) -> str:
    part = message.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


async def test_a_paid_order_is_confirmed_once_with_the_link_that_opens_it(
    world: shop_world.World, tmp_path: Path
) -> None:
    settled = await world.buy("per_ada", "RED", 2)
    by_hand = letters(world, Mailbox(tmp_path / "mail"))
    assert await by_hand.send_due() == 1
    assert await by_hand.send_due() == 0
    [message] = boxed(tmp_path / "mail")
    order = await world.orders.by_id(settled.order_id)
    assert message["To"] == "Ada Lovelace <ada@example.org>"
    assert message["From"] == "Atelier Nord <orders@shop.example.com>"
    assert order.number in message["Subject"]
    said = plain(message)
    assert "Long coat" in said
    assert "€258.00" in said
    [link] = [word for word in said.split() if word.startswith(BASE)]
    assert (await world.orders.by_token(link.rpartition("/")[2])).id == order.id
    html = message.get_body(("html",))
    assert html is not None
    assert "€258.00" in html.get_content()
    assert next((tmp_path / "mail").glob("*.eml")).stat().st_mode & 0o077 == 0


async def test_what_a_buyer_types_stays_text(world: shop_world.World, tmp_path: Path) -> None:
    name = 'Eve <b>"Bcc: all@example.org'
    contact = Contact(name, "eve@example.org", Address("<script>alert(1)</script>", "Bern", "CH", "3000"))
    await world.add("per_eve", "RED")
    placed = await world.place("per_eve", contact=contact)
    await world.provider.choose(placed.payment_ref, "success")
    await world.checkout.settle(placed.payment_id)
    assert await letters(world, Mailbox(tmp_path / "mail")).send_due() == 1
    [message] = boxed(tmp_path / "mail")
    assert message["Bcc"] is None
    assert message["To"].addresses[0].addr_spec == "eve@example.org"
    assert message["To"].addresses[0].display_name == name
    html = message.get_body(("html",))
    assert html is not None
    assert "<script>" not in html.get_content()


async def test_by_smtp_and_again_after_the_server_was_away(
    world: shop_world.World, smtp: tuple[Server, str], tmp_path: Path
) -> None:
    assert isinstance(world.clock, SetClock)
    server, url = smtp
    await world.buy("per_ada", "RED")
    away = letters(world, Smtp("smtp://127.0.0.1:1"))
    assert await away.send_due() == 0
    there = letters(world, Smtp(url))
    assert await there.send_due() == 0, "not before its pause is over"
    world.clock.advance(int(RETRY_AFTER_S[0] * 1200) + 1)
    server.answer_to_rcpt = "451 busy, come again"
    assert await there.send_due() == 0
    world.clock.advance(int(RETRY_AFTER_S[1] * 1200) + 1)
    server.answer_to_rcpt = "250 OK"
    assert await there.send_due() == 1
    [message] = server.taken
    assert message["To"] == "Ada Lovelace <ada@example.org>"
    world.clock.advance(10**9)
    assert await there.send_due() == 0


async def test_an_address_that_does_not_exist_is_not_tried_again_and_keeps_nobody_waiting(
    world: shop_world.World, smtp: tuple[Server, str]
) -> None:
    assert isinstance(world.clock, SetClock)
    server, url = smtp
    await world.buy("per_ada", "RED", key="a")
    server.answer_to_rcpt = "550 no such person"
    assert await letters(world, Smtp(url)).send_due() == 0
    server.answer_to_rcpt = "250 OK"
    world.clock.advance(10**9)
    await world.buy("per_bob", "RED", key="b")
    assert await letters(world, Smtp(url)).send_due() == 1


@pytest.mark.parametrize("address", ["(@x.org", "<a@x.org", "a@[b.c", "a b@x.org", "ä@x.org"])
async def test_an_address_that_cannot_be_written_to_keeps_nobody_waiting(
    world: shop_world.World, tmp_path: Path, address: str
) -> None:
    # Put into the books as it is: what checkout takes is its own matter.
    await world.buy("per_eve", "RED", key="a")
    await world.db.write(lambda sql: sql.execute(text("update orders set email = :it"), {"it": address}) and None)
    await world.buy("per_bob", "RED", key="b")
    by_hand = letters(world, Mailbox(tmp_path / "mail"))
    assert await by_hand.send_due() == 1
    assert await by_hand.send_due() == 0


async def test_a_full_disk_is_no_reason_to_lose_a_letter(world: shop_world.World, tmp_path: Path) -> None:
    assert isinstance(world.clock, SetClock)
    await world.buy("per_ada", "RED")
    (tmp_path / "mail").write_text("a file where the folder should be")
    by_hand = letters(world, Mailbox(tmp_path / "mail"))
    assert await by_hand.send_due() == 0
    (tmp_path / "mail").unlink()
    world.clock.advance(int(RETRY_AFTER_S[0] * 1200) + 1)
    assert await by_hand.send_due() == 1
    assert len(boxed(tmp_path / "mail")) == 1


async def test_a_refund_is_told_too(world: shop_world.World, tmp_path: Path) -> None:
    """The money came when the unit was gone: the letter says that it goes back."""
    await world.add("per_ada", "RED", 4)
    placed = await world.place("per_ada")
    await world.provider.choose(placed.payment_ref, "success")
    assert isinstance(world.clock, SetClock)
    from sqlalchemy import update

    from live.store.tables import variants

    await world.db.write(lambda c: c.execute(update(variants).where(variants.c.sku == "RED").values(on_hand=2)))
    settled = await world.checkout.settle(placed.payment_id)
    assert settled is not None
    assert settled.status == "refunded"
    assert await letters(world, Mailbox(tmp_path / "mail")).send_due() == 1
    [message] = boxed(tmp_path / "mail")
    assert "refunded" in message["Subject"]
    assert "€516.00" in plain(message)


def test_nothing_goes_out_in_the_clear_beyond_this_machine() -> None:
    """A server that offers no TLS gets no letter, unless it is this machine's own."""
    server, port = Server(), free_port()
    controller = Controller(server, hostname="127.0.0.2", port=port, ready_timeout=60)
    controller.start()
    letter = EmailMessage()
    letter["From"], letter["To"] = "a@example.org", "b@example.org"
    letter.set_content("secret")
    try:
        [(fate, why)] = Smtp(f"smtp://127.0.0.2:{port}").carry([Letter("one", letter)])
    finally:
        controller.stop(no_assert=True)
    assert fate is Fate.LATER
    assert "STARTTLS" in why
    assert server.taken == []


@pytest.mark.parametrize("url", ["mail.example.com", "http://mail.example.com", "smtp://"])
def test_a_wrong_address_of_the_server_is_said_at_the_start(url: str) -> None:
    with pytest.raises(Invalid):
        Smtp(url)


async def test_a_buyer_hears_of_each_parcel_return_refund_and_cancellation_and_of_no_mistake(
    world: shop_world.World, tmp_path: Path
) -> None:
    assert isinstance(world.clock, SetClock)
    order = (await world.buy("per_ada", "RED", 4)).order_id
    box = letters(world, Mailbox(tmp_path / "mail"))
    assert await box.send_due() == 1, "the confirmation"
    sale, n = world.after_sale, iter(range(99))

    def by() -> By:
        return By("stf_stef", f"op_{next(n)}")

    mistake = await sale.fulfil(order, by(), Parcel({"RED": 4}))
    await sale.unfulfil(order, by(), mistake.shipment)
    await sale.fulfil(order, by(), Parcel({"RED": 2}, "DHL", "JJD1", "https://dhl.example/JJD1?a=1&b=2"))
    assert await box.send_due() == 0, "not yet: it may be taken back"
    world.clock.advance(UNDO_MS)
    await sale.take_back(order, by(), {"RED": 1}, {"RED": 1}, None)
    await sale.refund(order, by(), 150, None, "what only staff read")
    await sale.cancel(order, by(), {"RED": 1}, "what only staff read")
    assert await box.send_due() == 4
    said = {str(one["Subject"]).partition(": ")[2]: one for one in boxed(tmp_path / "mail")}
    assert said.keys() == {"thank you", "on its way", "we have your return", "a refund", "cancelled"}
    shipped = plain(said["on its way"])
    for words in ("a part of your order", "The rest follows.", "Long coat", "× 2", "DHL, JJD1"):
        assert words in shipped
    assert "Follow the parcel: https://dhl.example/JJD1?a=1&b=2" in shipped
    page = said["on its way"].get_body(("html",))
    assert page is not None
    assert 'href="https://dhl.example/JJD1?a=1&amp;b=2"' in page.get_content()
    assert "€129.00 is on its way" in plain(said["we have your return"])
    assert "we refunded €1.50 of your order" in plain(said["a refund"])
    assert "the following of your order" in plain(said["cancelled"])
    for one in said.values():
        assert "staff" not in plain(one)
        assert BASE in plain(one)
        assert "\n\n\n\n" not in plain(one)


async def test_a_parcel_taken_back_after_its_letter_left_is_put_right(world: shop_world.World, tmp_path: Path) -> None:
    assert isinstance(world.clock, SetClock)
    order = (await world.buy("per_ada", "RED")).order_id
    moved = await world.after_sale.fulfil(order, By("stf_stef", "1"), Parcel({"RED": 1}))
    world.clock.advance(UNDO_MS)
    box = letters(world, Mailbox(tmp_path / "mail"))
    assert await box.send_due() == 2
    await world.after_sale.unfulfil(order, By("stf_stef", "2"), moved.shipment)
    assert await box.send_due() == 1
    said = {str(one["Subject"]).partition(": ")[2]: plain(one) for one in boxed(tmp_path / "mail")}
    assert "told you too early" in said["not on its way yet"]
