"""A packet lost in all its resends: a key frame is asked for her size at once, and not more often than for any wish."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from test_rungs import Hall

from live.relay import rtcp
from live.relay.viewer import MAX_RESENDS
from live.relay.watching import WISH_EVERY_MS, WISHES, Watching


class Loser:
    """One whose line loses a packet in all its resends; `wished` are the key frames that she made us ask for."""

    def __init__(self, hall: Hall) -> None:
        self.hall, self.guest, self.wished = hall, hall.guest(), list[Watching]()
        self.guest.watching._want_key = self.wished.append
        hall.both()
        assert self.guest.seat.span is not None
        assert hall.main.track.ring.newest is not None
        self.missed = hall.main.track.ring.newest + self.guest.seat.span.seq_offset & 0xFFFF

    def asks(self, times: int = 1) -> None:
        """By one NACK a round trip."""
        for _ in range(times):
            self.hall.pass_ms(60)
            compound = rtcp.receiver_report(1, []) + rtcp.nack(1, self.guest.seat.ssrc, [self.missed])
            self.guest.watching.heard(compound)


@pytest.fixture
async def loser() -> AsyncIterator[Loser]:
    hall = Hall("VP8")
    hall.both(key=True)
    yield Loser(hall)
    hall.close()


async def test_what_all_resends_did_not_heal_a_key_frame_does(loser: Loser) -> None:
    loser.asks(MAX_RESENDS)
    assert loser.guest.seat.resent == MAX_RESENDS
    assert loser.wished == [], "the last one may be on its way still"
    loser.asks()
    assert loser.wished == [loser.guest.watching]
    assert loser.guest.seat.resent == MAX_RESENDS, "no resend more"
    loser.asks(3)
    assert len(loser.wished) == 1, "that key frame may be on its way still"
    loser.asks(2)
    assert len(loser.wished) == 2
    loser.hall.both(key=True)
    loser.asks(6)
    assert len(loser.wished) == 2, "a key frame has come since"


async def test_a_key_frame_whose_first_packet_is_lost_is_followed_by_another(loser: Loser) -> None:
    loser.hall.both(key=True)
    assert loser.guest.seat.span is not None
    assert loser.hall.main.track.ring.key is not None
    loser.missed = loser.hall.main.track.ring.key + loser.guest.seat.span.seq_offset & 0xFFFF
    loser.asks(MAX_RESENDS + 1)
    assert loser.wished == [loser.guest.watching]


async def test_who_asks_for_ever_gets_no_more_key_frames_than_by_asking_for_them(loser: Loser) -> None:
    loser.asks(MAX_RESENDS + 200)
    assert WISHES <= len(loser.wished) <= WISHES + 200 * 60 / WISH_EVERY_MS + 1


async def test_what_she_lost_of_a_size_she_left_needs_none(loser: Loser) -> None:
    loser.hall.send_to(loser.guest, 0)
    loser.hall.both(key=True)
    loser.hall.both()
    loser.asks(MAX_RESENDS + 1)
    assert loser.wished == []
