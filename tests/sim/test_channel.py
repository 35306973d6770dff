"""Messages take as long, and get lost as often, as the domain says."""

from dataclasses import replace

import numpy as np

from sim.pouring.channel import Channel
from sim.pouring.domain import NOMINAL
from sim.pouring.pour_env import PourCoffeeEnv
from sim.pouring.scenario import Scenario

LIP = np.array([0.68, 0.12, 0.28])
RECEIVER = np.array([0.68, -0.1])


def test_a_message_arrives_after_its_delay_in_whole_periods() -> None:
    channel = Channel[str](replace(NOMINAL, delay=0.025), 0)
    channel.send(0, "a")
    assert channel.arrived(3) == []
    assert channel.arrived(4) == [(3, "a")]
    assert channel.arrived(99) == []


def test_a_delay_of_whole_periods_is_not_rounded_up() -> None:
    for periods in range(20):
        channel = Channel[str](replace(NOMINAL, delay=periods * 0.01), 0)
        channel.send(3, "a")
        assert channel.arrived(99) == [(3 + periods, "a")]


def test_what_a_later_message_has_overtaken_never_arrives() -> None:
    channel = Channel[int](replace(NOMINAL, delay=0.0, jitter=0.2), 1)
    for number in range(200):
        channel.send(5 * number, number)
    arrived = channel.arrived(10_000)
    ticks, numbers = zip(*arrived, strict=True)
    assert list(numbers) == sorted(numbers) and list(ticks) == sorted(set(ticks))
    assert 60 < len(numbers) < 200 and all(0 <= t - 5 * n <= 20 for t, n in arrived)


def test_dropped_messages_are_gone() -> None:
    channel = Channel[int](replace(NOMINAL, dropped=0.3), 2)
    for number in range(1000):
        channel.send(5 * number, number)
    assert 640 < len(channel.arrived(10_000)) < 760


def test_a_slow_policy_takes_longer_steps_and_no_longer_pour() -> None:
    env = PourCoffeeEnv(domain="nominal")
    slow = replace(NOMINAL, policy_rate=10.0)
    env.reset(seed=0, options={"scenario": Scenario(slow, RECEIVER, LIP, 0)})
    for _ in range(99):
        *_, truncated, _ = env.step(np.zeros(4, np.float32))
        assert not truncated
    assert env.step(np.zeros(4, np.float32))[3]  # 100 steps of 0.1 s
