"""What no robot can have is refused by `spillguard robot` in one line, and nothing is left behind."""

import shutil
from pathlib import Path

import pytest

from spillguard_core.robot.arm import load_robot
from tests.sim.test_robot_urdf import GOOD, URDF, write, written_urdf


@pytest.fixture
def urdf(tmp_path) -> Path:
    return written_urdf(tmp_path)


@pytest.fixture(scope="module")
def arm(tmp_path_factory) -> Path:
    path = written_urdf(tmp_path_factory.mktemp("made_up"))
    assert write(path, *GOOD) == 0
    return path.parent / "arm"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('name="tilt"', 'name=""', "the name of a joint is ''"),
        ('name="tilt"', 'name="ti&#10;lt"', r"the name of a joint is 'ti\nlt'"),
        ('name="upper"', 'name=""', "the name of a link is ''"),
        ('name="tilt"', 'name="turn"', "has two of the name 'turn' among its joints"),
        ('velocity="1" ', 'velocity="inf" ', "'tilt' has no finite velocity limit in the URDF"),
        ('xyz="0 0 0.5"', 'xyz="0 nan 0.5"', "<origin xyz='0 nan 0.5'> is not finite"),
        ("0.001 0.001 0.001", "1", "MuJoCo cannot use it"),
        ("0.001 0.001 0.001", "0 1 1", "MuJoCo cannot use it"),
    ],
)
def test_names_and_numbers_that_cannot_be_used_leave_nothing_behind(old, new, words, urdf, capfd):
    assert old in URDF
    urdf.write_text(URDF.replace(old, new))
    assert write(urdf, *GOOD) == 1
    said = capfd.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (urdf.parent / "arm").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--fix", "slide=5.0"), "slide=5 is outside its limits, 0 to 0.04"),
        (("--fix", "slide=0.03", "--command-topic", ""), "--command-topic is ''"),
        (("--fix", "slide=0.03", "--command-topic", "a b"), "--command-topic is 'a b'"),
        (("--fix", "slide=0.03", "--name", "a\nb"), r"the name 'a\nb' cannot be used"),
        ((*GOOD, "--workspace-min", "nan", "0", "0", "--workspace-max", "1", "1", "1"), "the workspace is"),
        ((*GOOD, "--workspace-min", "1", "1", "1", "--workspace-max", "0", "0", "0"), "the workspace is"),
    ],
)
def test_what_no_robot_can_have_is_refused_before_anything_is_written(options, words, urdf, capsys):
    assert write(urdf, "--tool-link", "tip", *options) == 1
    said = capsys.readouterr().err
    assert words in said and said.count("\n") == 1
    assert not (urdf.parent / "arm").exists()


@pytest.mark.parametrize("word", ["null", "true", "NaN"])
def test_words_that_yaml_takes_for_something_else_stay_names(word, urdf):
    urdf.write_text(URDF.replace('name="turn"', f'name="{word}"'))
    assert write(urdf, *GOOD, "--name", word) == 0
    robot = load_robot(str(urdf.parent / "arm"))
    assert (robot.name, robot.joint_names) == (word, (word, "tilt", "roll"))


def test_what_could_not_be_read_again_replaces_nothing(arm, urdf, capsys, monkeypatch):
    shutil.copytree(arm, urdf.parent / "arm")
    monkeypatch.setattr("spillguard.robot.robot_yaml", lambda *_: "name: [\n")
    assert write(urdf, *GOOD, "--overwrite") == 1
    assert str(urdf.parent / "arm/robot.yaml") in capsys.readouterr().err
    assert load_robot(str(urdf.parent / "arm")).name == "made_up"
