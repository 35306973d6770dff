"""The on-policy networks against torch's own distributions, and the running moments against numpy's."""

import numpy as np
import torch
from torch.distributions import Independent, Normal, kl_divergence

from policy_training.experience.spaces import Spaces
from policy_training.networks import gaussian
from policy_training.networks.gaussian import GaussianActor, ObservationMoments, ValueCritics
from policy_training.networks.plain import plain_policy

SPACES = Spaces(5, 3, np.full(5, 0.5, np.float32), np.full(5, 2.0, np.float32))


def actor_and_obs() -> tuple[GaussianActor, torch.Tensor]:
    torch.manual_seed(0)
    actor = GaussianActor(SPACES, (16, 8), initial_std=0.7)
    with torch.no_grad():
        actor.log_std.add_(torch.tensor([0.1, -0.2, 0.3]))
    return actor, torch.randn(40, 5)


def test_fast_mean_and_its_gradient_equal_the_plain_ones() -> None:
    actor, obs = actor_and_obs()
    weight = torch.randn(40, 3)
    torch.testing.assert_close(actor.mean_of(actor.inputs(obs)), actor(obs))
    fast = actor.gradient((actor.mean_of(actor.inputs(obs)) * weight).sum())
    (actor(obs) * weight).sum().backward()
    pairs = zip(actor.mlp.weights, actor.mlp.biases, strict=True)
    plain = torch.cat([p.grad.reshape(-1) for pair in pairs for p in pair if p.grad is not None])
    torch.testing.assert_close(fast[: len(plain)], plain)
    assert not fast[len(plain) :].any()


def test_density_entropy_and_divergence_are_those_of_torch() -> None:
    actor, obs = actor_and_obs()
    mean, action = actor(obs).detach(), torch.randn(40, 3)
    peer = Independent(Normal(mean, actor.log_std.exp()), 1)
    torch.testing.assert_close(actor.log_prob(mean, action), peer.log_prob(action))
    torch.testing.assert_close(torch.tensor(actor.entropy()), peer.entropy()[0].detach())
    other_mean, other_log_std = mean + 0.3, actor.log_std.detach() - 0.2
    other = Independent(Normal(other_mean, other_log_std.exp()), 1)
    found = gaussian.kl_divergence(mean, actor.log_std, other_mean, other_log_std)
    torch.testing.assert_close(found, kl_divergence(peer, other).mean())


def test_a_parameter_vector_comes_back_to_the_bit() -> None:
    actor, obs = actor_and_obs()
    before, mean = actor.vector(), actor(obs)
    actor.set_vector(before + torch.randn(len(before)))
    assert not torch.equal(actor(obs), mean)
    actor.set_vector(before)
    assert torch.equal(actor(obs), mean)
    assert torch.equal(actor.vector(), before)


def test_plain_arrays_say_what_the_actor_says() -> None:
    actor, obs = actor_and_obs()
    policy, far = plain_policy(actor), torch.full((1, 5), 1e6)
    for row in torch.cat((obs, far)):
        expected = actor.mode(row[None])[0].detach().numpy()
        np.testing.assert_allclose(policy(row.numpy()), expected, rtol=2e-5, atol=2e-6)


def test_first_actions_are_near_zero_whatever_is_seen() -> None:
    actor, obs = actor_and_obs()
    assert actor(obs).abs().max() < 0.1


def test_values_of_inputs_equal_the_plain_ones() -> None:
    torch.manual_seed(0)
    critics, obs = ValueCritics(SPACES, 3, (16,)), torch.randn(10, 5)
    torch.testing.assert_close(critics.of_inputs(critics.inputs(obs)), critics(obs))
    assert critics(obs).shape == (3, 10)


def test_running_moments_are_those_of_everything_seen() -> None:
    rng = np.random.default_rng(0)
    batches = [rng.normal(1e3, 2.0, (n, 5)) for n in (1, 7, 100)]
    for batch in batches:
        batch[:, 4] = 3.0  # constant: shifted, not blown up
    moments, scaling = ObservationMoments.empty(5), GaussianActor(SPACES).scaling
    for batch in batches:
        moments.take(batch)
    moments.write(scaling)
    every = np.concatenate(batches)
    np.testing.assert_allclose(scaling.shift, every.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaling.scale[:4], every.std(axis=0)[:4], rtol=1e-5)
    assert scaling.scale[4] == 1.0
