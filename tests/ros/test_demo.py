"""The demo as a user starts it."""

import os
import shutil
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from spillguard_ros.demo import PAGE_PORT

ROOT = Path(__file__).parents[2]


SCRIPTED = ("--policy-module", "tests.ros.scripted_policy")


def demo(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "spillguard_ros.demo", "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "120"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_demo_pours_prints_and_leaves_recording_plot_and_picture(orbit_bundle: Path, tmp_path: Path) -> None:
    ended = demo(tmp_path, "--bundle", str(orbit_bundle), *SCRIPTED, "--cups", "2")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "success 2 of 2, 0 granules spilled" in ended.stdout
    (folder,) = tmp_path.iterdir()
    for name in ("flight.mcap", "flight.png"):
        assert (folder / name).stat().st_size > 10_000
    assert "gate p50" in ended.stdout
    pictured = (folder / "pour.png").exists() or "rendering needs an OpenGL library" in ended.stdout
    assert pictured


def test_shipped_bundle_pours(tmp_path: Path) -> None:
    bundle = ROOT / "artifacts" / "pour_coffee"
    ended = demo(tmp_path, "--bundle", str(bundle), "--cups", "4", "--required", "0.75")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_demo_goes_on_without_its_page(orbit_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as other:  # so that the page cannot listen, and ends
        with suppress(OSError):  # somebody else is there already, which is as good
            other.bind(("127.0.0.1", PAGE_PORT))
            other.listen()
        ended = demo(tmp_path, "--bundle", str(orbit_bundle), *SCRIPTED, "--cups", "1", "--page")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (token,) = [line.split()[1] for line in ended.stdout.splitlines() if line.startswith("token ")]
    logs = "".join(file.read_text() for file in tmp_path.glob("*/logs/*.log"))
    assert f"cannot listen on 127.0.0.1 port {PAGE_PORT}" in logs
    assert token not in logs


def test_demo_fails_where_pours_fail(orbit_bundle: Path, tmp_path: Path) -> None:
    ended = demo(tmp_path, "--bundle", str(orbit_bundle), *SCRIPTED, "--cups", "1", "--time-limit", "1.0")
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "did not hold: 0% poured" in ended.stdout


def test_demo_without_a_bundle_says_what_to_do(tmp_path: Path) -> None:
    ended = demo(tmp_path, "--bundle", str(tmp_path / "nowhere"))
    assert ended.returncode == 2
    assert "spillguard export" in ended.stdout


@pytest.mark.parametrize("what", ["policy.onnx", "manifest.json"])
def test_demo_with_a_broken_bundle_names_the_fault(orbit_bundle: Path, tmp_path: Path, what: str) -> None:
    bundle = Path(shutil.copytree(orbit_bundle, tmp_path / "bundle"))
    (bundle / what).write_text("broken")
    ended = demo(tmp_path / "out", "--bundle", str(bundle), "--cups", "1")
    assert ended.returncode == 1
    assert what in ended.stdout
