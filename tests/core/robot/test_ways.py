"""Nothing comes close unseen between two postures that the world model looks at."""

import mujoco
import numpy as np
import pytest
import yaml

from benchmarks.record import ROOT
from sim.pouring.gen3 import JOINT_NAMES
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.arm_rules import ARM_RULES
from spillguard_core.gate.decision import Measurement
from spillguard_core.gate.rule import STRAYED, Motion, Surroundings, Way
from spillguard_core.gate.trajectory import stop_position
from spillguard_core.robot.arm import load_robot
from spillguard_core.robot.motion import step
from spillguard_core.robot.swept import Swept, joint_ids
from spillguard_core.robot.ways import PATH_STEP, SURE_OF, Lead, Look, along, straight
from spillguard_core.robot.world import World
from tests.core.conftest import CONFIG, KINEMATICS
from tests.core.robot.shipped import ARMS, guard_of

CLEARANCE = 0.008  # [m]


def whip(stick: str, radius: float = 0.002) -> mujoco.MjModel:
    """Seven joints about z, stretched 1.4 m along x, thin as a wire, with a fixed stick somewhere."""
    inside = ""
    for number in range(7, 0, -1):
        place = "0 0 0" if number == 1 else ".2 0 0"
        wire = f"<geom type='capsule' size='{radius}' fromto='0 0 0 .2 0 0' contype='2' conaffinity='1'/>"
        inside = f"<body pos='{place}'><joint name='joint_{number}' axis='0 0 1'/>{wire}{inside}</body>"
    return mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{inside}{stick}</worldbody></mujoco>")


STICK = "<geom type='capsule' size='.002' fromto='{0} {1} -.1 {0} {1} .1' contype='1' conaffinity='2'/>"


def test_a_stick_between_two_looks_is_seen():
    """The tip of an outstretched arm passes it within one step: at both ends it is 2 cm away."""
    one = np.zeros(7)
    other = one + PATH_STEP
    middle = 0.5 * (one + other)
    heading = np.cumsum(middle)
    tip = sum(0.2 * np.array([np.cos(a), np.sin(a)]) for a in heading)
    beyond = tip + 0.001 * np.array([np.cos(heading[-1]), np.sin(heading[-1])])
    world = World(whip(STICK.format(*beyond)), CLEARANCE, JOINT_NAMES)
    assert world.near([one], []).least == world.near([other], []).least == CLEARANCE + 0.01
    assert world.near(straight(one, other), []).least < 0.0


def test_a_stick_that_is_passed_within_the_first_period_is_seen():
    """The path begins behind it, at rest; the arm comes from before it."""
    begin, qd = np.zeros(7), np.full(7, 1.2)
    corner, corner_qd = step(begin, qd, np.zeros(7), np.full(7, 5.0), 0.01)
    heading = np.cumsum(0.5 * (begin + corner))
    tip = sum(0.2 * np.array([np.cos(a), np.sin(a)]) for a in heading)
    beyond = tip + 0.001 * np.array([np.cos(heading[-1]), np.sin(heading[-1])])
    world = World(whip(STICK.format(*beyond)), CLEARANCE, JOINT_NAMES)
    lead = Lead(begin, qd, corner, corner_qd, 0.01)
    for path in ([corner], [corner + 0.004]):
        assert world.near(path, []).least == CLEARANCE + 0.01
        assert world.near(path, [], [lead]).least < 0.0
    # Two paths, the second one beside the first: each has its own lead.
    aside = np.eye(7)[0]
    assert world.near([corner + aside, corner], [], [lead.moved(aside), lead]).least < 0.0
    assert (
        world.near([corner + aside, corner - aside], [], [lead.moved(aside), lead.moved(-aside)]).close == {}
    )


def test_where_the_arm_is_already_speaks_against_no_way_out():
    begin = np.zeros(7)
    world = World(whip(STICK.format(1.4, -0.007)), CLEARANCE, JOINT_NAMES)
    assert world.near([begin], []).least < 0.5 * CLEARANCE
    lead = Lead(begin, np.zeros(7), begin + 0.02, np.full(7, 4.0), 0.01)
    way_out = world.near([lead.corner], [], [lead])
    assert way_out.least > world.near([begin], []).least


@pytest.mark.parametrize("speed", [0.8, 0.9, 1.0, 1.1, 1.2])
def test_what_is_left_between_two_looks_is_not_halved_by_the_next_path(speed):
    """A tip of wire flies past a wire, 3 mm beside it. It begins at half the clearance, which the path before
    may have left; the whole of it is there at every look."""
    begin, qd = np.zeros(7), speed * np.eye(7)[0]
    corner = begin + 0.01 * qd
    beyond, half = 1.403, SURE_OF * CLEARANCE
    angle = np.sqrt(((half + 0.0004) ** 2 - 0.003**2) / (1.4 * beyond))
    wire = STICK.replace(".002", ".0002").format(beyond * np.cos(angle), beyond * np.sin(angle))
    world = World(whip(wire, 0.0002), CLEARANCE, JOINT_NAMES)
    lead = Lead(begin, qd, corner, qd, 0.01)
    assert world._look(begin) == pytest.approx(half, abs=1e-5)
    gaps = [world._look(lead.at(share)) for share in np.linspace(0.0, 1.0, 100)]
    assert min(gaps) < half - 0.001
    assert world.near([corner], [], [lead]).close


def test_a_strayed_arm_at_rest_is_not_between_where_it_is_and_where_it_was_told_to_be():
    """A stick stands between the two, close to neither: what is touched there is no excuse."""
    q, strayed = np.zeros(7), 0.045 * np.eye(7)[0]
    world = World(whip(STICK.format(1.39 * np.cos(0.0225), 1.39 * np.sin(0.0225))), CLEARANCE, JOINT_NAMES)
    around = Surroundings(CONFIG, KINEMATICS, world, Measurement(q, q, {}), ())
    clearance = next(rule for rule in ARM_RULES if rule.name == "clearance").margin
    assert world.near(straight(q, strayed), []).least < 0.0
    now = clearance(Way(Motion(q, q, 0.0), strayed, around))
    assert now.by_part == {} and now.least > 0.0
    onto_it = clearance(Way(Motion(0.5 * strayed, q, 0.0), q, around))
    assert onto_it.least < 0.0 and not onto_it.kept(now)
    # Nor is the way back from the end of one path to the beginning of the other a path.
    assert clearance(Way(Motion(q, 0.02 * np.eye(7)[6], 1.0), strayed, around)).by_part == {}


def test_a_lead_passes_through_its_ends_and_is_a_parabola():
    lead = Lead(np.array([1.0]), np.array([0.4]), np.array([1.003]), np.array([0.2]), 0.01)
    assert [lead.at(share)[0] for share in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 1.00175, 1.003])


def test_looks_are_few_where_nothing_is_close_and_end_where_something_is():
    looked = []

    def gap(q):
        looked.append(q)
        return 0.018 if far else CLEARANCE

    look = Look(
        CLEARANCE, gap, gap, lambda step: 2.0 * float(np.abs(step).sum()), lambda q, step: (np.inf, 0.0)
    )
    far, path = True, [np.zeros(1), np.full(1, 0.01)]
    assert along(path, None, look) == 0.018 and len(looked) == 2
    far = False
    looked.clear()
    # 20 mm of way and half the clearance, 4 mm, to spare at either end of each piece: pieces of at most 8 mm.
    assert along([np.zeros(1), np.full(1, 0.01)], None, look) == CLEARANCE
    assert len({float(q[0]) for q in looked}) == 5


def test_a_lead_is_looked_at_unless_all_of_it_is_within_half_the_clearance_of_its_end():
    """3 mm to the corner and as much onwards are more than 4 mm together; 3 mm and 0.9 mm are not."""
    zero, speed = np.zeros(1), np.full(1, 0.3)
    for onwards, seen in ((0.003, True), (0.0009, False)):
        looked = []

        def gap(q, looked=looked):
            looked.append(float(q[0]))
            return CLEARANCE

        look = Look(CLEARANCE, gap, gap, lambda step: float(np.abs(step).sum()), lambda q, step: (1.0, 0.0))
        lead = Lead(zero, speed, zero + 0.003, speed, 0.01)
        assert along([lead.corner + onwards], lead, look) == CLEARANCE
        assert (0.003 in looked) == seen


def test_a_part_that_gathers_speed_on_the_way_is_looked_at_where_it_is_fast():
    """It begins at rest and moves by 20 mm in all: from the middle on three times as far as before."""
    looked = []

    def gap(q):
        looked.append(float(q[0]))
        return CLEARANCE

    look = Look(CLEARANCE, gap, gap, lambda step: np.inf, lambda q, step: (0.0, 0.04))
    along([np.zeros(1), np.full(1, 0.004)], None, look)
    # 8 mm are free in each piece: 5 mm of the first half, 6.25 and 8.75 mm of the others, 4.06 and 4.69 mm.
    assert sorted(looked) == pytest.approx([0.0, 0.002, 0.003, 0.0035, 0.004])


@pytest.mark.parametrize("name", ARMS)
def test_what_keeps_the_clearance_at_every_look_keeps_half_of_it_everywhere(name):
    """From where the arm is to rest, at any speed, past a ball that some part of it nearly touches."""
    robot, rng, judged = load_robot(name), np.random.default_rng(2), 0
    limits, joints = robot.limits, len(robot.joint_names)
    world = World(with_ball(name), CLEARANCE, robot.joint_names)
    low, high = np.maximum(limits.position_min, -3.0), np.minimum(limits.position_max, 3.0)
    for _ in range(300):
        begin = rng.uniform(low, high)
        qd, goal = (limits.velocity * rng.uniform(-1.0, 1.0, joints) for _ in range(2))
        corner, corner_qd = step(begin, qd, goal, limits.acceleration, 0.01)
        rest = stop_position(corner, corner_qd, limits.acceleration, 0.04)
        lead, path = Lead(begin, qd, corner, corner_qd, 0.01), straight(corner, rest)
        every = [lead.at(share) for share in np.linspace(0.0, 1.0, 50)]
        every += [corner + share * (rest - corner) for share in np.linspace(0.0, 1.0, 250)]
        put_ball(world, every[rng.integers(len(every))], rng)
        if world.near(path, [], [lead]).close:
            continue
        gaps = [world._look(q) for q in every]
        judged += min(gaps) < CLEARANCE + 0.003
        assert min(gaps) >= min(SURE_OF * CLEARANCE, gaps[0]) - 1e-6
    assert judged > 20


def with_ball(name: str) -> mujoco.MjModel:
    """The arm alone, with a ball of 4 mm radius that touches it and nothing else."""
    folder = "pour_coffee" if name == "gen3" else f"reach_{name}"
    spec = mujoco.MjSpec.from_string(load_bundle(ROOT / "artifacts" / folder, load_robot(name)).guard_text)
    for geom in spec.geoms:
        moved = any(body.joints for body in lineage(geom.parent))
        geom.contype, geom.conaffinity = (2 if moved else 0), 0
    for pair in list(spec.pairs):
        spec.delete(pair)
    ball = spec.worldbody.add_body(name="ball")
    ball.add_geom(size=[0.004, 0, 0], contype=0, conaffinity=2)
    return spec.compile()


def lineage(body):
    """A body and all that it hangs on."""
    found = []
    while body is not None and body.name != "world":
        found.append(body)
        body = body.parent
    return found


def put_ball(world: World, q, rng) -> None:
    """Beside some part of the arm at this posture, 7 to 12 mm away from the nearest one."""
    model, data = world._model, world._data
    world._look(q)
    moving = [g for g in range(model.ngeom) if model.geom_contype[g] == 2]
    geom, away = rng.choice(moving), rng.normal(size=3)
    away *= 1.0 / np.linalg.norm(away)
    place, wanted = data.geom_xpos[geom] + (model.geom_rbound[geom] + 0.05) * away, rng.uniform(0.007, 0.012)
    for _ in range(200):
        model.body_pos[model.body("ball").id] = place
        gap = world._look(q)
        if gap <= wanted:
            return
        place = place - max(gap - wanted, 1e-4) * away


@pytest.mark.parametrize("name", ARMS)
def test_half_the_clearance_covers_what_counts_as_on_the_path(name):
    """An arm that strays by less than `STRAYED` is looked at as if it were on its path. What is left of the
    clearance then is for what the guard model and the joints' encoders have wrong."""
    robot, model = load_robot(name), guard_of(name)
    reach = Swept(model, joint_ids(model, robot.joint_names)).reach
    kept = (
        SURE_OF
        * yaml.safe_load((ROOT / "launch/params/safety_monitor.yaml").read_text())["/**"]["ros__parameters"][
            "clearance"
        ]
    )
    strays = STRAYED * reach.sum()
    assert strays < 0.0025
    assert kept - strays > 0.0015
