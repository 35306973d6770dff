"""`spillguard site check`: what a lab sees of its own surroundings before an arm moves in them."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from spillguard.cli import main as spillguard

ROOT = Path(__file__).parents[1]
LAB = ROOT / "docs/own_cell/lab.yaml"
BESIDE = "boxes:\n  - {name: crate, pos: [0.45, 0.0, 0.30], size: [0.1, 0.1, 0.6]}\n"


def check(site: Path, *more: str) -> int:
    return spillguard(["site", "check", str(site), "--bundle", str(ROOT / "artifacts/pour_coffee"), *more])


def test_a_lab_with_room_around_the_arm_is_listed_and_drawn(tmp_path: Path, capsys) -> None:
    site = Path(shutil.copy(LAB, tmp_path))
    assert check(site) == 0
    said = capsys.readouterr().out
    assert "my lab: closest pairs" in said and "table" in said and "apart" in said
    assert "slow zone people: 0.1 m/s" in said and "closer than" not in said
    if "picture none" not in said:
        assert Image.open(tmp_path / "lab.png").size == (960, 720)


@pytest.mark.parametrize("clearance", ["0.008", "0.2"])
def test_the_exit_status_says_that_something_is_too_close_to_the_arm_at_rest(
    clearance: str, tmp_path: Path, capsys
) -> None:
    """A crate in which the hand stands; and for a wide clearance the table of the lab, too."""
    site = tmp_path / "lab.yaml"
    site.write_text(BESIDE if clearance == "0.008" else LAB.read_text())
    assert check(site, "--clearance", clearance, "-o", str(tmp_path / "seen.png")) == 1
    said = capsys.readouterr().out
    assert f"closer than {1e3 * float(clearance):g} mm" in said
    assert ("crate" in said) is (clearance == "0.008")
