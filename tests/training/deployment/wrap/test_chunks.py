"""Policies that put out several actions at once: by hand-computed values."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_training.deployment.leapp.writing import write_pipeline
from policy_training.deployment.wrap.contract import contract_of
from spillguard_core.bundle.bundle import LONGEST_CHUNK, load_bundle
from spillguard_core.bundle.manifest import Ahead, BundleError, Manifest
from spillguard_core.bundle.replayed import load_recorded, replayed
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.wrap.graphs import linear
from tests.training.deployment.wrap.test_wrap import JOINTS, bundle_of

RNG = np.random.default_rng(5)
CHUNK = {"actions": 4, "period": 0.1}


def contract(**changed: Any) -> dict[str, Any]:
    """Seven joints in, four actions out."""
    action = {"kind": "position", "chunk": CHUNK, **changed}
    return {
        "robot": "gen3", "task": "joint_positions", "policy_rate": 5.0, "observation": ["joint_position"],
        "action": action,
    }  # fmt: skip


def test_the_actions_follow_each_other_and_only_those_used_are_kept(tmp_path: Path) -> None:
    weights = np.hstack([factor * np.eye(7) for factor in (1.0, 2.0, 3.0, 4.0)])
    order = JOINTS[::-1]
    raw = contract(chunk=CHUNK | {"used": 3}, entries=order, scale=0.5, offset=0.1)
    bundle, q = bundle_of(tmp_path, linear(weights), raw), RNG.uniform(-0.5, 0.5, 7)
    got = bundle.actions(bundle.policy(q[None].astype(np.float32))[0])
    wanted = [(0.1 + 0.5 * factor * q)[::-1] for factor in (1.0, 2.0, 3.0)]
    np.testing.assert_allclose(got, wanted, atol=1e-6)
    assert bundle.manifest.ahead == Ahead(3, 0.1)


def test_a_delta_is_of_a_step_of_the_chunk(tmp_path: Path) -> None:
    raw = contract(kind="delta", scale=0.02) | {"task": "joint_velocities"}
    bundle = bundle_of(tmp_path, linear(np.hstack([np.eye(7)] * 4)), raw)
    got = bundle.actions(bundle.policy(np.ones((1, 7), np.float32))[0])
    np.testing.assert_allclose(got, np.full((4, 7), 0.02 / 0.1), rtol=1e-5)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        ({"actions": 4}, "chunk of action needs actions, period"),
        ({"actions": 0, "period": 0.1}, "chunk.actions has to be a whole number, 1 to"),
        ({"actions": 4.0, "period": 0.1}, "whole number"), ({"actions": 1000, "period": 0.1}, "1 to 128"),
        ({"actions": 4, "period": -0.1}, "period has to be a number above 0"),
        ({"actions": 4, "period": 0.1, "used": 5}, "used has to be a whole number, 1 to 4, got 5"),
        ({"actions": 4, "period": 0.1, "used": 1}, "last 0.1 s; allowed are 0.2 s"),
        ({"actions": 100, "period": 0.1}, f"to {LONGEST_CHUNK} s"),
        (4, "chunk of action needs"),
    ],
)  # fmt: skip
def test_a_chunk_that_makes_no_sense_is_refused(tmp_path: Path, chunk: object, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        contract_of(contract(chunk=chunk), tmp_path)


def test_a_graph_of_another_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has 7 numbers, action has 7 in each of 4 actions of a chunk"):
        bundle_of(tmp_path, linear(np.eye(7)), contract())


def test_no_pipeline_of_another_stack_is_written_of_chunks(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, linear(np.hstack([np.eye(7)] * 4)), contract())
    with pytest.raises(ValueError, match="puts out 4 actions at once"):
        write_pipeline(bundle, tmp_path / "bundle", tmp_path / "pipeline")
    assert not (tmp_path / "pipeline").exists()


def test_its_last_output_is_not_given_to_a_policy_of_chunks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot be given its last_output"):
        contract_of(contract() | {"observation": ["joint_position", "last_output"]}, tmp_path)


@pytest.mark.parametrize(
    "ahead", [Ahead(0, 0.1), Ahead(1, 0.1), Ahead(4, -0.1), Ahead(4, 10.0), Ahead(129, 0.01), Ahead(4, 1e-9)]
)
def test_a_bundle_whose_chunks_make_no_sense_is_refused(tmp_path: Path, ahead: Ahead) -> None:
    bundle = bundle_of(tmp_path, linear(np.hstack([np.eye(7)] * 4)), contract())
    path = tmp_path / "bundle/manifest.json"
    path.write_text(replace(bundle.manifest, ahead=ahead).to_json())
    with pytest.raises(BundleError, match="ahead"):
        load_bundle(tmp_path / "bundle")


def test_what_the_numbers_mean_changes_with_the_chunk(tmp_path: Path) -> None:
    """And a manifest without one means what it meant before there were any."""
    manifest = bundle_of(tmp_path, linear(np.hstack([np.eye(7)] * 4)), contract()).manifest
    others = [manifest, replace(manifest, ahead=None), replace(manifest, ahead=Ahead(4, 0.2))]
    assert len({one.interface for one in others}) == 3
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize("swap", [False, True])
def test_recorded_chunks_are_answered_alike(tmp_path: Path, swap: bool) -> None:
    weights = RNG.uniform(-1.0, 1.0, (7, 28))
    bundle = bundle_of(tmp_path, linear(weights), contract())
    q = RNG.uniform(-1.0, 1.0, (50, 7))
    action = (q @ weights).reshape(50, 4, 7)
    names = load_robot("gen3").joint_names
    if swap:
        action = action[..., [1, 0, 2, 3, 4, 5, 6]]
    np.savez(tmp_path / "source.npz", joint_names=names, joint_position=q, action_names=names, action=action)
    found = replayed(bundle, load_recorded(tmp_path / "source.npz", bundle))
    assert found.agrees is not swap
    assert not swap or "joint_1 and joint_2 swapped" in found.explanation
    np.savez(
        tmp_path / "one.npz", joint_names=names, joint_position=q, action_names=names, action=action[:, 0]
    )
    with pytest.raises(ValueError, match=r"of the shape \(50, 4, 7\)"):
        load_recorded(tmp_path / "one.npz", bundle)
