"""SQRL's filter is in front of every action: in training, in validation, and in what is loaded again."""

from pathlib import Path
from typing import Any

import pytest
import torch

from policy_training.loops.collect import Collector
from policy_training.loops.off_policy import train
from policy_training.loops.validation import Validator
from policy_training.networks.filtered import FilteredActor
from policy_training.runs.folder import create_run
from policy_training.runs.trained import load_policy
from tests.training.small_runs import small_off_policy as small


@pytest.mark.parametrize(("algo", "filtered"), [("sqrl", True), ("rcpo", False)])
def test_whoever_acts_is_filtered_if_the_algorithm_says_so(
    algo: str, filtered: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    acted: list[Any] = []
    shown: list[Any] = []
    send, start = Collector.send, Validator.start

    def sending(self: Collector, actor: Any) -> None:
        acted.append(actor)
        send(self, actor)

    def starting(self: Validator, step: int, actor: Any, networks: Any) -> None:
        shown.append(actor)
        start(self, step, actor, networks)

    monkeypatch.setattr(Collector, "send", sending)
    monkeypatch.setattr(Validator, "start", starting)
    config = small(algo)
    run = create_run(config, tmp_path)
    train(config, run)
    loaded = load_policy(run).policy.actor
    actors = [actor for actor in acted if actor is not None]
    assert actors and shown
    assert {isinstance(actor, FilteredActor) for actor in (*actors, *shown, loaded)} == {filtered}
    assert torch.isfinite(loaded.mode(torch.zeros(3, load_policy(run).spaces.obs_size))).all()
