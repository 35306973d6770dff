"""The page of a table: every cell follows from the run folders, budgets of others stand beside ours."""

import json
import math
from pathlib import Path

import pytest

from policy_training.evaluation import tables
from policy_training.evaluation.published import FOLDER, read_reference, same_algorithm
from spillguard.cli import COMMANDS

LIMIT = {"cost": 25.0}


def rows(score: float, cost: float, batch: int = 1000, **last: float) -> list[dict[str, float]]:
    """Ten iterations of one minute; the last has score and cost (and alone lies in a window of 5 %)."""
    found: list[dict[str, float]] = [
        {
            "step": batch * i,
            "return": 0.0,
            "cost": 90.0,
            "samples": batch,
            "iteration": i,
            "seconds": 60.0 * i,
        }
        for i in range(1, 11)
    ]
    found[-1] |= {"return": score, "cost": cost, **last}
    return found


def written(folders: list[Path], tmp_path: Path, *options: str) -> str:
    out = tmp_path / "page" / "table.md"
    assert tables.main([*map(str, folders), "--window", "0.05", "--out", str(out), *options]) == 0
    return out.read_text()


def cells(page: str, start: str) -> dict[str, str]:
    """The first row that begins so, by the heads of its table."""
    lines = page.splitlines()
    index = next(i for i, line in enumerate(lines) if line.startswith(f"| {start}"))
    head = next(i for i in range(index, -1, -1) if lines[i].startswith("| ---")) - 1
    split = [[c.strip() for c in lines[i].strip("|").split("|")] for i in (head, index)]
    return dict(zip(*split, strict=True))


@pytest.fixture
def page(make_run, tmp_path: Path) -> str:
    espo = [(1, 10.0, 20.0), (2, 20.0, 30.0), (3, 60.0, 22.0)]
    modes = {"mode/reward": 6.0, "mode/soft": 3.0, "mode/cost": 1.0, "conflicts": 4.0}
    folders = [make_run("espo", s, rows(r, c, 700, **modes), limits=LIMIT) for s, r, c in espo]
    folders += [make_run("crpo", s, rows(5.0 * s, 24.0), limits=LIMIT) for s in (1, 2, 3)]
    return written(folders, tmp_path, "--baseline", "crpo", "--reference", "omnisafe", "espo")


def test_a_label_has_its_score_cost_limit_and_counts(page: str) -> None:
    row = cells(page, "**espo**")
    assert row["seeds"] == "3" and row["limit"] == "25"
    assert row["return, IQM"] == "30 [10, 60]"  # mean of 10, 20, 60; lowest and highest
    assert row["cost, mean"] == "24 [20, 30]"
    assert row["runs within limit"] == "2/3"  # 30 is above 25
    assert row["samples"] == "7,000" and row["samples per iteration"] == "700"
    assert row["minutes"] == "10" and row["iterations"] == "10"
    assert row["updates by mode"] == "reward 6, soft 3, cost 1"
    assert row["iterations in conflict"] == "4"


def test_a_label_is_compared_with_the_baseline(page: str) -> None:
    lines = page[page.index("| beside crpo") :]
    row = cells(lines, "**espo**")
    assert row["P(return higher)"].startswith("0.83 [")  # 10 beats 5, ties 10, loses to 15; 20 and 60 win
    assert row["P(cost lower)"].startswith("0.67 [")  # 20 and 22 are below 24, 30 is not
    assert row["its share of the samples [%]"] == "70.0 [70.0, 70.0]"
    assert row["its share of the minutes [%]"] == "100.0 [100.0, 100.0]"


def test_published_results_carry_their_own_budget(page: str) -> None:
    row = cells(page, "PPOLag")
    assert row["training steps"] == "10,000,000 (1e+03 x ours)"
    assert (row["return"], row["cost"], row["limit"]) == ("961.9 ± 752.9", "13.96 ± 19.33", "25")
    assert "15603dd7" in page and "at their own budget" in page


def test_every_run_names_its_commit_and_command(make_run, tmp_path: Path) -> None:
    folder = make_run(
        "crpo", 7, rows(1.0, 2.0), limits=LIMIT, command=["/x/spillguard", "train", "--seed", "7"]
    )
    row = cells(written([folder], tmp_path), "crpo, s7")
    assert (row["seed"], row["commit"], row["training command"]) == (
        "7", "012345678", "`spillguard train --seed 7`"
    )  # fmt: skip
    assert row["within limit"] == "yes"


def test_the_page_names_its_command_without_folders_of_the_machine(make_run, tmp_path: Path) -> None:
    text = written([make_run("crpo", 1, rows(1.0, 2.0))], tmp_path, "--labels", "CRPO")
    assert "Written by `spillguard table s1 --window 0.05 --out table.md --labels CRPO`, commit " in text
    assert str(tmp_path) not in text


def test_two_seeds_are_said_to_be_too_few(make_run, tmp_path: Path) -> None:
    text = written([make_run("crpo", s, rows(1.0, 2.0)) for s in (1, 2)], tmp_path)
    assert "- crpo: 2 seeds; a claim about learning needs 3 or more." in text


def test_an_interrupted_run_cuts_the_scores_and_compares_no_samples(make_run, tmp_path: Path) -> None:
    folders = [make_run("espo", s, rows(9.0, 9.0)[:n], limits=LIMIT) for s, n in ((1, 10), (2, 10), (3, 6))]
    folders += [make_run("crpo", s, rows(1.0, 1.0), limits=LIMIT) for s in (1, 2, 3)]
    text = written(folders, tmp_path, "--baseline", "crpo")
    assert "espo: judged up to 6,000 steps, where its shortest run ends; the longest has 10,000" in text
    assert cells(text, "**espo**")["return, IQM"] == "0"  # not the 9 of the two whole runs
    assert "its share" not in text


def test_one_row_and_nan_give_dashes_and_no_false_comfort(make_run, tmp_path: Path) -> None:
    folder = make_run("crpo", 1, [{"step": 10, "return": 1.0, "cost": math.nan}], limits=LIMIT)
    row = cells(written([folder], tmp_path), "**crpo**")
    assert row["return, IQM"] == "1" and row["runs within limit"] == "0/1"
    assert "cost, mean" not in row  # nowhere recorded


def test_runs_without_limit_have_no_limit_columns(make_run, tmp_path: Path) -> None:
    old = [{"step": 10, "return": 1.0, "validation/success": 0.5}]
    row = cells(written([make_run("sac", 1, old)], tmp_path, "--score", "validation/success"), "**sac**")
    assert row["validation/success, IQM"] == "0.5"
    assert not {"limit", "runs within limit"} & set(row)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baseline", "pcrpo"], "no run is labelled 'pcrpo'; labels are crpo"),
        (["--reference", "safepo"], "unknown reference 'safepo'; known are espo, omnisafe"),
        (["--score", "retrun"], "no column 'retrun'"),
        (["--window", "0"], "window is 0.0; it must lie in (0, 1]"),
        (["--labels", "a", "b"], "2 labels for 1 runs"),
    ],
)
def test_what_cannot_be_tabled_is_said(make_run, tmp_path, capsys, options: list[str], message: str) -> None:
    out = tmp_path / "t.md"
    assert tables.main([str(make_run("crpo", 1, rows(1.0, 2.0))), "--out", str(out), *options]) == 1
    assert message in " ".join(capsys.readouterr().err.split()) and not out.exists()


def test_published_values_are_as_published() -> None:
    found = {(r.env, r.algorithm): r for r in read_reference("omnisafe").rows}
    cpo = found["SafetyAntVelocity-v1", "CPO"]
    assert (cpo.score, cpo.cost, cpo.steps, cpo.limit) == ((3098.54, 78.9), (14.12, 3.41), 10_000_000, 25.0)
    assert found["SafetyAntVelocity-v1", "SACLag"].steps == 1_000_000  # off-policy methods trained for less
    assert found["SafetyPointGoal1-v0", "SACLag"].steps == 3_000_000
    saved = {r.env: r.steps for r in read_reference("espo").rows if r.algorithm == "ESPO"}
    assert saved["SafetyReacher-v4"] / 8_000_000 == pytest.approx(0.7125)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.json")), ids=lambda p: p.stem)
def test_a_reference_names_its_source_and_repeats_nothing(path: Path) -> None:
    reference = read_reference(path.stem)
    assert reference.source and all(row.steps >= 1_000_000 for row in reference.rows)
    keys = [(row.env, row.algorithm) for row in reference.rows]
    assert len(set(keys)) == len(keys) == len(json.loads(path.read_text())["rows"])


def test_versions_and_spellings_meet() -> None:
    assert read_reference("espo").of("SafetyWalker2d-v5")
    assert same_algorithm("trpo_lag", "TRPOLag") and not same_algorithm("crpo", "PCRPO")


def test_table_is_a_subcommand() -> None:
    assert COMMANDS["table"][0] == "policy_training.evaluation.tables"
