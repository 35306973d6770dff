"""Identification finds an arm's friction, gains, lag and payload again, and says what it cannot find."""

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.bundles import SHIPPED
from benchmarks.sequences import hard_limits_alone
from sim.identification import estimates
from sim.identification.estimates import Identified, latency
from sim.identification.fit import clustered, identify
from sim.identification.motion import ArmMotion, Commands, IdentificationError, used
from sim.identification.twin import Excited, excited
from sim.pouring.arms import CONTINUOUS
from sim.pouring.cell import guard_kinematics
from sim.pouring.controller import PERIOD, JointTrajectoryController
from sim.pouring.domain import FULL, NOMINAL, POURS, QUANTITIES, Domain
from sim.pouring.domain_file import from_yaml, to_yaml
from sim.pouring.gen3 import NOMINAL_POSTURE
from spillguard.identify import main as identify_command
from spillguard.identify import merged, save_spread
from spillguard_core.tasks.pouring.excitation import CENTRE, REVERSALS, SINES, Excitation

ARM = Domain(
    dry_friction=(0.9, 0.4, 0.6, 1.1, 0.2, 0.5, 0.15), viscous_friction=(2.0, 0.6, 1.0, 1.5, 0.3, 1.0, 0.4),
    stiffness=(0.9, 1.1, 1.0, 0.95, 1.05, 0.9, 1.1), damping=(1.1, 0.9, 1.0, 1.05, 0.95, 1.1, 0.9),
    lag=0.03, payload=0.25, encoder_noise=1e-4, velocity_noise=5e-3,
    encoder_offset=(0.002, -0.001, 0.0, 0.003, -0.002, 0.001, 0.0), delay=0.04, jitter=0.01,
)  # fmt: skip


@cache
def moved() -> Excited:
    """The whole excitation of an arm unlike the nominal one."""
    return excited(ARM, *hard_limits_alone(SHIPPED), seed=1)


@pytest.fixture(scope="module")
def found() -> Identified:
    return identify(moved().motion)


def test_the_excitation_passes_the_gate_and_breaks_no_limit() -> None:
    assert moved().violations == 0 and moved().stopped == ""
    assert moved().share > 0.9  # of the proposals as they were
    assert (np.ptp(moved().motion.q, axis=0) > 0.2).all()  # every joint moves


def test_the_excitation_reaches_as_far_as_the_page_says() -> None:
    plan = Excitation(guard_kinematics().pose(NOMINAL_POSTURE))
    begin = plan.duration - SINES - REVERSALS
    away = np.array([plan.place(t) - CENTRE for t in np.arange(begin, plan.duration, 0.005)])
    distance, tilt = np.linalg.norm(away[:, :3], axis=1).max(), np.abs(away[:, 3]).max()
    page = (Path(__file__).parents[2] / "docs/identification.md").read_text()
    assert f"gets {100 * distance:.1f} cm away from the middle and\ntilts by {tilt:.2f} rad" in page


def test_the_page_tells_how_often_the_intervals_cover() -> None:
    root = Path(__file__).parents[2]
    page = (root / "docs/identification.md").read_text()
    for row in json.loads((root / "benchmarks/results/identification.json").read_text())["rows"]:
        cells = f"| {row['pinned']} of {row['intervals']} | {row['cover']} of {row['pinned']} |"
        assert f"| `{row['quantity']}` {cells}" in page


def test_what_is_pinned_is_near_the_truth(found: Identified) -> None:
    pinned = {(e.name, e.joint) for e in found.pinned}
    for name in ("stiffness", "damping", "viscous_friction"):
        assert {(name, joint) for joint in range(7)} <= pinned
    assert {("lag", None), ("payload", None), ("delay", None), ("jitter", None)} <= pinned
    for estimate in found.pinned:
        truth = float(np.atleast_1d(getattr(ARM, estimate.name))[estimate.joint or 0])
        quantity = QUANTITIES[estimate.name]
        width = float(np.max(np.subtract(quantity.high, quantity.low)))
        assert abs(estimate.value - truth) < 0.15 * width, estimate
    cover = [
        e.low <= float(np.atleast_1d(getattr(ARM, e.name))[e.joint or 0]) <= e.high for e in found.pinned
    ]
    assert np.mean(cover) >= 0.85, [e for e, c in zip(found.pinned, cover, strict=True) if not c]


def test_what_is_not_pinned_keeps_its_range_and_says_why(found: Identified) -> None:
    assert found.unpinned
    spread = found.spread()
    for estimate in found.unpinned:
        quantity = QUANTITIES[estimate.name]
        low, high = spread.varied[estimate.name]
        at = estimate.joint or 0
        assert np.atleast_1d(low)[at] == np.atleast_1d(quantity.low)[at]
        assert np.atleast_1d(high)[at] == np.atleast_1d(quantity.high)[at]
        assert "of its range" in estimate.why


def test_positions_alone_pin_less(found: Identified) -> None:
    without = identify(replace(moved().motion, effort=None))
    assert len(without.pinned) < len(found.pinned)
    assert "torque" not in without.noise


def test_domain_file_round_trip(found: Identified, tmp_path: Path) -> None:
    for spread in (found.spread(), merged(FULL, found.spread()), POURS, FULL):
        save_spread(tmp_path / "arm.yaml", spread, ["identified", "two\nlines"])
        assert from_yaml((tmp_path / "arm.yaml").read_text()) == spread
    assert [path.name for path in tmp_path.iterdir()] == ["arm.yaml"]
    assert to_yaml(POURS, ["two\nlines"]).startswith("# two lines\nschema: 1\n")
    whole = merged(FULL, found.spread())
    assert whole.varied["granules"] == FULL.varied["granules"]
    assert whole.varied["lag"] != FULL.varied["lag"]


def test_a_file_that_cannot_be_written_leaves_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "arm.yaml"
    save_spread(path, POURS)
    before = path.read_text()
    with pytest.raises(ValueError, match="lag is a number"):
        save_spread(path, POURS._replace(base=replace(NOMINAL, lag="quick")))
    assert path.read_text() == before


def test_a_file_that_is_called_as_ours_while_it_is_written_stays(tmp_path: Path) -> None:
    (tmp_path / "arm.yaml.part").write_text("mine")
    save_spread(tmp_path / "arm.yaml", POURS)
    assert (tmp_path / "arm.yaml.part").read_text() == "mine"
    assert {path.name for path in tmp_path.iterdir()} == {"arm.yaml", "arm.yaml.part"}


@pytest.mark.parametrize("delay", [0.0025, 0.0065])
def test_commands_are_those_of_the_controller(delay: float) -> None:
    """Without jitter, up to the period in which a message is looked at."""
    motion = used(moved().motion)
    at = motion.stamps[0] + PERIOD * np.arange(1, 4001)
    controller = JointTrajectoryController(motion.paths[0].positions[0].copy(), CONTINUOUS)
    told, number = [], 0
    for now in at - PERIOD:
        while motion.stamps[number] + delay <= now:
            controller.accept(motion.paths[number], float(motion.stamps[number]), float(now))
            number += 1
        told.append(controller.update(float(now), controller.command, controller.velocity).copy())
    error = Commands(motion, at).mean(delay, 0.0) - np.array(told)
    assert np.abs(error[100:]).max() < 5e-5


def test_latency_is_read_from_the_stamps_of_proposals() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(100):
        delay, jitter = latency(0.03 + 0.02 * rng.random(400))
        inside += delay.low <= 0.03 <= delay.high and jitter.low <= 0.02 <= jitter.high
    assert inside >= 90
    assert not any(e.pinned for e in latency(np.full(5, 0.03)))
    assert "stamped proposals" in latency(np.full(5, 0.03))[0].why


def test_an_implausible_stamp_is_no_answer() -> None:
    good = 0.03 + 0.02 * np.random.default_rng(0).random(200)
    assert latency(np.append(good, [1e9, -5.0, -0.5, 1.7e9, np.nan])) == latency(good)
    for told in (np.full(40, 1.7e9), np.full(40, -0.5)):
        delay, jitter = latency(told)
        assert not delay.pinned and not jitter.pinned
        assert "the recording has 0 and 40 whose stamp is not 0 to 1 s before their arrival" in delay.why


def test_no_interval_reaches_below_zero() -> None:
    """Nothing that is identified may be negative, and no domain file may say so."""
    found = estimates.estimate("lag", None, 0.001, -0.002, 0.004, "")
    assert (found.value, found.low, found.high, found.pinned) == (0.001, 0.0, 0.004, True)


def test_dependent_rows_widen_an_interval() -> None:
    rng = np.random.default_rng(0)
    alike = np.repeat(rng.standard_normal(200), 10)
    blocks = np.repeat(np.arange(200), 10)
    wide = clustered(alike, np.ones((2000, 1)), blocks)
    narrow = clustered(rng.standard_normal(2000), np.ones((2000, 1)), blocks)
    assert wide[0] == pytest.approx(1.96 / np.sqrt(200), rel=0.15)
    assert narrow[0] == pytest.approx(1.96 / np.sqrt(2000), rel=0.15)


def test_a_row_outside_the_blocks_is_as_uncertain_as_it_says() -> None:
    """Where the data tells nothing, the prior alone: its deviation by Student's t of 9 degrees."""
    jacobian = np.append(np.zeros(20), 1.0)[:, None]
    half = clustered(np.ones(21), jacobian, np.repeat(np.arange(10), 2))
    assert half == pytest.approx([2.262], abs=1e-3)


def part(motion: ArmMotion, first: int, last: int) -> ArmMotion:
    """Some of the states."""
    chosen = slice(first, last)
    assert motion.effort is not None
    return replace(
        motion, times=motion.times[chosen], q=motion.q[chosen], qd=motion.qd[chosen],
        effort=motion.effort[chosen],
    )  # fmt: skip


def test_a_recording_that_says_too_little_is_refused() -> None:
    motion = moved().motion
    with pytest.raises(IdentificationError, match="no command"):
        identify(replace(motion, stamps=np.zeros(0), paths=()))
    with pytest.raises(IdentificationError, match="no joint states"):
        identify(part(motion, 0, 0))
    with pytest.raises(IdentificationError, match=r"overlap for 3\.0 s with 299 states; needed are 5 s"):
        identify(part(motion, 300, 600))
    path = motion.paths[3]
    for spoilt in (replace(path, times=0.0 * path.times), replace(path, positions=np.nan * path.positions)):
        with pytest.raises(IdentificationError, match="times that do not increase, or numbers that are not"):
            used(replace(motion, paths=(*motion.paths[:3], spoilt, *motion.paths[4:])))
    still = replace(motion, q=np.tile(motion.q[0], (len(motion.q), 1)), qd=0.0 * motion.qd)
    with pytest.raises(IdentificationError, match="no joint moved by more than"):
        identify(still)


def test_a_gap_or_a_jump_cuts_a_recording() -> None:
    motion = moved().motion
    jumped = replace(motion, q=motion.q + np.where(motion.times > 15.0, 0.3, 0.0)[:, None])
    assert used(jumped).times[-1] < 15.01
    late = replace(motion, times=motion.times + np.where(motion.times > 15.0, 1.0, 0.0))
    assert used(late).times[-1] < 15.01


def test_a_continuous_joint_in_another_turn_is_the_same_joint() -> None:
    motion = moved().motion
    turned = replace(motion, q=motion.q + np.array([2.0, 0.0, -2.0, 0.0, 0.0, 0.0, 2.0]) * np.pi)
    assert np.allclose(used(turned).q, used(motion).q)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["none.mcap"], "none.mcap is no file"),
        (["{damaged}"], "no command to the arm"),
        (["{damaged}", "--robot", "nobody"], "nobody"),
        (["{damaged}", "--base", "nothing"], "a domain is nominal, pours, full or a file"),
        ([], "at least one recording"),
        (["{damaged}", "--threads", "-3"], "threads is -3; allowed are 0"),
        (["{damaged}", "--out", "{folder}/no/arm.yaml"], "/no is no folder"),
        (["{damaged}", "--report", "{folder}/no/report.html"], "/no is no folder"),
        (["{damaged}", "--out", "{folder}"], "is no regular file"),
        (["{damaged}", "--out", "{damaged}", "--overwrite"], "is one of the recordings"),
        (["{damaged}", "--report", "{damaged}", "--overwrite"], "is one of the recordings"),
        (
            ["{damaged}", "--report", "{folder}/x", "--out", "{folder}/x"],
            "both the domain file and the report",
        ),
        (["{damaged}", "--out", "{folder}/mine"], "mine exists already; name another file, or --overwrite"),
        (["{damaged}", "--report", "{folder}/mine"], "mine exists already"),
    ],
)
def test_refusals_of_the_command(words: list[str], said: str, tmp_path: Path, capsys) -> None:
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(b"\x89MCAP0\r\n" + bytes(200))
    content, mine = damaged.read_bytes(), tmp_path / "mine"
    mine.write_text("mine")
    assert identify_command([word.format(damaged=damaged, folder=tmp_path) for word in words]) != 0
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
    assert (damaged.read_bytes(), mine.read_text()) == (content, "mine")


def test_the_default_name_is_not_taken_from_a_file_of_the_user(tmp_path: Path, capsys) -> None:
    damaged = tmp_path / "damaged.mcap"
    damaged.write_bytes(b"\x89MCAP0\r\n" + bytes(200))
    (tmp_path / "damaged.domain.yaml").write_text("# mine")
    assert identify_command([str(damaged)]) == 1
    assert "damaged.domain.yaml exists already" in capsys.readouterr().err
    assert identify_command([str(damaged), "--overwrite"]) == 1
    assert "no command to the arm" in capsys.readouterr().err
