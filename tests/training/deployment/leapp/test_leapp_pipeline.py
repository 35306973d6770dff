"""What is read of a LEAPP pipeline, and how its graphs become one, by hand-computed values."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper

from policy_training.deployment.leapp.initial_values import initial_values_file, read_initial_values
from policy_training.deployment.leapp.merging import check_one_moment, merged, ports_of
from policy_training.deployment.leapp.pipeline import LeappPort, read_pipeline
from policy_training.deployment.wrap.command import main
from tests.training.deployment.leapp.pipelines import changed, joints, node, port, written

POLICY = ("models", "policy")
Values = dict[str, np.ndarray]


def run(model: onnx.ModelProto, **given: np.ndarray) -> Values:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    outs = [one.name for one in session.get_outputs()]
    told = {name: np.asarray(value, np.float32) for name, value in given.items()}
    return dict(zip(outs, session.run(outs, told), strict=True))


def test_a_chain_becomes_one_graph_that_takes_rows(tmp_path: Path) -> None:
    pipeline = read_pipeline(joints(tmp_path / "pipe", frequency=25))
    assert (pipeline.rate, pipeline.given) == (25.0, ("obs/joint_pos", "obs/joint_vel"))
    assert ports_of(pipeline).state == {"policy/last_in": ("last_in", "last_in_next")}
    q, qd = np.arange(12).reshape(2, 6), np.ones((2, 6))
    got = run(merged(pipeline), joint_pos=q, joint_vel=qd, last_in=np.zeros((2, 6)))
    wanted = 10.0 * q + qd + 0.1 * 0.25
    np.testing.assert_allclose(got["target"], wanted, rtol=1e-6)
    np.testing.assert_allclose(got["last_in_next"], wanted - 0.25, rtol=1e-6)  # less its first value


def test_ports_of_one_name_are_told_apart_and_one_value_may_go_to_several(tmp_path: Path) -> None:
    (folder := tmp_path / "pipe").mkdir()
    double = [helper.make_node("Add", ["x", "x"], ["y"])]
    models = {
        "a": node(folder, "a", [port("x", [1, 2])], [port("y", [1, 2])], double),
        "b": node(folder, "b", [port("x", [1, 2])], [port("y", [1, 2])], double),
        "c": node(
            folder, "c", [port("p", [1, 2]), port("x", [1, 2]), port("h", [1, 2])], [port("y", [1, 2])],
            [helper.make_node("Sub", ["p", "x"], ["d"]), helper.make_node("Add", ["d", "h"], ["y"])],
        ),
    }  # fmt: skip
    written(
        folder, models, data_flow={"a/y": ["b/x", "c/p"]}, feedback_flow={"b/y": ["c/h"]},
        inputs={"a": ["x"], "c": ["x"]}, outputs={"a": ["y"], "c": ["y"]},
    )  # fmt: skip
    pipeline = read_pipeline(folder)
    names = ports_of(pipeline)
    assert names.given == {"a/x": "x", "c/x": "c_x"} and names.results == {"a/y": "y", "c/y": "c_y"}
    got = run(merged(pipeline), x=[[1.0, 2.0]], c_x=[[5.0, 5.0]], h=[[0.5, 0.0]])
    np.testing.assert_allclose(got["y"], [[2.0, 4.0]])
    np.testing.assert_allclose(got["c_y"], [[2.0 - 5.0 + 0.5, 4.0 - 5.0]])
    np.testing.assert_allclose(got["h_next"], [[4.0, 8.0]])


@pytest.mark.parametrize(
    ("shape", "axis", "summed"), [([1, 1, 2], 1, 0), ([1, 1, 2], 0, 1), ([2, 1, 1], 1, 2), ([2, 1, 1], 2, 1)]
)
def test_the_batch_of_a_state_is_found_where_rows_do_not_mix(
    tmp_path: Path, shape: list[int], axis: int, summed: int
) -> None:
    """The graph takes the state with its batch at `axis` and would add rows up with it at `summed`."""
    (folder := tmp_path / "pipe").mkdir()
    order = [1, 0] if shape[0] == 2 else [0, 1]
    model = node(
        folder, "policy", [port("x", [1, 2]), port("h", shape)], [port("y", [1, 2]), port("h_out", shape)],
        [
            helper.make_node("ReduceSum", ["h", "summed"], ["numbers"], keepdims=0),
            helper.make_node("Transpose", ["numbers"], ["rows"], perm=order),
            helper.make_node("Add", ["x", "rows"], ["y"]),
            helper.make_node("Add", ["h", "h"], ["h_out"]),
        ],
        {"summed": np.array([summed])},
    )  # fmt: skip
    written(
        folder, {"policy": model}, feedback_flow={"policy/h_out": ["policy/h"]},
        inputs={"policy": ["x"]}, outputs={"policy": ["y"]},
    )  # fmt: skip
    changed(folder, *POLICY, "outputs", 0, "kind", value="target/joint/velocity")
    h = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    got = run(merged(read_pipeline(folder)), x=np.zeros((3, 2)), h=h)
    np.testing.assert_allclose(got["y"], h)
    np.testing.assert_allclose(got["h_next"], 2.0 * h)


def test_a_graph_without_a_batch_is_used_where_it_takes_rows_all_the_same(tmp_path: Path) -> None:
    (folder := tmp_path / "pipe").mkdir()
    kind = {"kind": "target/joint/velocity"}
    product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    weights = {"w": np.array([[1.0, 0.0], [1.0, 2.0]], np.float32)}
    model = node(folder, "policy", [port("x", [2])], [port("y", [2], **kind)], product, weights)
    wires = {"inputs": {"policy": ["x"]}, "outputs": {"policy": ["y"]}}
    got = run(merged(read_pipeline(written(folder, {"policy": model}, **wires))), x=[[1.0, 2.0], [0.0, 1.0]])
    np.testing.assert_allclose(got["y"], [[3.0, 4.0], [1.0, 2.0]])
    mixed = [helper.make_node("CumSum", ["x", "first"], ["y"])]
    model = node(folder, "policy", [port("x", [2])], [port("y", [2], **kind)], mixed, {"first": np.array(0)})
    with pytest.raises(ValueError, match=r"one that takes rows .*y.*; allowed are ports with the batch"):
        merged(read_pipeline(written(folder, {"policy": model}, **wires)))


@pytest.mark.parametrize(
    ("keys", "value", "words"),
    [
        (("models",), None, "the file needs models, pipeline; got pipeline, system information"),
        ((*POLICY, "parameters", "backend"), "jit", "is exported as 'jit'; allowed is 'onnx': export it"),
        ((*POLICY, "parameters", "sha256sum"), "0" * 64, "the file says 000000000000...: it was changed"),
        ((*POLICY, "parameters", "model_path"), "none.onnx", "No such file"),
        ((*POLICY, "inputs", 0, "shape"), [1, 11], "both have to be the same"),
        ((*POLICY, "inputs", 0, "shape"), "[1, 12]", "shape of features has to be a list of sizes"),
        ((*POLICY, "inputs", 0, "name"), "a/b", "cannot have a / in its name"),
        (("models", "obs", "inputs", 0, "dtype"), "float64", "obs/joint_pos is float64; allowed is float32"),
        (("models", "obs", "inputs", 0, "shape"), [1, 5], "obs/joint_pos is [1, 5], in its graph joint"),
        (("models", "obs", "outputs"), [], "there is no output obs/features"),
        (("pipeline", "inputs", "obs"), ["joint_pos"], "obs/joint_vel has 0 sources; allowed is one"),
        (("pipeline", "inputs", "obs"), ["joint_pos", "joint_vel", "z"], "there is no input obs/z"),
        (("pipeline", "outputs"), {}, "nothing comes out"),
        (("pipeline", "data_flow"), {"policy/last_out": ["policy/features"]}, "both have to be the same"),
        (("pipeline", "configs"), {"frequency": 0}, "frequency has to be a number above 0 [Hz], got 0"),
        (("pipeline", "initial_values"), "pipe.yaml", "pipe.yaml is no safetensors file"),
        (("models", "obs", "inputs", 0, "element_names"), ["__temporal_axis__", None], None),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], keys: Any, value: Any, words: str | None
) -> None:
    folder = changed(joints(tmp_path / "pipe"), *keys, value=value)
    if words is None:  # a history of three steps
        changed(folder, *keys[:-1], "shape", value=[3, 2])
        words = "is [3, 2], several moments in one"
    (tmp_path / "c.yaml").write_text(
        "{robot: ur5e, task: joint_positions, policy_rate: 20, observation: [joint_position], "
        "action: {kind: position}}"
    )
    assert main([str(folder), "--contract", str(tmp_path / "c.yaml"), "-o", str(tmp_path / "b")]) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (tmp_path / "b").exists()


def test_a_flow_that_goes_back_or_a_strange_operator_is_refused(tmp_path: Path) -> None:
    (folder := tmp_path / "pipe").mkdir()
    same = [helper.make_node("Identity", ["x"], ["y"])]
    models = {name: node(folder, name, [port("x", [1, 2])], [port("y", [1, 2])], same) for name in "ab"}
    wires = {"inputs": {"b": ["x"]}, "outputs": {"a": ["y"]}, "data_flow": {"b/y": ["a/x"]}}
    with pytest.raises(ValueError, match="b/y goes to a/x, which runs before it; only feedback_flow may"):
        read_pipeline(written(folder, models, **wires))
    strange = [helper.make_node("Runner", ["x"], ["y"], domain="theirs")]
    models = {"a": node(folder, "a", [port("x", [1, 2])], [port("y", [1, 2])], strange)}
    wires = {"inputs": {"a": ["x"]}, "outputs": {"a": ["y"]}}
    with pytest.raises(ValueError, match="node a uses theirs::Runner, which ONNX does not define"):
        merged(read_pipeline(written(folder, models, **wires)))


def test_the_file_is_found_by_the_folders_name_or_alone(tmp_path: Path) -> None:
    folder = joints(tmp_path / "pipe").rename(tmp_path / "renamed")
    assert read_pipeline(folder).name == "pipe"
    (folder / "contract.yaml").write_text("robot: ur5e")
    with pytest.raises(
        ValueError, match=r"has contract.yaml, pipe.yaml; a LEAPP pipeline has one, renamed.y"
    ):
        read_pipeline(folder)
    assert read_pipeline(folder / "pipe.yaml").name == "pipe"


def test_initial_values_come_back_as_they_were_and_damage_is_told(tmp_path: Path) -> None:
    path, values = (
        tmp_path / "v.safetensors",
        {"p/a": np.arange(6.0).reshape(1, 6), "p/b": np.array([[[7.5]]])},
    )
    data = initial_values_file({name: value.astype(np.float32) for name, value in values.items()})
    path.write_bytes(data)
    found = read_initial_values(path)
    assert found.keys() == values.keys()
    for name, value in values.items():
        np.testing.assert_array_equal(found[name], value)
    head = data[8 : 8 + int.from_bytes(data[:8], "little")]
    assert json.loads(head)["p/b"] == {"dtype": "F32", "shape": [1, 1, 1], "data_offsets": [24, 28]}
    for wrong, words in (
        (data[:-2], "p/b does not have the size of its shape"), (data[:20], "no safetensors file"),
        (b"", "no safetensors file"), (data.replace(b"F32", b"F16"), "has p/a as F16; allowed are"),
        (data.replace(b"[0, 24]", b"[0, 99]"), "p/a does not have the size of its shape"),
        (data.replace(b"[0, 24]", b"[-9,15]"), "p/a does not have the size of its shape"),
    ):  # fmt: skip
        path.write_bytes(wrong)
        with pytest.raises(ValueError, match=words):
            read_initial_values(path)


@pytest.mark.parametrize(
    ("shape", "steps", "fine"),
    [((1, 7), 1, True), ((7,), 1, True), ((16, 7), 1, False), ((1, 16, 7), 1, False), ((16, 1), 16, False)],
)
def test_an_action_of_several_moments_is_told_from_one(
    shape: tuple[int, ...], steps: int, fine: bool
) -> None:
    one = LeappPort("y", "float32", shape, "target/joint/position", steps=steps)
    if fine:
        check_one_moment("policy/y", one)
    else:
        with pytest.raises(ValueError, match=r"policy/y is \[.*\], several moments in one; allowed is one"):
            check_one_moment("policy/y", one)


def test_the_axis_of_time_is_read_where_it_stands(tmp_path: Path) -> None:
    folder = joints(tmp_path / "pipe")
    place = ("models", "obs", "inputs", 0)
    changed(folder, *place, "shape", value=[3, 2])
    for names, steps in (([None, "__temporal_axis__"], 2), (["__temporal_axis__", None], 3), (None, 1)):
        changed(folder, *place, "element_names", value=names or ["a", "b", "c", "d", "e", "f"])
        one = read_pipeline(folder).inputs["obs/joint_pos"]
        assert (one.steps, one.numbers) == (steps, 6)
    assert one.elements == ("a", "b", "c", "d", "e", "f")
