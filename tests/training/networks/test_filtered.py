"""The masked policy: what its critic forbids is taken only where it forbids everything."""

import pickle
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from policy_training.experience.spaces import Spaces
from policy_training.networks.filtered import FilteredActor, acting
from policy_training.networks.plain import plain_policy
from policy_training.networks.squashed import Actor, DeterministicPolicy, EnsembleCritic, SafetyCritic

SPACES = Spaces.unscaled(3, 2)
EPS, K = 0.4, 16


class Slope(nn.Module):
    """Q_c(s, a) = (1 + a_0) / 2, or a constant added to it."""

    def __init__(self, more: float = 0.0) -> None:
        super().__init__()
        self.more = more

    def forward(self, obs: Tensor, action: Tensor) -> Tensor:
        return 0.5 * (1.0 + action[:, 0]) + self.more + 0.0 * obs[:, 0]


def masked(more: float = 0.0, count: int = K) -> FilteredActor:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(7)
    return FilteredActor(Actor(SPACES, (8,)), Slope(more), EPS, count, rng)  # type: ignore[arg-type]


@pytest.fixture
def obs() -> Tensor:
    return torch.randn(200, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def noise() -> Tensor:
    return torch.randn(200, 2, generator=torch.Generator().manual_seed(2))


def test_an_allowed_action_is_the_actors_own(obs: Tensor, noise: Tensor) -> None:
    actor = masked()
    own, own_log_prob = actor.actor(obs, noise)
    taken, log_prob = actor.fused(obs, noise)
    allowed = actor.critic(obs, own) <= EPS
    assert 0 < allowed.sum() < len(obs)
    torch.testing.assert_close(taken[allowed], own[allowed])
    torch.testing.assert_close(log_prob[allowed], own_log_prob[allowed])
    assert (taken[~allowed] != own[~allowed]).any(dim=1).all()


def test_what_is_taken_is_allowed_and_has_the_density_of_the_actor(obs: Tensor, noise: Tensor) -> None:
    actor = masked(count=200)
    taken, log_prob = actor.fused(obs, noise)
    assert (actor.critic(obs, taken) <= EPS).all()
    mean, log_std = actor.actor.mlp(actor.actor.scaling(obs)).squeeze(0).chunk(2, dim=1)
    _, again = actor.actor(obs, (torch.atanh(taken.double()) - mean) / log_std.exp())
    torch.testing.assert_close(log_prob, again.float(), atol=2e-3, rtol=1e-3)


def test_it_draws_as_the_restricted_actor_does() -> None:
    """The mean of what is taken, against that of the actor's own draws that are allowed."""
    actor, count = masked(count=64), 20_000
    one = torch.zeros(1, 3).expand(count, 3)
    noise = torch.randn(2, count, 2, generator=torch.Generator().manual_seed(3))
    taken, _ = actor.fused(one, noise[0])
    own, _ = actor.actor(one, noise[1])
    allowed = own[actor.critic(one, own) <= EPS]
    torch.testing.assert_close(taken.mean(dim=0), allowed.mean(dim=0), atol=0.06, rtol=0.0)


def test_where_nothing_is_allowed_the_least_risky_is_taken(obs: Tensor, noise: Tensor) -> None:
    actor = masked(more=1.0)
    every = torch.stack([noise, -noise, noise.flip(0)])
    taken, _ = actor(obs, every)
    risky = torch.stack([actor.actor(obs, one)[0][:, 0] for one in every])
    torch.testing.assert_close(taken[:, 0], risky.min(dim=0).values)


def test_the_least_risky_is_taken_however_close_and_never_one_of_unknown_risk(obs: Tensor) -> None:
    noise = torch.randn(5, len(obs), SPACES.action_size)
    risks = torch.full((5, len(obs)), 0.9999999)
    risks[3], risks[1], risks[4] = 0.9999998, torch.nan, 0.9999997

    class Told(nn.Module):
        def forward(self, obs: Tensor, action: Tensor) -> Tensor:
            return risks.reshape(-1)

    actor = FilteredActor(Actor(SPACES, (8,)), Told(), EPS, 5)  # type: ignore[arg-type]
    assert torch.allclose(actor(obs, noise)[0], actor.actor(obs, noise[4])[0])
    risks[2] = 0.0  # allowed, after one that is unknown
    assert torch.allclose(actor(obs, noise)[0], actor.actor(obs, noise[2])[0])


def test_the_first_allowed_is_taken_however_much_safer_a_later_one_is(obs: Tensor, noise: Tensor) -> None:
    actor = masked()
    every = torch.stack([noise, torch.full_like(noise, -3.0)])
    taken, _ = actor(obs, every)
    own = actor.actor(obs, noise)[0]
    allowed = actor.critic(obs, own) <= EPS
    torch.testing.assert_close(taken[allowed], own[allowed])
    torch.testing.assert_close(taken[~allowed], actor.actor(obs, every[1])[0][~allowed])


def test_the_exported_and_the_evaluated_policy_is_filtered(obs: Tensor, tmp_path: Path) -> None:
    torch.manual_seed(0)
    critic = SafetyCritic(EnsembleCritic(SPACES, (8,)))
    actor = FilteredActor(Actor(SPACES, (8,)), critic, 0.5, K, torch.Generator())
    policy = DeterministicPolicy(actor).eval()
    with torch.no_grad():
        action = policy(obs)
    mean = actor.actor.mode(obs)
    allowed = critic(obs, mean) <= 0.5
    assert 0 < allowed.sum() < len(obs)
    torch.testing.assert_close(action[allowed], mean[allowed])
    assert not torch.equal(action, mean)
    torch.onnx.export(
        policy, (obs,), tmp_path / "policy.onnx", input_names=["obs"], output_names=["action"],
        dynamic_shapes={"obs": {0: torch.export.Dim("batch")}}, verbose=False,
    )  # fmt: skip
    session = onnxruntime.InferenceSession(tmp_path / "policy.onnx")
    np.testing.assert_allclose(session.run(None, {"obs": obs.numpy()})[0], action.numpy(), atol=1e-5)
    plain = pickle.loads(pickle.dumps(plain_policy(actor)))
    np.testing.assert_allclose(plain(obs[0].numpy()), action[0].numpy(), atol=1e-6)


def test_only_an_algorithm_with_candidates_is_filtered() -> None:
    actor = Actor(SPACES, (8,))
    assert acting(object(), actor, None) is actor
    assert acting(object(), actor, SafetyCritic(EnsembleCritic(SPACES, (8,)))) is actor
