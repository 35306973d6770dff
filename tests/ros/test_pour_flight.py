"""A stored flight recording must stay readable, and the gate must still decide the same."""

import shutil
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from spillguard.cli import main as spillguard
from spillguard_core.bundle.bundle import Bundle
from spillguard_core.gate import reasons
from spillguard_core.gate.decision import GUARDED, Mode, Request
from spillguard_core.gate.gate import decide
from spillguard_core.gate.reasons import Verdict
from spillguard_core.tasks.pouring.action import KEPT
from spillguard_core.tasks.pouring.zone import TILT_LIMIT
from spillguard_ros.recording import flight_plot
from spillguard_ros.recording.recording import Flight, alternatives, replay
from spillguard_ros.recording.review import SHIPPED, bundle_of, explained, found_cycle, opened
from tests.arithmetic import MADE_ON, fingerprint

ROOT = Path(__file__).parents[2]
RECORDING = ROOT / "tests/data/pour_flight.mcap"  # written by make_pour_flight.py beside it


@pytest.fixture(scope="module")
def flown() -> Flight:
    return opened(RECORDING)


@pytest.fixture(scope="module")
def bundle(flown: Flight) -> Bundle:
    return bundle_of(flown, ROOT / SHIPPED)


def rounds_as_recorded() -> bool:
    """Whether this processor's arithmetic equals that of the recording, so that bits can be compared."""
    with RECORDING.open("rb") as stream:
        made_on = {record.name: record.metadata for record in make_reader(stream).iter_metadata()}[MADE_ON]
    return made_on["arithmetic"] == fingerprint()


def test_kept_recording_is_whole_and_holds_every_mode(flown: Flight) -> None:
    decisions = [cycle.decision for cycle in flown.cycles]
    assert flown.losses == () and flown.absent == {"clock"}  # recorded before there were chunks of actions
    assert {made.mode for made in decisions} == set(GUARDED)
    assert {reasons.OK, TILT_LIMIT, reasons.TELEOP_SILENT} <= {made.reason for made in decisions}
    assert {asked for cycle in flown.cycles for asked in cycle.inputs.requests} == set(Request) - {
        Request.HOLD
    }
    assert any(made.suspension is not None for made in decisions)


def test_kept_recording_is_replayed_to_the_same_decisions(flown: Flight, bundle: Bundle) -> None:
    """Bit-exact if the processor rounds like the recording one; within rounding on any."""
    models = bundle.models(flown.config)
    if rounds_as_recorded():
        assert replay(flown, models) == []
        return
    asked = 0
    for before, cycle in pairwise(flown.cycles):
        wanted = cycle.decision
        if wanted.cycle == before.decision.cycle + 1:
            made, asked = decide(cycle.inputs, before.decision, flown.config, models), asked + 1
            assert (made.verdict, made.reason, made.mode) == (wanted.verdict, wanted.reason, wanted.mode)
            np.testing.assert_allclose(made.q, wanted.q, rtol=0.0, atol=1e-12)
            np.testing.assert_allclose(made.qd, wanted.qd, rtol=0.0, atol=1e-12)
    assert asked > 200


def test_one_changed_bit_of_a_kept_decision_is_told(flown: Flight, bundle: Bundle) -> None:
    cycles, index = list(flown.cycles), found_cycle(flown, None)
    made = cycles[index].decision
    cycles[index] = replace(cycles[index], decision=replace(made, qd=np.nextafter(made.qd, np.inf)))
    told = replay(replace(flown, cycles=tuple(cycles)), bundle.models(flown.config))
    assert made.cycle in told


def leant_too_far(flown: Flight) -> tuple[int, str]:
    """Index and time [s] of the first cycle with the task's own reason."""
    index = next(i for i, cycle in enumerate(flown.cycles) if cycle.decision.reason is TILT_LIMIT)
    return index, str(flown.elapsed[index])


def test_kept_recording_is_explained_at_its_first_override(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flown: Flight
) -> None:
    first = dict(explained(flown, found_cycle(flown, None)))
    assert first["verdict"].startswith("LIMIT: ")
    assert spillguard(["explain", str(RECORDING), "--out", str(tmp_path / "first.png")]) == 0
    assert first["verdict"].partition(" (")[0] in " ".join(capsys.readouterr().out.split())
    index, at = leant_too_far(flown)
    said = dict(explained(flown, index))
    assert said["verdict"].startswith("LIMIT: cup tilted too far beside the target (asked (")
    assert said["asked"] != said["sent"]
    assert spillguard(["explain", str(RECORDING), "--at", at, "--out", str(tmp_path / "moment.png")]) == 0
    assert "LIMIT: cup tilted too far" in " ".join(capsys.readouterr().out.split())
    assert (tmp_path / "moment.png").stat().st_size > 10_000


def test_what_the_critic_could_choose_from_is_shown_with_its_values(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flown: Flight, bundle: Bundle
) -> None:
    models = bundle.models(flown.config)
    passed = next(
        i for i, cycle in enumerate(flown.cycles)
        if cycle.decision.mode is Mode.FOLLOWING and cycle.decision.verdict is Verdict.PASS
    )  # fmt: skip
    asked, cycle = alternatives(flown, passed, models), flown.cycles[passed]
    assert cycle.inputs.proposal is not None
    assert len(asked) == len(KEPT)
    assert asked[0].action == pytest.approx(cycle.inputs.proposal.twist, abs=1e-6)
    assert asked[0].q_c == pytest.approx(cycle.decision.q_c, abs=1e-5)
    at = f"{flown.elapsed[passed]:.4f}"
    words = ["explain", str(RECORDING), "--at", at, "--out", str(tmp_path / "moment.png")]
    assert spillguard([*words, "--bundle", str(ROOT / SHIPPED)]) == 0
    said = capsys.readouterr().out
    assert "what the critic could choose from" in said and "accepted, taken" in " ".join(said.split())
    stopped = next(i for i, cycle in enumerate(flown.cycles) if cycle.decision.mode is Mode.STOPPED)
    assert alternatives(flown, stopped, models) == []
    limited = [i for i, cycle in enumerate(flown.cycles) if cycle.decision.verdict is Verdict.LIMIT]
    again = [alternatives(flown, i, models) for i in limited]
    assert limited and all(len(each) == len(KEPT) for each in again), "not what limits leave of a choice"


def test_kept_recording_is_drawn(tmp_path: Path, flown: Flight, bundle: Bundle) -> None:
    spans = [(float(flown.steady[0]), float(flown.steady[-1]))]
    picture = flight_plot.save_plot(flown, spans, bundle.task, bundle.tool(), tmp_path / "flight.png")
    assert picture.stat().st_size > 10_000
    shown = flight_plot.series(flown, bundle.task, bundle.tool())
    tilt, poured, _ = shown.curves.values()
    assert shown.time.shape == tilt.shape == (len(flown.cycles),)
    assert np.nanmax(tilt) > 57.0 and np.nanmax(poured) > 0.0  # [deg], [g]


def test_a_process_that_knows_no_task_yet_explains_in_the_words_of_the_recorded_one(
    tmp_path: Path, flown: Flight
) -> None:
    """The reasons of a task are defined by what only the recording names."""
    flight = shutil.copy(RECORDING, tmp_path)  # its picture is written beside it
    command = [
        sys.executable,
        "-m",
        "spillguard.cli",
        "explain",
        str(flight),
        "--at",
        leant_too_far(flown)[1],
    ]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert TILT_LIMIT.value in " ".join(ended.stdout.split())
    assert TILT_LIMIT.name.lower().replace("_", " ") not in ended.stdout
