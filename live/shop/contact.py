"""Who an order goes to. Pure: a contact is taken whole or its first wrong field is named."""

from __future__ import annotations

import re

import msgspec

from live.errors import Invalid
from live.shop import addresses

# One @, something before it, a dot after it, no spaces: the rest only a letter that arrives can tell.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_PLACE = ("line1", "line2", "district", "city", "area", "postcode")
_LIMITS = {
    "name": 120,
    "email": 254,
    "postcode": 16,
    "city": 80,
    "district": 80,
    "area": 80,
    "line1": 120,
    "line2": 120,
}


class Address(msgspec.Struct, frozen=True):
    """Where it is sent. `country` is ISO 3166-1 alpha-2; which of the others it needs, addresses.py says. `area` is a
    state or a province, by its code where there is one."""

    line1: str
    city: str
    country: str
    postcode: str = ""
    line2: str = ""
    area: str = ""
    district: str = ""


class Contact(msgspec.Struct, frozen=True):
    """Who buys."""

    name: str
    email: str
    address: Address


def checked(contact: Contact) -> Contact:
    """The contact without stray blanks, written as its country writes it.

    Raises Invalid(field, why); its fact `fields` has every other field that is not right.
    """
    typed = {"name": contact.name, "email": contact.email}
    typed |= {f"address.{name}": getattr(contact.address, name) for name in _PLACE}
    clean = {field: " ".join(text.split()) for field, text in typed.items()}
    errors: dict[str, str] = {}
    for field, text in clean.items():
        limit = _LIMITS[field.rpartition(".")[2]]
        if len(text) > limit:
            errors[field] = f"has more than {limit} characters"
        elif not text.isprintable():
            errors[field] = "has characters that can't be printed"
    for field in ("name", "email"):
        if not clean[field]:
            errors.setdefault(field, "is missing")
    if clean["email"] and not _EMAIL.fullmatch(clean["email"]):
        errors.setdefault("email", "is not an e-mail address")
    country = contact.address.country.strip().upper()
    place = {name: clean[f"address.{name}"] for name in _PLACE}
    if country in addresses.countries():
        for name, why in addresses.wrong(country, place).items():
            errors.setdefault(f"address.{name}", why)
    else:
        errors["address.country"] = "is not a country's two letters" if country else "is missing"
    if errors:
        first = next(field for field in (*clean, "address.country") if field in errors)
        raise Invalid(first, errors[first], fields=errors)
    place = addresses.tidy(country, place)
    return Contact(clean["name"], clean["email"], Address(country=country, **place))
