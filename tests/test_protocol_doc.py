"""docs/protocol.md says what the code does: every kind, every field, every limit, every close code."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from protocol_tables import DOCUMENT, SECTIONS, documented, tables

import chat.envelope
import chat.errors
import chat.message
import chat.moderation.review
import chat.pulse
import chat.questions
import chat.socket
from chat.history import LINES_REPLAYED, LOG_KEPT
from chat.hub import Limits
from chat.moderation import rules
from chat.outbox import MAX_BYTES, MAX_ITEMS
from chat.pace import MAX_TICK_S

TEXT = DOCUMENT.read_text()


def headings(text: str) -> set[str]:
    return set(re.findall(r"^### `(\S+)`$", text, re.MULTILINE))


def test_the_document_lists_every_kind_and_no_other() -> None:
    sent = {kind for catalogues in SECTIONS.values() for catalogue in catalogues for kind in catalogue}
    assert headings(documented()) == sent


def test_bodies_fields_types_and_roles_are_those_of_the_code() -> None:
    assert documented() == tables(), "run `python tests/protocol_tables.py` and read what changed"


def test_the_comparison_can_fail() -> None:
    changed = tables().replace("| `nonce` |", "| `nonsense` |")
    assert changed != tables()
    assert headings(documented().replace("### `line.post`", "### `line.push`")) != headings(documented())


def test_no_kind_is_in_two_catalogues() -> None:
    names = [kind for catalogues in SECTIONS.values() for catalogue in catalogues for kind in catalogue]
    assert len(names) == len(set(names))


def test_every_refusal_of_the_room_is_explained() -> None:
    codes = {
        error.code
        for error in vars(chat.errors).values()
        if isinstance(error, type) and issubclass(error, chat.errors.Refused) and error is not chat.errors.Refused
    } | {"internal", "timeout"}
    explained = set(re.findall(r"^\| `(\w+)` \|", TEXT.partition("## Refusals")[2].partition("\n## ")[0], re.MULTILINE))
    assert codes == explained


def test_every_close_code_is_explained() -> None:
    source = "".join(path.read_text() for path in Path(chat.socket.__file__).parent.glob("*.py"))
    used = set(re.findall(r"\b(10(?:0[1-9]|1[0-9])|44?[0-9]{2,3})\b", source)) & {
        "1003", "1007", "1008", "1009", "1012", "1013", "4401", "4403", "4404", "4408", "4423", "4429"
    }  # fmt: skip
    section = TEXT.partition("## Close codes")[2].partition("\n## ")[0]
    assert set(re.findall(r"^\| (\d{4}) \|", section, re.MULTILINE)) == used


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("a frame in, bytes", chat.envelope.MAX_FRAME_IN_BYTES),
        ("`op`, characters", chat.envelope.MAX_OP_CHARS),
        ("a line, characters", chat.message.MAX_LINE_CHARS),
        ("a name, characters", chat.message.MAX_NAME_CHARS),
        ("log, events", LOG_KEPT),
        ("lines in a snapshot", LINES_REPLAYED),
        ("lines a person, in 30 s", rules.FLOOD_LINES),
        ("timeout, seconds, least", rules.TIMEOUT_S[0]),
        ("timeout, seconds, most", rules.TIMEOUT_S[1]),
        ("slow mode, seconds, most", rules.MAX_SLOW_S),
        ("terms a room", rules.MAX_TERMS),
        ("age, seconds, most", rules.MAX_AGE_S),
        ("raid mode, seconds, most", rules.MAX_RAID_S),
        ("cases that wait a room", chat.moderation.review.MAX_CASES),
        ("open questions a room", chat.questions.MAX_OPEN),
        ("open questions a person", chat.questions.MAX_OPEN_OF_ONE),
        ("mentions a line", chat.message.MAX_MENTIONS),
        ("a note, an appeal, a report, characters", chat.message.MAX_NOTE_CHARS),
        ("hearts are told, at most every, ms", chat.pulse.HEARTS_GAP_MS),
        ("a term, characters", rules.MAX_TERM_CHARS),
        ("intents a second and socket", int(Limits().intents_s)),
        ("intents at once and socket", int(Limits().intents_burst)),
        ("sockets a person and process", Limits().sockets_per_person),
        ("sockets a network and process", Limits().sockets_per_network),
        ("hello within, seconds", int(Limits().hello_s)),
        ("an intent's answer within, seconds", int(Limits().intent_s)),
        ("tick in a storm, ms", int(1000 * MAX_TICK_S)),
        ("events waiting for a slow reader", MAX_ITEMS),
        ("bytes waiting for a slow reader", MAX_BYTES),
        ("a slow reader is closed after, seconds", int(Limits().slow_s)),
    ],
)
def test_every_limit_is_the_codes(what: str, value: int) -> None:
    assert f"| {what} | {value:,} |" in TEXT


def test_the_examples_are_envelopes() -> None:
    examples = re.findall(r"^```json\n(.*?)\n```", TEXT, re.DOTALL | re.MULTILINE)
    assert len(examples) >= 5
    for example in examples:
        for line in example.splitlines():
            assert "kind" in msgspec.json.decode(line)
