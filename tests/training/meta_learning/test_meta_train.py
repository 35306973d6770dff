"""`spillguard meta-train`: resumes bit-equal, stops where a unit diverges, and says what is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from policy_training.checkpoint import load
from policy_training.meta_learning.meta_gradient import Truncated
from policy_training.meta_learning.meta_train import create_meta_run, main
from policy_training.meta_learning.meta_trainer import MetaTrainer, meta_train
from policy_training.meta_learning.units import Agents
from policy_training.optimizers.learned import load_optimizer
from policy_training.optimizers.registry import LEARNED
from tests.training.small_runs import SMALL_META as SMALL
from tests.training.small_runs import equal


def _agents(trainer: MetaTrainer, task: int) -> Agents:
    herd = trainer.herds[task]
    assert isinstance(herd, Truncated)
    return herd.agents


@pytest.mark.parametrize(
    ("rule", "estimator"), [*((rule, "truncated") for rule in LEARNED), ("optim4rl", "persistent")]
)
def test_a_resumed_run_ends_bit_equal_to_an_uninterrupted_one(
    rule: str, estimator: str, tmp_path: Path
) -> None:
    config = replace(SMALL, rule=rule, estimator=estimator)
    whole, halves = create_meta_run(config, tmp_path), create_meta_run(config, tmp_path)
    assert meta_train(config, whole)
    assert not meta_train(config, halves, until=3)
    assert main(["--resume", str(halves)]) == 0
    states = [load(run / "checkpoint.pt") for run in (whole, halves)]
    for state in states:
        state.pop("seconds"), state.pop("cpu_seconds")
    equal(*states)
    learned = load_optimizer(whole / "optimizer.pt")
    assert learned.provenance["iteration"] == 6 and torch.equal(learned.phi, states[0]["phi"])


def test_without_a_pipeline_no_unit_begins_anew(tmp_path: Path) -> None:
    for pipeline, ages in ((True, [6, 4, 2]), (False, [12, 12, 12])):
        config = replace(SMALL, pipeline=pipeline)
        trainer = MetaTrainer(config, create_meta_run(config, tmp_path))
        for _ in range(6):
            trainer.iterate()
        assert _agents(trainer, 0).age.tolist() == ages  # slots 0, 1, 2 came last in iterations 3, 4, 5


def test_a_unit_that_diverges_stops_the_run_which_keeps_the_last_good_optimizer(tmp_path: Path) -> None:
    trainer = MetaTrainer(SMALL, create_meta_run(SMALL, tmp_path))
    trainer.iterate()
    good = trainer.phi.detach().clone()
    trainer.iterate()
    trainer.save()
    checkpoint = load(trainer.run / "checkpoint.pt")
    _agents(trainer, 1).theta[1, 5] = torch.nan
    with pytest.raises(
        FloatingPointError, match="meta-iteration 2: task small_dense_long, unit 1, update 3 of"
    ):
        trainer.iterate()
    # what iteration 1 ran with, and finished
    assert torch.equal(load_optimizer(trainer.run / "optimizer.pt").phi, good)
    equal(load(trainer.run / "checkpoint.pt"), checkpoint)


def test_games_of_another_version_are_refused_by_name(tmp_path: Path) -> None:
    agents = _agents(MetaTrainer(SMALL, tmp_path), 0)
    state = agents.state_dict()
    state["game"]["agent"] = state["game"].pop("cells")
    with pytest.raises(ValueError, match="hold present, time, agent, not cells"):
        agents.load_state_dict(state)


def test_a_meta_rate_that_is_too_high_ends_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "--units",
        "2",
        "--iterations",
        "40",
        "--rollout",
        "5",
        "--meta-lr",
        "1e4",
        "--clip",
        "none",
        "--no-progress",
        "--runs",
    ]
    assert main([*words, str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert "meta-iteration" in said and "unit" in said and "--meta-lr" in said
    (kept,) = tmp_path.rglob("optimizer.pt")
    assert torch.isfinite(load_optimizer(kept).phi).all()


@pytest.mark.parametrize(
    ("words", "what"),
    [(["--tasks", "nowhere"], "nowhere"), (["--tasks", "catch,catch"], "each once"),
     (["--units", "0"], "units is 0"), (["--rule", "adam"], "optim4rl"), (["--meta-lr", "nan"], "nan"),
     (["--std", "0"], "std is 0"), (["--unit-games", "0"], "unit_games is 0")],
)  # fmt: skip
def test_bad_settings_are_refused(
    words: list[str], what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--runs", str(tmp_path)]) == 2
    assert what in capsys.readouterr().err
    assert not any(tmp_path.iterdir())


def test_one_task_alone_uses_its_own_rate(tmp_path: Path) -> None:
    alone, both = (replace(SMALL, tasks=t) for t in ("small_dense_long", "small_dense_long,catch"))
    rates = [_agents(MetaTrainer(c, tmp_path), 0) for c in (alone, both)]
    assert [(float(a.alpha[0]), a.scale) for a in rates] == [
        (pytest.approx(3e-2), 1.0), (pytest.approx(1e-3), 1e3)
    ]  # fmt: skip
