"""A contract from what a LEAPP pipeline says, and the bundle that it makes, by hand-computed values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from policy_training.deployment.leapp.drafting import draft_of_pipeline
from policy_training.deployment.leapp.pipeline import read_pipeline
from policy_training.deployment.wrap.command import main
from policy_training.deployment.wrap.contract import load_contract
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.graphs import PolicyRun
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.leapp.pipelines import UR5E, changed, joints, node, port, written

ARM = load_robot("ur5e")
OBS, TARGET = ("models", "obs", "inputs", 0), ("models", "policy", "outputs", 0)


def draft(folder: Path, out: Path, rate: str = "") -> int:
    words = [str(folder), "--draft", "--robot", "ur5e", "--contract", str(out)]
    return main([*words, *(["--rate", rate] if rate else [])])


def test_a_drafted_contract_wraps_and_means_what_the_pipeline_does(tmp_path: Path) -> None:
    folder = joints(tmp_path / "pipe", frequency=25)
    assert draft(folder, tmp_path / "contract.yaml") == 0
    contract = load_contract(tmp_path / "contract.yaml")
    assert (contract.task.name, contract.policy_rate) == ("joint_positions", 25.0)
    assert [given.term for given in contract.observation] == ["joint_position", "joint_velocity"]
    assert contract.columns == contract.observation[0].columns == (5, 4, 3, 2, 1, 0)
    words = [str(folder), "--contract", str(tmp_path / "contract.yaml"), "-o", str(tmp_path / "bundle")]
    assert main(words) == 0
    bundle = load_bundle(tmp_path / "bundle")
    run, q, qd = PolicyRun(bundle.policy), np.arange(6) / 60.0, np.arange(6) / -10.0
    last = np.full(6, 0.25)
    for _ in range(3):
        last = 10.0 * q + qd + 0.1 * last
        got = run(np.concatenate([q, qd]).astype(np.float32)) * bundle.scale
        np.testing.assert_allclose(got, last, atol=1e-5)
    assert main([*words, "--overwrite", "--normalize", "x.pkl"]) == 1
    assert draft(folder, tmp_path / "contract.yaml") == 1  # nobody's contract is written over


@pytest.mark.parametrize(
    ("told", "wanted", "line"),
    [
        ({}, "", "policy_rate: 50  # [Hz] the pipeline does not say"),
        ({}, "30", "policy_rate: 30  # [Hz] the pipeline does not say"),
        ({"frequency": 20.5}, "", "policy_rate: 20.5  # [Hz]\n"),
        ({"frequency": 20.5}, "30", "policy_rate: 30  # [Hz] as wanted; the pipeline says 20.5"),
    ],
)
def test_the_rate_is_the_pipelines_where_it_says_one(
    tmp_path: Path, told: dict[str, float], wanted: str, line: str
) -> None:
    assert draft(joints(tmp_path / "pipe", **told), tmp_path / "c.yaml", wanted) == 0
    assert line in (tmp_path / "c.yaml").read_text()


@pytest.mark.parametrize(
    ("keys", "value", "line"),
    [
        ((*OBS, "kind"), "state/body/position", "# kind state/body/position, 6 numbers, elements ["),
        ((*OBS, "kind"), "state/body/position", "; tool_position, if it is the tool's in the base frame"),
        ((*OBS, "kind"), None, "; joint_position, to go by its name; its shift and scale are not told"),
        ((*OBS, "unit"), "deg", "unit 'deg'"),
    ],
)
def test_what_is_not_told_has_to_be_filled_in(tmp_path: Path, keys: Any, value: Any, line: str) -> None:
    folder = changed(joints(tmp_path / "pipe"), *keys, value=value)
    assert draft(folder, tmp_path / "c.yaml") == 0
    (filled,) = [one for one in (tmp_path / "c.yaml").read_text().splitlines() if "fill_in" in one]
    assert filled.startswith("  - {term: fill_in, input: joint_pos}  #") and line in filled
    with pytest.raises(ValueError, match="has no term 'fill_in'; it has joint_position"):
        load_contract(tmp_path / "c.yaml")


def test_an_output_of_no_kind_is_left_open(tmp_path: Path) -> None:
    folder = changed(joints(tmp_path / "pipe"), *TARGET, "kind", value=None)
    assert draft(folder, tmp_path / "c.yaml") == 0
    text = (tmp_path / "c.yaml").read_text()
    for line in ("task: fill_in  #", "  kind: fill_in  #", "  output: fill_in  # target, kp"):
        assert line in text
    with pytest.raises(ValueError, match="unknown task 'fill_in'"):
        load_contract(tmp_path / "c.yaml")
    for place, word in (("task: fill_in", "task: joint_positions"), ("kind: fill_in", "kind: position"),
                        ("output: fill_in", "output: target")):  # fmt: skip
        text = text.replace(place, word)
    (tmp_path / "c.yaml").write_text(
        text.replace("  output", f"  entries: [{', '.join(UR5E[::-1])}]\n  output")
    )
    assert main([str(folder), "--contract", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "b")]) == 0


def test_joints_without_an_order_are_the_robots_own_and_it_says_so(tmp_path: Path) -> None:
    folder = changed(joints(tmp_path / "pipe"), *OBS, "element_names", value=None)
    text = draft_of_pipeline(read_pipeline(folder), ARM, "ur5e", None)
    assert (
        "{term: joint_position, input: joint_pos}  # state/joint/position; no order is told: the robot's"
        in text
    )


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        ((*OBS, "element_names"), [["a", *UR5E[1:]]], "joint_pos is of the joints a, shoulder_lift"),
        ((*TARGET, "element_names"), [["a", *UR5E[1:]]], "the action is of the joints a, shoulder_lift"),
        ((*TARGET, "kind"), "target/joint/torques", "of the kind target/joint/torques; allowed are"),
        ((*TARGET, "dtype"), "float64", "policy/target is float64; allowed is float32"),
        ((*TARGET, "element_names"), ["__temporal_axis__", UR5E], "allowed is one action, of one step"),
    ],
)  # fmt: skip
def test_what_no_contract_can_mean_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: Any, value: Any, words: str
) -> None:
    folder = changed(joints(tmp_path / "pipe"), *keys, value=value)
    if value[:1] == ["__temporal_axis__"]:
        changed(folder, *TARGET, "shape", value=[3, 2])
    assert draft(folder, tmp_path / "c.yaml") == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "c.yaml").exists()


def test_parts_of_a_twist_are_joined_in_the_tasks_words(tmp_path: Path) -> None:
    (tmp_path / "pipe").mkdir()
    model = node(
        tmp_path / "pipe", "policy", [port("q", [1, 6], kind="state/joint/position")],
        [port("turn", [1, 1], kind="target/body/angular_velocity", element_names=[["z"]]),
         port("move", [1, 3], kind="target/body/linear_velocity", element_names=["x", "y", "z"])],
        [helper.make_node("Gather", ["q", f"{out}_at"], [out], axis=1) for out in ("turn", "move")],
        {"turn_at": np.array([5]), "move_at": np.array([0, 1, 2])},
    )  # fmt: skip
    folder = written(
        tmp_path / "pipe", {"policy": model}, inputs={"policy": ["q"]}, outputs={"policy": ["turn", "move"]}
    )
    assert draft(folder, tmp_path / "c.yaml") == 0
    contract = load_contract(tmp_path / "c.yaml")
    names = [axis.name for axis in contract.task.action]
    assert contract.task.name == "reach" and [names[i] for i in contract.columns] == ["vx", "vy", "vz", "wz"]
    assert main([str(folder), "--contract", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "b")]) == 0
    bundle = load_bundle(tmp_path / "b")
    got = PolicyRun(bundle.policy)(np.array([0.1, 0.2, -0.1, 0.0, 0.0, 0.4], np.float32)) * bundle.scale
    np.testing.assert_allclose(got, [0.1, 0.2, -0.1, 0.0, 0.0, 0.4], atol=1e-6)


def test_joints_of_two_outputs_are_joined_in_their_order(tmp_path: Path) -> None:
    (folder := tmp_path / "pipe").mkdir()
    kind = "target/joint/position"
    parts = {"wrist": UR5E[3:], "arm": UR5E[2::-1]}
    model = node(
        folder, "policy", [port("q", [1, 6], kind="state/joint/position", element_names=[UR5E])],
        [port(name, [1, 3], kind=kind, element_names=names) for name, names in parts.items()],
        [helper.make_node("Gather", ["q", f"{out}_at"], [out], axis=1) for out in parts],
        {f"{out}_at": np.array([UR5E.index(name) for name in names]) for out, names in parts.items()},
    )  # fmt: skip
    written(folder, {"policy": model}, inputs={"policy": ["q"]}, outputs={"policy": [*parts]})
    assert draft(folder, tmp_path / "c.yaml") == 0
    assert load_contract(tmp_path / "c.yaml").columns == (3, 4, 5, 2, 1, 0)
    assert main([str(folder), "--contract", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "b")]) == 0
    bundle, q = load_bundle(tmp_path / "b"), 0.1 * np.arange(6)
    got = PolicyRun(bundle.policy)(q.astype(np.float32)) * bundle.scale
    np.testing.assert_allclose(got, q, atol=1e-6)  # each joint is asked to stay where it is
