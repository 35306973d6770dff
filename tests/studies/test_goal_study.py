"""The study of the cost critic's rate: its grid, its page, and what is missing from it."""

from pathlib import Path

from policy_training.evaluation.run_data import read_run
from policy_training.runs.presets import NAV2D
from studies.goal_page import BASELINE, verdict
from studies.goal_study import FULL_SEEDS, FULL_STEPS, GoalArguments, arms, jobs
from studies.study import main

SMALL = ("goal", "--tasks", NAV2D, "--rates", "3e-4", "1e-3", "--layouts", "grouped", "--no-popart",
         "--steps", "400", "--samples", "200", "--workers", "1")  # fmt: skip


def test_the_grid_holds_every_rate_in_every_layout_and_the_full_budget_is_one_flag() -> None:
    args = GoalArguments()
    labels = [label for label, _ in arms(args)]
    assert len(set(labels)) == len(labels) == len(args.layouts) * len(args.rates) + 1
    assert BASELINE in labels
    full = jobs(GoalArguments(full=True).budget())
    assert len(full) == len(labels) * len(args.tasks) * len(FULL_SEEDS)
    assert {config.loop.steps for _, (config, _) in full} == {FULL_STEPS}  # type: ignore[union-attr]
    assert len({config.to_json() for _, (config, _) in full}) == len(full)  # a folder a run


def test_the_page_says_what_is_missing_and_a_finished_run_is_not_done_again(tmp_path: Path) -> None:
    page = tmp_path / "goal.md"
    where = ("--runs", str(tmp_path / "runs"), "--page", str(page))
    assert main([*SMALL, *where, "--seeds", "1"]) == 0
    assert "Missing" not in page.read_text()
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("progress.csv")}
    assert len(before) == 2
    assert main([*SMALL, *where, "--seeds", "1", "2", "--page-only"]) == 1
    text = page.read_text()
    assert "2 of 4 runs are here" in text
    assert "Missing: single, 0.0003 on Nav2D-v0, seeds 2; grouped, 0.001 on Nav2D-v0, seeds 2." in text
    assert main([*SMALL, *where, "--seeds", "1"]) == 0
    assert before == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("progress.csv")}


def test_a_difference_is_claimed_only_where_every_seed_shows_it(make_run) -> None:
    def runs(first: int, returns: list[float], cost: float):
        return [
            read_run(
                make_run(
                    "ppo_lag", first + k, [{"step": 10, "return": r, "cost": cost + k}], limits={"cost": 25}
                )
            )
            for k, r in enumerate(returns)
        ]

    found = {
        BASELINE: runs(1, [1.0, 2.0, 3.0], 30.0),
        "grouped, 0.001": runs(4, [7.0, 8.0, 9.0], 30.5),
        "shared, 0.001": runs(7, [7.0, 8.0, 9.0], 30.0),  # nothing of its own layout to compare with
    }
    lines = verdict(found)
    assert len(lines) == 1
    assert lines[0].startswith(f"- **grouped, 0.001** beside {BASELINE}: return higher, cost not told apart")
