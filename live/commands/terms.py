"""`frontrow shipping …`, `frontrow promotion …` and `frontrow tax …`: a brand's terms of sale."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from live.commands.parts import Brand, brand_of, with_services
from live.commands.start import Stop

if TYPE_CHECKING:
    from live.desk.wiring import Services

shipping_app = typer.Typer(help="Ways of sending: what they cost, and where they go.", no_args_is_help=True)
promotion_app = typer.Typer(help="Promotion codes.", no_args_is_help=True)
tax_app = typer.Typer(help="The tax that prices contain, or that is added to them.", no_args_is_help=True)

Amount = Annotated[str, typer.Option(help="In the brand's currency, like 4.90.")]


@shipping_app.command("list")
def list_shipping(brand: Brand = "") -> None:
    """The ways of sending, in the order they were added."""

    async def show(s: Services) -> None:
        from live.money import Money

        terms = await s.terms.of_brand(await brand_of(s, brand))
        for one in terms.methods:
            price = Money(one.price_minor, terms.currency).words()
            above = (
                "" if one.free_above_minor is None else f", free above {_words(one.free_above_minor, terms.currency)}"
            )
            typer.echo(
                f"{one.id}  {one.name}: {price}{above}, {one.days_min}-{one.days_max} days, {','.join(one.places)}"
            )
        if not terms.methods:
            typer.echo(
                "None: orders go anywhere, for nothing. `frontrow shipping add NAME --price 4.90 --to EU` adds one."
            )

    with_services(show)


@shipping_app.command("add")
def add_shipping(
    name: str,
    price: Amount,
    to: Annotated[str, typer.Option(help="Countries by comma, EU, or * for wherever no other way goes.")],
    free_above: Annotated[str, typer.Option(help="Goods worth so much go free.")] = "",
    days: Annotated[str, typer.Option(help="How long it takes, like 2-4.")] = "2-5",
    brand: Brand = "",
) -> None:
    """Add a way of sending. With the first one, only the countries that a way names are sent to."""
    span = re.fullmatch(r"(\d{1,3})(?:-(\d{1,3}))?", days)
    if span is None:
        raise Stop("Days are like 2-4, or 1.")

    async def add(s: Services) -> None:
        brand_id = await brand_of(s, brand)
        currency = (await s.terms.of_brand(brand_id)).currency
        added = await s.codes.add_method(
            brand_id,
            by="cli",
            name=name,
            places=to,
            price_minor=_minor(price, currency),
            free_above_minor=_minor(free_above, currency) if free_above else None,
            days=(int(span[1]), int(span[2] or span[1])),
        )
        typer.echo(added)

    with_services(add)


@shipping_app.command("remove")
def remove_shipping(method: str, brand: Brand = "") -> None:
    """Offer METHOD (its id) no more. Orders keep its name."""

    async def remove(s: Services) -> None:
        await s.codes.retire_method(await brand_of(s, brand), method, by="cli")
        typer.echo(f"{method} is offered no more.")

    with_services(remove)


@promotion_app.command("list")
def list_promotions(brand: Brand = "") -> None:
    """The codes, newest first, and how often each was used."""

    async def show(s: Services) -> None:
        brand_id = await brand_of(s, brand)
        currency = (await s.terms.of_brand(brand_id)).currency
        for one in await s.promotions.of_brand(brand_id):
            what = {
                "percent": f"{one.value / 100:g} % off",
                "amount": f"{_words(one.value, currency)} off",
                "free_shipping": "free shipping",
            }[one.kind]
            cap = f" of {one.cap}" if one.cap is not None else ""
            more = [
                f"from {_words(one.min_minor, currency)}" if one.min_minor else "",
                f"{one.cap_each} a person" if one.cap_each else "",
                f"opens {_when(one.starts_ms)}" if one.starts_ms else "",
                f"ends {_when(one.ends_ms)}" if one.ends_ms else "",
                "goes with others" if one.stacks else "",
                "retired" if one.retired_ms else "",
            ]
            typer.echo(", ".join([f"{one.code}: {what}", f"used {one.used}{cap}", *filter(None, more)]))

    with_services(show)


@promotion_app.command("add")
def add_promotion(
    code: str,
    percent: Annotated[str, typer.Option(help="Off the goods, like 10 or 12.5.")] = "",
    amount: Annotated[str, typer.Option(help="Off the goods, in the brand's currency.")] = "",
    free_shipping: Annotated[bool, typer.Option("--free-shipping", help="Sending costs nothing.")] = False,
    min: Annotated[str, typer.Option(help="Only for goods worth so much.")] = "",
    starts: Annotated[datetime | None, typer.Option(help="This machine's time.")] = None,
    ends: Annotated[datetime | None, typer.Option(help="This machine's time.")] = None,
    cap: Annotated[int | None, typer.Option(help="Orders in all.")] = None,
    cap_each: Annotated[int | None, typer.Option(help="Orders of one person.")] = None,
    stacks: Annotated[bool, typer.Option("--stacks", help="May stand beside other codes that do.")] = False,
    brand: Brand = "",
) -> None:
    """Add CODE: by exactly one of --percent, --amount and --free-shipping."""
    if [bool(percent), bool(amount), free_shipping].count(True) != 1:
        raise Stop("Say exactly one of --percent, --amount and --free-shipping.")

    async def add(s: Services) -> None:
        from live.shop.promotions import CodeTerms

        brand_id = await brand_of(s, brand)
        currency = (await s.terms.of_brand(brand_id)).currency
        kind: Literal["percent", "amount", "free_shipping"] = (
            "percent" if percent else "amount" if amount else "free_shipping"
        )
        value = _hundredths(percent) if percent else _minor(amount, currency) if amount else 0
        terms = CodeTerms(
            min_minor=_minor(min, currency) if min else 0,
            starts_ms=_ms(starts),
            ends_ms=_ms(ends),
            cap=cap,
            cap_each=cap_each,
            stacks=stacks,
        )
        await s.codes.add(brand_id, code, kind, value, terms, by="cli")
        typer.echo(f"{code.upper()} stands.")

    with_services(add)


@promotion_app.command("change")
def change_promotion(
    code: str,
    min: Annotated[str, typer.Option(help="Only for goods worth so much.")] = "",
    starts: Annotated[datetime | None, typer.Option(help="This machine's time.")] = None,
    ends: Annotated[datetime | None, typer.Option(help="This machine's time.")] = None,
    cap: Annotated[int | None, typer.Option(help="Orders in all.")] = None,
    cap_each: Annotated[int | None, typer.Option(help="Orders of one person.")] = None,
    stacks: Annotated[
        bool | None, typer.Option("--stacks/--alone", help="Beside other codes that may, or not.")
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="Take out min, starts, ends, cap or cap-each; may be said again.")
    ] = None,
    brand: Brand = "",
) -> None:
    """Change when, how often and beside what CODE holds. What is not named stays, and so does what it takes off."""
    out = {one.replace("-", "_") for one in without or []}
    if not out <= _CAN_GO.keys():
        raise Stop("--without takes min, starts, ends, cap or cap-each.")

    async def change(s: Services) -> None:
        import msgspec

        from live.shop.promotions import spelled

        brand_id = await brand_of(s, brand)
        currency = (await s.terms.of_brand(brand_id)).currency
        found = [one for one in await s.promotions.of_brand(brand_id) if one.code == spelled(code)]
        if not found or found[0].retired_ms is not None:
            raise Stop(f"No code {spelled(code)} holds.")
        named = {
            "min_minor": _minor(min, currency) if min else None,
            "starts_ms": _ms(starts),
            "ends_ms": _ms(ends),
            "cap": cap,
            "cap_each": cap_each,
            "stacks": stacks,
        }
        asked: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
        asked |= {_CAN_GO[one]: 0 if one == "min" else None for one in out}
        terms = msgspec.structs.replace(found[0].terms, **asked)
        await s.codes.change(brand_id, found[0].code, terms, by="cli", edition=found[0].edition)
        typer.echo(f"{found[0].code} holds so from now on.")

    with_services(change)


_CAN_GO = {"min": "min_minor", "starts": "starts_ms", "ends": "ends_ms", "cap": "cap", "cap_each": "cap_each"}


@promotion_app.command("retire")
def retire_promotion(code: str, brand: Brand = "") -> None:
    """Let nobody use CODE from now on. Orders that did keep what it took off."""

    async def retire(s: Services) -> None:
        await s.codes.retire(await brand_of(s, brand), code, by="cli")
        typer.echo(f"{code.upper()} is retired.")

    with_services(retire)


@tax_app.command("show")
def show_tax(brand: Brand = "") -> None:
    """The rates by place, and whether prices contain them."""

    async def show(s: Services) -> None:
        from live.shop.taxes import RATES_AS_OF, default

        terms = await s.terms.of_brand(await brand_of(s, brand))
        own = terms.tax != default(terms.country)
        typer.echo("Prices contain the tax." if terms.tax.included else "Tax is added to prices.")
        typer.echo("Rates of the brand's own." if own else f"Standard rates as of {RATES_AS_OF}; check them.")
        for place, rate in sorted(terms.tax.rates.items()):
            typer.echo(f"{place}  {rate / 100:g} %")

    with_services(show)


@tax_app.command("set")
def set_tax(
    rates: Annotated[list[str], typer.Argument(help="PLACE=PERCENT, like DE=19 or CA-ON=13; 0 is a rate too.")],
    added: Annotated[
        bool | None, typer.Option("--added/--included", help="Added to prices, or contained in them.")
    ] = None,
    brand: Brand = "",
) -> None:
    """Set rates; the others stay as they are."""

    async def change(s: Services) -> None:
        said = dict(rate.partition("=")[::2] for rate in rates)
        new: dict[str, int | None] = {place.upper(): _hundredths(percent) for place, percent in said.items()}
        included = None if added is None else not added
        await s.codes.set_rates(await brand_of(s, brand), new, by="cli", included=included)
        typer.echo("Set.")

    with_services(change)


@tax_app.command("reset")
def reset_tax(brand: Brand = "") -> None:
    """Go by the standard rates of the brand's country again."""

    async def reset(s: Services) -> None:
        await s.codes.reset_tax(await brand_of(s, brand), by="cli")
        typer.echo("By the standard rates.")

    with_services(reset)


def _minor(text: str, currency: str) -> int:
    from live.money import typed_minor

    try:
        return typed_minor(text, currency)
    except ValueError as why:
        raise Stop(f"{text or 'Nothing'}, as an amount of {currency}, {why}.") from None


def _hundredths(text: str) -> int:
    from live.money import typed_hundredths

    try:
        return typed_hundredths(text)
    except ValueError as why:
        raise Stop(f"{text or 'Nothing'}, as a percentage, {why}.") from None


def _words(minor: int, currency: str) -> str:
    from live.money import Money

    return Money(minor, currency).words()


def _ms(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp() * 1000)


def _when(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")
