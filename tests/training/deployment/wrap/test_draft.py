"""A contract from what a graph says of itself."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from policy_training.deployment.wrap.command import main
from policy_training.deployment.wrap.contract import load_contract
from policy_training.deployment.wrap.draft import draft_of
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.wrap.graphs import linear

UR5E = load_robot("ur5e")
JOINTS = UR5E.joint_names[::-1]
POSTURE = (0.0, -1.57, -1.571, 1.57, -1.57, 0.1)
SAID = {
    "joint_names": ",".join(JOINTS), "default_joint_pos": ",".join(map(str, POSTURE)), "action_scale": "0.25",
    "observation_names": "joint_pos,joint_vel,actions",
}  # fmt: skip


def graph(**said: str) -> onnx.ModelProto:
    model = linear(np.vstack([np.eye(6), np.zeros((12, 6))]))
    for key, value in said.items():
        model.metadata_props.add(key=key, value=value)
    return model


def test_a_drafted_contract_wraps_and_means_what_the_graph_said(tmp_path: Path) -> None:
    onnx.save_model(graph(**SAID), tmp_path / "policy.onnx")
    words = [str(tmp_path / "policy.onnx"), "--contract", str(tmp_path / "contract.yaml")]
    assert main([*words, "--draft", "--robot", "ur5e", "--rate", "50"]) == 0
    contract = load_contract(tmp_path / "contract.yaml")
    assert contract.policy_rate == 50.0 and contract.task.name == "joint_positions"
    assert contract.columns == (5, 4, 3, 2, 1, 0)
    np.testing.assert_allclose(contract.offset, POSTURE)
    np.testing.assert_allclose(contract.scale, 0.25)
    np.testing.assert_allclose(contract.observation[0].shift, POSTURE)
    assert [given.term for given in contract.observation] == [
        "joint_position",
        "joint_velocity",
        "last_output",
    ]
    assert main([*words, "-o", str(tmp_path / "bundle")]) == 0
    assert main([*words, "--draft", "--robot", "ur5e"]) == 1  # nobody's contract is written over


def test_a_term_that_means_nothing_here_has_to_be_filled_in(tmp_path: Path) -> None:
    text = draft_of(graph(**SAID | {"observation_names": "joint_pos,projected_gravity"}), UR5E, "ur5e", 50.0)
    (tmp_path / "contract.yaml").write_text(text)
    with pytest.raises(ValueError, match="no term 'projected_gravity'"):
        load_contract(tmp_path / "contract.yaml")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"joint_names": ""}, "says nothing of joint_names"),
        ({"joint_names": "a,b"}, "the graph is of the joints a, b; ur5e has"),
        ({"action_scale": "much"}, "no list of numbers"),
        ({"default_joint_pos": "0.1,0.2"}, "has 2 numbers for 6 joints"),
    ],
)
def test_what_cannot_be_drafted_is_said(changed: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draft_of(graph(**SAID | changed), UR5E, "ur5e", 50.0)
