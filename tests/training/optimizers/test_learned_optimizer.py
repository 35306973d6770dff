"""A learned optimizer as a file and as an optimizer of torch: what it refuses, and training with it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from policy_training.algorithms import OFF_POLICY
from policy_training.algorithms.ppo_lag import PpoLagConfig
from policy_training.checkpoint import load, save
from policy_training.loops.off_policy import train
from policy_training.loops.on_policy import train_on_policy
from policy_training.optimizers.flat import check_optimizer
from policy_training.optimizers.learned import (
    Learned,
    LearnedOptimizer,
    load_optimizer,
    parse_optimizer,
    save_optimizer,
)
from policy_training.optimizers.registry import LEARNED, RULES
from policy_training.runs.folder import create_run
from tests.training.small_runs import equal
from tests.training.small_runs import small_off_policy as off_policy
from tests.training.small_runs import small_on_policy as small


def learned(seed: int = 0, rule: str = "optim4rl") -> Learned:
    phi = LEARNED[rule].initial(torch.Generator().manual_seed(seed))
    return Learned(rule, phi, provenance={"commit": "0123", "iteration": 7})


@pytest.mark.parametrize("rule", LEARNED)
def test_an_optimizer_comes_back_from_its_file_with_its_provenance(rule: str, tmp_path: Path) -> None:
    path = tmp_path / "optimizer.pt"
    save_optimizer(path, learned(rule=rule))
    back = parse_optimizer(f"{rule}:{path}")
    assert torch.equal(back.phi, learned(rule=rule).phi) and back.provenance == {
        "commit": "0123",
        "iteration": 7,
    }


def test_a_file_that_is_no_whole_optimizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "optimizer.pt"
    with pytest.raises(FileNotFoundError, match="meta-train"):
        load_optimizer(path)
    path.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="no saved optimizer"):
        load_optimizer(path)
    save(path, {"iteration": 3})
    with pytest.raises(ValueError, match="schema None"):
        load_optimizer(path)
    save_optimizer(path, learned())
    state = load(path)
    save(path, state | {"phi": state["phi"] + 1e-3})
    with pytest.raises(ValueError, match="changed"):
        load_optimizer(path)
    save(path, state | {"phi": state["phi"][:-1]})
    with pytest.raises(ValueError, match="514 real meta-parameters; got \\(513,\\)"):
        load_optimizer(path)
    save(path, state | {"phi": state["phi"] * torch.nan})
    with pytest.raises(ValueError, match="not all finite"):
        load_optimizer(path)


@pytest.mark.parametrize("text", ["optim4rl", "optim4rl:", "adam:file", "newton", "newton:file", ""])
def test_an_optimizer_that_is_not_known_is_refused_with_what_is_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="allowed are adam"):
        check_optimizer(text)
    with pytest.raises(ValueError, match="allowed are adam"):
        PpoLagConfig(optimizer=text)


def test_parameters_that_the_rule_cannot_take_are_refused() -> None:
    for tensor, reason in (
        (torch.zeros(3, dtype=torch.float16), "float16; allowed are float32 and float64"),
        (torch.zeros(3, dtype=torch.complex64), "complex64"),
        (torch.zeros(0, 4), "tensors with elements"),
    ):
        with pytest.raises((TypeError, ValueError), match=reason):
            LearnedOptimizer([torch.nn.Parameter(tensor)], learned(), lr=1e-3)
    with pytest.raises(ValueError, match="lr is nan"):
        LearnedOptimizer([torch.nn.Parameter(torch.zeros(3))], learned(), lr=float("nan"))
    embedding = torch.nn.Embedding(5, 2, sparse=True)
    optimizer = LearnedOptimizer(embedding.parameters(), learned(), lr=1e-3)
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(TypeError, match="sparse"):
        optimizer.step()
    bias = torch.nn.Parameter(torch.zeros(3))
    bias.grad = torch.tensor([0.0, torch.nan, 1.0])
    with pytest.raises(FloatingPointError, match="not finite"):
        LearnedOptimizer([bias], learned(), lr=1e-3).step()
    assert torch.equal(bias.detach(), torch.zeros(3))


def test_state_of_another_shape_is_refused() -> None:
    narrow, wide = (torch.nn.Parameter(torch.zeros(n)) for n in (3, 4))
    for p in (narrow, wide):
        p.grad = torch.ones_like(p)
    first, second = LearnedOptimizer([narrow], learned(), 1e-3), LearnedOptimizer([wide], learned(), 1e-3)
    first.step()
    second.load_state_dict(first.state_dict())
    with pytest.raises(ValueError, match="of another rule or shape"):
        second.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rule", LEARNED)
def test_parameters_of_any_shape_move_as_the_rule_says(rule: str, dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(3)
    shapes = [(), (5,), (3, 4), (2, 3, 2)]
    parameters = [torch.nn.Parameter(torch.randn(shape, generator=rng, dtype=dtype)) for shape in shapes]
    before = [p.detach().clone() for p in parameters]
    optimizer = LearnedOptimizer(parameters, learned(rule=rule), lr=1e-2)
    state = torch.zeros(RULES[rule].width, 12, dtype=dtype)
    for _ in range(2):
        for p in parameters:
            p.grad = 3.0 * torch.randn(p.shape, generator=rng, dtype=dtype)
        if RULES[rule].separable:
            flat = parameters[2].grad.reshape(-1).clamp(-1.0, 1.0)  # type: ignore[union-attr]
            state, direction = RULES[rule].step(learned(rule=rule).phi.to(dtype), state, flat)
            before[2] = before[2] + 1e-2 * direction.view(3, 4)
        optimizer.step()
    if RULES[rule].separable:
        torch.testing.assert_close(parameters[2].detach(), before[2])
    assert all(p.dtype == dtype and torch.isfinite(p).all() for p in parameters)
    assert not any(torch.equal(p.detach(), b) for p, b in zip(parameters[:2], before[:2], strict=True))


def test_an_algorithm_trained_with_it_resumes_bit_equal(tmp_path: Path) -> None:
    path = tmp_path / "optimizer.pt"
    save_optimizer(path, learned())
    config = small(checkpoint_every=2, steps=800)
    config = replace(config, algorithm=replace(config.algorithm, optimizer=f"optim4rl:{path}"))
    whole, halves, adams = (create_run(config, tmp_path) for _ in range(3))
    assert train_on_policy(config, whole)
    assert not train_on_policy(config, halves, until=2)
    assert train_on_policy(config, halves, resume=True)
    states = [load(run / "checkpoint.pt") for run in (whole, halves)]
    equal(states[0]["algorithm"], states[1]["algorithm"])
    plain = replace(config, algorithm=replace(config.algorithm, optimizer="adam"))
    train_on_policy(plain, adams)
    assert not torch.equal(
        load(adams / "checkpoint.pt")["algorithm"]["actor"], states[0]["algorithm"]["actor"]
    )
    save_optimizer(path, learned(seed=1))
    with pytest.raises(ValueError, match="begun with another optimizer"):
        train_on_policy(config, whole, resume=True)


@pytest.mark.parametrize("algo", OFF_POLICY)
def test_off_policy_algorithms_train_with_it_and_resume_bit_equal(algo: str, tmp_path: Path) -> None:
    path = tmp_path / "optimizer.pt"
    save_optimizer(path, learned())
    config = off_policy(algo, steps=120, eval_every=1000, checkpoint_every=50)
    config = replace(config, algorithm=replace(config.algorithm, optimizer=f"optim4rl:{path}"))
    whole, halves = create_run(config, tmp_path), create_run(config, tmp_path)
    train(config, whole)
    train(config, halves, until=90)
    train(config, halves, resume=True)
    states = [load(run / "checkpoint.pt") for run in (whole, halves)]
    equal(states[0]["algorithm"], states[1]["algorithm"])
    assert learned().digest in str(states[0]["algorithm"])
