"""Pictures from run folders: lines and bands where the numbers are, limits dashed, remarks at the foot."""

import math
from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from policy_training.evaluation import plots
from policy_training.evaluation.run_data import groups

HOPPER, ANT = "spillguard/SafetyHopperVelocity-v1", "spillguard/SafetyAntVelocity-v1"


def rows(level: float, count: int = 4, batch: int = 1000) -> list[dict[str, float]]:
    """Return level + i and cost 40 - level in iteration i, 30 s each."""
    constant = {"cost": 40.0 - level, "kl": 0.01}
    return [
        {"step": batch * (i + 1), "return": level + i, "seconds": 30.0 * (i + 1), **constant}
        for i in range(count)
    ]


def foot(figure: Figure) -> str:
    return figure.get_supxlabel().replace("\n", " ")


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_line_is_the_interquartile_mean_and_the_band_its_interval(make_run) -> None:
    folders = [
        make_run("crpo", s, rows(level), limits={"cost": 25.0}) for s, level in ((1, 1.0), (2, 2.0), (3, 6.0))
    ]
    figure, said = plots.picture(groups(folders))
    axes = figure.axes[0]
    (line,) = axes.lines
    assert np.asarray(line.get_xdata()) == pytest.approx([1.0, 2.0, 3.0, 4.0])  # thousand samples
    assert np.asarray(line.get_ydata()) == pytest.approx([3.0, 4.0, 5.0, 6.0])  # mean of 1, 2, 6, and on
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1.0, 9.0)  # lowest run at the start, highest at the end
    assert said == [] and "bootstrap" in foot(figure)


def test_the_limit_is_a_dashed_line_in_the_cost_panel_only(make_run) -> None:
    figure, _ = plots.picture(groups([make_run("crpo", 1, rows(1.0), limits={"cost": 25.0})]))
    returns, costs = figure.axes
    assert costs.get_ylabel() == "cost, training episodes"
    dashed = [line for line in costs.lines if line.get_linestyle() == "--"]
    assert [list(line.get_ydata()) for line in dashed] == [[25.0, 25.0]]
    low, high = costs.get_ylim()
    assert low < 25.0 < high
    assert not [line for line in returns.lines if line.get_linestyle() == "--"]
    assert "limit 25" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_environments_stand_side_by_side_in_equal_colours(make_run) -> None:
    folders = [
        make_run(a, 1, rows(1.0), env, {"cost": 25.0}) for env in (HOPPER, ANT) for a in ("crpo", "espo")
    ]
    figure, said = plots.picture(groups(folders))
    assert [axes.get_title() for axes in figure.axes[:2]] == [
        "SafetyHopperVelocity-v1",
        "SafetyAntVelocity-v1",
    ]
    colours = [[line.get_color() for line in axes.lines[:2]] for axes in figure.axes]
    assert len(figure.axes) == 4 and all(pair == colours[0] for pair in colours)
    assert "SafetyAntVelocity-v1, espo: 1 seed; a claim about learning needs 3 or more" in said


def test_an_environment_without_some_algorithm_or_column_is_drawn_all_the_same(make_run) -> None:
    bare = [{k: v for k, v in row.items() if k != "kl"} for row in rows(1.0)]
    folders = [make_run("crpo", 1, rows(1.0), HOPPER), make_run("espo", 1, bare, ANT)]
    figure, _ = plots.picture(groups(folders), ["return", "kl"])
    assert [text.get_text() for text in figure.axes[3].texts] == ["not recorded"]


def test_wall_time_is_an_axis(make_run) -> None:
    figure, _ = plots.picture(groups([make_run("crpo", 1, rows(1.0))]), ["return"], "seconds")
    assert figure.axes[0].get_xlabel() == "wall time [min]"
    assert list(figure.axes[0].lines[0].get_xdata()) == [0.5, 1.0, 1.5, 2.0]


def test_lines_end_with_their_shortest_run_and_say_so(make_run) -> None:
    folders = [make_run("crpo", s, rows(1.0, count)) for s, count in ((1, 4), (2, 2), (3, 4))]
    figure, said = plots.picture(groups(folders), ["return"])
    assert list(figure.axes[0].lines[0].get_xdata()) == [1.0, 2.0]
    assert said == ["crpo: drawn to its shortest run, 2,000 of 4,000 steps"]
    assert said[0] in foot(figure)


def test_one_row_is_a_visible_point_and_nan_is_skipped(make_run) -> None:
    broken = [*rows(1.0, 1), {"step": 2000, "return": math.nan, "cost": math.nan, "kl": 0.1, "seconds": 60.0}]
    figure, _ = plots.picture(groups([make_run("crpo", 1, broken)]), ["return"])
    (line,) = figure.axes[0].lines
    assert line.get_marker() == "o" and list(line.get_ydata()) == [1.0]
    assert not figure.axes[0].collections  # one run, no band


def test_runs_without_a_limit_keep_their_panels(make_run) -> None:
    old = [{"step": 1000, "return": 1.0, "validation/success": 0.5, "nu": 2.0}]
    figure, _ = plots.picture(groups([make_run("sac_lag", 1, old)]))
    assert [axes.get_ylabel() for axes in figure.axes] == [
        "success rate, validation", "return, training episodes", "multiplier nu"
    ]  # fmt: skip


def test_the_command_writes_a_picture(make_run, tmp_path: Path) -> None:
    folders = [str(make_run("crpo", s, rows(1.0 * s), limits={"cost": 25.0})) for s in (1, 2, 3)]
    out = tmp_path / "new" / "curves.png"
    assert plots.main([*folders, "--group-by", "run", "--x", "seconds", "--out", str(out)]) == 0
    assert out.stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "a", "b"], "2 labels for 1 runs"),
        (["--columns", "retrun"], "none of these runs has retrun; they have return, seconds, cost, kl"),
    ],
)
def test_what_cannot_be_drawn_is_said(make_run, capsys, options: list[str], message: str) -> None:
    assert plots.main([str(make_run("crpo", 1, rows(1.0))), *options]) == 1
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys) -> None:
    assert plots.main([str(tmp_path)]) == 1
    assert "is it a run folder?" in " ".join(capsys.readouterr().err.split())
