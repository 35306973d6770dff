"""The cells of the transfer report: what is inside the ranges of training and what is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_training.deployment.transfer import episodes
from policy_training.deployment.transfer.conditions import (
    ENDS,
    GROUPS,
    HELD_OUT,
    HOPELESS,
    INSIDE,
    SEEDS,
    TIERS,
    chosen,
    conditions,
    outside,
    pours_with,
    scenario,
)
from policy_training.deployment.transfer.episodes import SCRIPTED, WAYS, episode
from sim.pouring.cell import PourCell
from sim.pouring.domain import FULL
from sim.pouring.guarded import Stack

BUNDLE = Path(__file__).parents[3] / "artifacts" / "pour_coffee"
BY_NAME = {condition.name: condition for condition in conditions()}
FEW = range(SEEDS, SEEDS + 4)


def test_names_are_the_conditions_own() -> None:
    assert len(BY_NAME) == len(conditions()) and not BY_NAME.keys() & set(TIERS)
    assert {condition.tier for condition in conditions()} == set(TIERS)


@pytest.mark.parametrize("name", [c.name for c in conditions() if c.tier in (HELD_OUT, HOPELESS)])
def test_what_is_held_out_lies_outside_the_ranges_of_training(name: str) -> None:
    condition = BY_NAME[name]
    assert condition.fluid or all(outside(scenario(condition, seed).domain) for seed in FEW)


@pytest.mark.parametrize("tier", [INSIDE, ENDS])
def test_what_is_inside_does_not(tier: str) -> None:
    for condition in chosen((tier,)):
        assert not any(outside(scenario(condition, seed).domain) for seed in FEW), condition.name


def test_a_scale_that_is_10_g_off_can_be_poured_with_and_is_not_hopeless() -> None:
    assert {c.name for c in chosen((HOPELESS,))} == {"delay 250 ms", "target 40 mm off", "no proposals"}
    for name in ("load cell 10 g high", "load cell 10 g low", "wrist 10 g high", "wrist 10 g low"):
        assert BY_NAME[name].tier == HELD_OUT


def test_groups_and_ends_hold_every_quantity_that_varies() -> None:
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(FULL.varied)
    ends = {name for name in FULL.varied if {f"{name} low", f"{name} high"} & BY_NAME.keys()}
    assert ends == set(FULL.varied)


def test_a_seed_keeps_what_conditions_have_in_common() -> None:
    pours, denser, full = (scenario(BY_NAME[name], SEEDS) for name in ("pours", "denser", "full"))
    assert denser.domain.granules == pours.domain.granules == full.domain.granules
    assert denser.domain.granule_radius == pours.domain.granule_radius
    assert pours.domain.granule_density != denser.domain.granule_density == 3000.0
    for other in (denser, full):
        np.testing.assert_array_equal(other.receiver_position, pours.receiver_position)
        np.testing.assert_array_equal(other.lip_start, pours.lip_start)
        assert other.seed == pours.seed
    assert scenario(BY_NAME["pours"], SEEDS + 1).domain != pours.domain


def test_every_way_pours_the_same_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    whole = Stack.pour
    monkeypatch.setattr(
        Stack, "pour",
        lambda self, rule, pour: (seen.append(pour), whole(self, rule, pour, time_limit=0.1))[1],
    )  # fmt: skip
    for way in WAYS:
        episode(BUNDLE, BY_NAME["full"], way, SEEDS)
    assert len({repr(one) for one in seen}) == 1 and len(seen) == 3


@pytest.mark.parametrize("name", ["more granules", "narrower held cup", "taller receiver", "taller held cup"])
def test_odd_cups_start_clear_of_each_other_and_hold_what_is_in_them(name: str) -> None:
    cell = PourCell()
    for seed in range(SEEDS, SEEDS + 8):
        cell.reset(scenario(BY_NAME[name], seed))
        still = np.tile(cell.data.qpos[:7], (30, 1))
        cell.advance(still, np.zeros_like(still))
        found = cell.outcome()
        assert (found.landed, found.spilled, found.contact, found.limit_broken) == (0, 0, False, False)


def test_taller_cups_start_as_much_higher() -> None:
    """15 mm for the receiving cup, and 5 mm for the held one: its middle stays where it is held."""
    starts = {name: scenario(BY_NAME[name], SEEDS).lip_start for name in BY_NAME}
    for name, higher in (("taller receiver", 0.015), ("taller held cup", 0.005), ("full", 0.0)):
        np.testing.assert_allclose(starts[name] - starts["pours"], [0.0, 0.0, higher], atol=1e-12)


def test_an_explicit_integrator_holds_the_arm_still() -> None:
    """The dampers of its actuators would make the light last links of the arm fly."""
    cell = PourCell()
    cell.reset(scenario(BY_NAME["integrator Euler"], SEEDS))
    assert np.abs(cell.data.qvel[:7]).max() < 0.01 and not cell.limit_broken


def test_the_scripted_controller_pours_a_fluid() -> None:
    found = [episode(BUNDLE, BY_NAME["fluid"], SCRIPTED, seed) for seed in FEW]
    assert all(one["success"] for one in found)
    assert all(one["total"] > 500 for one in found)  # drops


def test_an_arm_told_by_messages_is_another() -> None:
    """Where their times are part of the condition."""
    late = BY_NAME["commands 10 to 30 ms late"]
    assert late.driven and BY_NAME["full"].driven and BY_NAME["time"].driven
    domain = scenario(late, SEEDS).domain
    arm = episodes.driven_arm(domain)
    assert (arm.lag, arm.delay) == (domain.lag, pytest.approx((0.01, 0.03)))


def test_pours_with_leaves_the_rest_as_from_pour_to_pour() -> None:
    spread = pours_with(delay=0.15)
    assert spread.base.delay == 0.15 and "delay" not in spread.varied and "granules" in spread.varied
