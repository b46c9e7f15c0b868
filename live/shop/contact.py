"""Who an order goes to. Pure: a contact is taken whole or its first wrong field is named."""

from __future__ import annotations

import re
from functools import cache

import msgspec
from babel import Locale

from live.errors import Invalid

# One @, something before it, a dot after it, no spaces: the rest only a letter that arrives can tell.
_EMAIL = re.compile(r"[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+")
_LIMITS = {"name": 120, "email": 254, "line1": 120, "line2": 120, "city": 80, "postcode": 16}


class Address(msgspec.Struct, frozen=True):
    """Where it is sent. `country` is ISO 3166-1 alpha-2."""

    line1: str
    city: str
    country: str
    postcode: str = ""
    line2: str = ""


class Contact(msgspec.Struct, frozen=True):
    """Who buys."""

    name: str
    email: str
    address: Address


def checked(contact: Contact) -> Contact:
    """The contact without stray blanks, its country in capitals. Raises Invalid(field, why)."""
    fields = {
        "name": contact.name,
        "email": contact.email,
        "address.line1": contact.address.line1,
        "address.line2": contact.address.line2,
        "address.city": contact.address.city,
        "address.postcode": contact.address.postcode,
    }
    clean = {field: " ".join(text.split()) for field, text in fields.items()}
    for field, text in clean.items():
        limit = _LIMITS[field.rpartition(".")[2]]
        if len(text) > limit:
            raise Invalid(field, f"has more than {limit} characters")
        if not text.isprintable():
            raise Invalid(field, "has characters that can't be printed")
        if not text and field not in ("address.line2", "address.postcode"):
            raise Invalid(field, "is missing")
    if not _EMAIL.fullmatch(clean["email"]):
        raise Invalid("email", "is not an e-mail address")
    country = contact.address.country.strip().upper()
    if country not in _countries():
        raise Invalid("address.country", "is not a country's two letters" if country else "is missing")
    return Contact(
        clean["name"],
        clean["email"],
        Address(
            clean["address.line1"], clean["address.city"], country, clean["address.postcode"], clean["address.line2"]
        ),
    )


@cache
def _countries() -> frozenset[str]:
    codes = (str(code) for code in Locale("en").territories)
    return frozenset(code for code in codes if len(code) == 2 and code.isalpha()) - {"ZZ", "EU", "UN"}
