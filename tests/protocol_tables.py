"""The tables of docs/protocol.md, as the two catalogues have them. `python tests/protocol_tables.py` writes them anew
after a kind has changed; the test only compares, so that a change of the wire is seen in review."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from pathlib import Path
from typing import Any, Literal, Union

import msgspec

sys.path.insert(0, str(Path(__file__).parent.parent))

from chat import kinds
from live import events

DOCUMENT = Path(__file__).parent.parent / "docs" / "protocol.md"
BEGIN, END = "<!-- tables: begin -->", "<!-- tables: end -->"

Struct = type[msgspec.Struct]

SECTIONS = {
    "Frames of the connection": [kinds.CONTROL],
    "Events, to everyone, numbered": [kinds.EVENTS, events.EVENTS],
    "Volatile, to everyone, not numbered": [kinds.VOLATILE, getattr(events, "VOLATILE", {})],
    "Private, to a person or a role, not numbered": [kinds.PRIVATE, events.PRIVATE],
    "Intents": [kinds.INTENTS, events.INTENTS],
}


def tables() -> str:
    shapes: dict[str, Struct] = {}
    out = [BEGIN]
    for title, catalogues in SECTIONS.items():
        out += ["", f"## {title}"]
        for catalogue in catalogues:
            for kind, entry in catalogue.items():
                shape, role = entry if isinstance(entry, tuple) else (entry, "")
                out += ["", f"### `{kind}`", "", *_about(shape, role), *_fields(shape, shapes)]
    out += ["", "## Shapes", "", "What the fields above hold."]
    done: set[str] = set()
    while todo := [name for name in shapes if name not in done]:
        for name in todo:
            done.add(name)
            out += ["", f"### {name}", "", *_about(shapes[name], ""), *_fields(shapes[name], shapes)]
    return "\n".join([*out, "", END])


def documented() -> str:
    found = re.search(f"{BEGIN}.*{END}", DOCUMENT.read_text(), re.DOTALL)
    assert found is not None, f"{DOCUMENT} has no tables"
    return found.group()


def _about(shape: Struct, role: str) -> list[str]:
    text = inspect.cleandoc(shape.__doc__ or "")
    # msgspec gives a struct without a docstring its signature.
    words = "" if text.startswith(shape.__name__ + "(") else " ".join(text.split())
    sender = f"May be sent by: {role}." if role else ""
    return [line for line in (" ".join(part for part in (sender, words) if part),) if line]


def _fields(shape: Struct, shapes: dict[str, Struct]) -> list[str]:
    hints = typing.get_type_hints(shape)
    fields = msgspec.structs.fields(shape)
    if not fields:
        return ["", "No fields."]
    rows = ["", "| field | type | default |", "|---|---|---|"]
    for field in fields:
        default = "" if field.required else f"`{msgspec.json.encode(_default(field)).decode()}`"
        rows.append(f"| `{field.encode_name}` | {_field_type(field.name, hints, shapes)} | {default} |")
    return rows


def _field_type(name: str, hints: dict[str, Any], shapes: dict[str, Struct]) -> str:
    # The room doesn't know what live puts into its snapshot; the document does.
    return _type(events.LiveSnapshot if name == "live" else hints[name], shapes)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default if field.default is not msgspec.NODEFAULT else field.default_factory()  # type: ignore[operator]


def _type(hint: Any, shapes: dict[str, Struct]) -> str:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_type(arg, shapes) for arg in args)
    if origin is Literal:
        return " or ".join(f'`"{arg}"`' for arg in args)
    if origin in (list, tuple, frozenset, set):
        return "list of " + _type(args[0], shapes)
    if origin is dict:
        return f"object of {_type(args[1], shapes)}"
    if origin is typing.Annotated:
        return _type(args[0], shapes)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        shapes.setdefault(hint.__name__, hint)
        return f"[{hint.__name__}](#{hint.__name__.lower()})"
    names = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null", Any: "any"}
    return names.get(hint, str(hint))


if __name__ == "__main__":
    text = DOCUMENT.read_text()
    DOCUMENT.write_text(re.sub(f"{BEGIN}.*{END}", lambda _: tables(), text, flags=re.DOTALL))
