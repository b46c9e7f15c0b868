"""Where a line was bought, in words of people who sell."""

from __future__ import annotations

import pytest

from live.shop.order_story import Origin
from live.web.order_words import drop_words, origin_words


@pytest.mark.parametrize(
    ("origin", "words", "drop"),
    [
        (
            Origin(2, "Evening coat", 35, 754_000, dropped_at_ms=720_999),
            "Look 2, Evening coat · dropped 0:12:00 into the show · bought at 0:12:34",
            "0:12:00 into the show",
        ),
        (Origin(2, "Look 2", 35, None), "Look 2", ""),
        (Origin(None, "", 35, 3_661_000), "bought at 1:01:01 into the show", ""),
        (Origin(None, "", None, None), "", ""),
    ],
)
def test_where_a_line_was_bought_is_said_by_look_and_time_and_never_by_an_id(
    origin: Origin, words: str, drop: str
) -> None:
    assert (origin_words(origin), drop_words(origin)) == (words, drop)
