"""A policy that has had its time ends the pour and falls silent, in the real graph."""

from collections.abc import Iterator

import pytest

from tests.ros.harness import PATIENCE, MakeStage, Stage


@pytest.fixture
def stage(make_stage: MakeStage) -> Iterator[Stage]:
    with make_stage() as stage:
        stage.start("sim_arm")
        stage.start("policy", patience=2.0)
        stage.start("safety_monitor")
        yield stage


def test_a_pour_that_takes_too_long_ends_upright_at_rest_and_says_why(stage: Stage) -> None:
    """A halt by a busy machine is undone."""
    witness = stage.witness
    witness.open_gate()

    def upright() -> bool:
        if stage.halted_for_being_late():
            witness.open_gate()
        return "gave up after 2 s" in stage.logs() and witness.outcome.get("upright") == "true"

    def silent() -> bool:
        if stage.status["mode"] == "stopped" and stage.halted_for_being_late():
            witness.open_gate()
        return stage.status["reason"] == "POLICY_SILENT"

    stage.until(upright, PATIENCE, "an upright cup")
    stage.until(silent, PATIENCE, "a silent policy")
    assert stage.status["mode"] == "held"
    stage.rest()
    outcome = witness.outcome_now(PATIENCE)
    assert (outcome["contact"], outcome["limit_broken"]) == ("false", "false")
