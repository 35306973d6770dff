"""A bundle without a critic, and a policy that remembers: what is refused, and what is forgotten."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sim.reaching.guarded import GuardedArm
from spillguard_core.bundle.bundle import CRITIC, MANIFEST, load_bundle
from spillguard_core.bundle.graphs import Array32, PolicyRun
from spillguard_core.bundle.manifest import BundleError
from spillguard_core.gate import reasons
from spillguard_core.tasks.reach import GOAL

SHIPPED = Path(__file__).parents[3] / "artifacts/reach_ur5e"
Change = Callable[[Path, dict[str, Any]], object]


def stray(folder: Path, raw: dict[str, Any]) -> None:
    (folder / CRITIC).write_bytes(b"not listed")


def threshold(folder: Path, raw: dict[str, Any]) -> None:
    raw["threshold"]["value"] = 0.5


def listed(folder: Path, raw: dict[str, Any]) -> None:
    raw["files"][CRITIC] = "0" * 64


def unlisted(folder: Path, raw: dict[str, Any]) -> None:
    del raw["files"]["policy.onnx"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (stray, f"there is a {CRITIC} that {MANIFEST} does not list"),
        (threshold, f"has a threshold or a certificate, and no {CRITIC}"),
        (listed, CRITIC),
        (unlisted, "lists the files"),
    ],
)
def test_a_critic_is_whole_or_absent(tmp_path: Path, change: Change, words: str) -> None:
    shutil.copytree(SHIPPED, tmp_path / "bundle")
    path = tmp_path / "bundle" / MANIFEST
    raw = json.loads(path.read_text())
    change(tmp_path / "bundle", raw)
    path.write_text(json.dumps(raw))
    with pytest.raises(BundleError, match=words):
        load_bundle(tmp_path / "bundle")


def test_without_a_critic_actions_pass_and_the_hard_limits_act() -> None:
    bundle = load_bundle(SHIPPED)
    arm = GuardedArm(bundle, bundle.robot.rest, {GOAL: np.array([0.5, 0.0, 0.4])})
    arm.open(np.zeros(6))
    arm.period(np.array([0.0, 0.0, 0.05, 0.0, 0.0, 0.0]))
    assert arm.decision.reason is reasons.OK and np.isnan(arm.decision.q_c)
    for _ in range(400):
        arm.period(np.array([0.0, 0.0, -0.25, 0.0, 0.0, 0.0]))
    assert arm.decision.reason in (reasons.WORKSPACE_LIMIT, reasons.COLLISION)


def test_a_critic_that_gives_no_number_still_holds() -> None:
    """Which is not the same as having none."""
    bundle = load_bundle(SHIPPED)
    arm = GuardedArm(bundle, bundle.robot.rest, {GOAL: np.array([0.5, 0.0, 0.4])})
    arm.models = replace(arm.models, critic=lambda obs, action: np.full(len(obs), np.nan, np.float32))
    arm.open(np.zeros(6))
    arm.period(np.array([0.0, 0.0, 0.05, 0.0, 0.0, 0.0]))
    assert arm.decision.reason is reasons.CRITIC_INVALID


class Counting:
    """Its action is how many steps it remembers; from the third on its memory is no number."""

    memory = 1

    def step(self, obs: Array32, state: Array32) -> tuple[Array32, Array32]:
        """See `OnnxPolicy.step`."""
        return state.copy(), np.where(state >= 2.0, np.nan, state + 1.0).astype(np.float32)


def test_a_memory_that_is_no_number_is_forgotten_and_a_reset_forgets() -> None:
    run = PolicyRun(Counting())  # type: ignore[arg-type]
    assert [run(np.zeros(3, np.float32))[0] for _ in range(5)] == [0.0, 1.0, 2.0, 0.0, 1.0]
    run.reset()
    assert run(np.zeros(3, np.float32))[0] == 0.0
