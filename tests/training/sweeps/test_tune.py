"""`spillguard tune`: what it searches in, what becomes of trials that are cut, bad or failing."""

from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from rich.progress import Progress

from policy_training.checkpoint import load
from policy_training.many_runs import Ended
from policy_training.pool import Pool
from policy_training.sweeps import tune
from policy_training.sweeps.search import SearchSpec, read_search
from policy_training.sweeps.tune import begin_again, done, main, open_study, search_all

SPEC = """
schema: 1
seeds: [1, 2]
options: {algo: sac_lag, env: spillguard/Nav2D-v0, steps: 200, warmup: 50, log-every: 50, eval-every: 9000}
search:
  policy-lr: {low: 1.0e-5, high: 1e-2, log: true}
  envs: {low: 1, high: 2}
  hidden: {values: [[8, 8], [16]]}
score: return
at_most: {cost: 2.0}
trials: 2
"""


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A small search."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path / "spec.yaml"


def test_trials_are_trained_kept_and_told(spec: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main([str(spec), "-o", str(out), "--workers", "1"]) == 0
    runs = {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/checkpoint.pt")}
    assert len(runs) == 4 and all(load(path)["step"] >= 200 for path in runs)
    page = (out / "page.md").read_text()
    assert "2 of 2 trials: 2 complete" in page and "--policy-lr" in page and "seeds 1, 2." in page
    assert main([str(spec), "-o", str(out), "--workers", "1"]) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*/*/checkpoint.pt")} == runs
    spec.write_text(SPEC.replace("1e-2", "1e-1"))
    assert main([str(spec), "-o", str(out), "--workers", "1"]) == 1, "another search needs another folder"


def searched(search: SearchSpec, root: Path) -> optuna.Study:
    """With all its trials."""
    with Progress() as progress:
        search_all(search, root, Pool(1), progress)
    return open_study(root)


def made_up(monkeypatch: pytest.MonkeyPatch, error: str = "") -> list[tuple[float, int | None]]:
    """In place of training: the score is the policy's rate. Notes the rates and steps that were asked for."""
    asked: list[tuple[float, int | None]] = []

    def attempt(config: Any, root: Path, until: int | None = None) -> Ended:
        asked.append((config.algorithm.policy_lr, until))
        return Ended(root / str(config.algorithm.policy_lr), until is None, error)

    monkeypatch.setattr(tune, "attempt", attempt)
    monkeypatch.setattr(tune, "judged", lambda runs, search: (float(runs[0].name), {}))
    return asked


def test_a_trial_that_was_cut_is_begun_again_with_its_options(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, search = made_up(monkeypatch), read_search(spec)
    cut = open_study(tmp_path).ask(dict(search.space))
    study = searched(search, tmp_path)
    assert [t.state for t in done(study)] == [TrialState.COMPLETE] * 2
    assert asked[0][0] == cut.params["policy-lr"] == done(study)[0].params["policy-lr"]
    begin_again(study)
    assert not study.get_trials(states=(TrialState.WAITING, TrialState.RUNNING))


def test_a_trial_that_is_worse_than_the_median_ends_early(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = made_up(monkeypatch)
    study = searched(read_search(spec)._replace(trials=16, seeds=(1,)), tmp_path)
    ended = {t.state for t in done(study)}
    assert ended == {TrialState.COMPLETE, TrialState.PRUNED} and len(done(study)) == 16
    looks = {trial.params["policy-lr"]: [until for rate, until in asked if rate == trial.params["policy-lr"]]
             for trial in done(study)}  # fmt: skip
    for trial in done(study):
        seen = looks[trial.params["policy-lr"]]
        assert seen == [50, 100, 150, None][: len(seen)]
        assert (len(seen) == 4) == (trial.state is TrialState.COMPLETE)
    best = max(t.params["policy-lr"] for t in done(study) if t.state is TrialState.PRUNED)
    assert study.best_value > best


def test_options_that_do_not_go_together_are_a_failed_trial(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch)
    search = read_search(spec)
    study = open_study(tmp_path)
    study.enqueue_trial({"policy-lr": 1e-3, "envs": 1, "hidden": 0})
    space = {**search.space, "envs": optuna.distributions.IntDistribution(0, 2)}
    study.enqueue_trial({"policy-lr": 1e-3, "envs": 0, "hidden": 0})
    states = [t.state for t in done(searched(search._replace(space=space), tmp_path))]
    assert sorted(state.name for state in states) == ["COMPLETE", "FAIL"]


def test_trials_that_fail_are_told_and_end_the_search(
    spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_up(monkeypatch, "q_c is nan")
    assert main([str(spec), "-o", str(tmp_path), "--workers", "1"]) == 0
    page = (tmp_path / "page.md").read_text()
    assert "0 complete, 0 ended early, 2 failed" in page and "trial 1 failed: q_c is nan" in page
    assert "No complete trial kept all limits." in page


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("high: 1e-2", "high: 1e-6", "low"),
        ("envs: {low: 1, high: 2}", "envs: {low: 1}", "envs is"),
        ("envs: {low: 1, high: 2}", "envs: {low: one, high: 2}", "one"),
        ("envs: {low: 1", "envz: {low: 1", "--envz"),
        ("envs: {low: 1", "envs: {low: 0", "envs"),
        ("hidden: {values: [[8, 8], [16]]}", "hidden: {values: []}", "hidden is"),
        ("envs: {low: 1, high: 2}", "steps: {low: 100, high: 200}", "cannot be compared"),
        ("trials: 2", "trials: 0", "trials is 0"),
        ("trials: 2", "trials: true", "trials is True"),
        ("seeds: [1, 2]", "seeds: [1, 1]", "list of different whole numbers"),
        ("at_most: {cost: 2.0}", "at_most: {cost: low}", "low"),
        ("schema: 1", "schema: 3", "schema is 3"),
        ("score: return\n", "", "needed are"),
    ],
)
def test_a_search_that_cannot_be_is_refused_with_its_file(
    spec: Path, before: str, after: str, words: str
) -> None:
    assert before in SPEC
    spec.write_text(SPEC.replace(before, after))
    with pytest.raises(ValueError, match=words) as told:
        read_search(spec)
    assert str(told.value).startswith(str(spec))
