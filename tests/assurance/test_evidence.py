"""Results that are older than their code, and tests that did not run or did not pass, are told by name."""

import subprocess
import sys
from pathlib import Path

import pytest

from spillguard.case.command import main
from spillguard.case.figures import digest
from spillguard.case.files import FOLDER, load
from spillguard.case.tested import named_tests, outcomes_of
from tests.assurance.copies import TEST, built, checked, edited, results

SIMULATED = ("F-braking", "F-calibration", "F-policy")  # the figures that speak of the simulated cell


def test_code_that_changed_makes_its_figures_stale(
    root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = root / "sim/pouring/braking.py"
    code.write_text(code.read_text() + "\n")
    lines = checked(root, capsys, passed)
    assert any(
        line.startswith("F-braking: benchmarks/results/braking.json is older than sim/pouring; make")
        for line in lines
    )
    assert all(" is older than sim/pouring; " in line for line in lines)


def test_a_file_that_came_into_a_folder_of_code_makes_its_figures_stale(root: Path) -> None:
    before = digest(root, "sim/pouring")
    (root / "sim/pouring/note.txt").write_text("no code")
    assert digest(root, "sim/pouring") == before
    (root / "sim/pouring/new.py").write_text("")
    assert digest(root, "sim/pouring") != before


def test_a_result_that_changed_has_to_be_accepted(
    root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = root / "benchmarks/results/braking.json"
    result.write_text(result.read_text() + "\n")
    assert checked(root, capsys, passed) == [
        "F-braking: benchmarks/results/braking.json is not what was accepted: "
        "spillguard case accept F-braking"
    ]
    code = root / "sim/pouring/braking.py"
    code.write_text(code.read_text() + "\n")
    assert main(["accept", "F-braking", "--root", str(root)]) == 0
    for figure in ("F-policy", "F-calibration"):
        assert main(["accept", figure, "--because", "an empty line", "--root", str(root)]) == 0
    built(root)
    assert checked(root, capsys, passed) == []


def test_old_results_are_not_accepted_for_new_code_without_a_reason(
    root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = root / "sim/pouring/braking.py"
    code.write_text(code.read_text() + "\n")
    assert main(["accept", "F-braking", "--root", str(root)]) == 1
    assert "the code has changed" in capsys.readouterr().err
    assert len(checked(root, capsys, passed)) == len(SIMULATED)
    for figure in SIMULATED:
        assert main(["accept", figure, "--because", "an empty line", "--root", str(root)]) == 0
    built(root)
    assert checked(root, capsys, passed) == []
    assert "yes: an empty line" in (root / "docs/safety_case.md").read_text()


def test_a_figure_that_was_never_accepted(
    root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / FOLDER / "accepted.yaml").write_text("{}\n")
    assert "F-braking: never accepted: spillguard case accept F-braking" in checked(root, capsys, passed)


@pytest.mark.parametrize("key", ["nothing", "rows", "rows.0.proposals", "rows.9.contact", "unsafe.more"])
def test_a_value_that_the_result_does_not_have(
    key: str, root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edited(root, "figures", lambda data: data[0]["values"][0].update(key=key))
    assert main(["check", "--root", str(root), "--junit", str(passed)]) == 1
    assert f"{key} is no number" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["braking.json", "braking.md"])
def test_a_result_without_a_commit_is_not_accepted(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "benchmarks/results" / name).write_text('{"unsafe": 0}')
    edited(root, "figures", lambda data: data[0].update(file=f"benchmarks/results/{name}", values=[]))
    assert main(["accept", "F-braking", "--root", str(root)]) == 1
    assert f"{name}: names no commit" in capsys.readouterr().err


def test_an_old_figure_is_not_accepted(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accept", "F-soak", "--root", str(root)]) == 1
    assert "calls it older than its code" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        ("<failure/>", "failed"),
        ("<error/>", "failed"),
        ('<skipped message="no screen"/>', "did not run: no screen"),
    ],
)
def test_a_named_test_has_to_run_and_pass(
    inside: str, told: str, root: Path, passed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = {f"{TEST}[a]": "", f"{TEST}[b]": inside}
    named = {test: "" for test in named_tests(load(root)) if test != TEST}
    assert checked(root, capsys, results(root, {**named, **cases})) == [f"P14: {TEST} {told}"]


def test_a_named_test_that_was_left_out_is_told_from_one_that_is_not_there(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    named = dict.fromkeys(named_tests(load(root)), "")
    del named[TEST]
    file = root / TEST.partition("::")[0]
    file.parent.mkdir(parents=True)
    file.write_text(f"def {TEST.partition('::')[2]}(): pass\n")
    assert checked(root, capsys, results(root, named)) == [f"P14: {TEST} did not run"]
    file.write_text("def test_something_else(): pass\n")
    assert checked(root, capsys, results(root, named)) == [f"P14: {TEST} is no test that pytest collects"]
    file.unlink()
    assert checked(root, capsys, results(root, named)) == [f"P14: {TEST} is no test that pytest collects"]


def test_results_that_are_no_junit_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "junit.xml").write_text("all is well")
    assert main(["check", "--root", str(root), "--junit", str(root / "junit.xml")]) == 1
    assert "junit.xml: no JUnit file" in capsys.readouterr().err


def test_results_of_pytest_are_understood(tmp_path: Path) -> None:
    (tmp_path / "tests/core").mkdir(parents=True)
    (tmp_path / "tests/core/test_small.py").write_text(
        "import pytest\n"
        "def test_fine(): pass\n"
        "@pytest.mark.parametrize('n', [0, 1])\n"
        "def test_one_of_two(n): assert n\n"
        "class TestRoom:\n"
        "    def test_inside(self): pass\n"
        "@pytest.fixture\n"
        "def broken(): raise RuntimeError\n"
        "def test_that_cannot_begin(broken): pass\n"
        "@pytest.mark.xfail\n"
        "def test_that_is_meant_to_fail(): assert False\n"
        "def test_left_out(): pytest.skip('no screen')\n"
    )
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "--junitxml=junit.xml",
        "tests",
    )
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
    file, got = "tests/core/test_small.py", outcomes_of([tmp_path / "junit.xml"])
    assert got[f"{file}::test_fine"] == {"passed"}
    assert got[f"{file}::test_one_of_two"] == {"passed", "failed"}
    assert got[f"{file}::test_one_of_two[1]"] == {"passed"}
    assert got[f"{file}::TestRoom::test_inside"] == {"passed"}
    assert got[f"{file}::test_that_cannot_begin"] == {"failed"}
    assert got[f"{file}::test_that_is_meant_to_fail"] != {"passed"}
    assert got[f"{file}::test_left_out"] == {"did not run: no screen"}
