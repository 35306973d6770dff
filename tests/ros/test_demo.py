"""The demo as a user starts it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from spillguard_sim.demo import PAGE_PORT
from tests.ros.harness import PATIENCE

ROOT = Path(__file__).parents[2]


SCRIPTED = ("--policy-module", "tests.ros.scripted_policy")


def demo(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the demo."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", "spillguard_sim.demo", "--out", str(out), *arguments]
    environment = {**os.environ, "PYTHONPATH": path, "COLUMNS": "120"}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=3 * PATIENCE, check=False
    )


def test_demo_pours_prints_and_leaves_recording_plot_and_picture(tmp_path: Path) -> None:
    """Whether the shipped policy pours, and how soon: `tests/simulated`. This machine may be busy."""
    bundle = ROOT / "artifacts" / "pour_coffee"
    ended = demo(tmp_path, "--bundle", str(bundle), "--cups", "2", "--required", "0.0")
    assert re.search(r"^success \d of 2, \d+ granules spilled", ended.stdout, re.MULTILINE), ended
    assert ("did not hold" in ended.stdout) == (ended.returncode == 1), ended
    (folder,) = tmp_path.iterdir()
    for name in ("flight.mcap", "flight.png"):
        assert (folder / name).stat().st_size > 10_000
    assert "gate p50" in ended.stdout
    pictured = (folder / "pour.png").exists() or "rendering needs an OpenGL library" in ended.stdout
    assert pictured


def test_demo_goes_on_without_its_page(orbit_bundle: Path, tmp_path: Path) -> None:
    with socket.socket() as other:  # so that the page cannot listen, and ends
        with suppress(OSError):  # the port is already taken, which serves as well
            other.bind(("127.0.0.1", PAGE_PORT))
            other.listen()
        ended = demo(tmp_path, "--bundle", str(orbit_bundle), *SCRIPTED, "--cups", "1", "--page")
    assert "success" in ended.stdout, ended.stdout + ended.stderr
    (told,) = [line for line in ended.stdout.splitlines() if "operator page" in line]
    assert told.startswith("no operator page: ") and f"port {PAGE_PORT}" in told
    assert "token" not in ended.stdout


def test_demo_tells_the_address_once_it_answers_and_keeps_the_page_until_ctrl_c(
    orbit_bundle: Path, tmp_path: Path
) -> None:
    command = [
        sys.executable,
        "-u",
        "-m",
        "spillguard_sim.demo",
        "--out",
        str(tmp_path),
        "--page",
        "--cups",
        "1",
    ]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    with subprocess.Popen(
        [*command, "--bundle", str(orbit_bundle), *SCRIPTED], env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE, text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as running:  # fmt: skip
        try:
            assert running.stdout is not None
            for line in running.stdout:
                if "operator page  http" in line:
                    socket.create_connection(("127.0.0.1", PAGE_PORT), timeout=10.0).close()  # at once
                    continue
                if "stays open until Ctrl-C" in line:
                    break
            else:
                pytest.fail("the demo ended with its last cup")
            socket.create_connection(("127.0.0.1", PAGE_PORT), timeout=10.0).close()
            running.send_signal(signal.SIGINT)
            rest = running.stdout.read()
        finally:
            running.kill()
    assert "success" in rest
    logs = "".join(file.read_text() for file in tmp_path.glob("*/logs/*.log"))
    assert "token          the one that was given" in logs  # and not the token itself


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
