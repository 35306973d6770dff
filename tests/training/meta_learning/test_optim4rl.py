"""Optim4RL's network, its meta-gradient and pipeline: what the paper fixes, and what the algebra promises."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from policy_training.meta_learning.a2c import losses
from policy_training.meta_learning.meta_gradient import Unroll, meta_gradient, unroll
from policy_training.meta_learning.tasks import TASKS
from policy_training.meta_learning.units import Agents, DivergedError, reset_slots
from policy_training.optimizers.gated_unit import GatedUnits
from policy_training.optimizers.registry import LEARNED, RULES

RULE = RULES["optim4rl"]


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def agents(task: str = "small_dense_long", units: int = 3, rule: str = "optim4rl", **other: float) -> Agents:
    settings = {"alpha": 1e-2, "scale": 10.0} | other
    return Agents(
        TASKS[task], RULES[rule], units, games=1, steps=6, seed=5, lifetime=40, **settings,  # type: ignore[arg-type]
    )  # fmt: skip


def untrained(rule: str = "optim4rl") -> torch.Tensor:
    return RULES[rule].initial(torch.Generator().manual_seed(0)).to(torch.get_default_dtype())


def test_the_network_has_514_meta_parameters() -> None:
    # 2 cells of 24 input, 192 recurrent, 24 + 8 bias weights; 2 heads of 8 weights and a bias
    assert RULE.size == untrained().numel() == 2 * (24 + 192 + 32) + 2 * 9 == 514


def test_a_cell_is_torch_s_with_two_of_its_biases_fixed_at_0() -> None:
    phi = untrained() + 0.1 * torch.randn(514, generator=torch.Generator().manual_seed(1))
    cells = LEARNED["optim4rl"].cells  # type: ignore[attr-defined]
    hidden = torch.randn((2, 8, 7), generator=torch.Generator().manual_seed(2))
    x = torch.randn((2, 1, 7), generator=torch.Generator().manual_seed(3))
    after, _ = cells.step(phi, hidden, x)
    W, U, b, c, _, _ = (
        piece.view(shape)
        for piece, shape in zip(phi.split([int(np.prod(s)) for s in cells.parts]), cells.parts, strict=True)
    )
    for unit in range(2):
        cell = torch.nn.GRUCell(1, 8)
        with torch.no_grad():
            cell.weight_ih.copy_(W[unit])
            cell.weight_hh.copy_(U[unit])
            cell.bias_ih.copy_(b[unit, :, 0])
            cell.bias_hh.copy_(torch.cat((torch.zeros(16), c[unit, :, 0])))
        torch.testing.assert_close(after[unit], cell(x[unit].T, hidden[unit].T).T)


@pytest.mark.parametrize("inputs", [1, 2])
def test_the_derivative_by_hand_is_that_of_finite_differences(inputs: int, float64: None) -> None:
    cells, rng = GatedUnits(units=2, inputs=inputs, outputs=1), torch.Generator().manual_seed(5)
    phi, hidden = torch.randn(cells.size, generator=rng), torch.randn((2, 8, 2), generator=rng)
    x = torch.randn((2, inputs, 2), generator=rng)

    def twice(weights: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        after, first = cells.step(weights, start, x)
        return torch.cat((first, *cells.step(weights, after, -x)), dim=1)

    leaves = phi.requires_grad_(True), hidden.requires_grad_(True)
    assert torch.autograd.gradcheck(twice, leaves, fast_mode=True)


def test_an_untrained_first_step_is_nearly_sign_descent() -> None:
    grad = torch.tensor([-2e-3, -1.0, 0.0, 1e-6, 0.3])
    _, direction = RULE.step(untrained(), torch.zeros(16, 5), grad)
    assert torch.equal(torch.sign(direction), -torch.sign(grad))
    moved = direction[grad != 0.0].abs()
    assert float(moved.min()) > 0.5 and float(moved.max()) < 2.0


def test_permuted_coordinates_give_permuted_updates() -> None:
    rng = torch.Generator().manual_seed(4)
    grads, state = torch.randn((3, 50), generator=rng), torch.zeros(16, 50)
    order = torch.randperm(50, generator=rng)
    shuffled = state
    for grad in grads:
        state, direction = RULE.step(untrained(), state, grad)
        shuffled, moved = RULE.step(untrained(), shuffled, grad[order])
    torch.testing.assert_close(moved, direction[order], rtol=1e-6, atol=1e-7)


def test_units_begin_anew_in_turn() -> None:
    # n = 3, m = 3, as in the paper's figure: unit i in iterations i, i + 3, ..
    turns = [np.flatnonzero(reset_slots(3, 3) == t % 3).tolist() for t in range(4)]
    assert turns == [[0], [1], [2], [0]]
    assert reset_slots(64, 72).tolist() == np.floor(np.arange(64) * 71 / 63).astype(int).tolist()


def test_a_unit_that_begins_anew_leaves_the_others_alone() -> None:
    a = agents()
    unroll(a, untrained(), 2)
    before, state, boards = a.theta.clone(), a.state.view(16, 3, -1).clone(), a.game.marks().cell
    a.restart(np.array([1]))
    assert torch.equal(a.theta[[0, 2]], before[[0, 2]]) and not torch.equal(a.theta[1], before[1])
    assert torch.equal(a.state.view(16, 3, -1)[:, [0, 2]], state[:, [0, 2]])
    assert not a.state.view(16, 3, -1)[:, 1].any() and a.age.tolist() == [2, 0, 2]
    assert (a.game.marks().cell[[0, 2]] == boards[[0, 2]]).all()
    assert (a.game.marks().cell[1] != boards[1]).any()


@pytest.mark.parametrize("task", ["small_dense_long", "big_dense_long"])
@pytest.mark.parametrize("rule", LEARNED)
def test_the_chunked_meta_gradient_equals_full_automatic_differentiation(
    rule: str, task: str, float64: None
) -> None:
    a, phi = agents(task, rule=rule, units=2), untrained(rule)
    unroll(a, phi, 2)  # a state that is not zero
    start, state, alpha = a.theta.clone(), a.state, float(a.alpha[0])
    updates = [a.update(phi, a.rollout()) for _ in range(3)]
    last = a.rollout()
    weight = (a.ahead(last)[0].view(2, -1) * (a.alpha / 2)[:, None]).view(-1)
    ours = meta_gradient(a.rule, phi, Unroll(state, updates, weight), chunk=777)

    leaf, theta = phi.clone().requires_grad_(True), start
    for update in updates:
        state, direction = a.rule.step(leaf, state, update.grad, update.place)
        theta = theta + alpha * direction.view_as(theta)
    torch.testing.assert_close(theta.detach(), a.theta, rtol=1e-12, atol=1e-12)
    (full,) = torch.autograd.grad(losses(a.task.network, theta, last).mean(), leaf)
    assert float(full.norm()) > 0.0
    assert float((ours - full).norm() / full.norm()) < 1e-10


def test_no_gradient_reaches_the_meta_parameters_through_the_agent_s_gradient() -> None:
    a, phi = agents(), untrained().requires_grad_(True)
    update = a.update(phi, a.rollout())
    assert not update.grad.requires_grad and not a.theta.requires_grad and not a.state.requires_grad


def test_a_unit_that_leaves_the_numbers_is_named() -> None:
    a = agents()
    unroll(a, untrained(), 2)
    a.theta[1, 7] = torch.inf
    with pytest.raises(DivergedError, match="unit 1, update 2"):
        a.check()


@pytest.mark.parametrize(
    ("task", "size"),
    [("small_dense_long", 4970), ("big_sparse_short", 31994), ("big_sparse_long", 36986),
     ("big_dense_short", 29498), ("big_dense_long", 39482), ("catch", 14084)],
)  # fmt: skip
def test_agents_are_as_large_as_the_paper_s(task: str, size: int) -> None:
    assert TASKS[task].network.size == size


def test_hand_made_rules_are_torch_s() -> None:
    rng = torch.Generator().manual_seed(6)
    for name, kind in (("adam", torch.optim.Adam), ("sign", None)):
        theirs = torch.nn.Parameter(torch.zeros(20))
        ours, state = torch.zeros(20), torch.zeros(RULES[name].width, 20)
        optimizer = kind([theirs], lr=0.01) if kind else None
        for grad in torch.randn((5, 20), generator=rng):
            state, direction = RULES[name].step(torch.zeros(0), state, grad)
            ours = ours + 0.01 * direction
            if optimizer:
                theirs.grad = grad
                optimizer.step()
            else:
                theirs.data -= 0.01 * torch.sign(grad)
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5, atol=1e-6)
