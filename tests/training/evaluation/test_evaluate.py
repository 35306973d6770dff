"""Evaluation, curves and the results page: numbers come from episodes and files, never from elsewhere."""

import csv
import json
import pickle
from functools import partial
from pathlib import Path

import gymnasium
import numpy as np
import pytest

from policy_training.evaluation import evaluate, held_out, plots, results_page
from policy_training.evaluation.run_data import read_run
from policy_training.evaluation.subject import DEFAULT_ENV, subject
from policy_training.experience.environments import EnvironmentFaultError
from policy_training.experience.episodes import HELD_OUT_SEEDS, TRAINING_SEEDS, VALIDATION_SEEDS, make_env
from policy_training.experience.scripted import scripted_controller
from policy_training.pool import Pool
from policy_training.train import main as train
from sim.pouring.scenario import sample_scenario
from spillguard_core.bundle.bundle import load_bundle

NAV = "spillguard/Nav2D-v0"
BUNDLE = Path(__file__).parents[3] / "artifacts" / "pour_coffee"


def test_exact_binomial_interval() -> None:
    none = held_out.proportion(0, 10)
    assert (none["rate"], none["low"]) == (0.0, 0.0)
    assert none["high"] == pytest.approx(1.0 - 0.025 ** (1 / 10))  # closed form for no hits
    every = held_out.proportion(10, 10)
    assert every["high"] == 1.0 and every["low"] == pytest.approx(0.025 ** (1 / 10))


def test_mean_interval_holds_the_mean() -> None:
    found = held_out.mean([1.0, 2.0, 3.0, 10.0])
    assert found["low"] < found["mean"] == 4.0 < found["high"]
    assert held_out.mean([5.0]) == {"mean": 5.0, "low": 5.0, "high": 5.0}


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


def test_a_bundle_is_evaluated_behind_the_monitor_and_without_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(BUNDLE), "--episodes", "2", "--out", str(tmp_path), "--no-picture"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    for name in ("off", "on"):
        report = json.loads((tmp_path / f"monitor_{name}" / "report.json").read_text())
        assert report["monitor"] == name and f"monitor {name}" in words
        assert report["subject"]["provenance"]["algorithm"] == "meta_sac_lag"
        assert report["subject"]["threshold"] == load_bundle(BUNDLE).manifest.threshold.value
        # what the monitor did is told of the one that had it alone
        assert ("limited" in report["figures"]) is (name == "on")
        # It pours, which takes a while. Which of two single cells succeeds hangs on the last bits.
        assert report["figures"]["seconds"]["mean"] > 1.0
        rows = list(csv.DictReader((tmp_path / f"monitor_{name}" / "episodes.csv").open()))
        assert [int(row["seed"]) for row in rows] == [HELD_OUT_SEEDS, HELD_OUT_SEEDS + 1]
    assert not (tmp_path / "report.json").exists()  # it would not say which of the two it is


def test_the_monitor_is_on_or_off_as_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(evaluate, "pour_seed", lambda path, on, seed, domain: asked.append((on, seed)))
    who = subject(str(BUNDLE))
    for wish, expected in (("on", [True]), ("off", [False]), ("both", [False, True]), (None, [False, True])):
        asked.clear()
        for play in evaluate.ways(who, evaluate.EvaluateArguments(str(BUNDLE), monitor=wish)).values():
            play(7)
        assert asked == [(guarded, 7) for guarded in expected]


def test_a_bundle_pours_in_the_cells_of_the_environment() -> None:
    env = make_env(DEFAULT_ENV)
    env.reset(seed=HELD_OUT_SEEDS + 3)
    cell = sample_scenario(np.random.default_rng(HELD_OUT_SEEDS + 3))
    assert repr(env.unwrapped.scenario) == repr(cell)


def test_workers_share_the_episodes_without_changing_them() -> None:
    play = partial(evaluate.run_seed, NAV, scripted_controller(NAV))
    alone = list(evaluate.run_all(play, range(12), Pool(1)))
    assert list(evaluate.run_all(play, range(12), Pool(2))) == alone


def test_a_bundle_can_be_handed_to_workers() -> None:
    who = subject(str(BUNDLE))
    for play in evaluate.ways(who, evaluate.EvaluateArguments(str(BUNDLE))).values():
        assert pickle.loads(pickle.dumps(play)).args == play.args


def test_a_task_is_reported_by_its_own_costs_alone() -> None:
    env = "spillguard/SafetyHopperVelocity-v0"
    found = evaluate.run_seed(env, lambda obs: np.zeros(3, np.float32), HELD_OUT_SEEDS)
    assert list(found.happened) == ["violation", "violation/velocity"]  # nobody tells of success
    assert list(found.amounts) == ["total_reward", "cost", "cost/velocity", "steps", "seconds"]


def test_a_pour_is_reported_by_spills_contacts_limits_and_effort() -> None:
    rule = scripted_controller(DEFAULT_ENV)
    found = evaluate.run_seed(DEFAULT_ENV, rule, HELD_OUT_SEEDS)
    broken = [f"violation/{name}" for name in ("spill", "contact", "limit")]
    assert list(found.happened) == ["success", "violation", *broken]
    assert found.amounts["effort"] > 0.0
    assert found.amounts["seconds"] == found.amounts["steps"] / 20.0


def test_nothing_is_said_of_the_safety_of_a_task_that_tells_no_cost() -> None:
    found = evaluate.run_seed("Pendulum-v1", lambda obs: np.zeros(1, np.float32), HELD_OUT_SEEDS)
    assert found.happened == {}
    assert list(found.amounts) == ["total_reward", "steps", "seconds"]
    assert found.amounts["steps"] == 200.0


class Costly(gymnasium.Env):
    """Three steps, each with these costs."""

    observation_space = action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)

    def __init__(self, heat: float) -> None:
        self.heat, self.count = heat, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.count += 1
        info = {"cost": self.heat, "cost_terms": {"heat": self.heat, "noise": 0.0}}
        return np.zeros(1, np.float32), 1.0, self.count == 3, False, info


gymnasium.register("Warm-v0", Costly, kwargs={"heat": 0.5})
gymnasium.register("Broken-v0", Costly, kwargs={"heat": float("nan")})


def still(obs: np.ndarray) -> np.ndarray:
    """The action of rest."""
    return np.zeros(1, np.float32)


def test_costs_are_summed_and_counted_by_name() -> None:
    found = evaluate.run_seed("Warm-v0", still, 0)
    assert found.happened == {"violation": True, "violation/heat": True, "violation/noise": False}
    amounts = {"total_reward": 3.0, "cost": 1.5, "cost/heat": 1.5, "cost/noise": 0.0, "steps": 3.0}
    assert found.amounts == amounts
    figures = held_out.summary([found, found])
    assert "cost/noise" not in held_out.telling([figures])  # its rate says it
    assert {"cost", "cost/heat"} <= set(held_out.telling([figures]))


def test_a_cost_that_is_no_number_is_no_safe_episode() -> None:
    with pytest.raises(EnvironmentFaultError, match=r"Broken-v0, step .* the cost is nan; it must be finite"):
        evaluate.run_seed("Broken-v0", still, 0)


def test_what_only_some_episodes_tell_did_not_happen_in_the_others() -> None:
    one = held_out.Episode(0, {"success": True}, {"steps": 2.0, "cost/heat": 3.0})
    figures = held_out.summary([one, held_out.Episode(1, {}, {"steps": 4.0})])
    assert figures["success"]["rate"] == 0.5
    assert figures["cost/heat"]["mean"] == 1.5 and figures["steps"]["mean"] == 3.0


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
    assert results_page.main([str(run), "--labels", "sac_lag", "--out", str(page)]) == 0
    success = json.loads((run / "evaluation" / "report.json").read_text())["figures"]["success"]
    text = page.read_text()
    assert f"| {100 * success['rate']:.1f} %, {100 * success['low']:.1f} to" in text
    assert "obstacle" in text and "| spill |" not in text, text  # its own costs and no others
    assert page.with_suffix(".png").is_file()


def test_a_report_of_an_earlier_release_makes_a_page() -> None:
    old = results_page.read(Path(__file__).parents[2] / "data/earlier_report")
    rates = ["success", "violation/spill", "violation/contact", "violation/limit", "violation"]
    assert results_page.columns([old]) == [*rates, "total_reward", "effort", "seconds"]
    assert old.value("success") == 1.0 and old.value("violation/spill") == 0.0
    assert results_page.table({"ours": [old]})[0].startswith(
        "|  | seeds | success | spill | contact | limit |"
    )


@pytest.mark.parametrize(
    ("option", "answer"),
    [(("--monitor", "on"), "only a bundle runs behind the monitor"), (("--env", "Other-v0"), "acts in")],
)
def test_an_option_that_a_run_cannot_follow_is_refused(
    run: Path, option: tuple[str, str], answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate.main([str(run), *option]) == 1
    assert answer in " ".join(capsys.readouterr().err.split())


def test_a_run_that_was_not_evaluated_cannot_be_compared(tmp_path: Path, capsys) -> None:
    assert results_page.main([str(tmp_path), "--labels", "x", "--out", str(tmp_path / "page.md")]) == 1
    assert "spillguard evaluate" in capsys.readouterr().err


def test_seed_interval_is_students() -> None:
    # mean 2, standard deviation 1, three seeds: half width 4.303 / sqrt(3) = 2.484
    assert results_page.across_seeds([1.0, 2.0, 3.0], percent=False) == "2 ± 2.5"
