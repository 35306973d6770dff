"""The fused networks equal the plain ones; vectors and modules share their memory."""

import numpy as np
import pytest
import torch

from policy_training.experience.spaces import Spaces  # fmt: skip
from policy_training.networks.plain import plain_policy
from policy_training.networks.squashed import (
    Actor,
    DeterministicPolicy,
    EnsembleCritic,
    SafetyCritic,
    aggregate,
)
from policy_training.optimizers.adam import Trained, follow, slow_copy
from policy_training.processor import set_matmul

SPACES = Spaces(
    4, 2, np.array([1.0, 0.0, 0.0, -2.0], dtype=np.float32), np.array([2.0, 1.0, 0.5, 1.0], dtype=np.float32)
)
HIDDEN = (16, 24)


def inputs(rows: int = 32) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """obs, action, noise."""
    rng = torch.Generator().manual_seed(0)
    action = torch.rand((rows, 2), generator=rng) * 2.0 - 1.0
    return torch.randn((rows, 4), generator=rng) * 3.0, action, torch.randn((rows, 2), generator=rng)


def in_order(grads: list[torch.Tensor], layers: int) -> torch.Tensor:
    """Gradients of weights, then biases -> one vector in the order of `flat`."""
    pairs = zip(grads[:layers], grads[layers:], strict=True)
    return torch.cat([g.reshape(-1) for pair in pairs for g in pair])


@pytest.mark.parametrize("layer_norm", [False, True])
def test_a_fused_critic_equals_the_plain_one_in_value_and_gradient(layer_norm: bool) -> None:
    critic = EnsembleCritic(SPACES, HIDDEN, members=3, layer_norm=layer_norm)
    obs, action, _ = inputs()
    action.requires_grad_()
    weight = torch.randn(3, 32)
    plain, fused = critic(obs, action), critic.fused(obs, action)
    torch.testing.assert_close(fused, plain)
    expected = torch.autograd.grad((plain * weight).sum(), [action, *critic.parameters()])
    got = torch.autograd.grad((fused * weight).sum(), [action, critic.mlp.flat])
    torch.testing.assert_close(got[0], expected[0])
    torch.testing.assert_close(got[1], in_order(list(expected[1:]), 3))


def test_a_fused_actor_equals_the_plain_one_in_value_and_gradient() -> None:
    actor = Actor(SPACES, HIDDEN)
    with torch.no_grad():
        actor.mlp.biases[-1][..., 2:] += torch.tensor([-6.0, 2.5])  # both ends of the clamp are reached
    obs, _, noise = inputs()
    rng = torch.Generator().manual_seed(1)
    k, l = torch.randn((32, 2), generator=rng), torch.randn(32, generator=rng)  # noqa: E741
    (a, p), (b, q) = actor(obs, noise), actor.fused(obs, noise)
    torch.testing.assert_close(a, b)
    torch.testing.assert_close(p, q)
    expected = torch.autograd.grad((a * k).sum() + (p * l).sum(), list(actor.parameters()))
    (got,) = torch.autograd.grad((b * k).sum() + (q * l).sum(), actor.mlp.flat)
    torch.testing.assert_close(got, in_order(list(expected), 3), rtol=1e-4, atol=1e-5)


def test_a_frozen_critic_passes_gradients_to_the_action_alone() -> None:
    critic = EnsembleCritic(SPACES, HIDDEN)
    obs, action, _ = inputs()
    action.requires_grad_()
    value = critic.fused(obs, action, frozen=True).sum()
    assert torch.autograd.grad(value, critic.mlp.flat, allow_unused=True, retain_graph=True)[0] is None
    assert torch.autograd.grad(value, action)[0].abs().sum() > 0.0


def test_the_log_density_is_that_of_a_squashed_gaussian() -> None:
    actor = Actor(SPACES, HIDDEN).double()
    obs, _, noise = (x.double() for x in inputs())
    action, log_prob = actor(obs, noise)
    mean, log_std = actor.mlp(actor.scaling(obs)).squeeze(0).chunk(2, dim=-1)
    normal = torch.distributions.Normal(mean, log_std.clamp(-5.0, 2.0).exp())
    pre = torch.atanh(action)
    expected = (normal.log_prob(pre) - torch.log1p(-action.square())).sum(dim=-1)
    torch.testing.assert_close(log_prob, expected, rtol=1e-5, atol=1e-5)


def test_the_density_is_finite_at_the_edge_of_the_action_space() -> None:
    actor = Actor(SPACES, HIDDEN)
    with torch.no_grad():
        actor.mlp.biases[-1][..., :2] = torch.tensor([60.0, -60.0])
    obs, _, noise = inputs()
    action, log_prob = actor.fused(obs, noise)
    assert torch.isfinite(log_prob).all()
    assert action.abs().max() <= 1.0
    assert torch.isfinite(torch.autograd.grad(log_prob.sum() + action.sum(), actor.mlp.flat)[0]).all()


def test_no_noise_is_the_deterministic_action_in_all_its_forms() -> None:
    actor = Actor(SPACES, HIDDEN)
    obs, _, _ = inputs()
    still, _ = actor(obs, torch.zeros(32, 2))
    torch.testing.assert_close(still, DeterministicPolicy(actor)(obs))
    plain = plain_policy(actor)
    np.testing.assert_allclose([plain(o) for o in obs.numpy()], still.detach().numpy(), atol=1e-6)


def test_the_observation_is_scaled_inside_the_networks() -> None:
    actor, other = Actor(SPACES, HIDDEN), Actor(Spaces.unscaled(4, 2), HIDDEN)
    other.mlp.load_state_dict(actor.mlp.state_dict())
    obs, _, _ = inputs()
    scaled = (obs - torch.tensor(SPACES.shift)) / torch.tensor(SPACES.scale)
    torch.testing.assert_close(actor.mode(obs), other.mode(scaled))


def test_loading_a_state_reaches_the_fused_path_too() -> None:
    one, other = EnsembleCritic(SPACES, HIDDEN), EnsembleCritic(SPACES, HIDDEN)
    obs, action, _ = inputs()
    other.load_state_dict(one.state_dict())
    torch.testing.assert_close(other.fused(obs, action), one(obs, action))


def test_adam_on_the_vector_equals_torch_adam_on_the_tensors() -> None:
    mine, theirs = EnsembleCritic(SPACES, HIDDEN), EnsembleCritic(SPACES, HIDDEN)
    theirs.load_state_dict(mine.state_dict())
    trained, adam = Trained(mine, 1e-2), torch.optim.Adam(theirs.parameters(), lr=1e-2)
    obs, action, _ = inputs()
    for _ in range(5):
        trained.descend(mine.fused(obs, action).square().mean())
        adam.zero_grad()
        theirs(obs, action).square().mean().backward()
        adam.step()
    torch.testing.assert_close(mine(obs, action), theirs(obs, action), rtol=1e-4, atol=1e-5)


def test_a_slow_copy_follows_and_shares_nothing() -> None:
    fast = EnsembleCritic(SPACES, HIDDEN)
    slow = slow_copy(fast)
    before = slow.mlp.flat.clone()
    with torch.no_grad():
        fast.mlp.flat += 1.0
    assert torch.equal(slow.mlp.flat, before)
    follow(slow, fast, 0.25)
    torch.testing.assert_close(slow.mlp.flat, before + 0.25)
    torch.testing.assert_close(slow.mlp.weights[0], slow.mlp.layout.views(slow.mlp.flat)[0][0])


def test_the_safety_critic_is_a_probability_and_takes_the_larger_twin() -> None:
    critic = EnsembleCritic(SPACES, HIDDEN)
    obs, action, _ = inputs()
    twins = torch.sigmoid(critic(obs, action))
    torch.testing.assert_close(SafetyCritic(critic, "max")(obs, action), twins.amax(dim=0))
    torch.testing.assert_close(SafetyCritic(critic, "min")(obs, action), twins.amin(dim=0))
    assert ((twins > 0.0) & (twins < 1.0)).all()
    with pytest.raises(ValueError, match="'mean'"):
        aggregate(twins, "mean")


def test_a_scale_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="scale > 0"):
        Spaces(1, 1, np.zeros(1, np.float32), np.zeros(1, np.float32))


def test_faster_products_are_used_only_when_they_are_accurate(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        monkeypatch.setattr("policy_training.processor.matmul_error", lambda: 3e-3)
        assert set_matmul("medium") == "highest"
        assert torch.get_float32_matmul_precision() == "highest"
        monkeypatch.setattr("policy_training.processor.matmul_error", lambda: 1e-6)
        assert set_matmul("medium") == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")
