"""A policy that has had its time ends the pour and falls silent, in the real graph."""

from collections.abc import Iterator

import pytest

from tests.ros.harness import LATE, PATIENCE, MakeStage, Stage


@pytest.fixture
def stage(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage() as stage:
        stage.start("sim_arm")
        stage.start("policy", patience=2.0)
        stage.start("safety_monitor")
        yield stage


def test_a_pour_that_takes_too_long_ends_upright_at_rest_and_says_why(stage: Stage) -> None:
    witness = stage.witness
    witness.open_gate()

    def silent() -> bool:
        if stage.status["mode"] == "stopped":
            assert stage.status["reason"] in LATE, (stage.status, stage.logs())
            witness.open_gate()  # a busy machine
        return stage.status["reason"] == "POLICY_SILENT"

    stage.until(silent, PATIENCE, "a silent policy")
    assert "gave up after 2 s" in stage.logs()
    stage.until(lambda: witness.outcome["upright"] == "true", PATIENCE, "an upright cup")
    assert (witness.outcome["contact"], witness.outcome["limit_broken"]) == ("false", "false")
    assert stage.status["mode"] == "held"
