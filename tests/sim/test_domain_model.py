"""The cell has what its domain says, and can be poured in."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from sim.pouring import cell_model as geometry
from sim.pouring.cell import PourCell
from sim.pouring.domain import NOMINAL, Domain
from sim.pouring.domain_model import rim_height, write_domain
from sim.pouring.gen3 import LINKS
from sim.pouring.pour_env import PourCoffeeEnv
from sim.pouring.scenario import Scenario
from sim.pouring.scripted import pour_controller
from spillguard_core.robot.arm import MONITOR_PERIOD

LIP = np.array([0.68, 0.12, 0.28])
RECEIVER = np.array([0.68, -0.1])


def cell_of(domain: Domain, seed: int = 0) -> PourCell:
    cell = PourCell()
    cell.reset(Scenario(domain, RECEIVER, LIP, seed))
    return cell


def hold(cell: PourCell, periods: int) -> None:
    still = np.tile(cell.read_position, (periods, 1))
    cell.advance(still, np.zeros_like(still))


def test_the_nominal_domain_leaves_the_cups_as_they_were_compiled() -> None:
    compiled = mujoco.MjModel.from_xml_string(geometry.cell_model_xml(20))
    written = mujoco.MjModel.from_xml_string(geometry.cell_model_xml(20))
    write_domain(written, replace(NOMINAL, payload=0.001), slice(written.ngeom - 20, written.ngeom))
    for name in ("geom_size", "geom_pos", "geom_rbound", "body_mass", "actuator_gainprm", "geom_solref"):
        np.testing.assert_allclose(
            getattr(written, name), getattr(compiled, name), rtol=1e-5, atol=1e-6, err_msg=name
        )


def test_the_controller_does_not_know_how_heavy_the_links_are() -> None:
    heavy = cell_of(replace(NOMINAL, link_mass=(1.1,) * 7))
    light, nominal = cell_of(replace(NOMINAL, link_mass=(0.9,) * 7)), cell_of(NOMINAL)
    heights = []
    for cell in (heavy, nominal, light):
        hold(cell, 100)
        heights.append(cell.data.site("lip").xpos[2])
    assert heights[0] < heights[1] - 1e-4 and heights[1] < heights[2] - 1e-4
    mass = heavy.model.body_mass[heavy.model.body(LINKS[2].name).id]
    assert mass == pytest.approx(1.1 * LINKS[2].mass)


def test_a_heavier_link_is_as_much_harder_to_turn() -> None:
    heavy, nominal = cell_of(replace(NOMINAL, link_mass=(1.1,) * 7)).model, cell_of(NOMINAL).model
    for link in LINKS:
        body = nominal.body(link.name).id
        np.testing.assert_allclose(heavy.body_inertia[body], 1.1 * nominal.body_inertia[body])


def test_the_arm_trails_its_command_by_the_lag_of_its_servos() -> None:
    behind = []
    for lag in (0.005, 0.02, 0.04):
        cell = cell_of(replace(NOMINAL, lag=lag, payload=0.0))
        q, speed = cell.data.qpos[:7].copy(), np.zeros(7)
        speed[6] = 0.3
        for period in range(1, 81):
            wanted = q + period * MONITOR_PERIOD * speed
            cell.advance(wanted[None], speed[None])
        behind.append((wanted - cell.data.qpos[:7])[6] / 0.3)
    assert np.diff(behind) == pytest.approx([0.015, 0.02], abs=0.002)


def test_friction_and_gains_reach_the_model() -> None:
    dry, viscous = tuple(np.linspace(0.1, 0.7, 7)), tuple(np.linspace(1.0, 1.6, 7))
    shares = tuple(np.linspace(0.9, 1.1, 7))
    cell = cell_of(
        replace(NOMINAL, dry_friction=dry, viscous_friction=viscous, stiffness=shares, damping=shares)
    )
    nominal = mujoco.MjModel.from_xml_string(geometry.cell_model_xml(20))
    np.testing.assert_allclose(cell.model.dof_frictionloss[:7], dry)
    np.testing.assert_allclose(cell.model.dof_damping[:7], viscous)
    np.testing.assert_allclose(cell.model.actuator_gainprm[:7, 0], shares * nominal.actuator_gainprm[:7, 0])
    np.testing.assert_allclose(
        cell.model.actuator_biasprm[:7, 1:3].T, shares * nominal.actuator_biasprm[:7, 1:3].T
    )


def test_granules_are_what_mujoco_makes_of_their_shape() -> None:
    """Mass and inertia of a capsule, and of a ball, by the compiler."""
    for kind, size, elongation in (("capsule", "0.008 0.0016", 1.2), ("sphere", "0.008", 1.0)):
        geom = f"<geom type='{kind}' size='{size}' density='700'/>"
        compiled = mujoco.MjModel.from_xml_string(
            f"<mujoco><worldbody><body><freejoint/>{geom}</body></worldbody></mujoco>"
        )
        domain = replace(NOMINAL, granule_radius=0.008, granule_elongation=elongation, granule_density=700.0)
        cell = cell_of(domain)
        last = cell.model.nbody - 1
        assert cell.model.body_mass[last] == pytest.approx(compiled.body_mass[1])
        found, wanted = cell.model.body_inertia[last], compiled.body_inertia[1]
        np.testing.assert_allclose(np.sort(found), np.sort(wanted), rtol=1e-6)


def test_contacts_of_granules_roll_and_bounce_as_the_domain_says() -> None:
    for rolling, dimensions in ((0.0, 3), (2e-4, 6)):
        cell = cell_of(replace(NOMINAL, granule_rolling=rolling, granule_damping=0.5, granule_friction=0.3))
        model, granules = cell.model, cell._at.geom
        assert (model.geom_condim[granules] == dimensions).all()
        np.testing.assert_allclose(model.geom_friction[granules][:, [0, 2]], [[0.3, rolling]] * 20)
        np.testing.assert_allclose(model.geom_solref[granules, 1], 0.5)


def test_the_rim_is_where_the_nominal_cup_has_it_and_rises_with_the_cup() -> None:
    assert rim_height(NOMINAL) == pytest.approx(geometry.RIM_HEIGHT)
    tall = cell_of(replace(NOMINAL, receiver_height=0.1))
    stave = tall.model.geom("receiver_wall_0")
    assert rim_height(tall.domain) == pytest.approx(stave.pos[2] + stave.size[2])


def test_an_explicit_integrator_damps_the_arm_as_the_others_do() -> None:
    euler, implicit = (cell_of(replace(NOMINAL, integrator=name)).model for name in ("euler", "implicitfast"))
    dampings = [model.dof_damping[:7] - model.actuator_biasprm[:7, 2] for model in (euler, implicit)]
    np.testing.assert_allclose(*dampings)
    assert not euler.actuator_biasprm[:7, 2].any()


CUPS = {
    "nominal": NOMINAL,
    "large granules": replace(NOMINAL, granules=28, granule_radius=0.0105),
    "small granules": replace(NOMINAL, granules=28, granule_radius=0.007),
    "long granules": replace(NOMINAL, granules=28, granule_elongation=1.2),
    "rolling granules": replace(NOMINAL, granule_rolling=2e-4),
    "bouncing granules": replace(NOMINAL, granule_damping=0.5),
    "dense granules": replace(NOMINAL, granule_density=2000.0),
    "wide cups": replace(NOMINAL, held_radius=0.037, receiver_radius=0.044),
    "narrow cups": replace(NOMINAL, held_radius=0.033, receiver_radius=0.040),
    "tall cups": replace(NOMINAL, held_height=0.1, receiver_height=0.1),
    "low cups": replace(NOMINAL, held_height=0.09, receiver_height=0.088),
}


@pytest.mark.parametrize("name", CUPS)
def test_granules_lie_inside_the_held_cup_and_do_not_sink_into_it(name: str) -> None:
    domain = CUPS[name]
    cell = cell_of(domain)
    hold(cell, 50)
    data, model = cell.data, cell.model
    outcome = cell.outcome()
    assert (outcome.landed, outcome.spilled) == (0, 0)
    inside = (data.xpos[cell._at.body] - data.body("cup").xpos) @ data.body("cup").xmat.reshape(3, 3)
    assert (
        np.hypot(inside[:, 0], inside[:, 1]) < domain.held_radius - 0.9 * domain.granule_radius + 0.003
    ).all()
    assert (inside[:, 2] > -domain.held_height / 2 + 0.9 * domain.granule_radius).all()
    depths = [-contact.dist for contact in data.contact if contact.dist < 0.0]
    assert max(depths, default=0.0) < 0.001
    weight = domain.granules * cell.granule_mass
    assert model.body_mass[cell._at.body].sum() == pytest.approx(weight)


@pytest.mark.parametrize("name", CUPS)
def test_what_falls_into_the_receiving_cup_has_landed(name: str) -> None:
    domain = CUPS[name]
    cell = cell_of(domain)
    address = cell._at.qpos[0]
    cell.data.qpos[address : address + 3] = [*RECEIVER, rim_height(domain) + 0.03]
    cell.data.qpos[address + 2] += domain.granule_radius
    mujoco.mj_forward(cell.model, cell.data)
    hold(cell, 100)
    assert cell.outcome().landed == 1
    assert (
        cell.data.qpos[address + 2] > geometry.PLATE_HEIGHT + geometry.WALL
    )  # on its bottom, not through it


def test_a_granule_beside_the_receiving_cup_is_lost_whatever_its_size() -> None:
    for name, domain in CUPS.items():
        cell = cell_of(domain)
        address = cell._at.qpos[0]
        away = domain.receiver_radius + geometry.WALL + 2.0 * domain.granule_radius
        cell.data.qpos[address : address + 3] = [RECEIVER[0] + away, RECEIVER[1], 0.05]
        mujoco.mj_forward(cell.model, cell.data)
        hold(cell, 20)
        assert cell.outcome().spilled == 1, name


def test_another_simulator_is_another_simulator() -> None:
    domain = replace(
        NOMINAL, solver="cg", cone="elliptic", integrator="implicit", timestep=0.0025, iterations=50
    )
    cell = cell_of(domain)
    option = cell.model.opt
    assert option.timestep == 0.0025 and option.iterations == 50
    assert option.solver == mujoco.mjtSolver.mjSOL_CG and option.cone == mujoco.mjtCone.mjCONE_ELLIPTIC
    before = cell.data.time
    hold(cell, 1)
    assert cell.data.time - before == pytest.approx(MONITOR_PERIOD)  # a period takes as long as ever


@pytest.mark.parametrize("guarded", [False, True])
def test_the_scripted_controller_solves_most_cells_of_every_kind(guarded: bool) -> None:
    env, solved, seeds = PourCoffeeEnv(domain="full", guarded_share=float(guarded)), 0, 8
    for seed in range(seeds):
        obs, info = env.reset(seed=seed)
        ended = False
        while not ended:
            obs, _, terminated, truncated, info = env.step(pour_controller(obs))
            ended = terminated or truncated
        solved += info["success"]
        if guarded:
            assert not info["cost_terms"]["contact"] and not info["cost_terms"]["limit"]
    assert solved >= 5


def test_equal_seeds_give_equal_pours_in_every_domain() -> None:
    seen = []
    for _ in range(2):
        env = PourCoffeeEnv(domain="full", guarded_share=1.0)
        obs, _ = env.reset(seed=7)
        run = [obs]
        for _ in range(30):
            obs, *_ = env.step(pour_controller(obs))
            run.append(obs)
        seen.append(np.array(run))
    np.testing.assert_array_equal(seen[0], seen[1])
