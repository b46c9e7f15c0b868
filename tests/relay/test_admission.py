"""The gate by measured load: pure, the time is a number."""

from __future__ import annotations

from live.relay import admission
from live.relay.admission import Gate, Sample


class Machine:
    """A relay's measures, half a second at a time."""

    def __init__(self, busy: float = 0.85) -> None:
        self.gate = Gate(busy)
        self.now_ms = 0
        self.cpu_s = 0.0
        self.packets = self.dropped = 0
        self.viewers = 100

    def run(self, seconds: float, *, cpu: float = 0.3, lag_ms: float = 1.0, drops: float = 0.0) -> Machine:
        for _ in range(round(seconds * 2)):
            self.now_ms += 500
            self.cpu_s += cpu / 2
            self.packets += 1000
            self.dropped += round(1000 * drops)
            self.gate.take(Sample(self.now_ms, self.cpu_s, lag_ms, self.packets, self.dropped), self.viewers)
        return self

    def admits(self) -> bool:
        return self.gate.admits(self.now_ms, self.viewers)


def test_a_quiet_relay_takes_viewers_and_says_how_full_it_is() -> None:
    quiet = Machine().run(10)
    assert quiet.admits()
    assert 0.3 < quiet.gate.load(100, 1000) < 0.4, "by CPU"
    assert quiet.gate.load(900, 1000) == 0.9, "by places"
    assert quiet.gate.load(1000, 1000) == 1.0


def test_each_measure_alone_shuts_the_gate_and_says_which_it_was() -> None:
    for what, why in (({"cpu": 0.9}, "cpu"), ({"lag_ms": 60.0}, "lag"), ({"drops": 0.03}, "drops")):
        machine = Machine().run(10)
        assert machine.admits(), "premise"
        machine.run(5, **what)
        assert not machine.admits()
        assert machine.gate.why == why
        assert machine.gate.load(100, 1000) == 1.0, "web sends nobody here"


def test_one_pause_of_the_collector_or_one_busy_half_second_shuts_nothing() -> None:
    machine = Machine().run(10).run(0.5, lag_ms=300, cpu=1.0).run(1)
    assert machine.admits()


def test_between_the_two_marks_the_gate_stays_as_it_was() -> None:
    machine = Machine().run(5, cpu=0.8)
    assert machine.admits(), "below the upper mark: open stays open"
    machine.run(5, cpu=0.9)
    assert not machine.admits()
    machine.run(10, cpu=0.8)
    assert not machine.admits(), "above the lower mark: shut stays shut"
    machine.run(10, cpu=0.6)
    assert machine.admits()


def test_a_load_at_the_mark_does_not_make_the_gate_flap() -> None:
    machine = Machine().run(10)
    for _ in range(40):
        machine.run(1, cpu=0.87).run(1, cpu=0.82)
    assert machine.gate.shuts <= 1


def test_it_stays_shut_for_three_seconds_at_least() -> None:
    machine = Machine().run(5).run(4.5, cpu=0.95)
    assert machine.gate.shut, "premise"
    shut_ms = machine.gate._shut_ms
    while machine.gate.shut:
        machine.run(0.5, cpu=0.0)
    assert machine.now_ms - shut_ms >= admission.SHUT_AT_LEAST_MS


def test_a_rush_is_counted_before_it_is_measured() -> None:
    machine = Machine().run(10, cpu=0.5)  # 100 viewers on half a core: 5 ms/s each
    let_in = 0
    while machine.admits() and let_in < 1000:
        let_in += 1
    assert 100 <= let_in <= 160, "what they will cost is known from those who are on"


def test_a_relay_that_has_measured_nothing_yet_takes_viewers() -> None:
    assert Machine().run(1, cpu=1.0).admits()


def test_without_a_mark_only_places_count() -> None:
    machine = Machine(busy=0.0).run(10, cpu=1.0, lag_ms=500, drops=0.5)
    assert machine.admits()
    assert machine.gate.load(250, 1000) == 0.25
