"""A bundle's policy as a LEAPP pipeline, by hand-computed values, and back as a bundle that acts the same."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from policy_training.deployment.leapp.command import main as leapp_main
from policy_training.deployment.leapp.pipeline import read_pipeline
from policy_training.deployment.leapp.running import PipelineRun
from policy_training.deployment.wrap.command import main, wrap
from policy_training.deployment.wrap.contract import contract_of
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.graphs import PolicyRun
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.wrap.graphs import leaky, linear

ROOT = Path(__file__).parents[4]
GEN3 = list(load_robot("gen3").joint_names)
RNG = np.random.default_rng(5)
WEIGHTS = 0.2 * RNG.standard_normal((28, 7))
POLICIES: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    "its own last output and a history": (
        linear(WEIGHTS[:28]),
        {
            "task": "joint_velocities", "history": 2, "policy_rate": 31.25, "trained_latency": 0.05,
            "observation": [{"term": "joint_position", "joints": GEN3[::-1], "shift": 0.3, "scale": 2.0},
                            "last_output"],
            "action": {"kind": "delta", "entries": GEN3[::-1], "scale": 0.02, "clip": 1.0},
        },
    ),
    "a recurrent state": (
        leaky(WEIGHTS[:14]),
        {
            "task": "joint_positions", "policy_rate": 20.0,
            "observation": ["joint_position", "joint_velocity"],
            "action": {"kind": "position", "offset": 0.5, "scale": 0.25},
            "state": [{"input": "h_in", "output": "h_out"}],
        },
    ),
    "parts of a twist": (
        linear(WEIGHTS[:18, :4]),
        {
            "task": "reach", "policy_rate": 10.0,
            "observation": ["tool_to_goal", "tool_position", "tool_axes", "tool_velocity"],
            "action": {"kind": "twist", "entries": ["wz", "vy", "vx", "wx"], "scale": [0.5, 0.1, 0.1, 0.3]},
        },
    ),
}  # fmt: skip


def made(folder: Path, which: str) -> Path:
    model, raw = POLICIES[which]
    wrap(model.SerializeToString(), contract_of({"robot": "gen3", **raw}, folder), folder / "one")
    return folder / "one"


def actions(bundle: Bundle, observations: np.ndarray) -> np.ndarray:
    """Of one run, in physical units."""
    run = PolicyRun(bundle.policy)
    return np.array([run(obs) * bundle.scale for obs in observations])


def observations(bundle: Bundle, count: int = 30) -> np.ndarray:
    width = sum(term.width for term in bundle.manifest.observation)
    return RNG.uniform(-1.0, 1.0, (count, width)).astype(np.float32)


@pytest.mark.parametrize(
    "which", [*POLICIES, "artifacts/reach_gen3", "artifacts/reach_ur5e", "artifacts/carry_fr3"]
)
def test_a_bundle_that_went_through_leapp_acts_the_same(tmp_path: Path, which: str) -> None:
    source = ROOT / which if which.startswith("artifacts") else made(tmp_path, which)
    first = load_bundle(source)
    pipe, contract = str(tmp_path / "pipe"), str(tmp_path / "contract.yaml")
    assert leapp_main([str(source), "-o", pipe]) == 0
    assert main([pipe, "--draft", "--robot", first.robot.name, "--contract", contract]) == 0
    assert "fill_in" not in Path(contract).read_text()
    assert main([pipe, "--contract", contract, "-o", str(tmp_path / "again")]) == 0
    second = load_bundle(tmp_path / "again")
    assert second.manifest.policy_rate == first.manifest.policy_rate
    assert second.manifest.trained_latency == first.manifest.trained_latency
    assert (second.task.name, second.terms) == (first.task.name, first.terms)
    seen = observations(first)
    wanted = actions(first, seen)
    np.testing.assert_allclose(actions(second, seen), wanted, atol=1e-5)
    assert np.abs(wanted).max() > 0.01  # the policy asks for something


def test_the_pipeline_says_in_leapps_words_what_the_bundle_means(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert leapp_main([str(made(tmp_path, "a recurrent state")), "-o", str(tmp_path / "pipe")]) == 0
    said = capsys.readouterr().out
    assert "joint_positions on gen3, 20 Hz, feeds back 8 values" in said and said.count("\n") == 1
    assert "does not pass the safety monitor: no limits, no braking check, no critic" in said
    told = yaml.safe_load((tmp_path / "pipe" / "pipe.yaml").read_text())
    wires, policy = told["pipeline"], told["models"]["policy"]
    assert wires["configs"]["frequency"] == 20.0 and "does not pass the safety" in wires["configs"]["safety"]
    assert wires["feedback_flow"] == {"policy/next_state": ["policy/state"]}
    assert wires["initial_values"] == "pipe_initial_values.safetensors"
    assert [(one["name"], one.get("kind"), one.get("unit"), one["shape"]) for one in policy["inputs"]] == [
        ("joint_position", "state/joint/position", "rad", [1, 7]),
        ("joint_velocity", "state/joint/velocity", "rad/s", [1, 7]),
        ("state", None, None, [1, 8]),
    ]
    target = policy["outputs"][0]
    assert (target["kind"], target["unit"]) == ("target/joint/position", "rad")
    assert target["element_names"] == [GEN3]
    run = PipelineRun(read_pipeline(tmp_path / "pipe"))
    q, qd, h = 0.1 * np.arange(7), 0.2 * np.ones(7), np.zeros(7)
    given = {"policy/joint_position": q, "policy/joint_velocity": qd}
    for _ in range(3):
        h = 0.5 * h + np.concatenate([q, qd]) @ WEIGHTS[:14]
        got = run({place: value[None].astype(np.float32) for place, value in given.items()})
        np.testing.assert_allclose(got["policy/joint_position_target"][0], 0.5 + 0.25 * h, atol=1e-5)


def test_what_is_there_is_kept_and_what_is_no_bundle_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pipe").mkdir()
    (tmp_path / "pipe" / "notes.txt").write_text("mine")
    source = str(ROOT / "artifacts" / "reach_gen3")
    for words, error in (
        ([source, "-o", str(tmp_path / "pipe")], "pipe exists; remove it, or choose another place"),
        ([str(tmp_path), "-o", str(tmp_path / "b")], "manifest.json"),
        ([source, "-o", str(tmp_path / "b"), "--robot", "ur5e"], "made for the robot 'gen3', this one is"),
    ):  # fmt: skip
        assert leapp_main(words) == 1
        said = capsys.readouterr().err
        assert error in said and said.count("\n") == 1
    assert leapp_main([source]) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]
