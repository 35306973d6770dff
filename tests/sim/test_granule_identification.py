"""Two measurements on a table give the friction of granules, and say if they do not give their rolling."""

from pathlib import Path

import numpy as np
import pytest

from sim.identification.granules import (
    CUP_SEEDS,
    FRICTIONS,
    ROLLINGS,
    Measured,
    Runs,
    identify_granules,
    lying_cup,
    surface,
    table,
    tilted_tray,
)
from sim.pouring.domain_file import from_yaml, spread_of
from spillguard.cli import main as spillguard


def test_the_table_is_what_the_simulation_gives() -> None:
    runs = table()
    assert len(runs.angle) == len(FRICTIONS) * len(ROLLINGS) * CUP_SEEDS
    assert runs.angle[0] == pytest.approx(tilted_tray(FRICTIONS[0], ROLLINGS[0], 0), abs=0.1)
    assert runs.time[0] == pytest.approx(lying_cup(FRICTIONS[0], ROLLINGS[0], 0), abs=0.01)


def test_rougher_granules_run_out_slower_and_those_that_resist_rolling_let_go_later() -> None:
    runs, along = table(), np.linspace(0.2, 0.7, 11)
    for rolling in (0.0, 1e-4):
        assert (np.diff(surface(runs, runs.time).at(along, np.full(11, rolling))) > 0.0).all()
    angle = surface(runs, runs.angle)
    assert (angle.at(along, np.full(11, 1e-4)) > angle.at(along, np.zeros(11)) + 2.0).all()


def test_a_mean_of_repeats_is_as_uncertain_as_they_scatter_and_a_reading_is_coarse() -> None:
    found = Measured.of([36.0, 38.0, 35.0, 37.0], [0.65, 0.65, 0.65])
    assert found.angle == pytest.approx(36.5) and found.time == pytest.approx(0.65)
    assert found.angle_error == pytest.approx(np.hypot(np.sqrt(5.0 / 3.0 / 4.0), 0.5))
    assert found.time_error == pytest.approx(0.01)


@pytest.mark.parametrize("friction", [0.25, 0.4, 0.6])
def test_a_known_pair_is_found_again(friction: float) -> None:
    """Measured in simulation with seeds that the table has not; repeats as a person makes them."""
    angles = [tilted_tray(friction, 1e-4, seed) for seed in range(100, 105)]
    times = [lying_cup(friction, 1e-4, seed) for seed in range(100, 110)]
    for estimate in identify_granules(Measured.of(angles, times)):
        truth = friction if estimate.name == "granule_friction" else 1e-4
        assert estimate.low <= truth <= estimate.high


def test_intervals_cover_the_truth_where_the_surfaces_hold() -> None:
    runs, rng, inside = table(), np.random.default_rng(0), []
    made = [surface(runs, values) for values in (runs.angle, runs.time)]
    for _ in range(100):
        friction, rolling = rng.uniform(0.2, 0.7), rng.uniform(0.0, 2e-4)
        angle, time = (float(s.at(np.array(friction), np.array(rolling))) for s in made)
        told = Measured(angle + rng.normal(0.0, 1.0), 1.0, time + rng.normal(0.0, 0.015), 0.015)
        found = identify_granules(told, Runs(*runs))
        inside += [e.low <= t <= e.high for e, t in zip(found, (friction, rolling), strict=True) if e.pinned]
    assert len(inside) >= 50 and np.mean(inside) >= 0.9


def test_the_command_writes_a_domain_that_keeps_the_rest(tmp_path: Path, capsys) -> None:
    out = tmp_path / "granules.yaml"
    words = ["--angle", "36", "38", "35", "37", "--time", "0.65", "0.68", "0.66", "0.67", "-o", str(out)]
    assert spillguard(["identify-granules", *words, "--base", "pours"]) == 0
    spread = from_yaml(out.read_text())
    assert spread.varied["payload"] == spread_of("pours").varied["payload"]
    assert {"granule_friction", "granule_rolling"} <= spread.varied.keys()
    assert "granule friction" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--angle", "36", "--time", "0.6", "0.6", "0.6"], "needed are 3 repeats"),
        (["--angle", "36", "99", "37", "--time", "0.6", "0.6", "0.6"], "got angle 99 deg"),
        (["--angle", "36", "35", "37", "--time", "30", "31", "30"], "granules of the ranges give"),
        (["--time", "0.6", "0.6", "0.6"], "angle"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words: list[str], said: str, tmp_path: Path, capsys) -> None:
    assert spillguard(["identify-granules", *words, "-o", str(tmp_path / "no.yaml")]) != 0
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
