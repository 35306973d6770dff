"""The threshold's promise: its bound, its order of tests, and what refuses."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import binom

from policy_training.deployment.calibrate import CalibrateArguments, acting, conditions, rewrite, unknown_to
from policy_training.deployment.calibration import (
    GOOD,
    GRID,
    CriticTrace,
    calibration,
    highest_that_holds,
    missed,
    seen,
    upper_bound,
)
from policy_training.deployment.campaign import CampaignPolicies, Condition, pours
from policy_training.pool import Pool
from sim.pouring.deployed_config import deployed_config
from sim.pouring.guarded import Pour
from spillguard_core.bundle.bundle import MANIFEST, load_bundle
from spillguard_core.bundle.certificate import why_uncalibrated
from spillguard_core.bundle.manifest import Threshold
from spillguard_core.bundle.signing import SIGNATURE

ARGUMENTS = CalibrateArguments(Path("bundle"))
WARNED = CriticTrace("frozen", False, True, 0.9, 0.9)
FINE = CriticTrace(GOOD, True, False, 0.05, 0.05)


def pour(q_c: list[float], **changed: bool) -> Pour:
    outcome = {"success": False, "spill": False, "contact": False, "limit": False} | changed
    return Pour(**outcome, seconds=1.0, replaced=0.0, limited=0.0, held=0.0, chatter=0.0, jerk=0.0,
                reasons=Counter(), q_c=np.array(q_c))  # fmt: skip


@pytest.mark.parametrize(("hits", "count"), [(0, 100), (1, 300), (7, 50)])
def test_bound_is_the_proportion_at_which_so_few_hits_become_unlikely(hits, count):
    bound = upper_bound(hits, count, 0.95)
    assert binom.cdf(hits, count, bound) == pytest.approx(0.05, abs=1e-9)


def test_all_hits_leave_no_bound():
    assert upper_bound(5, 5, 0.95) == 1.0


def test_warning_counts_inside_the_horizon_and_before_the_lead_only():
    quiet, peak = [0.1], [0.9]
    for q_c, warned in [
        (quiet * 50 + peak + quiet * 60, True),
        (peak + quiet * 200, False),  # too early
        (quiet * 200 + peak * 5, False),  # too late to do anything
    ]:
        one = seen("bang-bang", pour(q_c, spill=True), horizon=1.0)
        assert missed([one], 0.5) == (0 if warned else 1)


def test_silence_of_the_critic_is_no_warning():
    one = seen("bang-bang", pour([np.nan] * 100, contact=True), horizon=1.0)
    assert missed([one], 0.02) == 1


def test_highest_threshold_is_the_last_before_the_first_failure():
    spills = [CriticTrace("frozen", False, True, w, w) for w in (0.3, 0.31, 0.32, 0.33)]
    episodes = [FINE] * 300 + spills
    limit = highest_that_holds(episodes, 0.02, 0.95)
    assert limit is not None
    after = GRID[GRID.tolist().index(limit) + 1]
    assert upper_bound(missed(episodes, limit), len(episodes), 0.95) <= 0.02
    assert upper_bound(missed(episodes, after), len(episodes), 0.95) > 0.02


def test_promise_that_no_threshold_keeps_is_refused_with_the_figures():
    episodes = [FINE] * 100 + [CriticTrace("frozen", False, True, 0.0, 0.0)] * 10
    with pytest.raises(ValueError, match=r"no threshold holds: at the lowest, 0.02, 10 of 110 episodes"):
        calibration(episodes, ARGUMENTS)


def test_threshold_is_the_lowest_that_leaves_the_policy_alone():
    episodes = [FINE] * 297 + [replace(FINE, highest=0.5, warned=0.5)] * 3 + [WARNED] * 30
    value, found = calibration(episodes, ARGUMENTS)
    assert value == pytest.approx(0.06)
    assert (found.own_successes, found.own_disturbed, found.missed) == (300, 3, 0)
    assert found.bound <= found.delta and value <= found.highest_threshold


def test_safety_outweighs_what_the_policy_would_like():
    """Where only a low threshold keeps the promise, it is taken, whatever it disturbs."""
    careless = [replace(FINE, highest=0.5, warned=0.5)] * 300 + [WARNED] * 20
    value, found = calibration([*careless, *[CriticTrace("frozen", False, True, 0.1, 0.1)] * 20], ARGUMENTS)
    assert value < 0.12
    assert found.own_disturbed == 300


@pytest.mark.parametrize("broken", [0, 2])
def test_promise_that_would_hold_without_the_critic_is_not_written(broken):
    with pytest.raises(ValueError, match=f"vacuous: {broken} of 400 episodes broke a rule"):
        calibration([FINE] * (400 - broken) + [WARNED] * broken, ARGUMENTS)


def test_critic_is_not_judged_by_what_it_was_trained_on(tmp_path):
    names = [GOOD, "uniform random", "frozen"]
    assert unknown_to(tmp_path, names) == names  # its labels came from the policy's own training
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "critic.json").write_text('{"behaviours": ["uniform random"]}')
    assert unknown_to(tmp_path, names) == [GOOD, "frozen"]


def test_what_the_critic_averts_is_counted_in_the_same_cells():
    subject = CampaignPolicies("artifacts/pour_coffee")
    arms = [Condition(policy, critic=False, tilt_check=False) for policy in ("good, 5x noise", GOOD)]
    traces = [
        (arm, number, seen(arm.policy, pour, 1.0))
        for arm, number, pour in pours(subject, [(arms[0], range(3)), (arms[1], range(1))], Pool(1))
    ]
    broken = sum(trace.violated for *_, trace in traces)
    assert broken >= 2 and traces[-1][2].success
    averted, kept = acting(traces, 1.0, subject, Pool(1), Console(quiet=True))
    assert (averted, kept) == (0, 1)  # nothing is above 1: the critic changes nothing
    strict, _ = acting(traces, 0.0, subject, Pool(1), Console(quiet=True))
    assert strict > 0


def test_promises_hold_as_often_as_they_say():
    """Of calibrations on random mixes at most about 5 % choose a threshold that misses more than delta."""
    rng, broken = np.random.default_rng(0), 0
    for _ in range(300):
        episodes = []
        for _ in range(400):
            bad, warned = rng.random() < 0.1, float(rng.random())
            episodes.append(CriticTrace(GOOD if not bad else "frozen", not bad, bad, warned, warned))
        limit = highest_that_holds(episodes, 0.02, 0.95)
        broken += limit is not None and 0.1 * limit > 0.02  # what it misses in truth
    assert broken / 300 <= 0.08


@pytest.fixture
def exported(tmp_path):
    return Path(shutil.copytree("artifacts/pour_coffee", tmp_path / "bundle"))


def test_calibrated_bundle_is_taken_by_the_robot_and_carries_its_promise(exported):
    value, found = calibration([FINE] * 300 + [WARNED] * 20, ARGUMENTS)
    rewrite(exported, Threshold(value, "a test", found), key=None)
    taken = load_bundle(exported).manifest.threshold
    assert (taken.value, taken.certificate) == (value, found)


@pytest.mark.parametrize("tilt_rule", [False, True])
def test_certificate_made_without_the_tilt_rule_is_good_for_a_monitor_with_it(exported, tilt_rule):
    value, found = calibration([FINE] * 300 + [WARNED] * 20, ARGUMENTS)
    made = conditions(load_bundle(exported), tilt_rule)
    assert ("free_tilt" in made.settings) is tilt_rule
    rewrite(exported, Threshold(value, "a test", replace(found, conditions=made)), key=None)
    taken = load_bundle(exported)
    config = deployed_config(taken, value)
    assert why_uncalibrated(taken.manifest, config, taken.rules) == ""
    looser = replace(config, settings={"free_tilt": 3.0})
    assert bool(why_uncalibrated(taken.manifest, looser, taken.rules)) is tilt_rule


def test_signed_bundle_is_not_changed_without_the_key(exported):
    (exported / SIGNATURE).write_bytes(b"a signature")
    before = (exported / MANIFEST).read_bytes()
    with pytest.raises(ValueError, match="say --key"):
        rewrite(exported, Threshold(0.5, "a test"), key=None)
    assert (exported / MANIFEST).read_bytes() == before
