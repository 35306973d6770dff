"""A six-joint arm and a task, both defined only in the tests, behind the gate as deployed."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from spillguard_core.bundle.bundle import BundleError, load_bundle
from spillguard_core.bundle.gate_config import LAUNCH, gate_config
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import Decision, GateConfig, Inputs, Measurement, Mode, Proposal, Request
from spillguard_core.gate.gate import Models, decide, initial_decision
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.task import observe
from spillguard_core.gate.trajectory import state_at
from spillguard_core.robot.arm import Vec, load_robot
from spillguard_core.tasks import find_task
from tests.made_up.bundle import offered, touch_bundle
from tests.made_up.touch import GOAL, ROBOT, TASK

BALL = np.array([0.5, -0.3, 0.2])
DOWN, AWAY = np.array([0.0, 0.0, -0.3]), np.array([0.3, 0.0, 0.0])


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(offered(tmp_path_factory.mktemp("site-packages")))
        yield touch_bundle(tmp_path_factory.mktemp("touch") / "bundle")


@dataclass
class Stand:
    """The gate and an arm that executes its commands exactly, on a manual clock."""

    models: Models
    config: GateConfig
    decision: Decision
    q: Vec
    qd: Vec
    now: float = 100.0
    ball: Vec = field(default_factory=BALL.copy)

    def decide(self, action: Vec | None, *requests: Request, after: float = 0.01) -> Decision:
        self.now += after
        if self.decision.anchored:
            since = self.now - self.decision.decided
            self.q, self.qd = state_at(self.decision, since, self.decision.coast, self.config)
        seen = Measurement(self.q, self.qd, {GOAL: self.ball})
        wanted = None if action is None else Proposal(action, self.now, self.now)
        inputs = Inputs(self.now, seen, self.now, self.now, self.now, wanted, requests)
        self.decision = decide(inputs, self.decision, self.config, self.models)
        return self.decision

    def follow(self, action: Vec, cycles: int = 200, **spacing: float) -> set[Reason]:
        return {self.decide(action, **spacing).reason for _ in range(cycles)}


@pytest.fixture
def stand(bundle: Path) -> Stand:
    loaded = load_bundle(bundle, load_robot(str(ROBOT)))
    parameters = yaml.safe_load((LAUNCH / "params/safety_monitor.yaml").read_text())["/**"]["ros__parameters"]
    config = gate_config(parameters, loaded)
    stand = Stand(
        loaded.models(config), config, initial_decision(6, 3), loaded.robot.rest.copy(), np.zeros(6)
    )
    for _ in range(40):
        stand.decide(None)
    stand.decide(None, Request.RESET)
    stand.decide(np.zeros(3), Request.RESUME)
    assert stand.decision.mode is Mode.FOLLOWING
    return stand


def test_the_task_is_found_by_its_entry_point_and_knows_nothing_of_cups(stand: Stand) -> None:
    assert find_task("touch", load_robot(str(ROBOT))) is TASK
    own = ["position", "workspace", "clearance", "tracking", "critic", "state_age", "command_age"]
    assert list(stand.decision.margins) == list(stand.models.margin_units) == own
    assert dict(stand.config.settings) == {}


def test_it_touches_the_ball_that_it_is_led_to(stand: Stand) -> None:
    stand.models = replace(stand.models, world=None)
    for _ in range(600):
        seen = Measurement(stand.q, stand.qd, {GOAL: BALL})
        obs = observe(TASK, stand.models.terms, seen, stand.models.tool)
        stand.decide(np.clip(-3.0 * obs, -1.0, 1.0) * stand.models.scale)
    assert np.linalg.norm(stand.models.tool.pose(stand.q).position - BALL) < 0.03


@pytest.mark.parametrize("after", [0.005, 0.01, 0.03, 0.09])
@pytest.mark.parametrize(
    ("action", "reason"),
    [(DOWN, reasons.COLLISION), (np.array([-0.2, 0.25, 0.0]), reasons.COLLISION), (AWAY, None)],
)
def test_no_limit_is_broken_however_late_decisions_come(
    stand: Stand, action: Vec, reason: Reason | None, after: float
) -> None:
    limits, world = stand.config.limits, stand.models.world
    assert world is not None
    met = set()
    for _ in range(max(400, round(4.0 / after))):
        met.add(stand.decide(action, after=after).reason)
        assert stand.decision.mode is Mode.FOLLOWING
        assert (stand.q >= limits.position_min - 1e-6).all() and (stand.q <= limits.position_max + 1e-6).all()
        assert world.near([stand.q], [BALL]).least >= stand.config.clearance - 1e-3
        tip = stand.models.tool.pose(stand.q).position
        assert (tip >= limits.workspace_min - 1e-3).all() and (tip <= limits.workspace_max + 1e-3).all()
    assert met - {reasons.OK}
    assert reason is None or reason in met


def test_a_ball_in_the_arm_holds_it(stand: Stand) -> None:
    world, row = stand.models.world, [np.array([x, 0.0, 0.2]) for x in np.linspace(0.2, 0.8, 61)]
    assert world is not None
    stand.ball = max(row, key=lambda place: world.depth(stand.q, [place]))
    decision = stand.decide(DOWN)
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, reasons.TARGET_IMPOSSIBLE)


def test_an_action_of_another_length_holds_it(stand: Stand) -> None:
    decision = stand.decide(np.zeros(4))
    assert (decision.verdict, decision.reason) == (Verdict.HOLD, reasons.PROPOSAL_INVALID)


def test_a_robot_of_the_same_name_whose_limits_are_tighter_refuses_the_bundle(
    bundle: Path, tmp_path: Path
) -> None:
    text = (ROBOT / "robot.yaml").read_text().replace("velocity: [1.5,", "velocity: [0.5,")
    (tmp_path / "robot.yaml").write_text(text)
    with pytest.raises(BundleError, match=r"limits\.velocity is wider than the arm's"):
        load_bundle(bundle, load_robot(str(tmp_path)))
