"""A recorded cycle is bit-exact, and replay through the gate gives the same decision."""

import json
from dataclasses import replace

import numpy as np
import pytest

from spillguard_core.gate.decision import Mode, Proposal, Request, SuspensionRequest
from spillguard_core.tasks.pouring import TASK as POURING
from spillguard_ros.recording import flight, flight_plot
from spillguard_ros.recording.recording import Flight, overrides, replay
from spillguard_ros.recording.review import explained

FORWARD = np.array([0.0, 0.0, 0.1, 0.0])
BACKWARD = np.array([-0.1, 0.0, 0.0, 0.2])
NEW_IN_INPUTS, NEW_IN_DECISION = ("teleop", "suspend", "driver_fault"), ("suspension",)
NEW_IN_CONFIG = ("teleop_timeout", "max_suspension", "critic_release")


def flown(rig, script):
    """Cycles of a flight as read from a file: `script` gives twist, requests and other inputs."""
    data = []
    for twist, requests, other in script:
        spoken = other.pop("says", None)
        if spoken is not None:
            other["teleop"] = Proposal(spoken, rig.now + rig.config.period, float("nan"))
        decision = rig.tick(twist, *requests, **other)
        data.append(flight.encode(flight.CycleRecord(rig.last_inputs, decision, 0.001, 0.01)))
    return data


def recording(rig, data):
    cycles = tuple(flight.decode(entry) for entry in data)
    return Flight(np.arange(len(cycles)) * 0.01, cycles, {"config": flight.encode_config(rig.config)})


@pytest.fixture
def data(rig):
    """Policy, then a teleoperator who falls silent, then the policy with the critic suspended twice."""
    rig.models = replace(
        rig.models, critic=lambda obs, action: np.where(action[:, 2] > 0.3, 0.9, 0.1).astype(np.float32)
    )
    wish = SuspensionRequest("the cup is empty", 0.1)
    script = [(FORWARD, (Request.RESET, Request.RESUME), {})]
    script += [(FORWARD, (), {}) for _ in range(9)]
    script += [(FORWARD, (), {"says": BACKWARD}) for _ in range(10)]
    script += [(FORWARD, (), {"teleop": Proposal(BACKWARD, 100.2, float("nan"))}) for _ in range(30)]
    script += [(FORWARD, (Request.RESUME,), {"suspend": wish})]
    script += [(FORWARD, (), {}) for _ in range(20)]
    script += [(FORWARD, (), {"suspend": wish}), (FORWARD, (Request.RESTORE_CRITIC,), {})]
    return flown(rig, script)


def test_flight_with_teleoperator_and_suspension_is_replayed_bit_for_bit(rig, data):
    recorded = recording(rig, data)
    assert {cycle.decision.mode for cycle in recorded.cycles} >= {Mode.TELEOP, Mode.HELD, Mode.FOLLOWING}
    assert sum(cycle.decision.suspension is not None for cycle in recorded.cycles) == pytest.approx(11, abs=1)
    assert replay(recorded, rig.models) == []


def test_replay_notices_a_suspension_that_was_not_granted(rig, data):
    recorded = recording(rig, data)
    without = [replace(c, inputs=replace(c.inputs, suspend=None)) for c in recorded.cycles]
    assert replay(replace(recorded, cycles=tuple(without)), rig.models)


@pytest.mark.parametrize("entry", ["teleop", "suspend", "requests", "proposal"])
def test_what_was_asked_is_read_as_it_was_written(rig, data, entry):
    for encoded in data:
        cycle = flight.decode(encoded)
        assert flight.encode(cycle) == encoded
        assert getattr(cycle.inputs, entry) is not None or json.loads(encoded)["inputs"][entry] is None


def test_silence_of_a_teleoperator_is_no_override(rig, data):
    assert set(overrides(recording(rig, data))) == {"CRITIC"}


def test_recording_made_before_teleoperation_and_suspension_is_read_and_replayed(rig):
    script = [(FORWARD, (Request.RESET, Request.RESUME), {}), *((FORWARD, (), {}) for _ in range(20))]
    script += [(FORWARD, (Request.HOLD,), {}), *((FORWARD, (), {}) for _ in range(20))]
    old = []
    for encoded in flown(rig, script):
        raw = json.loads(encoded)
        for name in NEW_IN_INPUTS:
            del raw["inputs"][name]
        for name in NEW_IN_DECISION:
            del raw["decision"][name]
        old.append(json.dumps(raw).encode())
    config = json.loads(flight.encode_config(rig.config))
    for name in NEW_IN_CONFIG:
        del config[name]
    recorded = replace(recording(rig, old), metadata={"config": json.dumps(config)})
    assert len(recorded.cycles) == 42
    assert replay(recorded, rig.models) == []


def test_margins_that_an_older_version_did_not_record_are_not_compared(rig, data):
    """A gate with one more margin still decides the same; any other difference is detected."""
    old = []
    for encoded in data:
        raw = json.loads(encoded)
        del raw["decision"]["margins"]["tilt"], raw["decision"]["margins"]["tracking"]
        old.append(json.dumps(raw).encode())
    absent = flight.absent(old[0])
    assert absent == {"margins.tilt", "margins.tracking"} and flight.absent(data[0]) == frozenset()
    recorded = replace(recording(rig, old), absent=absent)
    assert replay(recorded, rig.models) == []
    forged = [replace(c, decision=replace(c.decision, q=c.decision.q + 1e-12)) for c in recorded.cycles]
    assert replay(replace(recorded, cycles=tuple(forged)), rig.models)


def test_fields_that_a_newer_version_added_are_left_out(data):
    raw = json.loads(data[0])
    raw["inputs"]["more"] = {"a": [1, 2]}
    assert flight.encode(flight.decode(json.dumps(raw).encode())) == data[0]


def test_recorded_configuration_that_cannot_be_read_is_refused_in_words(rig):
    whole = json.loads(flight.encode_config(rig.config))
    lacking = {name: value for name, value in whole.items() if name != "clearance"}
    for text in (json.dumps(lacking), "{}", "[]", "7", "{", json.dumps({**whole, "limits": 3}), ""):
        with pytest.raises(ValueError, match=r"clearance|damaged|Expecting"):
            flight.decode_config(text)
    assert flight.encode_config(flight.decode_config(json.dumps(whole))) == json.dumps(whole)


def test_every_margin_of_a_decision_is_known_with_its_unit(rig):
    rig.follow()
    units = rig.models.margin_units
    assert list(units) == list(rig.decision.margins)
    assert units["tilt"] == "rad" and units["clearance"] == "m" and units["critic"] == ""
    assert [field.name for field in flight.margin_fields(units) if field.is_age] == [
        "state_age",
        "command_age",
    ]


@pytest.fixture
def drawn(monkeypatch):
    """Keeps the figures of the plots instead of closing them."""
    figures = []
    monkeypatch.setattr(flight_plot.plt, "close", figures.append)
    yield figures
    monkeypatch.undo()
    flight_plot.plt.close("all")


def manifest(rig, data):
    recorded = recording(rig, data)
    return replace(recorded, metadata={**recorded.metadata, "manifest": '{"threshold": {"value": 0.14}}'})


def legends(figure):
    return {text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().texts}


def test_explain_and_both_plots_show_every_margin(rig, data, drawn, tmp_path):
    recorded, names = manifest(rig, data), {name.replace("_", " ") for name in rig.models.margin_units}
    said = dict(explained(recorded, 3))
    assert names <= {name.removeprefix("margin: ") for name in said}
    assert said["margin: tilt"] == f"{recorded.cycles[3].decision.margins['tilt']:.4f} rad"
    flight_plot.save_moment(recorded, 3, 1.0, tmp_path / "moment.png")
    flight_plot.save_plot(
        recorded, [(rig.now - 0.2, rig.now)], POURING, rig.models.tool, tmp_path / "flight.png"
    )
    for figure in drawn:
        assert names <= legends(figure)


@pytest.mark.parametrize("detail", ["", "a joint would come to rest beyond $its_limit$ by 0.0123 rad, " * 6])
def test_no_label_of_a_plot_is_clipped(rig, data, drawn, tmp_path, detail):
    recorded = manifest(rig, data)
    cycles = list(recorded.cycles)
    cycles[3] = replace(cycles[3], decision=replace(cycles[3].decision, detail=detail))
    flight_plot.save_moment(replace(recorded, cycles=tuple(cycles)), 3, 1.0, tmp_path / "moment.png")
    flight_plot.save_plot(recorded, [], POURING, rig.models.tool, tmp_path / "flight.png")
    for figure in drawn:
        figure.canvas.draw()
        used = figure.get_tightbbox()  # [inch] of everything drawn, title and legends included
        assert used.x0 >= 0.0 and used.y0 >= 0.0
        assert used.x1 <= figure.get_figwidth() and used.y1 <= figure.get_figheight()


def test_what_was_wrong_with_a_message_is_recorded_and_explained(rig):
    data = flown(rig, [(np.full(4, np.nan), (Request.RESET, Request.RESUME), {})])
    (seen,) = [flight.decode(entry) for entry in data]
    said = "policy/proposal: got frame 'tool'; needed is 'base_link'"
    told = recording(rig, [flight.encode(replace(seen, told=said))])
    assert f"({said})" in dict(explained(told, 0))["verdict"]
    # An older recording has only the gate's details.
    old = {name: value for name, value in json.loads(data[0]).items() if name != "told"}
    assert flight.decode(json.dumps(old).encode()).detail == seen.decision.detail
