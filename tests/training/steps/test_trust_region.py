"""Trust-region steps: exact where theory is exact, and never out of the region."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from torch.func import functional_call

from policy_training.algorithms import CONFIGS, ON_POLICY
from policy_training.algorithms.cpo import solve_quadratic
from policy_training.algorithms.pcpo import projected
from policy_training.estimates.advantages import Rollout
from policy_training.experience.spaces import Spaces
from policy_training.networks.gaussian import GaussianActor, kl_divergence
from policy_training.steps.switching import SwitchConfig
from policy_training.steps.trust_region import (
    OldPolicy,
    TrustRegionConfig,
    conjugate_gradient,
    fisher_product,
    line_search,
    natural_step,
    surrogate_gains,
    surrogate_gradients,
)

REGIONS = [name for name, config in CONFIGS.items() if issubclass(config, TrustRegionConfig)]


def tiny_actor(seed: int) -> GaussianActor:
    """In float64, with standard deviations that differ."""
    torch.manual_seed(seed)
    actor = GaussianActor(Spaces.unscaled(3, 2), hidden=(5, 4))
    actor.double()
    actor.mlp.gather()
    with torch.no_grad():
        actor.log_std += torch.tensor([0.3, -0.7])
    return actor


def dense(product: Any, size: int) -> torch.Tensor:
    """The matrix (P, P) behind a product."""
    return torch.stack([product(row) for row in torch.eye(size, dtype=torch.float64)])


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_conjugate_gradient_is_a_direct_solve(seed: int, size: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=rng, dtype=torch.float64)
    matrix = root @ root.T + 0.5 * torch.eye(size, dtype=torch.float64)
    b = torch.randn(size, generator=rng, dtype=torch.float64)
    x = conjugate_gradient(lambda v: matrix @ v, b, iterations=3 * size, residual=1e-24)
    torch.testing.assert_close(x, torch.linalg.solve(matrix, b), rtol=1e-6, atol=1e-8)


def test_conjugate_gradient_of_nothing_is_nothing() -> None:
    assert not conjugate_gradient(lambda v: v, torch.zeros(4), iterations=10, residual=1e-10).any()


@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_fisher_product_is_the_hessian_of_the_divergence(damping: float) -> None:
    actor, inputs = tiny_actor(1), torch.randn(30, 3, dtype=torch.float64)
    size, start = actor.mlp.flat.numel(), actor.vector()
    with torch.no_grad():
        mean, log_std = actor.mlp(inputs).squeeze(0), actor.log_std.clone()

    def divergence(vector: torch.Tensor) -> torch.Tensor:
        new = functional_call(actor.mlp, actor.mlp.named_flat(vector[:size]), (inputs,)).squeeze(0)
        return kl_divergence(mean, log_std, new, vector[size:])

    hessian = torch.autograd.functional.hessian(divergence, start)
    matrix = dense(fisher_product(actor, inputs, damping), len(start))
    torch.testing.assert_close(matrix, hessian + damping * torch.eye(len(start), dtype=torch.float64))


def test_a_natural_step_is_as_long_as_the_region_is_wide() -> None:
    actor, inputs = tiny_actor(2), torch.randn(40, 3, dtype=torch.float64)
    product = fisher_product(actor, inputs, 0.1)
    config = TrustRegionConfig(target_kl=0.02, cg_iterations=200, cg_residual=0.0)
    gradient = torch.randn(len(actor.vector()), dtype=torch.float64)
    step = natural_step(product, gradient, config)
    assert 0.5 * float(step @ product(step)) == pytest.approx(0.02)
    direction = torch.linalg.solve(dense(product, len(step)), gradient)
    assert float(torch.cosine_similarity(step, direction, dim=0)) == pytest.approx(1.0)


def test_surrogate_gradients_are_those_of_finite_differences() -> None:
    actor, obs = tiny_actor(3), torch.randn(20, 3, dtype=torch.float64)
    old = OldPolicy.of(actor, obs, torch.randn(20, 2, dtype=torch.float64))
    advantage, start = torch.randn(2, 20, dtype=torch.float64), actor.vector()
    gradients = surrogate_gradients(actor, old, advantage)
    for i in range(0, len(start), 7):
        step = 1e-6 * torch.eye(len(start), dtype=torch.float64)[i]
        actor.set_vector(start + step)
        up = surrogate_gains(actor, old, advantage)[0]
        actor.set_vector(start - step)
        down = surrogate_gains(actor, old, advantage)[0]
        torch.testing.assert_close(gradients[:, i], (up - down) / 2e-6, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("step", [torch.ones, lambda n: torch.full((n,), math.nan)])
def test_a_refused_step_leaves_the_parameters_bit_equal(step: Any) -> None:
    torch.manual_seed(4)
    actor = GaussianActor(Spaces.unscaled(3, 2))
    start, asked = actor.vector(), []
    share = line_search(actor, start, step(len(start)), lambda: bool(asked.append(1)), 5, 0.5)
    assert share == 0.0
    assert torch.equal(actor.vector(), start)
    obs = torch.randn(4, 3)
    torch.testing.assert_close(actor(obs), actor.mean_of(actor.inputs(obs)))


def test_a_line_search_takes_the_longest_step_that_is_accepted() -> None:
    actor = GaussianActor(Spaces.unscaled(3, 2))
    start, step = actor.vector(), torch.ones(len(actor.vector()))
    share = line_search(
        actor, start, step, lambda: float((actor.vector() - start).max()) <= 0.3, 10, 0.5
    )  # fmt: skip
    assert share == 0.25
    torch.testing.assert_close(actor.vector(), start + 0.25)


def random_rollout(seed: int, algorithm: Any, costs: int, episode_cost: float) -> Rollout:
    """Actions that the policy could have taken, advantages and targets of any kind."""
    rng = torch.Generator().manual_seed(seed)
    steps, actor = 60, algorithm.actor
    obs = 3.0 * torch.randn(steps, 3, generator=rng)
    with torch.no_grad():
        action = actor(obs) + actor.log_std.exp() * torch.randn(steps, 2, generator=rng)
    scale = 10.0 ** torch.randint(-4, 4, (1 + costs, 1), generator=rng)
    advantage = scale * torch.randn(1 + costs, steps, generator=rng)
    return Rollout(obs, action, advantage, advantage, 0.0, (episode_cost,) * costs, 3, 20.0)


@pytest.mark.parametrize("name", REGIONS)
@given(st.integers(0, 10_000), st.sampled_from([0.0, 0.99, 1.0, 1.01, 2.0, 1000.0]))
@settings(max_examples=12, deadline=None)
def test_a_step_stays_within_its_trust_region(name: str, seed: int, episode_cost: float) -> None:
    recheck = {"recheck": True} if issubclass(CONFIGS[name], SwitchConfig) else {}
    config = CONFIGS[name](cost_limits=(("cost", 1.0),), hidden=(8,), critic_epochs=1, **recheck)
    algorithm = ON_POLICY[name](Spaces.unscaled(3, 2), config, seed=seed)
    actor = algorithm.actor
    for i in range(2):
        rollout = random_rollout(seed + i, algorithm, 1, episode_cost)
        with torch.no_grad():
            mean, log_std = actor(rollout.obs), actor.log_std.clone()
        start = actor.vector()
        figures = algorithm.update(rollout, 0.0)
        with torch.no_grad():
            kl = float(kl_divergence(mean, log_std, actor(rollout.obs), actor.log_std))
        assert kl <= config.target_kl * 1.001
        assert figures["kl"] == pytest.approx(kl, abs=1e-5)
        assert (figures["step_size"] > 0.0) != torch.equal(actor.vector(), start)


@pytest.mark.parametrize("recheck", [False, True])
def test_two_displacements_that_are_combined_leave_the_trust_region_unless_rechecked(recheck: bool) -> None:
    config = CONFIGS["espo"](cost_limits=(("cost", 1.0),), hidden=(8,), critic_epochs=1, recheck=recheck)
    algorithm = ON_POLICY["espo"](Spaces.unscaled(3, 2), config, seed=787)
    figures = algorithm.update(random_rollout(787, algorithm, 1, 0.0), 0.0)
    assert (figures["mode/soft"], figures["conflicts"]) == (1.0, 1.0)
    assert (figures["kl"] <= config.target_kl) == recheck


# g and b span a plane in which F^-1 is the identity, so x = (x_0, x_1) and the problem is one of the plane.
angle = st.floats(0.0, 2.0 * math.pi)
size = st.floats(0.1, 3.0)


def quadratic(g: np.ndarray, b: np.ndarray, c: float, target_kl: float) -> tuple[np.ndarray, str]:
    """The solution in closed form."""
    on_g, on_b = torch.from_numpy(g), torch.from_numpy(b)
    x, case = solve_quadratic(on_g, on_b, on_g, on_b, c, target_kl)
    return x.numpy(), case


@given(size, angle, size, angle, st.floats(-1.5, 1.5), st.floats(0.005, 0.5))
@example(1.75, 0.0, 1.0, 5.96e-8, 0.0, 0.5)  # g^T g - (g^T b)^2 / b^T b is a rounding error
@example(1.75, 0.0, 1.0, 5.96e-8, 0.9, 0.5)
@example(1.75, 0.3, 1.0, 0.3 + 5e-15, -0.5, 0.5)
@settings(max_examples=300, deadline=None)
def test_the_closed_form_solves_the_quadratic_problem(
    g_size: float, g_angle: float, b_size: float, b_angle: float, reach: float, target_kl: float
) -> None:
    g = g_size * np.array([math.cos(g_angle), math.sin(g_angle)])
    b = b_size * np.array([math.cos(b_angle), math.sin(b_angle)])
    radius = math.sqrt(2.0 * target_kl)
    c = reach * radius * b_size  # of size 1: the limit touches the region
    x, case = quadratic(g, b, c, target_kl)
    if reach > 1.001:
        assert case == "recovery"
        np.testing.assert_allclose(x, -radius * b / b_size, rtol=1e-5, atol=1e-6)
        return
    if abs(reach) > 0.999:
        return  # both cases are right where the limit touches the region
    assert case == ("free" if reach < -1.0 else "bound")
    assert np.linalg.norm(x) <= radius * (1.0 + 1e-6)
    assert c + b @ x <= 1e-6
    assert g @ x >= brute_force(g, b, c, radius) - 1e-6 * radius * g_size


def brute_force(g: np.ndarray, b: np.ndarray, c: float, radius: float) -> float:
    """The best g^T x on the rim and at the ends of the chord: a linear function is nowhere better."""
    around = np.linspace(0.0, 2.0 * math.pi, 20_001)
    points = radius * np.stack((np.cos(around), np.sin(around)))
    foot = -c * b / (b @ b)
    half = math.sqrt(max(radius**2 - float(foot @ foot), 0.0)) * np.array([-b[1], b[0]]) / np.linalg.norm(b)
    points = np.concatenate((points, np.stack((foot + half, foot - half), axis=1)), axis=1)
    allowed = c + b @ points <= 1e-12
    return float((g @ points[:, allowed]).max(initial=-math.inf))


@pytest.mark.parametrize(
    ("g", "b", "c", "case"),
    [
        ((1.0, 0.0), (0.0, 1.0), -9.0, "free"),  # the limit is far away
        ((1.0, 0.5), (0.0, 1.0), -0.1, "bound"),  # the region is cut
        ((1.0, 0.0), (1.0, 0.0), -0.05, "bound"),  # reward is cost, and there is room left
        ((1.0, 0.0), (1.0, 0.0), 0.0, "bound"),  # and there is none
        ((1.0, 0.0), (1.0, 0.0), 0.1, "bound"),  # and it was exceeded
        ((1.0, 0.0), (-1.0, 0.0), 0.1, "bound"),  # what is good also saves
        ((1.0, 0.5), (0.0, 1.0), 0.1, "bound"),  # exceeded, and part of the region keeps it
        ((1.0, 0.5), (0.0, 1.0), 9.0, "recovery"),  # no part does
        ((0.0, 0.0), (0.0, 1.0), 0.1, "bound"),  # no reward to gain
        ((1.0, 0.0), (0.0, 0.0), -1.0, "free"),  # the policy has no say in the cost
        ((1.0, 0.0), (0.0, 0.0), 1.0, "recovery"),
    ],
)
def test_every_case_of_the_quadratic_problem(
    g: tuple[float, float], b: tuple[float, float], c: float, case: str
) -> None:
    target_kl = 0.02
    x, found = quadratic(np.array(g), np.array(b), c, target_kl)
    assert found == case
    assert np.linalg.norm(x) <= math.sqrt(2.0 * target_kl) * (1.0 + 1e-9)
    if case == "recovery":
        assert np.dot(g, x) == pytest.approx(-np.dot(g, b) * np.linalg.norm(x))
        return
    constraints = [
        {"type": "ineq", "fun": lambda x: 2.0 * target_kl - x @ x},
        {"type": "ineq", "fun": lambda x: -c - np.dot(b, x)},
    ]
    best = minimize(lambda x: -np.dot(g, x), np.array([-0.01, -0.01]), constraints=constraints)
    assert best.success
    assert np.dot(g, x) == pytest.approx(-best.fun, abs=1e-5)
    assert c + np.dot(b, x) <= 1e-9


@given(st.integers(0, 10_000), st.floats(-1.5, 1.5))
@settings(max_examples=50, deadline=None)
def test_the_quadratic_problem_does_not_depend_on_how_the_policy_is_parametrised(
    seed: int, reach: float
) -> None:
    assume(abs(abs(reach) - 1.0) > 1e-3)  # both cases are right where the limit touches the region
    rng = torch.Generator().manual_seed(seed)
    g, b = torch.randn(2, 5, generator=rng, dtype=torch.float64)
    root = torch.randn(5, 5, generator=rng, dtype=torch.float64) + 3.0 * torch.eye(5, dtype=torch.float64)
    c = reach * math.sqrt(0.02 * float(b @ b))
    x, case = solve_quadratic(g, b, g, b, c, 0.01)
    to_g, to_b = torch.linalg.solve(root.T, torch.stack((g, b)).T).T  # F^-1 R g with F = R R^T
    other, same = solve_quadratic(root @ g, root @ b, to_g, to_b, c, 0.01)
    assert same == case
    torch.testing.assert_close(root.T @ other, x)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e4])
def test_cost_that_grows_with_the_reward_leaves_a_step_along_both(scale: float) -> None:
    rng = torch.Generator().manual_seed(7)
    g = torch.randn(4000, generator=rng)  # in float32, as in training: h is a rounding error and no direction
    b = scale * (g + 1e-8 * torch.randn(4000, generator=rng))
    c = -0.05 * float(b @ b) ** 0.5
    x, _ = solve_quadratic(g, b, g, b, c, 0.01)
    torch.testing.assert_close(x, -c / float(b @ b) * b)


@given(st.integers(0, 10_000), st.floats(-1.0, 1.0))
@settings(max_examples=50, deadline=None)
def test_a_projection_ends_on_the_limit_or_stays(seed: int, c: float) -> None:
    rng = np.random.default_rng(seed)
    step, b = (torch.from_numpy(rng.standard_normal(4)) for _ in range(2))
    root = rng.standard_normal((4, 4))
    metric = torch.from_numpy(root @ root.T + np.eye(4))  # M = F^-1
    moved = projected(step, b, metric @ b, c)
    kept = float(b @ step) + c <= 0.0
    assert torch.equal(moved, step) == kept
    assert float(b @ moved) + c == pytest.approx(min(float(b @ step) + c, 0.0), abs=1e-9)
    # Nearest: what was moved has no part along the limit, in the metric F.
    change = torch.linalg.solve(metric, moved - step)
    along = torch.from_numpy(rng.standard_normal(4))
    along -= (along @ b) / (b @ b) * b
    assert float(change @ along) == pytest.approx(0.0, abs=1e-8)
