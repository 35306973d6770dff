"""How much one browser may ask of the operator page: on a clock that the test sets, no server."""

import pytest

from spillguard_ros.operator import page_limits
from spillguard_ros.operator.page_client import STOP
from spillguard_ros.operator.page_limits import Bucket, Doors, Guesses, Visitor, crowded_out, origin
from spillguard_ros.operator.page_requests import CALLED_OFF, MOST_WAITING, TOO_MANY, Presses


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def guessed(guesses: Guesses, clock: Clock, address: str, seconds: float) -> int:
    """How many guesses are looked at in this time of one window that always has another ready."""
    end, looked_at = clock.now + seconds, 0
    while True:
        clock.now += guesses.wait(address) + 1e-3
        if clock.now > end:
            return looked_at
        guesses.wrong(address)
        looked_at += 1


def test_guesses_become_slow_and_stay_so(clock: Clock) -> None:
    guesses = Guesses(clock)
    assert guessed(guesses, clock, "10.0.0.5", 60.0) < 35
    assert guessed(guesses, clock, "10.0.0.5", 3600.0) < 3600.0 / page_limits.LONGEST + 1


def test_a_person_who_mistypes_a_few_times_does_not_wait(clock: Clock) -> None:
    guesses = Guesses(clock)
    for _ in range(page_limits.FREE):
        assert guesses.wait("10.0.0.5") == 0.0
        guesses.wrong("10.0.0.5")


def test_a_flood_of_guesses_slows_its_sender_most_and_locks_nobody_out(clock: Clock) -> None:
    guesses = Guesses(clock)
    for _ in range(100_000):
        guesses.wrong("10.0.0.5")
    assert guesses.wait("10.0.0.5") == page_limits.LONGEST
    assert 0.0 < guesses.wait("10.0.0.6") <= page_limits.LONGEST_FOR_ALL
    guesses.right("10.0.0.5")
    assert guesses.wait("10.0.0.5") <= page_limits.LONGEST_FOR_ALL


def test_wrong_guesses_are_forgotten(clock: Clock) -> None:
    guesses = Guesses(clock)
    for _ in range(100_000):
        guesses.wrong("10.0.0.5")
    clock.now += 100 * page_limits.FORGOTTEN
    assert guesses.wait("10.0.0.5") == 0.0


def test_many_addresses_are_slowed_down_together_and_memory_is_bounded(clock: Clock) -> None:
    guesses = Guesses(clock)
    for number in range(10_000):
        guesses.wrong(f"10.1.{number // 250}.{number % 250}")
    assert guesses.wait("10.9.9.9") == page_limits.LONGEST_FOR_ALL
    assert len(guesses._from) <= page_limits.MOST_ADDRESSES


def test_a_bucket_delays_what_comes_too_fast_and_nothing_else(clock: Clock) -> None:
    bucket = Bucket(100.0, 200, clock)
    assert [bucket.wait() for _ in range(200)] == [0.0] * 200
    assert bucket.wait() == pytest.approx(0.01)
    clock.now += 0.01
    for _ in range(1000):  # whoever sends at half the rate never waits
        clock.now += 0.02
        assert bucket.wait() == 0.0


def test_connections_come_slowly_from_one_address(clock: Clock) -> None:
    doors = Doors(2.0, 20, clock)
    admitted = [doors.admits("10.0.0.5") for _ in range(1000)]
    assert sum(admitted) == 20
    assert doors.admits("10.0.0.6")
    clock.now += 0.5 + 1e-6
    assert doors.admits("10.0.0.5") and not doors.admits("10.0.0.5")


def test_a_crowd_displaces_its_own_and_no_unlocked_window() -> None:
    attackers = {number: Visitor("10.0.0.5", False) for number in range(10)}
    others = {20: Visitor("10.0.0.6", False), 21: Visitor("10.0.0.5", True)}
    assert crowded_out(attackers | others, 12) is None
    assert crowded_out(attackers | others, 11) == 0
    assert crowded_out({21: others[21], 5: attackers[5]}, 1) == 5
    unlocked = {number: Visitor("10.0.0.5", True) for number in range(3)}
    assert crowded_out(unlocked, 2) == 2  # the newcomer, if nobody else can go


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.0.0.5", "10.0.0.5"), ("::ffff:10.0.0.5", "10.0.0.5"), ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:1", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64"),
        ("unknown", "unknown"), ("", ""),
    ],
)  # fmt: skip
def test_a_place_is_an_address_or_a_network(address: str, expected: str) -> None:
    assert origin(address) == expected


def test_presses_of_one_window_keep_their_order_and_nobody_waits_for_another() -> None:
    presses = Presses()
    for _ in range(1000):
        presses.add("reset", 1)
    presses.add("hold", 2)
    taken, dropped = presses.take()
    assert taken == [("reset", 1), ("hold", 2)]
    assert dropped == {("reset", 1): TOO_MANY}
    rest = [presses.take() for _ in range(MOST_WAITING)]
    assert [taken for taken, _ in rest] == [[("reset", 1)]] * (MOST_WAITING - 1) + [[]]


def test_a_stop_overtakes_and_calls_off_what_waits() -> None:
    """A reset and a resume that were pressed before it must not follow it."""
    presses = Presses()
    for service in ("hold", "reset", "resume"):
        presses.add(service, 1)
        presses.add(service, 2)
    presses.add(STOP, 3)
    presses.add(STOP, 3)
    presses.add(STOP, 1)
    presses.add("reset", 1)  # after it
    taken, dropped = presses.take()
    assert sorted(taken) == [(STOP, 1), (STOP, 3)]
    assert set(dropped) == {(name, client) for name in ("hold", "reset", "resume") for client in (1, 2)}
    assert set(dropped.values()) == {CALLED_OFF}
    assert presses.take() == ([("reset", 1)], {})


def test_stops_go_first() -> None:
    presses = Presses()
    presses.add("hold", 1)
    presses.add(STOP, 2)
    presses.add("hold", 1)
    presses.add("reset", 2)
    presses.add(STOP, 9)
    presses.add("hold", 1)
    assert presses.take()[0] == [(STOP, 2), (STOP, 9), ("hold", 1)]
