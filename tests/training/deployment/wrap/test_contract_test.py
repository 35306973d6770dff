"""The commonest faults of a deployed policy, injected: an order, a sign, an offset, a unit. On each arm every
one is found, and no right contract is refused."""

import math
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from policy_training.deployment.wrap.command import wrap
from policy_training.deployment.wrap.contract import contract_of
from policy_training.deployment.wrap.meaning import Meaning
from sim.reaching.guarded import GuardedArm
from spillguard_core.bundle.bundle import Bundle, load_bundle
from spillguard_core.bundle.moves import (
    JOINT,
    SECONDS,
    SETTLED,
    TOOL,
    Move,
    asked,
    fault,
    lasts,
    move,
    posture_fault,
    profile,
    settled,
)  # fmt: skip
from spillguard_core.bundle.replayed import load_recorded, replayed
from spillguard_core.gate.decision import Mode
from spillguard_core.gate.rule import Tool
from spillguard_core.robot.arm import Vec, load_robot
from spillguard_ros.operator.contract_test import main
from tests.training.deployment.wrap.graphs import linear

ARMS = ("gen3", "ur5e", "fr3")
STEPS = 30
Raw = dict[str, Any]


def right(arm: str, rng: np.random.Generator) -> tuple[Raw, bytes]:
    """A contract with an order, scales and offsets of its own, and a policy that heeds every entry."""
    joints = list(load_robot(arm).joint_names)
    count = len(joints)
    raw = {
        "robot": arm, "task": "joint_velocities", "policy_rate": 20.0,
        "observation": [
            {
                "term": "joint_position", "joints": rng.permutation(joints).tolist(),
                "shift": rng.uniform(-1.0, 1.0, count).tolist(),
                "scale": rng.uniform(0.5, 2.0, count).tolist(),
            },
            {"term": "joint_velocity", "joints": rng.permutation(joints).tolist(), "scale": 0.5},
        ],
        "action": {
            "kind": "velocity", "entries": rng.permutation(joints).tolist(),
            "scale": rng.uniform(0.2, 0.5, count).tolist(), "offset": rng.uniform(-0.1, 0.1, count).tolist(),
        },
    }  # fmt: skip
    weights = rng.uniform(0.3, 1.0, (2 * count, count)) * rng.choice([-1.0, 1.0], (2 * count, count))
    return raw, linear(weights).SerializeToString()


def recording(raw: Raw, model: bytes, path: Path, rng: np.random.Generator) -> Path:
    """What the source says: its policy's answers, by the names of the joints, in an order of its own."""
    contract = contract_of(raw, path.parent)
    joints = contract.robot.joint_names
    source, shown = Meaning(model, contract), rng.permutation(len(joints))
    q, qd = rng.uniform(-1.0, 1.0, (2, STEPS, len(joints)))
    action = np.array(
        [source({"joint_position": a, "joint_velocity": b}) for a, b in zip(q, qd, strict=True)]
    )
    np.savez(
        path, joint_names=np.array(joints)[shown], joint_position=q[:, shown], joint_velocity=qd[:, shown],
        action_names=np.array(joints), action=action,
    )  # fmt: skip
    return path


def bundle_of(raw: Raw, model: bytes, out: Path) -> Bundle:
    wrap(model, contract_of(raw, out.parent), out)
    return load_bundle(out)


def swapped(part: str) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        names = raw["action"]["entries"] if part == "action" else raw["observation"][0]["joints"]
        names[1], names[4] = names[4], names[1]

    return change


def scaled(part: str, key: str, factor: float, at: int | None = None) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        of = raw["action"] if part == "action" else raw["observation"][0]
        of[key] = [v * factor if at in (None, i) else v for i, v in enumerate(of[key])]

    return change


def shifted(part: str, key: str) -> Callable[[Raw], None]:
    def change(raw: Raw) -> None:
        (raw["action"] if part == "action" else raw["observation"][0])[key][2] += 0.1

    return change


FAULTS: dict[str, tuple[Callable[[Raw], None], str]] = {
    "two joints swapped in the observation": (swapped("observation"), "joint_position has .* swapped"),
    "two joints swapped in the action": (swapped("action"), ""),
    "a sign in the observation": (scaled("observation", "scale", -1.0, 3), ""),
    "a sign in the action": (scaled("action", "scale", -1.0, 3), ""),
    "0.1 rad in the observation": (shifted("observation", "shift"), "joint_position has .* off by"),
    "0.1 rad/s in the action": (shifted("action", "offset"), "its action has .* off by"),
    "degrees in the observation": (scaled("observation", "scale", math.degrees(1.0)), ""),
    "degrees in the action": (scaled("action", "scale", math.degrees(1.0)), ""),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("arm", ARMS)
def test_a_wrong_contract_answers_otherwise_than_its_source(arm: str, name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng([*map(ord, name)])
    raw, model = right(arm, rng)
    log = recording(raw, model, tmp_path / "source.npz", rng)
    wrong = deepcopy(raw)
    FAULTS[name][0](wrong)
    bundle = bundle_of(wrong, model, tmp_path / "bundle")
    found = replayed(bundle, load_recorded(log, bundle))
    assert not found.agrees
    if FAULTS[name][1]:
        import re

        assert re.search(FAULTS[name][1], found.explanation), found
    assert main([str(tmp_path / "bundle"), "--recording", str(log)]) == 1


@pytest.mark.parametrize("arm", ARMS)
def test_no_right_contract_is_refused(arm: str, tmp_path: Path) -> None:
    for seed in range(34):  # about a hundred on the three
        rng = np.random.default_rng(seed)
        raw, model = right(arm, rng)
        log = recording(raw, model, tmp_path / f"{seed}.npz", rng)
        bundle = bundle_of(raw, model, tmp_path / f"bundle{seed}")
        found = replayed(bundle, load_recorded(log, bundle))
        assert found.agrees, (seed, found)


def moved(arm: GuardedArm, bundle: Bundle, speed: float = 1.0) -> tuple[list[str], float, float]:
    """Every entry's move behind the gate: what is found wrong, and how far tool [m] and joints [rad] went."""
    tool, wrong, period, far, wide = bundle.tool(), list[str](), arm.config.period, 0.0, 0.0
    for entry in range(len(bundle.task.action)):
        start, begin = arm.measured().joint_position, arm.position
        one, seen = move(bundle, tool, start, entry, speed), None
        for tick in range(round(lasts(speed) / period)):
            if tick == round((SECONDS + 0.75 * settled(speed)) / period):
                seen = arm.measured().joint_position - start
            arm.period(asked(one, bundle, start, tick * period, speed))
            far = max(
                far, float(np.linalg.norm(tool.pose(arm.position).position - tool.pose(begin).position))
            )
            wide = max(wide, float(np.abs(arm.position - begin).max()))
            if arm.decision.mode is not Mode.FOLLOWING:
                return [*wrong, f"{one.name}: {arm.decision.reason.name}"], far, wide
        assert seen is not None
        wrong += [words] if (words := fault(one, seen, bundle.robot.joint_names)) else []
    return wrong, far, wide


def swap(q: Vec) -> Vec:
    out = q.copy()
    out[[1, 3]] = q[[3, 1]]
    return out


def sign(q: Vec) -> Vec:
    return q * np.where(np.arange(len(q)) == 2, -1.0, 1.0)


@pytest.mark.parametrize("task", ["joint_velocities", "joint_positions", "reach"])
@pytest.mark.parametrize("arm", ARMS)
def test_small_moves_find_what_the_driver_has_wrong(arm: str, task: str, tmp_path: Path) -> None:
    count = len(load_robot(arm).joint_names)
    kind = {"joint_velocities": "velocity", "joint_positions": "position", "reach": "twist"}[task]
    entries = 6 if task == "reach" else count
    raw = {
        "robot": arm,
        "task": task,
        "policy_rate": 20.0,
        "observation": ["joint_position"],
        "action": {"kind": kind},
    }
    bundle = bundle_of(raw, linear(np.zeros((count, entries))).SerializeToString(), tmp_path / "bundle")
    sensed = {sensor.name: np.array([0.5, 0.0, 0.4]) for sensor in bundle.task.sensors}

    def found(states: Callable[[Vec], Vec], slowed: float = 1.0) -> list[str]:
        driven = GuardedArm(bundle, bundle.robot.rest, sensed, states, slowed)
        rest = driven.measured().joint_position if task == "joint_positions" else np.zeros(entries)
        driven.open(rest)
        if driven.decision.mode is not Mode.FOLLOWING:
            return [driven.decision.reason.name]  # the monitor does not open
        wrong, far, wide = moved(driven, bundle, slowed)
        # A driver that is wrong moves the arm from another posture than it says.
        assert wrong or (far <= TOOL + 1e-3 and wide <= JOINT + 5e-3)
        return wrong

    assert found(lambda q: q) == []
    assert found(lambda q: q, 0.1) == []
    for states in (swap, sign, np.degrees):
        assert found(states) != [], states.__name__


def followed(tool: Tool, q: Vec, entry: int, peak: float) -> Vec:
    """Where a posture is after the way there with this peak of an entry of a twist."""
    action = np.zeros(6)
    for number in range(round(100 * (SECONDS + SETTLED))):
        action[entry] = profile(peak, 0.01 * (number + 0.5))
        q = q + 0.01 * tool.joint_velocity(q, action)
    return q


def untold(one: Move) -> str:
    """What is said of a move that is too small to be seen."""
    return f"{one.name}: at this posture it moves too little to be seen; choose another"


@pytest.mark.parametrize("arm", ARMS)
def test_a_reversed_action_is_found_wherever_a_move_is_made(arm: str, tmp_path: Path) -> None:
    """Off its rest posture a redundant arm drifts: what an action adds counts, or nothing is moved."""
    count = len(load_robot(arm).joint_names)
    raw = {
        "robot": arm,
        "task": "reach",
        "policy_rate": 20.0,
        "observation": ["joint_position"],
        "action": {"kind": "twist"},
    }
    bundle = bundle_of(raw, linear(np.zeros((count, 6))).SerializeToString(), tmp_path / "bundle")
    tool, rng, judged = bundle.tool(), np.random.default_rng(4), 0
    for _ in range(12):
        q = bundle.robot.rest + rng.uniform(-0.2, 0.2, count)
        for entry in range(6):
            try:
                one = move(bundle, tool, q, entry)
            except ValueError as error:
                assert "bring the arm there first" in str(error) or "choose another" in str(error)
                continue
            judged += 1
            # What an arm does that follows its own kinematics, whatever the move says of itself.
            forward, reversed_, half = (followed(tool, q, entry, k * one.peak) - q for k in (1.0, -1.0, 0.5))
            assert fault(one, forward, bundle.robot.joint_names) in ("", untold(one))
            assert fault(one, reversed_, bundle.robot.joint_names) != ""
            assert fault(one, half, bundle.robot.joint_names) != ""
    assert judged > 0


def test_the_pendant_shows_an_offset_that_no_move_can() -> None:
    names, shown, span = ("a", "b", "c"), np.array([0.1, -1.2, 2.0]), np.array([4.0, np.inf, 12.0])
    assert posture_fault(shown, shown + 0.01, names, span) == ""
    assert posture_fault(shown, shown + np.array([0.0, 0.1, 0.0]), names, span) == (
        "b -63.03 deg, the pendant shows -68.75"
    )
    assert posture_fault(shown, np.full(3, np.nan), names, span) != ""
    # A pendant may count from 0 to 360 degrees, but two turns of a joint that has both are two postures.
    assert posture_fault(shown + 2.0 * np.pi * np.array([1.0, 1.0, 0.0]), shown, names, span) == ""
    assert posture_fault(shown + 2.0 * np.pi * np.array([0.0, 0.0, 1.0]), shown, names, span) != ""


def test_a_recording_that_cannot_be_used_is_refused_in_words(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    raw, model = right("gen3", rng)
    bundle, log = bundle_of(raw, model, tmp_path / "bundle"), recording(raw, model, tmp_path / "a.npz", rng)
    with np.load(log) as archive:
        whole = {name: archive[name] for name in archive.files}
    for changed, words in (
        ({"joint_velocity": None}, "lacks joint_velocity"),
        ({"joint_names": np.array(["a"] * 7)}, "needed is each of joint_1"),
        ({"action": whole["action"][:, :3]}, "finite numbers of the shape"),
        ({"joint_position": np.full_like(whole["joint_position"], np.nan)}, "finite numbers"),
        ({"episode": np.zeros(3)}, "episode of"),
        ({"joint_position": np.zeros_like(whole["joint_position"])}, "shows too little: joint_1"),
    ):
        kept = {name: value for name, value in (whole | changed).items() if value is not None}
        np.savez(tmp_path / "b.npz", **kept)
        with pytest.raises(ValueError, match=words):
            load_recorded(tmp_path / "b.npz", bundle)
    (tmp_path / "c.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"no readable \.npz"):
        load_recorded(tmp_path / "c.npz", bundle)
