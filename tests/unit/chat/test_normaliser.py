"""What the rules catch, however it is dressed up, and what they leave alone."""

from __future__ import annotations

import pytest
from moderation_corpus import INNOCENT, LATIN, TERMS, WAYS, evasions, innocent

from chat.message import line_text
from chat.moderation import rules

CAUGHT = 0.95
HELD = 0.005


@pytest.fixture(scope="module")
def terms() -> rules.Terms:
    return rules.Terms(TERMS)


def test_of_a_corpus_of_evasions_95_in_100_are_caught(terms: rules.Terms) -> None:
    lines = evasions()
    assert len(lines) > 150
    missed = [(way, line) for way, line in lines if not terms.hit(line_text(line))]
    assert len(missed) <= (1 - CAUGHT) * len(lines), missed


def test_of_innocent_lines_in_ten_scripts_none_is_held(terms: rules.Terms) -> None:
    assert len(INNOCENT) == 10
    assert len(innocent()) > 400, "one line in two hundred can be told from none"
    held = [(script, line) for script, line in innocent() if terms.hit(line_text(line)) or rules.has_link(line)]
    assert len(held) <= HELD * len(innocent()), held


@pytest.mark.parametrize("way", WAYS)
def test_no_way_of_writing_gets_every_word_through(terms: rules.Terms, way: str) -> None:
    assert any(terms.hit(line_text(WAYS[way](word))) for word in LATIN)


def test_a_contraction_is_no_word_of_its_own_and_an_apostrophe_hides_nothing(terms: rules.Terms) -> None:
    assert not terms.hit("he'll, she\u2019ll, I'd")
    assert terms.hit("id'iot")
    assert terms.hit("what the hell's that")
