"""README's table of settings is the code's, row by row."""

from __future__ import annotations

import re
from pathlib import Path

from live.settings import Settings

README = Path(__file__).parents[2] / "README.md"


def documented() -> dict[str, tuple[str, str]]:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (.*?) \| (.*) \|$", README.read_text(), re.M)
    assert rows, "the premise: there is a table"
    return {name: (default.strip().strip("`"), words) for name, default, words in rows}


def coded() -> dict[str, tuple[str, str]]:
    found = {}
    for field, facts in Settings.model_fields.items():
        name = str(facts.validation_alias) if facts.validation_alias else f"FRONTROW_{field.upper()}"
        default = facts.default
        shown = "" if default in (None, "") else str(default).lower() if isinstance(default, bool) else str(default)
        found[name] = (shown, facts.description or "")
    return found


def test_every_setting_is_in_the_readme_with_its_default_and_words() -> None:
    assert coded() == {name: row for name, row in documented().items() if name in coded()}


def test_the_readme_lists_no_setting_that_is_not_there() -> None:
    assert documented().keys() - coded().keys() == set()


def test_the_env_example_names_only_real_settings() -> None:
    names = re.findall(r"^# ?([A-Z_]+)=", (README.parent / ".env.example").read_text(), re.M)
    assert names
    assert set(names) <= set(coded())
