"""The study of thresholds: rows that stay, runs that are not repeated, a page that names both."""

import logging
from pathlib import Path

import pytest

from policy_training.files import locked
from studies import threshold_study
from studies.study import main
from studies.threshold_page import compared, interval, met
from studies.threshold_study import configuration, known

WORDS = ["threshold", "--problems", "one-step", "--starts", "0.3", "--steps", "160", "--workers", "1"]


def test_the_study_grows_by_the_runs_that_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "threshold.md"
    assert main([*WORDS, "--rules", "fixed", "--seeds", "1", "--page", str(page)]) == 0
    (first,) = known(page.with_suffix(".csv"))
    assert main([*WORDS, "--rules", "fixed", "measured", "--seeds", "1", "--page", str(page)]) == 0
    rows = known(page.with_suffix(".csv"))
    assert first in rows and {row["rule"] for row in rows} == {"fixed", "measured"} and len(rows) == 2
    assert "2 runs, 1 of them new" in capsys.readouterr().out
    text = page.read_text()
    assert "spillguard study threshold" in text and "| measured | 0.3 | 1 |" in text
    assert page.with_suffix(".png").stat().st_size > 1000


HEAD = "problem,rule,start,asked,seed,steps,violating,training_violating,success,return,eps,nu,q_c,commit\n"
ROW = "one-step,fixed,0.3,0.1,1,160,0.2,0.3,1,-1,0.1,2,0.1,abc\n"


@pytest.mark.parametrize("cut", ["one-step,fixed,0.3,0.1,2,16", ROW.replace(",1,160", ",2,160")[:-6]])
def test_a_last_row_that_was_cut_is_done_again(tmp_path: Path, cut: str) -> None:
    store = tmp_path / "threshold.csv"
    store.write_text(HEAD + ROW + cut)
    assert len(known(store)) == 1


def test_a_run_counts_once(tmp_path: Path) -> None:
    store = tmp_path / "threshold.csv"
    store.write_text(HEAD + ROW + ROW)
    assert len(known(store)) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD + ROW.replace("-1", "nan") + ROW, "line 2"), (HEAD + ROW + ROW.replace("-1", "abc"), "line 3"),
        (HEAD + ROW.replace("abc", "abc,1"), "line 2"), ("name,age\nAnna,7\n", "no file of this study"),
        ("\xff\xfe", "no file of this study"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_are_refused_by_file_and_line_and_kept(
    tmp_path: Path, text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    page, store = tmp_path / "threshold.md", tmp_path / "threshold.csv"
    store.write_text(text, encoding="latin-1")
    assert main([*WORDS, "--rules", "fixed", "--seeds", "1", "--page", str(page)]) == 1
    error = capsys.readouterr().err
    assert said in error and str(store) in error and len(error.strip().splitlines()) == 1
    assert store.read_text(encoding="latin-1") == text


def test_somebody_elses_page_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "mine.md"
    page.write_text("a diary")
    assert main([*WORDS, "--rules", "fixed", "--seeds", "1", "--page", str(page)]) == 1
    assert "it is not of this study" in capsys.readouterr().err and page.read_text() == "a diary"


def test_two_at_once_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "threshold.md"
    with locked(tmp_path):
        assert main([*WORDS, "--rules", "fixed", "--seeds", "1", "--page", str(page)]) != 0
    assert "another process writes a study there" in capsys.readouterr().err


def test_an_interrupted_run_is_no_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threshold_study, "train", lambda config, run: False)
    with pytest.raises(InterruptedError, match="gives no row"):
        threshold_study.outcome("one-step", "fixed", 0.3, 0.1, 1, 160)


def test_three_seeds_have_the_interval_of_three() -> None:
    low, high = interval([1.0, 2.0, 3.0])
    assert (low, high) == pytest.approx((2.0 - 2.484, 2.0 + 2.484), abs=1e-3)  # 4.303 / sqrt 3


def test_what_was_asked_is_compared_with_what_came() -> None:
    rows = [{"rule": "measured", "violating": share} for share in ("0.09", "0.11", "0.2")]
    assert "13.3 %" in met(rows, 0.1) and "2 of 3" in met(rows, 0.1) and "worst run 20.0 %" in met(rows, 0.1)
    assert met([{"rule": "fixed", "violating": "0.1"}], 0.1) == ""


def test_the_rules_are_compared_by_how_near_they_come() -> None:
    def rows(rule: str, *shares: float) -> list[dict[str, str]]:
        return [{"rule": rule, "violating": f"{share:g}"} for share in shares]

    ours, far = rows("measured", 0.09, 0.12, 0.1), rows("fixed", 0.01, 0.6, 0.3)
    assert "fixed 100 % [100, 100]" in compared([*ours, *far], 0.1)
    same = compared([*ours, *rows("B", 0.09, 0.12, 0.1)], 0.1)
    assert "B 50 %" in same
    assert compared(far, 0.1) == compared(rows("measured", 0.1) + far, 0.1) == ""


def test_each_rule_moves_eps_in_one_way_alone() -> None:
    def algorithm(rule: str) -> tuple[float, str, float | None]:
        chosen = configuration("hasty", rule, 0.1, 0.05, 1, 0).algorithm
        return chosen.eps_lr, chosen.eps_paths, chosen.violations

    assert algorithm("fixed") == (0.0, "B", None)
    assert algorithm("measured") == (0.0, "B", 0.05)
    assert algorithm("C") == (3e-3, "C", None)


@pytest.mark.parametrize(
    "words",
    [
        ["--asked", "0"],
        ["--starts", "1.0"],
        ["--workers", "-1"],
        ["--seeds", "1", "1"],
        ["--page", "rows.csv"],
        ["--starts", "0.3", "0.30"],
        ["--steps", "20"],
        ["--asked", "0.0001"],
    ],
)
def test_impossible_settings_are_refused_in_one_line(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["threshold", *words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_what_a_training_says_of_itself_is_heard_again_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("policy_training")
    monkeypatch.setattr(logger, "level", logging.INFO)
    monkeypatch.setattr(threshold_study, "train", lambda config, run: logger.level != logging.WARNING)
    with pytest.raises(InterruptedError):
        threshold_study.outcome("one-step", "fixed", 0.3, 0.1, 1, 160)
    assert logger.level == logging.INFO
