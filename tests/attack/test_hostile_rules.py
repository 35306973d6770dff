"""Rules, tasks, zones and recordings that are wrong in themselves: what gate and commands make of them."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spillguard.cli import main as spillguard
from spillguard_core import tasks
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.bundle.site import Zone, slow_zone_rule
from spillguard_core.gate.decision import MARGINS, Decision, Request
from spillguard_core.gate.gate import decide
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import Parts, Rule, Setting, checked
from spillguard_core.gate.task import Axis, Kind, Sensor
from spillguard_core.gate.trajectory import braking_trajectory, sample
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.monitor.parameters import settings_parameters
from spillguard_ros.node import runtime
from spillguard_ros.recording import flight
from spillguard_ros.recording.recorder import FlightRecorder
from spillguard_ros.recording.recording import Flight, replay
from tests.core.conftest import Rig, resensed
from tests.ros.flights import cycle
from tests.ros.harness import PATIENCE

SHIPPED = Path(__file__).parents[2] / "artifacts/pour_coffee"
REASON = Reason("ATTACKED", "attacked", Verdict.LIMIT)
FAR = np.array([0.6, -0.6, 0.12])
FASTEST = (755, 916, 1042, 1089, 1464, 1519)  # seeds of 2,000: the fastest had 99.999 % of the speed


def rule(name: str = "own", **changed: Any) -> Rule:
    return replace(Rule(name, "m", REASON, lambda way: Parts(np.array([1.0]))), **changed)


def test_an_arm_whose_rule_says_nan_comes_to_rest(rig: Rig) -> None:
    rig.follow(30)
    fast = np.abs(rig.qd).max()
    rig.models = replace(rig.models, more_rules=(rule(margin=lambda way: Parts(np.array([1.0, np.nan]))),))
    decision = rig.run(60, np.array([0.0, 0.0, 0.1, 0.0]))
    assert decision.reason is REASON and fast > 0.1
    assert not decision.qd.any() and np.abs(rig.qd).max() < 1e-6


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ((rule(), rule()), "two margins have the name 'own'"),
        ((rule("tracking"),), "two margins have the name 'tracking'"),
        ((rule(reason=Reason("LETS_PASS", "x", Verdict.PASS)),), "LETS_PASS, which lets pass"),
        ((rule(setting=Setting("clearance", "x", 0, 1, 1)),), "cannot have a setting 'clearance'"),
        ((rule(setting=Setting("a b", "x", 0, 1, 1)),), "cannot have a setting 'a b'"),
        (
            (rule(setting=Setting("a", "x", 0, 1, 1)), rule("b", setting=Setting("a", "x", 0, 2, 1))),
            "different",
        ),
    ],
)
def test_rules_that_do_not_get_along_are_refused(rules: tuple[Rule, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        checked(rules, MARGINS)


def test_a_bundle_asks_whether_its_rules_get_along(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spillguard_core.bundle.bundle.installed_rules", lambda: (rule("tilt"),))
    with pytest.raises(ValueError, match="two margins have the name 'tilt'"):
        checked(load_bundle(SHIPPED).rules, MARGINS)


def test_two_rules_may_share_a_setting() -> None:
    shared = Setting("shared", "x", 0.0, 1.0, 1)
    rules = checked((rule(setting=shared), rule("b", setting=shared)), MARGINS)
    assert list(settings_parameters(rules).__dataclass_fields__) == ["shared"]


class BrokenPoint:
    """An entry point of a package whose import fails."""

    name = value = "gone.rule:RULE"

    def load(self) -> Any:
        raise AttributeError("module gone has no attribute RULE")


class TaskPoint(BrokenPoint):
    """An entry point that takes the name of the task that is shipped."""

    def load(self) -> Any:
        return replace(POURING)


def test_an_entry_point_that_cannot_be_loaded_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "entry_points", lambda group: [BrokenPoint()])
    with pytest.raises(ValueError, match=r"entry point gone\.rule:RULE of spillguard.rules cannot be loaded"):
        tasks.installed_rules.__wrapped__()


def test_no_package_takes_the_name_of_a_task_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "entry_points", lambda group: [TaskPoint()])
    with pytest.raises(ValueError, match="two tasks have the name 'pouring'"):
        tasks.known_tasks()


ALONG = Axis("a", "m/s", 1.0, "linear.x")
SCALE = Sensor("scale", "scale", Kind.MASS, "scale/wrench", "scale")


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"sensors": (SCALE, replace(SCALE, topic="b", prefix="b"))}, "the same sensor twice"),
        (
            {"sensors": (SCALE, replace(SCALE, name="b", topic="/scale/wrench", prefix="b"))},
            "same topic twice",
        ),
        ({"sensors": (replace(SCALE, topic="joint_states"),)}, "the same topic twice"),
        ({"sensors": (SCALE, replace(SCALE, name="b", topic="b"))}, "the same prefix twice"),
        ({"sensors": (replace(SCALE, prefix=""),)}, "the frame of scale has no prefix"),
        ({"action": (ALONG, replace(ALONG, name="b"))}, "the same part of a twist twice"),
        ({"action": (ALONG, replace(ALONG, part="linear.y"))}, "the same entry twice"),
        ({"action": (replace(ALONG, part="linear.w"),)}, "an action is of parts of a twist"),
        ({"action": (ALONG, replace(ALONG, name="b", part="velocities"))}, "or all of it of velocities"),
        ({"sensors": (SCALE,), "placed": {"receiver": "scale"}}, "what is placed needs a point"),
    ],
)
def test_a_task_that_contradicts_itself_is_refused(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(POURING, **({"placed": {}} | changed))


def fastest_inside(zone: Zone, twist: np.ndarray) -> float:
    """Largest share of the zone's speed at which the tool is in it, every millisecond of two seconds."""
    rig, low, high, worst = Rig(), np.array(zone.low), np.array(zone.high), 0.0
    wide = replace(rig.config.limits, workspace_min=np.full(3, -2.0), workspace_max=np.full(3, 2.0))
    rig.config = replace(rig.config, limits=wide)
    rig.models = replace(rig.models, more_rules=(slow_zone_rule((zone,)),))
    rig.tick(None, Request.RESET)
    for number in range(200):
        rig.now += 0.01
        rig.move()
        requests = (Request.RESUME,) if number == 0 else ()
        inputs = rig.inputs(twist, *requests)
        assert inputs.measurement is not None
        inputs = replace(inputs, measurement=resensed(inputs.measurement, target_position=FAR))
        rig.decision = decide(inputs, rig.decision, rig.config, rig.models)
        rig.told, rig.told_at = braking_trajectory(rig.decision, rig.config), (rig.now, rig.q, rig.qd)
        for t in np.arange(0.001, 0.0101, 0.001):
            state = rig.models.tool.state(*sample(rig.told, float(t), rig.q, rig.qd))
            if ((low <= state.position) & (state.position <= high)).all():
                worst = max(worst, float(np.linalg.norm(state.velocity)) / zone.speed)
    assert rig.models.tool.pose(rig.q).position @ np.sign(twist[:3]) > 0.0
    return worst


@pytest.mark.parametrize("thickness", [0.001, 0.004, 0.02])
@pytest.mark.parametrize("side", [1.0, -1.0])
def test_no_thin_zone_is_jumped_and_none_is_left_too_fast(thickness: float, side: float) -> None:
    x, y, z = Rig().models.tool.pose(Rig().q).position
    near, far = sorted([y + side * 0.05, y + side * (0.05 + thickness)])
    zone = Zone("curtain", (x - 1.0, near, z - 1.0), (x + 1.0, far, z + 1.0), 0.08)
    assert fastest_inside(zone, np.array([0.0, side * 0.25, 0.0, 0.0])) <= 1.02


def fastest_while_late(seed: int) -> float:
    """The same, while decisions come 1 to 30 ms apart, messages are heard up to 4 ms late and the proposal
    changes wildly. A millimetre at the zone's edge does not count, as at every other limit.
    """
    rng, rig, worst = np.random.default_rng(seed), Rig(), 0.0
    x, y, z = rig.models.tool.pose(rig.q).position
    side = rng.choice([-1.0, 1.0])
    near, far = sorted([y + side * rng.choice([-0.1, 0.02]), y + side * 0.25])
    zone = Zone("aside", (x - 1.0, near, z - 1.0), (x + 1.0, far, z + 1.0), float(rng.uniform(0.02, 0.15)))
    low, high = np.array(zone.low) + 1e-3, np.array(zone.high) - 1e-3
    wide = replace(rig.config.limits, workspace_min=np.full(3, -2.0), workspace_max=np.full(3, 2.0))
    rig.config = replace(rig.config, limits=wide)
    rig.models = replace(rig.models, more_rules=(slow_zone_rule((zone,)),))
    rig.tick(None, Request.RESET)
    twist, on_its_way = side * np.array([0.0, 0.25, 0.0, 0.0]), []
    for number in range(120):
        if rng.random() < 0.15:
            twist = rng.choice([-1.0, 1.0, 0.0], 4) * rig.models.scale
        inputs = rig.inputs(twist, *((Request.RESUME,) if number == 0 else ()))
        assert inputs.measurement is not None
        inputs = replace(inputs, measurement=resensed(inputs.measurement, target_position=FAR))
        rig.decision = decide(inputs, rig.decision, rig.config, rig.models)
        until, late = rig.now + rng.uniform(0.001, 0.03), rng.uniform(0.0, 0.004)
        if rig.decision.send:
            on_its_way.append((rig.now + late, rig.now, braking_trajectory(rig.decision, rig.config)))
        while rig.now < until:
            rig.now = min([rig.now + 0.001, until, *(max(each[0], rig.now) for each in on_its_way[:1])])
            rig.move()
            if on_its_way and on_its_way[0][0] <= rig.now:
                _, stamp, rig.told = on_its_way.pop(0)
                rig.told_at = (stamp, rig.q, rig.qd)
                rig.move()
            state = rig.models.tool.state(rig.q, rig.qd)
            if ((low <= state.position) & (state.position <= high)).all():
                worst = max(worst, float(np.linalg.norm(state.velocity)) / zone.speed)
    return worst


def test_no_late_decision_and_no_late_message_makes_the_tool_too_fast_in_a_zone() -> None:
    """And none is needlessly slow. For more seeds than these: SPILLGUARD_ZONE_SEEDS=2000."""
    seeds = int(os.environ.get("SPILLGUARD_ZONE_SEEDS", "0"))
    found = {seed: fastest_while_late(seed) for seed in (range(seeds) if seeds else FASTEST)}
    assert {seed: share for seed, share in found.items() if share > 1.0} == {}
    assert max(found.values()) > 0.99


def test_silence_after_the_first_decision_in_a_zone_makes_nothing_faster(rig: Rig) -> None:
    rig.models = replace(rig.models, more_rules=(slow_zone_rule((Zone("all", (-2,) * 3, (2,) * 3, 0.02),)),))
    rig.follow(1, np.array([0.0, 0.0, 0.0165, 0.0]))
    assert rig.told is not None
    states = [sample(rig.told, 0.001 * number, rig.q, rig.qd) for number in range(100)]
    speeds = [np.linalg.norm(rig.models.tool.state(*state).velocity) for state in states]
    # The controller's cubic exceeds the new speed by an eighth of its change.
    assert 0.01 < max(speeds) <= 0.02


def hostile(path: Path, said: dict[str, str], change: Callable[[Decision], Decision]) -> Path:
    recorder = FlightRecorder(path, {"config": "{}", "manifest": "{}", **said})
    for number in range(1, 6):
        entry = cycle(number)
        recorder.add(flight.TOPIC, replace(entry, decision=change(entry.decision)), number)
    assert recorder.close(PATIENCE)
    return path


@pytest.mark.parametrize(
    ("said", "detail", "shown"),
    [
        ({"margins": json.dumps({"[/red]": "m"})}, "", "margin: [/red]"),
        ({"margins": json.dumps({"a\x1b[2J": "m"})}, "", "margin: a\N{REPLACEMENT CHARACTER}[2J"),
        ({}, "frame '[/cup]'", "frame '[/cup]'"),
    ],
)
def test_explain_shows_what_a_hostile_recording_quotes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, str], detail: str, shown: str
) -> None:
    path = hostile(tmp_path / "flight.mcap", said, lambda decision: replace(decision, detail=detail))
    assert spillguard(["explain", str(path), "--out", str(tmp_path / "a.png")]) == 0
    assert shown in capsys.readouterr().out


@pytest.mark.parametrize("site", ["boxes: [", "<mujoco>", "[" * 100_000, "<html/>"])
def test_replay_names_the_recorded_site_that_is_damaged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], site: str
) -> None:
    path = hostile(tmp_path / "flight.mcap", {"site": site}, lambda d: d)
    assert spillguard(["replay", str(path), "--bundle", str(SHIPPED)]) == 2
    assert "the recorded site: " in capsys.readouterr().err


def test_a_recorded_decision_that_no_gate_made_is_different_and_ends_nothing(rig: Rig) -> None:
    cycles = []
    rig.follow(2)
    for _ in range(3):
        decision = rig.tick(np.array([0.0, 0.0, 0.1, 0.0]))
        assert rig.last_inputs is not None
        cycles.append(flight.CycleRecord(rig.last_inputs, replace(decision, candidate=10**30), 0.0, 0.0))
    said = flight.metadata(load_bundle(SHIPPED), rig.config, rig.models)
    high = replace(rig.models, critic=lambda obs, action: np.ones(len(obs), dtype=np.float32))
    assert len(replay(Flight(np.arange(3.0), tuple(cycles), said), high)) == 2


def test_a_node_that_fails_says_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []

    class Node:
        """Configures, and fails when it is first served."""

        def autostart(self) -> bool:
            return True

        def last_words(self) -> None:
            said.append("stop")

    def fails() -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(runtime, "spinner", lambda node: fails)
    monkeypatch.setattr(runtime.signal, "signal", lambda *args: None)
    for name in ("init", "try_shutdown"):
        monkeypatch.setattr(runtime.rclpy, name, lambda *args, **kwargs: None)
    monkeypatch.setattr(runtime.rclpy, "ok", lambda: True)
    with pytest.raises(ZeroDivisionError):
        runtime.run(Node)  # type: ignore[arg-type]
    assert said == ["stop"]
