"""Evaluation, curves and the results page: numbers come from episodes and files, never from elsewhere."""

import csv
import json
from pathlib import Path

import pytest

from policy_training import evaluate, plots, results
from policy_training.episodes import HELD_OUT_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS
from policy_training.run_folders import read_run
from policy_training.train import main as train

NAV = "spillguard/Nav2D-v0"


def test_exact_binomial_interval() -> None:
    none = evaluate.proportion(0, 10)
    assert (none["rate"], none["low"]) == (0.0, 0.0)
    assert none["high"] == pytest.approx(1.0 - 0.025 ** (1 / 10))  # closed form for no hits
    every = evaluate.proportion(10, 10)
    assert every["high"] == 1.0 and every["low"] == pytest.approx(0.025 ** (1 / 10))


def test_mean_interval_holds_the_mean() -> None:
    found = evaluate.mean([1.0, 2.0, 3.0, 10.0])
    assert found["low"] < found["mean"] == 4.0 < found["high"]
    assert evaluate.mean([5.0]) == {"mean": 5.0, "low": 5.0, "high": 5.0}


def test_training_validation_and_held_out_seeds_never_meet() -> None:
    assert TRAINING_SEEDS + 1_000_000 <= VALIDATION_SEEDS
    assert VALIDATION_SEEDS + 1_000_000 <= HELD_OUT_SEEDS


def test_scripted_controller_is_evaluated_and_reported(tmp_path: Path) -> None:
    assert evaluate.main(["scripted", "--env", NAV, "--episodes", "6", "--out", str(tmp_path)]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    rows = list(csv.DictReader((tmp_path / "episodes.csv").open()))
    assert [int(r["seed"]) for r in rows] == list(range(HELD_OUT_SEEDS, HELD_OUT_SEEDS + 6))
    hits = sum(r["success"] == "True" for r in rows)
    assert report["figures"]["success"]["rate"] == hits / 6
    assert report["figures"]["total_reward"]["mean"] == pytest.approx(
        sum(float(r["total_reward"]) for r in rows) / 6
    )


def test_the_shipped_bundle_is_evaluated_as_the_robot_runs_it(tmp_path: Path) -> None:
    bundle = Path(__file__).parents[2] / "artifacts" / "pour_coffee"
    assert evaluate.main([str(bundle), "--episodes", "2", "--out", str(tmp_path), "--no-picture"]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["subject"]["policy"] == "bundle"
    assert report["subject"]["provenance"]["algorithm"] == "meta_sac_lag"
    # It pours: filling the cup alone is worth 10. Which of two single cells succeeds hangs on the last bits.
    assert report["figures"]["total_reward"]["high"] > 10.0


def test_workers_share_the_episodes_without_changing_them() -> None:
    rule = evaluate.scripted_controller(NAV)
    alone = list(evaluate.run_all(NAV, rule, range(12), workers=1))
    assert list(evaluate.run_all(NAV, rule, range(12), workers=2)) == alone


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(tmp_path)]) == 1
    assert "is it a run folder?" in capsys.readouterr().err


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    short = "--steps 120 --warmup 60 --log-every 40 --eval-every 60 --eval-episodes 2 --no-progress"
    assert train(["--algo", "sac_lag", "--env", NAV, "--runs", str(folder), *short.split()]) == 0
    (found,) = (path.parent for path in folder.glob("*/*/*/checkpoint.pt"))
    assert evaluate.main([str(found), "--episodes", "4"]) == 0
    return found


def test_an_evaluated_run_has_its_report_and_its_curves(run: Path) -> None:
    assert (run / "evaluation" / "report.json").is_file()
    assert (run / "evaluation" / "curves.png").stat().st_size > 10_000


def test_curves_are_drawn_from_progress(run: Path, tmp_path: Path) -> None:
    steps, values = read_run(run).curve("nu")
    assert list(steps) == sorted(steps) and len(values) == len(steps) > 0
    assert plots.main([str(run), str(run), "--labels", "a", "a", "--out", str(tmp_path / "c.png")]) == 0
    assert (tmp_path / "c.png").stat().st_size > 10_000


def test_results_page_repeats_the_reports(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    assert results.main([str(run), "--labels", "sac_lag", "--out", str(page)]) == 0
    success = json.loads((run / "evaluation" / "report.json").read_text())["figures"]["success"]
    assert f"| {100 * success['rate']:.1f} % |" in page.read_text()
    assert page.with_suffix(".png").is_file()


def test_a_run_that_was_not_evaluated_cannot_be_compared(tmp_path: Path, capsys) -> None:
    assert results.main([str(tmp_path), "--labels", "x", "--out", str(tmp_path / "page.md")]) == 1
    assert "spillguard evaluate" in capsys.readouterr().err


def test_seed_interval_is_students() -> None:
    # mean 2, standard deviation 1, three seeds: half width 4.303 / sqrt(3) = 2.484
    assert results.across_seeds([1.0, 2.0, 3.0], percent=False) == "2 ± 2.5"
