"""Somebody else's policy as a bundle: what it is given and what its outputs mean, by hand-computed values."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from policy_training.deployment.wrap.command import main, wrap
from policy_training.deployment.wrap.contract import contract_of, load_contract
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.graphs import PolicyRun
from spillguard_description import ROBOTS
from tests.training.deployment.wrap.graphs import leaky, linear, two_inputs

JOINTS = [f"joint_{number}" for number in range(1, 8)]
RATE = 20.0
RNG = np.random.default_rng(3)
Raw = dict[str, Any]


def joint_velocity(**changed: Any) -> Raw:
    """A contract: seven joints in, their velocities out."""
    return {
        "robot": "gen3", "task": "joint_velocities", "policy_rate": RATE,
        "observation": ["joint_position"], "action": {"kind": "velocity"}, **changed,
    }  # fmt: skip


def bundle_of(tmp_path: Path, model: onnx.ModelProto, raw: Raw) -> Bundle:
    """Wrapped, and loaded as a robot does."""
    wrap(model.SerializeToString(), contract_of(raw, tmp_path), tmp_path / "bundle")
    return load_bundle(tmp_path / "bundle")


def asked(bundle: Bundle, *observations: np.ndarray) -> list[np.ndarray]:
    """Actions in physical units for these observations, one after the other."""
    run = PolicyRun(bundle.policy)
    return [run(obs.astype(np.float32)) * bundle.scale for obs in observations]


def test_a_policy_of_another_order_scale_and_offset_means_what_its_contract_says(tmp_path: Path) -> None:
    order = [JOINTS[i] for i in (6, 0, 5, 1, 4, 2, 3)]
    weights = np.eye(7)
    raw = joint_velocity(
        observation=[{"term": "joint_position", "joints": order, "shift": 0.5, "scale": 2.0}],
        action={
            "kind": "velocity",
            "entries": JOINTS[::-1],
            "scale": -0.1,
            "offset": [0.01 * k for k in range(7)],
        },
    )
    bundle = bundle_of(tmp_path, linear(weights), raw)
    q = RNG.uniform(-1.0, 1.0, 7)
    told = (q[[6, 0, 5, 1, 4, 2, 3]] - 0.5) / 2.0  # what the graph gets, and puts out
    wanted = (0.01 * np.arange(7) - 0.1 * told)[::-1]  # its first output is of the last joint
    np.testing.assert_allclose(asked(bundle, q)[0], wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("task", "kind", "wanted"),
    [
        ("joint_velocities", "velocity", 0.3), ("joint_velocities", "delta", 0.3 * RATE),
        ("joint_positions", "position", 0.3),
    ],
)  # fmt: skip
def test_a_step_of_each_period_is_a_velocity_and_a_target_is_itself(
    tmp_path: Path, task: str, kind: str, wanted: float
) -> None:
    raw = joint_velocity(task=task, action={"kind": kind, "scale": 0.3, "clip": 1.0})
    bundle = bundle_of(tmp_path, linear(5.0 * np.eye(7)), raw)  # far beyond its clip
    np.testing.assert_allclose(asked(bundle, np.ones(7))[0], wanted, rtol=1e-5)


def test_history_begins_with_the_first_observation_and_moves_on(tmp_path: Path) -> None:
    weights = np.vstack([1.0 * np.eye(7), 10.0 * np.eye(7), 100.0 * np.eye(7)])  # oldest, middle, newest
    bundle = bundle_of(tmp_path, linear(weights), joint_velocity(history=3))
    steps = [k * np.ones(7) for k in (1e-3, 2e-3, 3e-3, 4e-3)]
    got = [action[0] for action in asked(bundle, *steps)]
    np.testing.assert_allclose(got, [0.111, 0.211, 0.321, 0.432], rtol=1e-5)


@pytest.mark.parametrize(
    ("of", "newest"), [("all", "last"), ("all", "first"), ("term", "last"), ("term", "first")]
)
def test_history_of_terms_or_of_steps(tmp_path: Path, of: str, newest: str) -> None:
    weights = np.zeros((28, 7))
    weights[:, 0] = 10.0 ** -np.repeat(np.arange(4), 7)
    raw = joint_velocity(
        observation=["joint_position", "joint_velocity"], history={"steps": 2, "of": of, "newest": newest}
    )
    bundle = bundle_of(tmp_path, linear(weights), raw)
    first, then = (np.repeat([p, v], 7) for p, v in ((1.0, 2.0), (3.0, 4.0)))
    steps = [first, then] if newest == "last" else [then, first]
    blocks = (
        [step[i] for step in steps for i in (0, 7)]
        if of == "all"
        else [step[i] for i in (0, 7) for step in steps]
    )
    wanted = 7.0 * sum(value * 10.0**-k for k, value in enumerate(blocks))
    assert asked(bundle, first, then)[1][0] == pytest.approx(wanted, rel=1e-5)


def test_its_own_last_output_is_zero_first_and_clipped_as_it_was(tmp_path: Path) -> None:
    weights = np.vstack([np.eye(7), np.eye(7)])
    raw = joint_velocity(
        observation=["joint_position", "last_output"], action={"kind": "velocity", "clip": 0.5, "scale": 0.1}
    )
    bundle = bundle_of(tmp_path, linear(weights), raw)
    got = [action[0] for action in asked(bundle, *[0.2 * np.ones(7)] * 4)]
    np.testing.assert_allclose(got, [0.02, 0.04, 0.05, 0.05], rtol=1e-5)


def test_a_recurrent_state_is_kept_and_forgotten(tmp_path: Path) -> None:
    raw = joint_velocity(state=[{"input": "h_in", "output": "h_out"}])
    bundle = bundle_of(tmp_path, leaky(np.eye(7)), raw)
    got = [action[0] for action in asked(bundle, *[0.1 * np.ones(7)] * 3)]
    np.testing.assert_allclose(got, [0.1, 0.15, 0.175], rtol=1e-5)
    assert asked(bundle, 0.1 * np.ones(7))[0][0] == pytest.approx(0.1, rel=1e-5)  # begun anew


def test_several_inputs_each_get_their_own(tmp_path: Path) -> None:
    raw = {
        "robot": "gen3", "task": "reach", "policy_rate": 10.0,
        "observation": [
            {"term": "joint_position", "input": "joints"}, {"term": "tool_to_goal", "input": "goal"},
        ],
        "action": {"kind": "twist", "entries": ["vx", "vy", "vz"], "scale": 0.1},
    }  # fmt: skip
    bundle = bundle_of(tmp_path, two_inputs(np.zeros((7, 3)), -np.eye(3)), raw)
    obs = np.concatenate([RNG.uniform(-1.0, 1.0, 7), [0.4, -0.2, 0.1]])
    np.testing.assert_allclose(asked(bundle, obs)[0], [-0.04, 0.02, -0.01, 0.0, 0.0, 0.0], atol=1e-6)


def test_a_graph_for_one_row_alone_is_used_as_it_is(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, linear(0.1 * np.eye(7), batch=1), joint_velocity())
    np.testing.assert_allclose(asked(bundle, np.ones(7))[0], 0.1, rtol=1e-5)


def test_the_bundle_says_that_nothing_but_the_hard_limits_acts(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, linear(0.1 * np.eye(7)), joint_velocity())
    assert bundle.critic is None
    from sim.pouring.deployed_config import deployed_config

    config = deployed_config(bundle, None)
    assert bundle.promise(config, allow_uncalibrated=True) == (
        "uncalibrated: no safety critic, the hard limits act alone"
    )
    with pytest.raises(ValueError, match="it has no safety critic"):
        bundle.promise(config, allow_uncalibrated=False)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"robot": "gen4"}, "known are"),
        ({"task": "juggling"}, "unknown task 'juggling'"),
        ({"observation": ["joint_torque"]}, "has no term 'joint_torque'; it has joint_position"),
        ({"observation": ["last_output"]}, "no term of the task"),
        ({"observation": [{"term": "joint_position", "scale": 0}]}, "cannot be 0"),
        ({"observation": [{"term": "joint_position", "scale": [1.0, 2.0]}]}, "a list of 7"),
        ({"observation": [{"term": "joint_position", "joints": JOINTS[:6]}]}, "all of joint_1"),
        ({"observation": [{"term": "joint_position", "joints": [*JOINTS[:6], "joint_1"]}]}, "each once"),
        ({"observation": ["joint_position", "joint_velocity"]}, "takes 7 numbers at 'x'"),
        ({"history": 2}, "takes 7 numbers at 'x', the contract gives it 7 of joint_position, of 2 steps"),
        ({"history": 0}, "whole number, 1 to 100, got 0"),
        ({"action": {"kind": "twist"}}, "takes velocity or delta"),
        ({"action": {"kind": "velocity", "output": "z"}}, "no output 'z'; it has y"),
        ({"state": [{"input": "h", "output": "y"}]}, "no input 'h'; it has x"),
        ({"policy_rate": 0}, "policy_rate has to be a number above 0"),
        ({"policy_rate": 5000.0}, "policy_rate must be 1 to 1000 Hz"),
        ({"speed": 1}, "may have"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused_in_words(tmp_path: Path, changed: Raw, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        bundle_of(tmp_path, linear(np.eye(7)), joint_velocity(**changed))
    assert not (tmp_path / "bundle").exists()


def test_the_command_writes_the_bundle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save_model(linear(0.1 * np.eye(7)), tmp_path / "policy.onnx")
    (tmp_path / "contract.yaml").write_text(yaml.safe_dump(joint_velocity()))
    words = [
        str(tmp_path / "policy.onnx"),
        "--contract",
        str(tmp_path / "contract.yaml"),
        "-o",
        str(tmp_path / "b"),
    ]
    assert main(words) == 0
    assert "joint_velocities on gen3, 20 Hz; no safety critic" in capsys.readouterr().out
    made = load_bundle(tmp_path / "b")
    assert made.task.name == "joint_velocities"
    assert "policy_rate: 20.0" in str(made.manifest.provenance.config["contract"])
    assert main(words) == 1
    assert "say --overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["./arm", "{folder}/arm"])
def test_an_arm_of_ones_own_is_a_folder_beside_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    shutil.copytree(ROBOTS / "gen3", tmp_path / "arm")
    (tmp_path / "contract.yaml").write_text(
        yaml.safe_dump(joint_velocity(robot=where.format(folder=tmp_path)))
    )
    monkeypatch.chdir(tmp_path)
    assert load_contract(Path("contract.yaml")).robot.folder == tmp_path / "arm"
    monkeypatch.chdir("/")
    assert load_contract(tmp_path / "contract.yaml").robot.folder == tmp_path / "arm"
