"""`spillguard meta-study`: equal trials for all, nothing done twice, and words that the numbers choose."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from studies.optim4rl.contestants import hand_made
from studies.optim4rl.histograms import EDGES, histogram
from studies.optim4rl.meta_study import MetaStudyArguments, main, trainings
from studies.optim4rl.meta_test import MetaTestBudget, best_alpha
from studies.optim4rl.study_rows import Row, Rows, written
from studies.optim4rl.study_statistics import difference, interval, verdict
from studies.optim4rl.transfer_study import TransferBudget, transfer_study

TINY = [
    "--parts", "grid", "--tasks", "small_dense_short", "--rules", "optim4rl", "--meta-seeds", "1", "2",
    "--units", "2", "--iterations", "2", "--inner-updates", "1", "--rollout", "3", "--updates", "6",
    "--games", "2", "--trials", "1", "--agents", "3",
]  # fmt: skip


def test_a_study_gives_all_the_same_trials_and_does_nothing_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, results = tmp_path / "page.md", tmp_path / "out" / "results.jsonl"
    words = [*TINY, "--out", str(tmp_path / "out"), "--page", str(page)]
    assert main(words) == 0, capsys.readouterr().err
    rows = Rows(results).rows
    tuned = Counter((row.label, row.meta_seed) for row in rows if row.stage == "tune")
    assert len(tuned) == 3 + 3 * 2 and set(tuned.values()) == {6}
    assert {row.task for row in rows if row.stage == "tune"} == {"small_sparse_short"}
    text, lines = page.read_text(), results.read_text()
    for label in ("Adam", "RMSProp", "sign descent", "Optim4RL, untrained", "Optim4RL, no pipeline"):
        assert f"**{label}**" in text
    results.write_text(lines[: lines.rindex("\n", 0, -1) + 20])  # as a kill would leave it
    assert main(words) == 0
    assert sorted(results.read_text().splitlines()) == sorted(lines.splitlines())
    assert (tmp_path / "page_grid_small_dense_short.png").stat().st_size > 1000


def test_the_ablation_is_one_more_training_of_optim4rl_alone() -> None:
    for ablation, pipelines in ((True, [True, False, True]), (False, [True, True])):
        args = MetaStudyArguments(rules=("optim4rl", "star"), meta_seeds=(1,), ablation=ablation)
        assert [config.pipeline for config in trainings(args)] == pipelines


@pytest.mark.parametrize(
    ("words", "what"), [(["--rules", "newton"], "newton"), (["--trials", "0"], "trials")]
)
def test_bad_settings_are_refused(words: list[str], what: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert what in capsys.readouterr().err


def test_a_frozen_optimizer_is_tuned_on_one_environment_and_tested_on_another(tmp_path: Path) -> None:
    rows, runs = Rows(tmp_path / "rows.jsonl"), tmp_path / "runs"
    settings = {"targets": ("spillguard/Nav2D-v0",), "trials": 1, "seeds": (1,)}

    def study(stop: bool) -> list[Row]:
        transfer_study(rows, runs, hand_made()[2:], TransferBudget(1, 200, 1), stop=lambda: stop, **settings)  # type: ignore[arg-type]
        return rows.rows

    assert study(stop=True) == []
    done = list(study(stop=False))
    assert [row.stage for row in done] == ["tune"] * 4 + ["test"]
    assert {row.task for row in done[:4]} == {"InvertedPendulum-v0"} and done[4].task == "Nav2D-v0"
    assert done[4].alpha == best_alpha([r.alpha for r in done[:4]], [r.score for r in done[:4]])
    assert all(np.isfinite(row.score) for row in done) and done[4].cost >= 0.0
    assert study(stop=False) == done


def test_the_rate_of_the_best_mean_is_chosen_and_one_that_diverged_is_out() -> None:
    nan = float("nan")
    assert best_alpha([1.0, 1.0, 2.0, 2.0, 3.0, 3.0], [0.0, 4.0, 3.0, 3.0, 9.0, nan]) == 2.0
    with pytest.raises(ValueError, match="diverged"):
        best_alpha([1.0], [nan])


def test_agents_of_one_optimizer_are_no_evidence_for_another() -> None:
    # two meta-seeds far apart, agents of each all alike: the interval must reach from one to the other
    apart = [np.full(50, 0.0), np.full(50, 1.0)]
    found = interval(apart)
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)
    assert verdict(apart, [np.full(50, 0.4)]) == "no difference shown"
    assert difference([np.full(5, 2.0)], [np.full(5, 1.5)]).mean == 0.5


def test_words_follow_the_interval() -> None:
    rng = np.random.default_rng(0)
    low, high = ([rng.normal(mean, 0.1, 20) for _ in range(3)] for mean in (0.0, 1.0))
    assert verdict(high, low) == "better" and verdict(low, high) == "worse"
    assert verdict(high[:1], low) == "better, of one meta-seed"
    assert verdict(low, low) == "no difference shown"
    assert verdict([high[0][:2]], low).startswith("not judged")


def test_a_histogram_knows_its_zeros() -> None:
    found = histogram(np.array([0.0, 0.0, 0.1, -0.1]))
    assert found.zero == 0.5 and found.mean == pytest.approx(-1.0, abs=1e-6)
    assert sum(found.shares) == pytest.approx(1.0) and len(found.shares) == len(EDGES) - 1


def test_rows_of_older_studies_are_found_again_by_their_budget() -> None:
    assert written(MetaTestBudget(12_000, 10)) == "Budget(updates=12000, games=10, rollout=20)"
    assert written(TransferBudget(40, 5000, 10)) == "Budget(iterations=40, samples=5000, epochs=10)"
