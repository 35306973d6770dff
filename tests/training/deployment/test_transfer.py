"""The transfer report as a command: complete, resumable, its own."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from policy_training.deployment.transfer import command, episodes
from policy_training.deployment.transfer.conditions import (
    HELD_OUT,
    SEEDS,
    conditions,
    scenario,
)
from policy_training.deployment.transfer.episodes import OFF, ON, SCRIPTED, read_rows, wanted
from policy_training.files import locked
from sim.pouring.guarded import Stack
from sim.pouring.scripted import pour_controller
from sim.render import RenderingUnavailableError

BUNDLE = Path(__file__).parents[3] / "artifacts" / "pour_coffee"
BY_NAME = {condition.name: condition for condition in conditions()}
QUICK = ("pours", "target 40 mm off")


def row(condition: str, seed: int, way: str = ON, **other: Any) -> dict[str, Any]:
    """An episode that went well, but for `other`."""
    return {
        "condition": condition, "way": way, "seed": seed, "success": True, "spill": False, "contact": False,
        "limit": False, "seconds": 5.0, "upright": True, "at_rest": True, "stopped": False, "reason": "OK",
        "detail": "", "total": 20, "landed": 20, "spilled": 0, "tilt": 0.0, "offset": [0.0, 0.0, 0.1],
        "replaced": 0.0, "limited": 0.0, "held": 0.0, "domain": {}, "bundle": "b", "commit": "c", **other,
    }  # fmt: skip


def poured(out: Path, number: int, *more: str) -> list[dict[str, Any]]:
    words = [str(BUNDLE), "-o", str(out), "--episodes", str(number), "--pictures", "0"]
    assert command.main([*words, "--conditions", *QUICK, *more]) == 0
    rows = read_rows(out / command.EPISODES)
    return sorted(rows, key=lambda one: (one["condition"], one["way"], one["seed"]))


def test_a_report_that_was_cut_short_is_that_of_one_go(tmp_path: Path) -> None:
    whole = poured(tmp_path / "whole", 2)
    first = poured(tmp_path / "parts", 1)
    assert len(first) == 6 and len(whole) == 12
    path = tmp_path / "parts" / command.EPISODES
    text = path.read_bytes()
    path.write_bytes(text[:-20])  # in the middle of the last line
    assert len(read_rows(path)) == 5
    assert poured(tmp_path / "parts", 2) == whole
    assert path.read_bytes().startswith(text.rsplit(b"\n", 2)[0])
    reports = [json.loads((tmp_path / part / "report.json").read_text()) for part in ("whole", "parts")]
    assert reports[0]["conditions"] == reports[1]["conditions"]
    page = (tmp_path / "parts" / "report.md").read_text()
    assert "| pours | 2 |" in page and "12 episodes" in page and (tmp_path / "parts/success.png").is_file()


def test_what_is_left_to_pour_is_counted_by_tier() -> None:
    """Ends of ranges have a number of their own, and only the monitor's way."""
    some = [BY_NAME["pours"], BY_NAME["lag high"]]
    jobs = wanted(BUNDLE, some, 30, 7, [row("pours", SEEDS), row("lag high", SEEDS + 6)])
    left = Counter((job.condition, job.way) for job in jobs for _ in job.seeds)
    assert left == {("pours", ON): 29, ("pours", OFF): 30, ("pours", SCRIPTED): 30, ("lag high", ON): 6}
    assert len({(job.condition, job.way, seed) for job in jobs for seed in job.seeds}) == 95


def test_an_arm_whose_joint_turns_backwards_is_not_at_rest() -> None:
    bundle, config = episodes._deployed(BUNDLE)
    stack = Stack(bundle.models(config), config)
    pour = stack.pour(pour_controller, scenario(BY_NAME["nominal"], SEEDS), time_limit=0.1)
    for speed, at_rest in ((0.0, True), (0.03, False), (-0.03, False)):
        stack.cell.data.qvel[:7] = 0.0
        stack.cell.data.qvel[3] = speed
        assert episodes._happened(stack, pour, True)["at_rest"] is at_rest


def test_several_processes_pour_the_same(tmp_path: Path) -> None:
    assert poured(tmp_path / "two", 2, "--workers", "2") == poured(tmp_path / "one", 2)


def test_episodes_of_another_bundle_are_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / command.EPISODES).write_text(json.dumps(row("pours", SEEDS)) + "\n")
    assert command.main([str(BUNDLE), "-o", str(tmp_path)]) == 1
    assert "episodes of another bundle" in capsys.readouterr().err


def test_two_reports_do_not_share_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with locked(tmp_path):
        assert command.main([str(BUNDLE), "-o", str(tmp_path)]) == 1
    assert "another process writes this report" in capsys.readouterr().err


def test_only_a_last_line_may_be_incomplete(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    assert read_rows(path) == []
    line = json.dumps(row("pours", 1)) + "\n"
    path.write_text(line + line[:30])
    assert [one["seed"] for one in read_rows(path)] == [1]
    for bad in (line[:30], "[]", "{}", '"x"', line.replace("landed", "lended").strip()):
        path.write_text(f"{bad}\n{line}")
        with pytest.raises(ValueError, match="line 1 is damaged"):
            read_rows(path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"condition": [1]}, r"condition has to be str, got \[1\]"),
        ({"seed": "x"}, "seed has to be int, got 'x'"),
        ({"success": "yes"}, "success has to be bool, got 'yes'"),
        ({"total": None}, "total has to be int, got None"),
        ({"total": 0, "landed": 0}, "total at least 1, got 0 and 0"),
        ({"landed": 21}, "landed is 0 to total, total at least 1, got 21 and 20"),
        ({"seconds": float("nan")}, "seconds has to be int or float, got nan"),
        ({"reason": None}, "reason has to be str, got None"),
        ({"way": "by hand"}, "way is one of monitor on; monitor off; scripted, monitor on, got 'by hand'"),
        ({"domain": [1]}, r"domain has to be dict, got \[1\]"),
        ({"domain": {"lag": "slow"}}, "lag in domain is no such quantity, got 'slow'"),
        ({"domain": {"dry_friction": [1.0, 2.0]}}, "dry_friction in domain is no such quantity"),
    ],
)
def test_a_line_that_tells_something_else_is_named(tmp_path: Path, other: dict[str, Any], words: str) -> None:
    path = tmp_path / "episodes.jsonl"
    path.write_text(f"{json.dumps(row('pours', 1))}\n{json.dumps(row('pours', 2) | other)}\n")
    with pytest.raises(ValueError, match=f"line 2 is damaged: .*{words}.*; delete it"):
        read_rows(path)


def test_a_line_too_deep_to_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "episodes.jsonl").write_text("[" * 100_000 + "\n")
    with pytest.raises(ValueError, match="line 1 is damaged"):
        read_rows(tmp_path / "episodes.jsonl")


def test_an_episode_that_is_told_twice_counts_once_and_not_if_it_is_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "episodes.jsonl"
    one = json.dumps(row("pours", 1)) + "\n"
    path.write_text(one + one)
    assert read_rows(path) == [row("pours", 1)]
    path.write_text(one + json.dumps(row("pours", 1, success=False)) + "\n")
    with pytest.raises(ValueError, match="line 2 tells pours, monitor on, seed 1 otherwise"):
        read_rows(path)


@pytest.mark.parametrize("name", ["report.md", "report.json", "success.png", "failure_1.png"])
def test_the_report_of_others_is_not_written_over(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text("mine")
    assert command.main([str(BUNDLE), "-o", str(tmp_path), "--episodes", "1"]) == 1
    assert f"holds {name} without its episodes; name another folder" in capsys.readouterr().err
    assert (tmp_path / name).read_text() == "mine" and not (tmp_path / command.EPISODES).exists()


def test_pictures_of_an_earlier_report_go_once_the_new_ones_are_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = (
        "failure_1.png",
        "failure_2.png",
        "failure_12.png",
        "failure_of_the_grip.png",
        "failure_1.png.old",
    )
    for name in names:
        (tmp_path / name).write_text("old")
    failed = row("pours", SEEDS, success=False, spill=True)
    args = command.TransferArguments(bundle=BUNDLE, out=tmp_path)

    def nothing(*_: Any) -> dict[str, Any]:
        raise RenderingUnavailableError("no display")

    monkeypatch.setattr(command, "film", nothing)
    assert command.strips(args, [failed], conditions()) == []
    assert {path.name for path in tmp_path.iterdir()} == set(names)

    def film(_bundle: Path, _condition: Any, _way: str, _seed: int, path: Path) -> dict[str, Any]:
        assert (tmp_path / "failure_2.png").exists()
        path.write_text("new")
        return failed

    monkeypatch.setattr(command, "film", film)
    assert [name for _, _, name in command.strips(args, [failed], conditions())] == ["failure_1.png"]
    assert (tmp_path / "failure_1.png").read_text() == "new"
    assert {path.name for path in tmp_path.iterdir()} == set(names) - {"failure_2.png", "failure_12.png"}


def test_the_list_names_every_condition(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(BY_NAME) and any("fluid" in line and HELD_OUT in line for line in lines)
