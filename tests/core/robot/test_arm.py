"""An arm's description: what it may lack, and what it may not say."""

from pathlib import Path

import pytest

from spillguard_core.robot.arm import load_robot
from spillguard_description import ROBOTS

GEN3 = (ROBOTS / "gen3/robot.yaml").read_text()
LINE = next(line for line in GEN3.splitlines(keepends=True) if line.startswith("jerk:"))


def written(folder: Path, text: str) -> str:
    (folder / "robot.yaml").write_text(text)
    return str(folder)


def test_the_gen3_has_a_jerk_limit_and_a_bundle_need_not_know_it():
    assert load_robot("gen3").limits.jerk.tolist() == [1000.0] * 7


def test_an_arm_may_have_none(tmp_path):
    assert load_robot(written(tmp_path, GEN3.replace(LINE, ""))).limits.jerk is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("[1.0, 1.0]", "one a joint, 7 here"),
        ("[0.0, 1, 1, 1, 1, 1, 1]", "finite and positive"),
        ("[-1.0, 1, 1, 1, 1, 1, 1]", "finite and positive"),
        ("[.inf, 1, 1, 1, 1, 1, 1]", "finite and positive"),
        ("[.nan, 1, 1, 1, 1, 1, 1]", "jerk has to be a list of numbers"),
        ("much", "jerk has to be a list of numbers"),
    ],
)
def test_one_that_cannot_be_is_refused(tmp_path, value, words):
    with pytest.raises(ValueError, match=words) as caught:
        load_robot(written(tmp_path, GEN3.replace(LINE, f"jerk: {value}\n")))
    assert "robot.yaml" in str(caught.value)


def test_an_unknown_key_is_refused_and_the_known_ones_are_named(tmp_path):
    with pytest.raises(ValueError, match="may have jerk"):
        load_robot(written(tmp_path, GEN3 + "snap: [1.0]\n"))
