"""Every kind of bad bundle is refused with a message that names the fault."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from sim.pouring.gen3 import JOINT_NAMES
from spillguard_core.bundle.bundle import BundleError, load_bundle
from spillguard_core.robot.arm import load_robot
from tests.core.bundle.refusals import refused

Edit = Callable[[Callable[[dict[str, Any]], None]], None]


def nothing(raw: dict[str, Any]) -> None:
    """No change but fresh hashes."""


def save_identity(path: Path, inputs: dict[str, list[Any]], output: str, shape: list[Any]) -> None:
    """A graph that hands its first input out again, with ports of our choice."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, dims) for name, dims in inputs.items()]
    result = helper.make_tensor_value_info(output, TensorProto.FLOAT, shape)
    node = helper.make_node("Identity", [next(iter(inputs))], [output])
    graph = helper.make_graph([node], "identity", ports, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, path)


def test_good_bundle_is_accepted(bundle: Path) -> None:
    assert load_bundle(bundle).manifest.joint_names == JOINT_NAMES


def test_missing_directory(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", r"manifest\.json cannot be read: No such file")


@pytest.mark.parametrize("name", ["policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz"])
def test_missing_file(bundle: Path, name: str) -> None:
    (bundle / name).unlink()
    refused(bundle, f"{name} cannot be read: No such file")


@pytest.mark.parametrize("name", ["policy.onnx", "safety_critic.onnx", "guard.xml", "samples.npz"])
def test_one_flipped_bit(bundle: Path, name: str) -> None:
    data = bytearray((bundle / name).read_bytes())
    data[len(data) // 2] ^= 1
    (bundle / name).write_bytes(bytes(data))
    refused(bundle, f"{name} does not match its hash")


def test_truncated_manifest(bundle: Path) -> None:
    text = (bundle / "manifest.json").read_text()
    (bundle / "manifest.json").write_text(text[: len(text) // 2])
    refused(bundle, r"manifest\.json is not valid JSON")


@pytest.mark.parametrize("name", ["policy.onnx", "safety_critic.onnx"])
def test_truncated_graph_with_a_fitting_hash(bundle: Path, edit: Edit, name: str) -> None:
    data = (bundle / name).read_bytes()
    (bundle / name).write_bytes(data[: len(data) // 2])
    edit(nothing)
    refused(bundle, f"{name} is not a readable ONNX graph")


def test_truncated_samples_with_a_fitting_hash(bundle: Path, edit: Edit) -> None:
    data = (bundle / "samples.npz").read_bytes()
    (bundle / "samples.npz").write_bytes(data[: len(data) // 2])
    edit(nothing)
    refused(bundle, r"samples\.npz is not a readable recording")


def test_corrupt_guard_with_a_fitting_hash(bundle: Path, edit: Edit) -> None:
    (bundle / "guard.xml").write_text("<mujoco><worldbody></mujoco>")
    edit(nothing)
    refused(bundle, r"guard\.xml is not a usable world model")


def test_guard_without_the_arm(bundle: Path, edit: Edit) -> None:
    (bundle / "guard.xml").write_text("<mujoco><worldbody/></mujoco>")
    edit(nothing)
    refused(bundle, r"guard\.xml is not a usable world model: .*joint_1")


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_wrong_schema(bundle: Path, edit: Edit, schema: object) -> None:
    edit(lambda raw: raw.update(schema=schema))
    refused(bundle, "has schema .*, this software reads 1")


def test_missing_key(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw.pop("limits"))
    refused(bundle, r"manifest\.json: needs the keys")


def test_unknown_key(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["threshold"].update(margin=0.1))
    refused(bundle, r"manifest\.json\.threshold: needs the keys")


def test_number_where_a_name_belongs(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["observation"][2].update(name=7))
    refused(bundle, r"manifest\.json\.observation\[2\]\.name: needs str, got 7")


def test_nan_in_the_manifest(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["threshold"].update(value=float("nan")))
    refused(bundle, "NaN is not allowed")


def test_threshold_outside_its_range(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["threshold"].update(value=1.5))
    refused(bundle, r"threshold must be in \[0, 1\] or null, got 1.5")


def test_uncalibrated_threshold_is_allowed(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["threshold"].update(value=None))
    assert load_bundle(bundle).manifest.threshold.value is None


def test_joints_in_another_order(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["joint_names"].reverse())
    refused(bundle, "made for joints in another order")


def test_other_joints(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw.update(joint_names=[f"elbow_{i}" for i in range(7)]))
    refused(bundle, "made for other joints")


def test_unknown_observation_term(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["observation"][0].update(name="granule_positions"))
    refused(bundle, "unknown observation term 'granule_positions', known are")


def test_observation_term_in_another_unit(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["observation"][0].update(unit="mm"))
    refused(bundle, r"'lip_to_target' is 3 x \[mm\] in the bundle, 3 x \[m\] here")


def test_action_with_another_scale(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["action"][3].update(scale=1.2000001))
    refused(bundle, "the scale of tilt_rate is 1.2000001 rad/s, allowed is above 0 and up to 1.2")


def test_action_in_another_order(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["action"].reverse())
    refused(bundle, "action is .*tilt_rate.*, the task pouring takes")


@pytest.mark.parametrize("latency", [0.0, -0.1, 11.0, "fast"])
def test_latency_that_no_training_can_have(bundle: Path, edit: Edit, latency: object) -> None:
    edit(lambda raw: raw.update(trained_latency=latency))
    refused(bundle, "trained_latency.*(allowed is above 0 and up to 10.0 s|needs)")


def test_bundle_for_another_robot(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw.update(robot="ur5e"))
    refused(bundle, "made for other joints: .*joint_1.*, this arm has .*shoulder_pan_joint")


def test_bundle_for_a_robot_that_nobody_knows(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw.update(robot="ur50"))
    refused(bundle, "robot 'ur50' has no .*robot.yaml; known are fr3, gen3, ur5e")


def test_bundle_on_an_arm_that_it_was_not_made_for(bundle: Path) -> None:
    """The arm that is there is given by the launch, and has the last word."""
    other = replace(load_robot("gen3"), name="gen3_lite")
    with pytest.raises(BundleError, match="made for the robot 'gen3', this one is 'gen3_lite'"):
        load_bundle(bundle, other)


def test_bundle_whose_robot_is_a_path(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw.update(robot="../../mine"))
    refused(bundle, "robot has to be a name")


def test_bundle_of_an_unknown_task(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw.update(task="juggling"))
    refused(
        bundle, "unknown task 'juggling'; known are carry, joint_positions, joint_velocities, pouring, reach"
    )


def test_limits_wider_than_the_arm(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["limits"]["velocity"].__setitem__(0, 3.0))
    refused(bundle, r"limits\.velocity is wider than the arm's")


def test_limits_that_make_no_sense(bundle: Path, edit: Edit) -> None:
    edit(lambda raw: raw["limits"]["acceleration"].__setitem__(0, -5.0))
    refused(bundle, "must be finite and positive")


@pytest.mark.parametrize(
    ("graph", "inputs", "output", "why"),
    [
        ("policy", {"obs": ["batch", 13]}, "action", r"obs is .* needs tensor\(float\) \(batch, 14\)"),
        ("policy", {"obs": ["batch", 14]}, "action", r"action is .* needs tensor\(float\) \(batch, 4\)"),
        (
            "safety_critic",
            {"obs": [1, 14], "action": [1, 4]},
            "q_c",
            r"obs is .*1, 14.* needs tensor\(float\) \(batch, 14\)",
        ),
        (
            "policy",
            {"observation": ["batch", 14]},
            "action",
            r"the inputs \['observation'\], needs \['obs'\]",
        ),
    ],
    ids=["observation width", "action width", "fixed batch", "other ports"],
)
def test_graph_of_another_shape(
    bundle: Path, edit: Edit, graph: str, inputs: dict[str, list[str | int]], output: str, why: str
) -> None:
    first = next(iter(inputs.values()))
    save_identity(bundle / f"{graph}.onnx", inputs, output, first)
    edit(nothing)
    refused(bundle, rf"{graph}\.onnx.*{why}")


def test_weights_in_a_second_file(bundle: Path, edit: Edit) -> None:
    model = onnx.load(bundle / "policy.onnx")
    onnx.save(
        model, bundle / "policy.onnx", save_as_external_data=True, location="policy.data", size_threshold=0
    )
    edit(nothing)
    refused(bundle, r"policy\.onnx keeps its weights in another file")


def test_recorded_output_that_the_graph_does_not_give(bundle: Path, edit: Edit) -> None:
    with np.load(bundle / "samples.npz") as archive:
        recorded = dict(archive)
    recorded["q_c"] = recorded["q_c"] + 2e-5
    np.savez(bundle / "samples.npz", **recorded)
    edit(nothing)
    refused(bundle, r"safety_critic\.onnx differs from its recorded output by 2\.0\de-05, allowed 1e-05")


def test_recording_with_nan(bundle: Path, edit: Edit) -> None:
    with np.load(bundle / "samples.npz") as archive:
        recorded = dict(archive)
    recorded["action"][0, 0] = np.nan
    np.savez(bundle / "samples.npz", **recorded)
    edit(nothing)
    refused(bundle, r"policy\.onnx differs from its recorded output by nan")


def test_empty_recording(bundle: Path, edit: Edit) -> None:
    np.savez(bundle / "samples.npz", obs=np.zeros((0, 14)), action=np.zeros((0, 4)), q_c=np.zeros(0))
    edit(nothing)
    refused(bundle, r"samples\.npz has the shapes")
