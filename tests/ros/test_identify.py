"""The excitation through three real processes, and the arm that its recording shows."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sim.pouring.domain_file import from_yaml
from sim.pouring.gen3 import GEN3, GEN3_LIMITS
from spillguard.cli import main as spillguard
from spillguard_ros.recording.motion import RecordedMotion, read_motion
from tests.ros.harness import PATIENCE, MakeStage, Stage

SECONDS = 14.0  # of the excitation: to the middle and ten seconds of sines
ATTEMPTS = 4


def excite(stage: Stage, *words: str) -> subprocess.Popen[str]:
    """The program, beside the stage's graph."""
    return subprocess.Popen(
        [sys.executable, "-m", "spillguard.cli", "excite", "--bundle", str(stage.bundle), *words],
        env=stage.graph.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def recording(make_stage: MakeStage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a flight in which `spillguard excite` drove. A busy machine may stop it; then it drives again."""
    path = tmp_path_factory.mktemp("excited") / "flight.mcap"
    with make_stage("sim_arm") as stage:
        stage.start("safety_monitor", record=path)
        refused = excite(stage, "--wait", "5")
        said, _ = refused.communicate(timeout=PATIENCE)
        assert refused.returncode == 1 and "others publish on policy/proposal (1)" in said
        stage.witness.give_up_proposing()
        for _ in range(ATTEMPTS):
            program = excite(stage, "--seconds", str(SECONDS))
            try:
                stage.until(
                    lambda: stage.witness.node.count_publishers("policy/proposal") > 0, PATIENCE, "it"
                )
                stage.drive()
                stage.until(lambda: program.poll() is not None, PATIENCE, "its end")  # noqa: B023
            finally:
                if program.poll() is None:
                    program.send_signal(signal.SIGINT)
                said, _ = program.communicate(timeout=PATIENCE)
            if program.returncode == 0:
                break
        assert program.returncode == 0, f"{said}\n{stage.logs()}"
        assert "empty" in said and "done" in said
        stage.witness.bring_to_rest()
    return path


@pytest.fixture(scope="module")
def motion(recording: Path) -> RecordedMotion:
    found, losses = read_motion([recording], GEN3)
    assert losses == []
    return found


def test_the_recording_holds_commands_states_and_torques(motion: RecordedMotion) -> None:
    assert len(motion.stamps) == len(motion.paths) > 100
    assert motion.q.shape == motion.qd.shape == (len(motion.times), 7)
    assert motion.effort is not None and abs(motion.effort[:, 1]).max() > 5.0  # [N m] the arm's own weight
    assert (motion.latencies > 0.0).all()
    assert (abs(motion.qd) <= 1.05 * GEN3_LIMITS.velocity).all()
    assert all((abs(path.velocities) <= GEN3_LIMITS.velocity).all() for path in motion.paths)


def test_the_arm_is_identified_from_it(recording: Path, tmp_path: Path, capsys) -> None:
    out, page = tmp_path / "arm.yaml", tmp_path / "report.html"
    assert spillguard(["identify", str(recording), "--out", str(out), "--report", str(page)]) == 0
    said = capsys.readouterr().out
    assert "stiffness of" in said and "not pinned" in said
    spread = from_yaml(out.read_text())
    low, high = spread.varied["lag"]
    assert high - low < 0.0175 and 0.005 < spread.base.lag < 0.06  # narrower than its range was
    assert page.stat().st_size > 10_000
    assert out.read_text().startswith("# Identified from flight.mcap")


def test_a_cut_recording_is_read_up_to_there(recording: Path, motion: RecordedMotion, tmp_path: Path) -> None:
    whole = recording.read_bytes()
    (tmp_path / "cut.mcap").write_bytes(whole[: len(whole) // 2])
    found, losses = read_motion([tmp_path / "cut.mcap"], GEN3)
    assert losses and 50 < len(found.times) < len(motion.times)


def test_the_recording_of_another_arm_is_refused(recording: Path) -> None:
    from dataclasses import replace

    other = replace(GEN3, joint_names=tuple(f"axis_{number}" for number in range(7)))
    with pytest.raises(ValueError, match="the commands are to the joints joint_1"):
        read_motion([recording], other)


def test_nobody_to_excite_is_told(capsys, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        spillguard(["excite", "--help"])
    assert "empty" in capsys.readouterr().out
    assert spillguard(["excite", "--seconds", "-1"]) != 0
