"""Reading run folders: any algorithm's, also interrupted ones, and what is wrong said plainly."""

import math
from pathlib import Path

import numpy as np
import pytest

from policy_training.evaluation import run_data, scores

ROWS = [{"step": 10, "return": 1.0, "cost": 9.0}, {"step": 20, "return": 3.0, "cost": 5.0}]
LIMIT = {"cost": 6.0}


def test_a_run_of_an_unknown_algorithm_is_read(make_run) -> None:
    run = run_data.read_run(make_run("method_of_2031", 4, ROWS, limits=LIMIT))
    assert (run.algo, run.env, run.seed, run.limits) == (
        "method_of_2031", "SafetyHopperVelocity-v1", 4, LIMIT
    )  # fmt: skip
    steps, values = run.curve("return")
    assert list(steps) == [10.0, 20.0] and list(values) == [1.0, 3.0]
    assert run.commit == "012345678"


def test_limits_may_be_pairs(make_run) -> None:
    """As config.json keeps them where their order counts."""
    folder = make_run("ppo_lag", 1, ROWS, limits=[["speed", 5.0], ["region", 1.0]])
    assert run_data.read_run(folder).limits == {"speed": 5.0, "region": 1.0}


def test_empty_cells_and_nan_are_no_points_of_a_curve(make_run) -> None:
    rows = [{"step": 1, "return": 1.0}, {"step": 2, "kl": 0.1}, {"step": 3, "return": math.nan}]
    run = run_data.read_run(make_run("crpo", 1, [*rows, {"step": 4, "return": 5.0}]))
    assert list(run.curve("return")[0]) == [1.0, 4.0]
    assert list(run.curve("kl")[0]) == [2.0]
    assert not run.has("kl", "return")  # never written in one row


def test_rows_of_one_step_are_one_row(make_run) -> None:
    run = run_data.read_run(make_run("sac", 1, [{"step": 0, "success": 0.5}, {"step": 0, "loss": 2.0}]))
    assert list(run.columns["step"]) == [0.0]
    assert (run.last("success"), run.last("loss")) == (0.5, 2.0)


def test_a_line_cut_off_in_writing_is_left_out(make_run, caplog: pytest.LogCaptureFixture) -> None:
    folder = make_run("crpo", 1, ROWS)
    path = folder / "progress.csv"
    path.write_bytes(path.read_bytes() + b"30,12")  # of 1234.5, and no cost
    assert run_data.read_run(folder).last("return") == 3.0
    assert "the last line is truncated" in caplog.text


def test_a_command_loses_the_folders_of_its_machine(make_run) -> None:
    words = ["/opt/venv/bin/spillguard", "train", "--runs", "/data/runs", "--seed", "4"]
    assert run_data.read_run(make_run("crpo", 4, ROWS, command=words)).command == (
        "spillguard train --runs runs --seed 4"
    )


def test_what_is_no_run_is_refused(make_run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no progress\.csv; is it a run folder\?"):
        run_data.read_run(tmp_path)
    folder = make_run("crpo", 1, ROWS)
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"no config\.json"):
        run_data.read_run(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("step,return\r\n", "no rows yet"),
        ("step,return\r\n1,high\r\n", "line 2.*'high'.*every cell is a number"),
        ("step,return\r\n1,2\r\n,3\r\n", "line 3: no step"),
    ],
)
def test_bad_progress_is_refused(make_run, text: str, message: str) -> None:
    folder = make_run("crpo", 1, ROWS)
    (folder / "progress.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        run_data.read_run(folder)


def test_an_unknown_column_lists_the_known(make_run) -> None:
    run = run_data.read_run(make_run("crpo", 1, ROWS))
    with pytest.raises(ValueError, match="no column 'retrun'; it has step, return, cost"):
        run.curve("retrun")


def test_a_clock_that_falls_is_no_axis(make_run) -> None:
    rows = [{"step": 1, "return": 1.0, "seconds": 9.0}, {"step": 2, "return": 1.0, "seconds": 3.0}]
    with pytest.raises(ValueError, match="'seconds' falls"):
        run_data.read_run(make_run("crpo", 1, rows)).curve("return", "seconds")


def test_runs_are_grouped_by_label_by_algorithm_or_not_at_all(make_run) -> None:
    folders = [make_run("crpo", 1, ROWS), make_run("crpo", 2, ROWS), make_run("espo", 1, ROWS)]
    sizes = {
        by: {label: len(runs) for label, runs in run_data.groups(folders, labels, by).items()}
        for by, labels in (("label", ("a", "b", "b")), ("algo", ("a", "b", "b")), ("run", ()))
    }
    assert sizes["label"] == {"a": 1, "b": 2}
    assert sizes["algo"] == {"crpo": 2, "espo": 1}
    assert list(sizes["run"].values()) == [1, 1, 1]
    assert {k: len(v) for k, v in run_data.groups(folders).items()} == {"crpo": 2, "espo": 1}
    with pytest.raises(ValueError, match="2 labels for 3 runs"):
        run_data.groups(folders, ("a", "b"))


def test_one_label_has_one_limit(make_run) -> None:
    folders = [make_run("crpo", s, ROWS, limits={"cost": float(s)}) for s in (1, 2)]
    with pytest.raises(ValueError, match=r"crpo on SafetyHopperVelocity-v1.*labels of their own"):
        run_data.by_environment(run_data.groups(folders))


def test_too_few_seeds_and_repeated_seeds_are_said(make_run) -> None:
    runs = [run_data.read_run(make_run("crpo", s, ROWS)) for s in (1, 2, 3)]
    assert run_data.remarks("crpo", runs) == []
    assert run_data.remarks("crpo", runs[:2]) == ["crpo: 2 seeds; a claim about learning needs 3 or more"]
    assert "not independent" in run_data.remarks("crpo", [*runs, runs[0]])[0]


def test_named_costs_have_columns_and_limits_of_their_own(make_run) -> None:
    rows = [{"step": 10, "return": 1.0, "cost": 4.0, "cost/speed": 4.0, "cost/region": 2.0}]
    limits = {"speed": 5.0, "region": 1.0}
    (judged,) = scores.scores([run_data.read_run(make_run("ppo_lag", 1, rows, limits=limits))], "return", 0.1)
    assert judged.costs == {"speed": 4.0, "region": 2.0}
    assert not judged.within  # region
    rows[0]["cost/region"] = 1.0
    (judged,) = scores.scores([run_data.read_run(make_run("ppo_lag", 2, rows, limits=limits))], "return", 0.1)
    assert judged.within


def test_a_cost_that_was_not_recorded_is_not_within_its_limit(make_run) -> None:
    run = run_data.read_run(make_run("crpo", 1, [{"step": 1, "return": 1.0, "cost": math.nan}], limits=LIMIT))
    (judged,) = scores.scores([run], "return", 0.1)
    assert not judged.within


def test_unequal_runs_are_judged_up_to_the_shortest(make_run) -> None:
    long = [{"step": s, "return": float(s), "iteration": s / 10} for s in range(10, 101, 10)]
    runs = [run_data.read_run(make_run("crpo", s, long[:n])) for s, n in ((1, 10), (2, 5))]
    assert not scores.complete(runs)
    judged = scores.scores(runs, "return", 0.1)
    assert [one.end for one in judged] == [50.0, 50.0] and [one.score for one in judged] == [50.0, 50.0]
    assert [one.samples for one in judged] == [100.0, 50.0]


def test_runs_of_equally_many_iterations_are_of_one_length(make_run) -> None:
    rows = {1: (10, 20, 30), 2: (20, 40, 60)}  # an algorithm that chooses its batches
    runs = [
        run_data.read_run(
            make_run(
                "espo", s, [{"step": n, "return": float(n), "iteration": i} for i, n in enumerate(steps)]
            )
        )
        for s, steps in rows.items()
    ]
    assert scores.complete(runs)
    assert [one.score for one in scores.scores(runs, "return", 0.1)] == [30.0, 60.0]


def test_a_run_of_one_row_is_judged_by_it(make_run) -> None:
    (judged,) = scores.scores([run_data.read_run(make_run("crpo", 1, ROWS[:1]))], "return", 0.1)
    assert (judged.score, judged.costs, judged.samples) == (1.0, {"cost": 9.0}, 10.0)
    assert np.isnan(judged.minutes) and np.isnan(judged.batch) and judged.modes == {}
