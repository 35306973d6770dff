"""What `spillguard wrap` makes of hostile or mistaken files: one line, nothing half-written, nothing of
anybody's deleted."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import yaml

from policy_training.deployment.bundle_folder import replace_folder
from policy_training.deployment.wrap.command import main
from policy_training.files import write_new
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import load_robot
from tests.training.deployment.wrap.graphs import linear

HUGE = 10**400


def contract(**changed: Any) -> dict[str, Any]:
    """Of a policy of six joints."""
    return {
        "robot": "ur5e", "task": "joint_positions", "policy_rate": 20, "observation": ["joint_position"],
        "action": {"kind": "position"}, **changed,
    }  # fmt: skip


class Place:
    """A folder with a policy and its contract."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.out, self._capsys = folder, folder / "bundle", capsys
        self.model = folder / "policy.onnx"
        self.model.write_bytes(linear(np.zeros((6, 6))).SerializeToString())

    def wrap(self, raw: dict[str, Any], *words: str) -> tuple[int, str]:
        """Status and what was said of an error."""
        path = self.folder / "contract.yaml"
        path.write_text(yaml.safe_dump(raw))
        status = main([str(self.model), "--contract", str(path), "-o", str(self.out), *words])
        return status, self._capsys.readouterr().err

    def refused(self, raw: dict[str, Any], *words: str) -> str:
        """The one line of an error that left everything as it was."""
        (self.folder / "contract.yaml").touch()
        before = {path: path.lstat().st_mode for path in self.folder.rglob("*")}
        status, said = self.wrap(raw, *words)
        assert status == 1 and said.count("\n") == 1 and "Traceback" not in said
        assert {path: path.lstat().st_mode for path in self.folder.rglob("*")} == before
        return said


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Place:
    return Place(tmp_path, capsys)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"policy_rate": HUGE}, "policy_rate has to be a number above 0, at most 1e+15"),
        ({"policy_rate": float("inf")}, "policy_rate has to be"),
        ({"trained_latency": float("inf")}, "trained_latency has to be"),
        ({"trained_latency": float("nan")}, "trained_latency has to be"),
        ({"action": {"kind": "position", "scale": HUGE}}, "scale of action has to be a finite number"),
        ({"action": {"kind": "position", "offset": 1e300}}, "offset of action has to be a finite number"),
        ({"action": {"kind": "position", "clip": HUGE}}, "clip of action has to be"),
        ({"action": {"kind": "position", "chunk": {"actions": 4, "period": HUGE}}}, "chunk.period has to be"),
        ({"observation": [{"term": "joint_position", "scale": 1e-320}]}, "cannot be 0 or below 1e-15"),
        ({"observation": [{"term": "joint_position", "shift": -HUGE}]}, "shift of joint_position"),
    ],
)
def test_a_number_that_no_graph_can_hold_is_refused_by_name(
    place: Place, changed: dict[str, Any], words: str
) -> None:
    assert words in place.refused(contract(**changed))


def test_no_clip_may_be_said(place: Place) -> None:
    endless = float("inf")
    raw = contract(clip_observation=endless, action={"kind": "position", "clip": endless})
    assert place.wrap(raw)[0] == 0


@pytest.mark.timeout(60)
def test_a_pipe_in_place_of_a_file_is_refused_at_once(place: Place) -> None:
    os.mkfifo(place.folder / "pipe")
    assert "is no regular file" in place.refused(contract(world="pipe"))
    for name in ("pipe", "pipe.zip"):
        place.model = place.folder / name
        if name != "pipe":
            os.mkfifo(place.model)
        said = place.refused(contract())
        assert "is no regular file" in said or "not a zip archive" in said


def test_a_world_without_an_end_is_refused(place: Place) -> None:
    with (place.folder / "world.xml").open("wb") as file:
        file.truncate(1 << 40)
    assert "larger than the 1048576 bytes" in place.refused(contract(world="world.xml"))


def test_a_world_of_another_arm_is_named_with_what_is_lacking(place: Place) -> None:
    other = load_robot("fr3").folder / "model.xml"
    said = place.refused(contract(world=str(other)))
    assert f"world {other}: " in said and "needs the joints shoulder_pan_joint" in said
    assert str(place.out) in said and ".bundle." not in said  # nobody can look into a folder that is gone


def test_an_empty_graph_is_none(place: Place) -> None:
    place.model.write_bytes(b"")
    assert "it is empty, or no ONNX graph" in place.refused(contract())


def named(out: Path) -> None:
    """A folder in place of a file."""
    (out / "policy.onnx").mkdir(parents=True)
    (out / "policy.onnx" / "mine").write_text("precious")
    (out / "manifest.json").write_text("{}")


def graph_alone(out: Path) -> None:
    """As somebody keeps an own policy."""
    out.mkdir()
    (out / "policy.onnx").write_bytes(b"precious")


def link(out: Path) -> None:
    """To somebody's folder."""
    (out.parent / "elsewhere").mkdir()
    out.symlink_to("elsewhere")


def dangling(out: Path) -> None:
    """To nothing."""
    out.symlink_to("nowhere")


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (named, "holds more than a bundle (policy.onnx)"),
        (graph_alone, "holds policy.onnx and no manifest.json"),
        (link, "is a symbolic link"), (dangling, "is a symbolic link"),
    ],
)  # fmt: skip
def test_what_is_no_bundle_is_not_replaced(place: Place, made: Callable[[Path], None], words: str) -> None:
    made(place.out)
    assert words in place.refused(contract(), "--overwrite")


def test_a_bundle_and_an_empty_folder_are_replaced(place: Place) -> None:
    place.out.mkdir()
    for _ in range(2):
        assert place.wrap(contract(), "--overwrite")[0] == 0
        load_bundle(place.out)
    assert sorted(path.name for path in place.folder.iterdir()) == ["bundle", "contract.yaml", "policy.onnx"]


def test_an_exchange_that_fails_half_way_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part, out = tmp_path / "part", tmp_path / "bundle"
    for folder, text in ((part, "new"), (out, "old")):
        folder.mkdir()
        (folder / "policy.onnx").write_text(text)
    real = Path.rename

    def failing(self: Path, target: Path) -> Path:
        if self == part:
            raise OSError("the disk is gone")
        return real(self, target)

    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="the disk is gone"):
        replace_folder(part, out)
    assert (out / "policy.onnx").read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "part"]


def test_a_draft_has_no_lines_of_the_graphs_own(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    model = linear(np.zeros((6, 6)))
    said = {
        "joint_names": ",".join(load_robot("ur5e").joint_names), "default_joint_pos": "0",
        "action_scale": "1", "observation_names": "joint_pos,other\nworld: /elsewhere",
    }  # fmt: skip
    onnx.helper.set_model_props(model, said)
    place.model.write_bytes(model.SerializeToString())
    out = place.folder / "draft.yaml"
    assert main([str(place.model), "--draft", "--robot", "ur5e", "--contract", str(out)]) == 0
    assert not any(line.startswith("world") for line in out.read_text().splitlines())
    for rate in ("0", "-1", "nan", "inf"):
        words = ["--draft", "--robot", "ur5e", "--rate", rate, "--contract", str(place.folder / "none.yaml")]
        assert main([str(place.model), *words]) == 1
        assert "--rate has to be above 0 Hz, got" in capsys.readouterr().err
    place.model.write_bytes(b"\x08\xff" * 50)
    again = place.folder / "again.yaml"
    assert main([str(place.model), "--draft", "--robot", "ur5e", "--contract", str(again)]) == 1
    assert "is no readable ONNX graph" in capsys.readouterr().err and not again.exists()


def test_a_new_file_is_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "draft.yaml"
    with pytest.raises(UnicodeEncodeError):
        write_new(path, "robot: \udcff")
    assert not path.exists()
    write_new(path, "robot: ü\n")
    assert path.read_text(encoding="utf-8") == "robot: ü\n"
    with pytest.raises(FileExistsError):
        write_new(path, "other")
    assert path.read_text(encoding="utf-8") == "robot: ü\n"
