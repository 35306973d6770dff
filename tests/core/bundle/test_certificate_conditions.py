"""A certificate is valid for what it was made with, and behind a gate that is no looser."""

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.bundle.certificate import why_uncalibrated
from spillguard_core.bundle.manifest import Manifest
from spillguard_core.gate.reasons import COLLISION
from spillguard_core.gate.rule import Parts, Rule, Setting
from tests.core.bundle.certificates import (
    CLEARANCE,
    FREE_TILT,
    GATE,
    RULES,
    TOLERANCE,
    conditions,
    gate,
)


@pytest.mark.parametrize("name", ["policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz"])
@pytest.mark.parametrize("found", ["0" * 64, None])
def test_certificate_of_other_files(certified: Manifest, name: str, found: str | None) -> None:
    files = {key: value for key, value in certified.files.items() if key != name}
    other = conditions(certified, files=files if found is None else files | {name: found})
    assert f"made with another {name}" in why_uncalibrated(other, GATE, RULES)


@pytest.mark.parametrize(
    "other",
    [
        lambda m: replace(m, action=(replace(m.action[0], scale=2.0 * m.action[0].scale), *m.action[1:])),
        lambda m: replace(m, observation=m.observation[::-1]),
        lambda m: replace(m, policy_rate=10.0),
        lambda m: replace(m, monitor_rate=50.0),
        lambda m: replace(m, robot="other"),
        lambda m: replace(m, joint_names=m.joint_names[::-1]),
    ],
    ids=["scale", "order", "policy", "monitor", "robot", "joints"],
)
def test_certificate_of_graphs_whose_numbers_meant_something_else(
    certified: Manifest, other: Callable[[Manifest], Manifest]
) -> None:
    assert "another observation, action, rate" in why_uncalibrated(other(certified), GATE, RULES)


def test_certificate_that_does_not_say_what_the_numbers_meant(certified: Manifest) -> None:
    older = conditions(certified, interface="")
    assert "does not say for which observation" in why_uncalibrated(older, GATE, RULES)


def test_certificate_of_other_limits(certified: Manifest) -> None:
    slower = replace(certified.limits, velocity=(0.5,) * 7)
    assert "other limits" in why_uncalibrated(replace(certified, limits=slower), GATE, RULES)


@pytest.mark.parametrize(
    ("clearance", "tolerance", "free_tilt", "reason"),
    [
        (0.007, TOLERANCE, 0.9, "a clearance of 0.008 m, here it is 0.007 m"),
        (math.nan, TOLERANCE, 0.9, "here it is nan m"),
        (CLEARANCE, 0.011, 0.9, "a target_tolerance of 0.012 m, here it is 0.011 m"),
        (CLEARANCE, math.nan, 0.9, "here it is nan m"),
        (CLEARANCE, TOLERANCE, 1.0, "a free_tilt of 0.9, here it is 1.0"),
        (CLEARANCE, TOLERANCE, math.nan, "here it is nan"),
    ],
)
def test_gate_that_is_looser_than_in_the_calibration(
    certified: Manifest, clearance: float, tolerance: float, free_tilt: float, reason: str
) -> None:
    assert reason in why_uncalibrated(certified, gate(clearance, {"free_tilt": free_tilt}, tolerance), RULES)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.999])
def test_gate_that_moves_more_slowly_than_in_the_calibration(certified: Manifest, share: float) -> None:
    """Stricter for the hard limits, not for the critic: a slow cup is turned back slowly."""
    slow = replace(gate(), speed_scale=share)
    assert f"made at full speed, here the arm moves at {100 * share:g} % of it" in why_uncalibrated(
        conditions(certified), slow, RULES
    )
    assert why_uncalibrated(conditions(certified), gate(), RULES) == ""


def test_gate_that_allows_for_less_height_than_in_the_calibration(certified: Manifest) -> None:
    made = conditions(certified, target_height_tolerance=0.004)
    assert why_uncalibrated(made, gate(height_tolerance=0.004), RULES) == ""
    assert "a target_height_tolerance of 0.004 m, here it is 0.003 m" in why_uncalibrated(
        made, gate(height_tolerance=0.003), RULES
    )


def test_older_certificate_had_one_tolerance_for_every_direction(certified: Manifest) -> None:
    raw = json.loads(certified.to_json())
    del raw["threshold"]["certificate"]["conditions"]["target_height_tolerance"]
    older = Manifest.from_json(json.dumps(raw))
    assert "a target_height_tolerance of 0.012 m, here it is 0.004 m" in why_uncalibrated(
        older, gate(height_tolerance=0.004), RULES
    )


SLOW = Setting("slow", "[m/s] of the tool somewhere", 0.01, 1.0, stricter=-1)
SLOW_RULE = Rule("slow", "m/s", COLLISION, lambda way: Parts(np.array([np.inf])), setting=SLOW)


@pytest.mark.parametrize(
    ("then", "here", "reason"),
    [
        (0.2, 0.2, ""),
        (0.2, 0.1, ""),  # a smaller speed is the stricter one
        (0.2, 0.3, "made with a slow of 0.2, here it is 0.3"),
        (0.2, math.nan, "made with a slow of 0.2, here it is nan"),
        (None, 0.3, ""),  # the episodes ran without this rule, which only takes more away
    ],
)
def test_setting_of_a_rule_is_judged_in_its_own_direction(
    certified: Manifest, then: float | None, here: float, reason: str
) -> None:
    made = conditions(certified, settings=FREE_TILT | ({} if then is None else {"slow": then}))
    said = why_uncalibrated(made, gate(settings=FREE_TILT | {"slow": here}), (*RULES, SLOW_RULE))
    assert said == "" if not reason else reason in said


def test_calibration_with_a_rule_that_does_not_act_here_does_not_count(certified: Manifest) -> None:
    made = conditions(certified, settings=FREE_TILT | {"slow": 0.2})
    assert "with the rule of slow, which does not act here" in why_uncalibrated(made, GATE, RULES)
