"""The commands of docs/own_policy.md on LEAPP, as they stand there."""

import re
import shlex
from pathlib import Path

import pytest

from policy_training.deployment.leapp.pipeline import read_pipeline
from spillguard.cli import main
from spillguard_core.bundle.bundle import load_bundle
from tests.training.deployment.leapp.pipelines import joints

PAGE = Path(__file__).parents[4] / "docs" / "own_policy.md"


def test_the_commands_of_the_page_lead_from_a_pipeline_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = PAGE.read_text().split("\n## LEAPP pipelines, in and out\n")[1].split("\n## ")[0]
    commands = re.findall(r"^spillguard (.*)$", section, re.MULTILINE)
    assert [shlex.split(command)[0] for command in commands] == ["wrap", "wrap", "leapp"]
    joints(tmp_path / "my_pipeline", frequency=20)
    monkeypatch.chdir(tmp_path)
    for command in commands:
        assert main(shlex.split(command)) == 0, capsys.readouterr().err
    assert "does not pass the safety monitor" in capsys.readouterr().out
    assert load_bundle(tmp_path / "my_bundle").task.name == "joint_positions"
    (name,) = re.findall(r'InferenceManager\("(.*)"\)', section)
    pipeline = read_pipeline(tmp_path / name)
    assert pipeline.given == ("policy/joint_position", "policy/joint_velocity")
    assert pipeline.results == ("policy/joint_position_target",)


def test_the_help_says_that_nothing_guards_such_a_policy(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["leapp", "--help"])
    assert "does not pass the safety monitor" in " ".join(capsys.readouterr().out.replace("│", " ").split())
