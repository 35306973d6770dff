"""The threshold that follows measured episodes: where it rests, what it does before anything is known."""

import numpy as np
import pytest

from policy_training.experience.replay import EpisodeOutcome
from policy_training.steps.measured_threshold import (
    FEWEST,
    LONG,
    LONGEST,
    LOWEST,
    SHORTEST,
    SUCCEEDING,
    MeasuredThreshold,
    ended,
    memory_of,
)
from policy_training.steps.scalar_adam import Knob

GOOD, BAD = EpisodeOutcome(violated=False, success=True), EpisodeOutcome(violated=True, success=False)
NOWHERE = EpisodeOutcome(violated=False, success=False)


def measured(outcomes: list[EpisodeOutcome], q_c: float, asked: float = 0.1) -> MeasuredThreshold:
    """After one episode per update."""
    threshold = MeasuredThreshold(asked, wait=10_000)
    for outcome in outcomes:
        threshold.see([outcome], q_c)
    return threshold


@pytest.mark.parametrize("units", [0.2, 1.0, 3.0])  # what the critic says per violating episode
def test_where_the_asked_share_is_met_the_threshold_stays_in_any_units_of_the_critic(units: float) -> None:
    threshold = measured([BAD, *[GOOD] * 9] * 40, 0.1 * units)
    assert threshold.wanted() == pytest.approx(0.1 * units, rel=0.15)


def test_twice_the_asked_share_asks_for_half_the_risk() -> None:
    assert measured([BAD, *[GOOD] * 4] * 40, 0.06).wanted() == pytest.approx(0.03, rel=0.15)


def test_without_any_violation_it_is_relaxed_but_not_without_end() -> None:
    threshold = measured([GOOD] * 200, 0.01)
    wanted = threshold.wanted()
    assert wanted is not None and 0.01 < wanted <= 0.01 * (memory_of(0.1) + 1)


def test_old_episodes_and_old_predictions_are_forgotten_together() -> None:
    threshold = measured([*[BAD, GOOD] * 50, *[BAD, *[GOOD] * 9] * 40], 0.1)
    assert threshold.violating == pytest.approx(0.1, abs=0.04)
    for _ in range(40):
        for outcome in [BAD, *[GOOD] * 9]:
            threshold.see([outcome], 0.3)
    assert threshold.predicted == pytest.approx(0.3, rel=0.01)
    assert threshold.wanted() == pytest.approx(0.3, rel=0.15)


def test_the_prediction_of_an_episode_is_the_mean_over_its_updates() -> None:
    threshold = MeasuredThreshold(0.1, wait=10_000)
    for q_c in (0.1, 0.2, 0.3):
        threshold.see([], q_c)
    threshold.see([GOOD], 0.4)
    assert threshold.predicted == pytest.approx(0.25)


def test_the_multiplier_may_only_fall_until_episodes_succeed() -> None:
    threshold = measured([BAD] * 50, 0.6)
    assert threshold.wanted() is None
    assert threshold.excess(0.6, 0.1) == 0.0
    assert threshold.excess(0.05, 0.1) == pytest.approx(-0.05)
    for _ in range(30):
        threshold.see([GOOD], 0.3)
    assert threshold.excess(0.6, 0.1) == pytest.approx(0.5)
    for _ in range(100):  # once learned it is not taken back
        threshold.see([BAD], 0.3)
    assert threshold.excess(0.6, 0.1) == pytest.approx(0.5)


def test_a_few_lucky_episodes_are_not_enough() -> None:
    assert measured([GOOD] * (FEWEST - 1), 0.1).wanted() is None
    assert measured([GOOD] * FEWEST, 0.1).wanted() is not None


def test_exactly_half_succeeding_counts_as_learned_and_it_is_said_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", logger="policy_training.steps.measured_threshold")
    threshold = measured([GOOD, NOWHERE] * (FEWEST // 2), 0.1)
    assert threshold.awake and threshold.succeeding == SUCCEEDING
    for _ in range(20):
        threshold.see([GOOD], 0.1)
    assert caplog.text.count("measured episodes set the threshold") == 1


def test_few_episodes_count_as_few_and_a_violation_is_believed_possible() -> None:
    """(2) with n = 20 < N = 50: v_s = (20 v + delta) / 21."""
    threshold = measured([*[BAD] * 4, *[GOOD] * 16], 0.3)
    assert threshold.violating == pytest.approx(0.2)
    assert threshold.wanted() == pytest.approx(0.1 * 0.3 / ((20 * 0.2 + 0.1) / 21))


def test_a_critic_that_predicts_nothing_wants_nothing() -> None:
    assert measured([GOOD] * 50, 0.0).wanted() is None


def test_a_task_that_says_nothing_of_success_is_waited_for_only_so_long() -> None:
    threshold = MeasuredThreshold(0.1, wait=100)
    for _ in range(99):
        threshold.see([NOWHERE], 0.3)
    assert threshold.excess(0.3, 0.1) == 0.0
    threshold.see([NOWHERE], 0.3)
    assert threshold.excess(0.3, 0.1) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("asked", "episodes"), [(0.5, SHORTEST), (0.1, 50), (0.05, 100), (0.001, LONGEST), (0.01, 500)]
)
def test_the_rarer_the_asked_violations_the_longer_it_remembers(asked: float, episodes: int) -> None:
    assert memory_of(asked) == episodes


def test_a_restored_one_goes_on_as_if_nothing_had_been() -> None:
    one = measured([BAD, *[GOOD] * 9] * 5, 0.1)
    other = MeasuredThreshold(0.1, wait=10_000)
    other.load_state_dict(one.state_dict() | {"asked": 0.7, "wait": 1})  # those are the configuration's
    for threshold in (one, other):
        threshold.see([BAD], 0.2)
    assert one == other


@pytest.mark.parametrize("form", ["sigmoid", "clamp"])
@pytest.mark.parametrize("wanted", [0.003, 0.2, 0.9])
def test_a_threshold_gets_where_it_is_wanted_in_bounded_steps(form: str, wanted: float) -> None:
    knob = Knob(form, 0.05, 1.0, 0.0)
    before, longest = knob.x, 0.0
    for _ in range(3000):
        knob.approach(wanted, 0.01)
        longest, before = max(longest, abs(knob.x - before)), knob.x
    assert knob.value == pytest.approx(wanted, rel=0.01)
    assert longest <= 0.0101


def test_a_threshold_beyond_its_cap_goes_as_near_as_it_may() -> None:
    knob = Knob("sigmoid", 0.05, 0.5, 0.0)
    for _ in range(3000):
        knob.approach(7.0, 0.01)
    assert 0.499 < knob.value < 0.5


def held(threshold: MeasuredThreshold, outcomes: list[EpisodeOutcome], end: str, q_c: float = 0.3) -> None:
    """An update with an outcome each, at an end."""
    for outcome in outcomes:
        threshold.see([outcome], q_c)
        threshold.watch(end)


@pytest.mark.parametrize("end", ["the multiplier at its largest", "the threshold at its lowest"])
def test_what_cannot_be_reached_is_said_once_in_words(end: str, caplog: pytest.LogCaptureFixture) -> None:
    threshold = measured([GOOD] * 40, 0.3)
    held(threshold, [GOOD, BAD, GOOD] * (LONG // 3), end)
    assert caplog.text == ""
    held(threshold, [GOOD, BAD, GOOD] * LONG, end)
    assert (
        caplog.text.count(f"violate; 33.3 % of the last {LONG - 1} did, with {end} for {LONG} updates") == 1
    )
    assert caplog.text.count("not reached") == 1


def test_episodes_of_before_are_no_evidence(caplog: pytest.LogCaptureFixture) -> None:
    """The multiplier reached its end because of them; since then nothing was violated."""
    threshold = measured([GOOD, BAD] * 100, 0.3)
    for number in range(3 * LONG):
        threshold.see([GOOD] if number % 250 == 0 else [], 0.3)
        threshold.watch("the multiplier at its largest")
    assert caplog.text == ""


def test_too_few_episodes_at_the_end_are_no_evidence(caplog: pytest.LogCaptureFixture) -> None:
    threshold = measured([GOOD] * 40, 0.3)
    threshold.watch("the end")
    held(threshold, [BAD] * (FEWEST - 1), "the end")
    for _ in range(2 * LONG):
        threshold.see([], 0.3)
        threshold.watch("the end")
    assert caplog.text == ""
    held(threshold, [BAD], "the end")
    assert "100 % of the last 10 did" in caplog.text


def test_a_share_that_is_just_met_is_a_complaint_in_few_runs(caplog: pytest.LogCaptureFixture) -> None:
    rng, complaints = np.random.default_rng(0), 0
    for _ in range(40):
        threshold = measured([GOOD] * 40, 0.3)
        held(threshold, [BAD if bad else GOOD for bad in rng.random(3 * LONG) < 0.1], "the end")
        complaints += threshold.told
    assert complaints <= 2


def test_an_end_that_is_left_is_a_passing_state(caplog: pytest.LogCaptureFixture) -> None:
    threshold = measured([GOOD] * 40, 0.3)
    for _ in range(6):
        held(threshold, [BAD, GOOD] * (LONG // 4), "the end")
        threshold.watch("")
    assert caplog.text == ""


def test_nothing_is_said_while_the_task_is_not_learned(caplog: pytest.LogCaptureFixture) -> None:
    threshold = MeasuredThreshold(0.1, wait=10 * LONG)
    held(threshold, [BAD] * 3 * LONG, "the end")
    assert not threshold.awake and caplog.text == ""


def test_the_ends_are_named() -> None:
    assert ended(False, False) == "" and ended(True, False) == "the multiplier at its largest"
    assert ended(True, True) == "the multiplier at its largest and the threshold at its lowest"


@pytest.mark.parametrize(("units", "start"), [(1.0, 0.6), (0.03, 0.6), (0.003, 0.0005), (0.003, 0.6)])
def test_a_critic_that_says_little_is_followed_far_down(units: float, start: float) -> None:
    """Violating share 0.9 / (1 + nu), Q_c in proportion to it: the share comes to what was asked."""
    threshold, knob, nu = MeasuredThreshold(0.1, wait=1), Knob("sigmoid", start, 1.0, 0.0, LOWEST), 1.0
    rng = np.random.default_rng(0)
    for _ in range(15_000):
        share = 0.9 / (1.0 + nu)
        threshold.see([BAD if rng.random() < share else GOOD], units * share)
        nu = min(max(nu + 0.05 / units * threshold.excess(units * share, knob.value), 0.01), 100.0)
        knob.approach(threshold.wanted() or knob.value, 0.005)
    assert 0.9 / (1.0 + nu) == pytest.approx(0.1, rel=0.25)
    assert not knob.at_low


def test_before_any_episode_has_ended_nothing_is_said_to_be_out_of_reach(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Episodes may be longer than the wait and the way to the largest multiplier together."""
    threshold = MeasuredThreshold(0.1, wait=1)
    for _ in range(2 * LONG):
        threshold.see([], 0.5)
        threshold.watch("the end")
    assert threshold.wanted() is None and "not reached" not in caplog.text
