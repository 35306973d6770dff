"""A rule defined only in this file acts, and is recorded, replayed, explained and plotted like others."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.decision import Mode
from spillguard_core.gate.reasons import Reason, Verdict
from spillguard_core.gate.rule import Parts, Rule, Setting, Way
from spillguard_ros.monitor.parameters import settings_parameters
from spillguard_ros.monitor.status import decision_status
from spillguard_ros.node.convert import status_values
from spillguard_ros.operator import page_html
from spillguard_ros.operator.page_feed import Feed
from spillguard_ros.recording import flight, flight_plot
from spillguard_ros.recording.recording import Flight, overrides, replay
from spillguard_ros.recording.review import explained
from tests.core.conftest import Rig

SHIPPED = Path(__file__).parents[3] / "artifacts/pour_coffee"
LOW = 0.20  # [m] above the table, below which the tool must be slow
SPEED = Setting("table_speed", "[m/s] of the tool near the table", 0.01, 1.0, stricter=-1)
TABLE_SPEED = Reason("TABLE_SPEED", "tool too fast near the table", Verdict.LIMIT)
DOWN, UP = np.array([0.0, 0.0, -0.25, 0.0]), np.array([0.0, 0.0, 0.25, 0.0])


def left(way: Way) -> Parts:
    """Speed margin [m/s] of the tool, if its path leads below `LOW`."""
    if min(pose.position[2] for pose in way.poses) >= LOW:
        return Parts(np.array([np.inf]))
    state = way.around.tool.state(way.motion.q, way.motion.qd)
    return Parts(np.array([way.around.config.settings[SPEED.name] - np.linalg.norm(state.velocity)]))


RULE = Rule("table_speed", "m/s", TABLE_SPEED, left, setting=SPEED)


@pytest.fixture
def near_table(rig: Rig) -> Rig:
    """A rig whose gate has the rule, moved down to where it acts."""
    rig.models = replace(rig.models, more_rules=(RULE,))
    rig.config = replace(rig.config, settings={**rig.config.settings, SPEED.name: 0.05})
    rig.follow(60, UP)
    return rig


def lip(rig: Rig) -> tuple[float, float]:
    """Height [m] and speed [m/s]."""
    state = rig.models.tool.state(rig.q, rig.qd)
    return float(state.position[2]), float(np.linalg.norm(state.velocity))


def test_it_acts_where_it_is_made_for_and_nowhere_else(near_table: Rig) -> None:
    assert near_table.decision.verdict is Verdict.PASS
    fast, slow = [], []
    for _ in range(200):
        decision = near_table.tick(DOWN)
        height, speed = lip(near_table)
        (fast if height > LOW + 0.05 else slow).append(speed)
        assert height >= LOW or speed <= 0.05 + 1e-6
    assert max(fast) > 0.2 and 0.03 < slow[-1] <= 0.05 + 1e-6
    assert (decision.reason, decision.verdict, decision.mode) == (TABLE_SPEED, Verdict.LIMIT, Mode.FOLLOWING)
    assert decision.margins["table_speed"] >= 0.0


def test_without_it_the_tool_is_as_fast_there_as_elsewhere(rig: Rig) -> None:
    rig.follow(60, UP)
    speeds = []
    for _ in range(200):
        rig.tick(DOWN)
        height, speed = lip(rig)
        if height < LOW:
            speeds.append(speed)
    assert max(speeds) > 0.15


def test_it_is_recorded_replayed_explained_and_drawn(near_table: Rig, tmp_path, monkeypatch) -> None:
    rig, cycles = near_table, []
    for _ in range(120):
        decision = rig.tick(DOWN)
        assert rig.last_inputs is not None
        cycles.append(flight.CycleRecord(rig.last_inputs, decision, 0.001, 0.01))
    said = flight.metadata(load_bundle(SHIPPED), rig.config, rig.models)
    read = tuple(flight.decode(flight.encode(cycle)) for cycle in cycles)
    recorded = Flight(0.01 * np.arange(len(read)), read, said)

    assert read[-1].decision.reason is TABLE_SPEED
    assert overrides(recorded)["TABLE_SPEED"] > 20
    assert replay(recorded, rig.models) == []
    without = replace(rig.models, more_rules=())
    assert replay(recorded, without)  # this rule made the difference

    words = dict(explained(recorded, len(read) - 1))
    assert words["margin: table speed"].endswith(" m/s")
    assert "tool too fast near the table" in words["verdict"]
    margins = json.loads(flight.schema(said))["properties"]["decision"]["properties"]["margins"]
    assert margins["properties"]["table_speed"] == {"type": "number", "description": "[m/s]"}

    figures: list = []
    monkeypatch.setattr(flight_plot.plt, "close", figures.append)
    flight_plot.save_moment(recorded, 60, 1.0, tmp_path / "moment.png")
    flight_plot.save_plot(recorded, [], rig.models.task, rig.models.tool, tmp_path / "flight.png")
    monkeypatch.undo()
    for figure in figures:
        shown = {
            text.get_text() for axes in figure.axes if axes.get_legend() for text in axes.get_legend().texts
        }
        assert "table speed" in shown
    flight_plot.plt.close("all")


def test_it_is_told_in_the_status_and_on_the_page_and_has_its_line_of_parameters(near_table: Rig) -> None:
    decision = near_table.run(100, DOWN)
    status = decision_status(decision, near_table.models.margin_units, {})
    assert status.message == "LIMIT: tool too fast near the table"
    assert float(status_values(status)["margin_table_speed [m/s]"]) >= 0.0
    feed = Feed(started=0.0)
    feed.status(status_values(status), status.message, 5.0, 0.0)
    assert "margin table speed" in page_html.figures(feed, [], 5.1)
    assert list(settings_parameters(near_table.models.rules).__dataclass_fields__) == [
        "free_tilt",
        "table_speed",
    ]
