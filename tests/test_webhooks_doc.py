"""docs/webhooks.md is what the code tells, kind by kind and field by field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from live.accounts.scopes import Scope
from live.shop.webhooks.deliveries import JITTER, RETRY_AFTER_S
from live.shop.webhooks.endpoints import OVERLAP_MS
from live.shop.webhooks.kinds import READ_BY, SHAPES, WORDS, Kind
from live.shop.webhooks.postbox import EACH, POST_TIMEOUT_S
from live.shop.webhooks.way_out import SNIPPET

PAGE = (Path(__file__).parents[1] / "docs" / "webhooks.md").read_text()
TABLE = {kind: (when, data) for kind, when, data in re.findall(r"^\| `(\w+\.\w+)` \| (.+) \| (.+) \|$", PAGE, re.M)}


def test_every_kind_stands_in_the_table_with_its_words_and_no_other() -> None:
    assert {kind: when for kind, (when, _) in TABLE.items()} == WORDS
    assert set(WORDS) == set(SHAPES) == set(get_args(Kind))


def test_every_kind_names_the_scope_that_reads_the_like() -> None:
    assert set(READ_BY) == set(get_args(Kind))
    assert set(READ_BY.values()) <= set(get_args(Scope))


def test_the_fields_named_are_fields_and_all_of_them_are_named() -> None:
    for kind, (_, data) in TABLE.items():
        named = set(re.findall(r"`(\w+)`", data))
        fields = set(SHAPES[kind].__struct_fields__)
        assert named <= fields, kind
        if not kind.startswith("order."):
            assert named == fields, kind
    of_orders = " ".join(data for kind, (_, data) in TABLE.items() if kind.startswith("order."))
    assert set(re.findall(r"`(\w+)`", of_orders)) == set(SHAPES["order.paid"].__struct_fields__)


def test_the_figures_are_the_codes() -> None:
    assert tuple(s * 60 for s in (5 / 60, 5, 30, 120, 300, 600, 840, 1200, 1440)) == RETRY_AFTER_S
    assert "after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h, each up to a fifth later" in PAGE
    assert (JITTER, EACH, POST_TIMEOUT_S, OVERLAP_MS, SNIPPET) == (0.2, 4, 15, 86_400_000, 2048)
    for said in ("Four requests at a time", "within 15 seconds", "For 24 hours both sign", "2 KiB are read"):
        assert said in PAGE
