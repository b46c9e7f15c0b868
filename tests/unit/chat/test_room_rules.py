"""The room's pure parts."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.envelope import answer, decode_envelope, decode_frame, encode, joined, numbered, server_frame, tail
from chat.errors import BadFrame, Invalid
from chat.message import display_name, line_text
from chat.moderation.rules import Terms, has_link, is_repeat, plain_key, skeleton_key
from chat.outbox import Item, Outbox, Policy, State
from chat.pace import MAX_TICK_S, MAX_URGENT_S, Pace
from chat.room import Attendance
from chat.seat import Bucket


@pytest.mark.parametrize(
    "text",
    [
        "badword",
        "BadWord!",
        "you badword you",
        "b a d w o r d",
        "b.a.d.w.o.r.d",
        "bаdwоrd",  # Cyrillic а and о
        "ｂａｄｗｏｒｄ",
        "𝐛𝐚𝐝𝐰𝐨𝐫𝐝",
        "b4dw0rd",
        "baaaadwooord",
        "bad\u200bword",
        "ba\u0337d\u0338w\u0335ord",
        "bad-word",
    ],
)
def test_a_blocked_term_is_found_however_it_is_dressed_up(text) -> None:
    assert Terms(["badword"]).hit(text)
    assert not Terms(["other"]).hit(text), "the premise: it is this term that hits"


@pytest.mark.parametrize("text", ["subadwordish", "bad word", "a good class", "Scunthorpe", ""])
def test_innocent_words_are_left_alone(text) -> None:
    assert not Terms(["badword", "ass", "cunt", "god"]).hit(text)


def test_phrases_prefixes_and_scripts_without_spaces() -> None:
    terms = Terms(["no  way", "spam*", "日本", "Привет"])
    assert terms.hit("no, way!")
    assert not terms.hit("way no")
    assert terms.hit("spammers")
    assert not terms.hit("antispam")
    assert terms.hit("これは日本です")
    assert terms.hit("привет всем")
    assert not Terms([]).hit("anything")


def test_keys_are_for_matching_only() -> None:
    assert plain_key("Ｆｕ\u200bｌｌ é") == "full e"
    assert skeleton_key("сор") == "cop"


def test_links_are_seen() -> None:
    assert has_link("look at https://a.example/b and example.com")
    assert not has_link("hello there. nice 3.50 shoes...")


def test_the_third_of_the_same_is_a_repeat() -> None:
    said = [plain_key("buy my shoes now")]
    assert not is_repeat("buy my shoes now!", said)
    assert is_repeat("BUY my shoes now!!", said * 2)
    assert not is_repeat("what a lovely coat", said * 2)


def test_text_is_cleaned_and_bounded() -> None:
    assert line_text("a\u202eb\nc\x00d") == "ab c d"
    assert line_text("👩\u200d🎨") == "👩\u200d🎨"
    assert line_text("नमस्ते") == "नमस्ते"
    assert line_text("a" + "\u0337" * 50) == "a" + "\u0337" * 4
    for bad in ("", "  ", "\u202e", "x" * 301):
        with pytest.raises(Invalid):
            line_text(bad)
    with pytest.raises(Invalid):
        display_name("\u200d")


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text) -> None:
    try:
        once = line_text(text)
    except Invalid:
        return
    assert line_text(once) == once


@given(st.sampled_from(["line.posted", "x.y"]), st.dictionaries(st.text(), st.text()), st.integers(1, 2**40))
def test_an_envelope_is_the_same_bytes_numbered_by_python_or_by_the_script(kind, body, seq) -> None:
    envelope = decode_envelope(numbered(seq, tail(kind, body, at=5)))
    assert (envelope.seq, envelope.kind, envelope.at) == (seq, kind, 5)
    assert msgspec.json.decode(envelope.body) == body
    assert decode_envelope(encode(kind, body)).seq is None


@pytest.mark.parametrize("size", [1, 125, 126, 65535, 65536])
def test_a_prepared_frame_is_what_the_protocol_library_would_send(size) -> None:
    from websockets.frames import Frame, Opcode

    payload = b"x" * size
    assert server_frame(payload) == Frame(Opcode.TEXT, payload).serialize(mask=False)


def test_frames_in_are_checked() -> None:
    assert decode_frame('{"kind":"a.b","op":"1","body":{"x":1}}').op == "1"
    deep = '{"kind":"line.post","op":"1","body":%s}' % ("[" * 4000 + "]" * 4000)
    for data, code in [("é" * 9000, 1009), ("[]", 1007), ("nope", 1007), ('{"kind":1}', 1007), (deep, 1007)]:
        with pytest.raises(BadFrame) as caught:
            decode_frame(data)
        assert caught.value.close_code == code
    assert joined([b"1"]) == b"1"
    assert joined([b"1", b"2"]) == b"[1,2]"
    assert msgspec.json.decode(answer("ok", 'a"b', {})) == {"kind": "ok", "op": 'a"b', "body": {}}


def line(seq: int, author: str = "per_other") -> Item:
    return Item("line.posted", b"%d" % seq, seq, author)


def sent(outbox: Outbox, after: int = 0) -> list[str]:
    return [f"{item.seq}" if item.seq else item.data.decode() for item in outbox.take(after)]


def test_an_outbox_thins_talk_but_never_ones_own_a_moderators_or_what_is_sold() -> None:
    outbox = Outbox("per_me", max_items=6)
    items = [line(1), line(2, "per_me"), line(3, "!"), Item("card.dropped", b"4", 4), line(5), line(6), line(7)]
    assert all(outbox.push(item) for item in items)
    kept = sent(outbox)
    assert [one for one in kept if one.isdecimal()] == ["2", "3", "4", "6", "7"]
    assert msgspec.json.decode(kept[0])["body"] == {"from_seq": 1, "to_seq": 1}
    assert msgspec.json.decode(kept[4])["body"] == {"from_seq": 5, "to_seq": 5}


def test_an_outbox_with_nothing_left_to_thin_is_over() -> None:
    outbox = Outbox("per_me", max_items=2)
    assert outbox.push(Item("card.dropped", b"", 1))
    assert outbox.push(Item("card.dropped", b"", 2))
    assert not outbox.push(Item("card.dropped", b"", 3))
    assert not Outbox("per_me", max_bytes=3).push(Item("card.dropped", b"1234", 1))


def test_newer_presence_replaces_older_and_the_app_may_name_its_own() -> None:
    outbox = Outbox("per_me", state_of=lambda item: State(item.kind) if item.kind != "line.posted" else None)
    for item in (Item("presence.counted", b"p1"), Item("stock.changed", b"s1", 1), Item("presence.counted", b"p2")):
        outbox.push(item)
    assert outbox.policy(Item("stock.changed", b"", 9)) is Policy.COALESCE
    outbox.push(Item("stock.changed", b"s2", 2))
    kept = sent(outbox)
    assert kept[0] == "p2"
    assert kept[2] == "2"
    assert msgspec.json.decode(kept[1])["kind"] == "events.skipped"


@given(st.lists(st.sampled_from(["talk", "mine", "sale", "count"]), max_size=60), st.integers(1, 10))
def test_an_outbox_explains_every_number(kinds, bound) -> None:
    outbox, seq = Outbox("per_me", max_items=bound), 0
    for kind in kinds:
        if kind == "count":
            item = Item("presence.counted", b"p")
        else:
            seq += 1
            author = {"talk": "per_x", "mine": "per_me", "sale": ""}[kind]
            item = Item("card.dropped" if kind == "sale" else "line.posted", b"x", seq, author)
        if not outbox.push(item):
            return
    assert len(outbox) <= bound
    explained: list[int] = []
    for item in outbox.take(0):
        if item.seq is not None:
            explained.append(item.seq)
        elif item.kind == "events.skipped":
            body = msgspec.json.decode(item.data)["body"]
            explained += range(body["from_seq"], body["to_seq"] + 1)
    assert explained == list(range(1, seq + 1))


def test_a_quiet_room_never_waits_and_a_storm_waits_a_quarter_of_a_second_at_most() -> None:
    pace = Pace()
    assert pace.due_in(0.0, 1000, urgent=False) == 0
    pace.flushed(0.0, 0.01, 1, urgent=False)
    assert pace.due_in(0.01, 1000, urgent=False) == 0
    now = 0.0
    for _ in range(12):
        now += MAX_TICK_S
        pace.flushed(now, now, 25, urgent=False)
    assert pace.due_in(now, 1000, urgent=False) == pytest.approx(MAX_TICK_S)
    assert pace.due_in(now, 3, urgent=False) == 0
    assert pace.due_in(now + 60, 1000, urgent=False) == 0


def test_what_is_sold_waits_for_no_talk_and_only_for_as_long_as_the_last_fan_out_of_its_kind_took() -> None:
    pace = Pace()
    pace.flushed(1.0, 1.01, 1, urgent=True)
    assert pace.due_in(1.01, 1000, urgent=True) == pytest.approx(0.01)
    pace.flushed(2.0, 3.0, 25, urgent=False)
    assert pace.due_in(3.0, 1000, urgent=True) == 0
    pace.flushed(4.0, 5.0, 1, urgent=True)
    assert pace.due_in(5.0, 1000, urgent=True) == pytest.approx(MAX_URGENT_S)
    pace.flushed(5.0, 5.04, 25, urgent=False)
    assert pace.due_in(5.04, 1000, urgent=True) == pytest.approx(0.01), "talk in between shortens no pause"


def test_attendance_counts_a_person_once() -> None:
    here = Attendance()
    here.enter("a")
    here.enter("a")
    here.enter("b")
    here.leave("a")
    assert sorted(here.take_changes()[0]) == ["a", "b"]
    here.leave("a")
    came, left = here.take_changes()
    assert (came, left, here.persons) == ([], ["a"], ["b"])
    here.enter("a")
    here.put_back([], ["a"])
    assert here.take_changes() == (["a"], [])


def test_a_bucket_refills() -> None:
    bucket = Bucket(2.0, 4.0)
    assert [bucket.wait_s(10.0) for _ in range(4)] == [0, 0, 0, 0]
    assert bucket.wait_s(10.0) == pytest.approx(0.5)
    assert bucket.wait_s(10.5) == 0
