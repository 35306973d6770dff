"""Optimizer layouts: what they share, what sets them apart, what they log."""

import math

import pytest
import torch
from torch import Tensor, nn

from policy_training.optimizers.layouts import KINDS, Kind, Losses, OptimizerLayout, Plan, trunk_figures

NAMES = ("actor", "reward_critic", "cost_critic")
RATES = {"trunk": 1e-3, "actor": 1e-3, "reward_critic": 2e-3, "cost_critic": 4e-3}


class Heads:
    """Three quadratic losses of very different size, with a trunk in common or without."""

    def __init__(self, shared: bool) -> None:
        rng = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(16, 4, generator=rng), torch.randn(16, 3, generator=rng)
        self.trunks = [nn.Parameter(0.3 * torch.randn(4, 8, generator=rng)) for _ in NAMES]
        if shared:
            self.trunks = self.trunks[:1] * 3
        self.heads = [nn.Parameter(0.3 * torch.randn(8, generator=rng)) for _ in NAMES]
        self.shared = shared

    def groups(self) -> dict[str, list[Tensor]]:
        if self.shared:
            return {"trunk": self.trunks[:1], **{n: [h] for n, h in zip(NAMES, self.heads, strict=True)}}
        return {n: [t, h] for n, t, h in zip(NAMES, self.trunks, self.heads, strict=True)}

    def loss(self, k: int) -> Tensor:
        return (torch.tanh(self.x @ self.trunks[k]) @ self.heads[k] - 30.0**k * self.y[:, k]).square().mean()

    def losses(self) -> Losses:
        return {name: (lambda k=k: self.loss(k)) for k, name in enumerate(NAMES)}

    def vector(self) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in (*self.trunks, *self.heads)])


def trained(
    kind: Kind, *, shared: bool, steps: int = 30, rates: dict[str, float] | None = None, **plan
) -> Tensor:
    """All parameters after some steps."""
    net = Heads(shared)
    layout = OptimizerLayout(net.groups(), rates or dict.fromkeys(RATES, 1e-3), Plan(kind, **plan))
    for _ in range(steps):
        layout.step(net.losses())
    return net.vector()


@pytest.mark.parametrize("scope", ["loss", "global"])
@pytest.mark.parametrize("longest", [math.inf, 5.0])
def test_without_a_common_trunk_separate_and_summed_updates_agree(scope: str, longest: float) -> None:
    ends = [trained(kind, shared=False, clip_scope=scope, longest=longest) for kind in KINDS]
    for end in ends[1:]:
        torch.testing.assert_close(end, ends[0], atol=1e-6, rtol=0.0)


def test_single_is_torchs_adam_on_the_sum_cut_to_its_length() -> None:
    net = Heads(shared=True)
    parameters = [net.trunks[0], *net.heads]
    adam = torch.optim.Adam(parameters, lr=1e-3)
    for _ in range(30):
        adam.zero_grad()
        sum(net.loss(k) for k in range(3)).backward()  # type: ignore[union-attr]
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        adam.step()
    got = trained("single", shared=True, clip_scope="global", longest=5.0)
    torch.testing.assert_close(got, net.vector(), atol=1e-6, rtol=0.0)


def test_shared_is_torchs_adams_in_turn() -> None:
    net = Heads(shared=True)
    adams = [torch.optim.Adam([net.trunks[0], head], lr=1e-3) for head in net.heads]
    for _ in range(30):
        for k, adam in enumerate(adams):
            adam.zero_grad()
            net.loss(k).backward()
            adam.step()
    torch.testing.assert_close(
        trained("shared", shared=True, clip_scope="loss"), net.vector(), atol=1e-6, rtol=0.0
    )


def test_with_a_common_trunk_the_layouts_differ() -> None:
    ends = [trained(kind, shared=True, rates=RATES if kind != "single" else None) for kind in KINDS]
    for i in range(len(ends)):
        for j in range(i):
            assert (ends[i] - ends[j]).abs().max() > 1e-4, (KINDS[i], KINDS[j])


@pytest.mark.parametrize("owner", NAMES)
def test_an_isolated_trunk_follows_its_owner_alone(owner: str) -> None:
    net, lonely = Heads(shared=True), Heads(shared=True)
    layout = OptimizerLayout(net.groups(), RATES, Plan("isolated", "loss", owner=owner))
    groups = {name: group for name, group in lonely.groups().items() if name in ("trunk", owner)}
    alone = OptimizerLayout(groups, RATES, Plan("isolated", "loss"))
    for _ in range(10):
        layout.step(net.losses())
        alone.step({owner: lonely.losses()[owner]})
    assert torch.equal(net.trunks[0], lonely.trunks[0])


def test_rates_of_groups_keep_their_ratios_under_a_schedule() -> None:
    # Adam's first step is as long as the rate in every coordinate, whatever the gradient.
    for scale in (1.0, 0.5, 0.01):
        net = Heads(shared=True)
        before = {name: group[0].detach().clone() for name, group in net.groups().items()}
        OptimizerLayout(net.groups(), RATES, Plan("grouped")).step(net.losses(), scale)
        for name, group in net.groups().items():
            moved = (group[0].detach() - before[name]).abs()
            torch.testing.assert_close(
                moved, torch.full_like(moved, scale * RATES[name]), rtol=1e-2, atol=1e-8
            )


def test_one_huge_loss_shrinks_the_others_only_under_a_global_clip() -> None:
    # The actor's second step: Adam forgets the size of a constant cut, not of one that changes.
    def actor_step(scope: str, size: float) -> Tensor:
        net = Heads(shared=False)
        layout = OptimizerLayout(net.groups(), RATES, Plan("shared", scope, longest=1.0))  # type: ignore[arg-type]
        layout.step(net.losses())
        before = net.heads[0].detach().clone()
        layout.step({**net.losses(), "cost_critic": lambda: size * net.loss(2)})
        return net.heads[0].detach() - before

    torch.testing.assert_close(actor_step("loss", 1.0), actor_step("loss", 1e4))
    assert actor_step("global", 1e4).norm() < 0.9 * actor_step("global", 1.0).norm()


def test_logged_are_gradient_norms_and_cosines_on_the_trunk() -> None:
    net = Heads(shared=True)
    grads = [torch.autograd.grad(net.loss(k), net.trunks[0])[0].reshape(-1) for k in range(3)]
    layout = OptimizerLayout(net.groups(), RATES, Plan("grouped", longest=0.1))
    figures = trunk_figures([layout.step(net.losses())], NAMES)
    for name, grad in zip(NAMES, grads, strict=True):
        assert figures[f"trunk_grad/{name}"] == pytest.approx(float(grad.norm()), rel=1e-5)
    cosine = float(grads[0] @ grads[2] / (grads[0].norm() * grads[2].norm()))
    assert figures["trunk_cosine/actor_cost_critic"] == pytest.approx(cosine, abs=1e-5)
    assert len(figures) == 6


def test_without_a_trunk_there_is_nothing_to_log() -> None:
    net = Heads(shared=False)
    layout = OptimizerLayout(net.groups(), RATES, Plan("grouped"))
    assert trunk_figures([layout.step(net.losses())], NAMES) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_layout_goes_on_bit_equal(kind: Kind) -> None:
    rates = dict.fromkeys(RATES, 1e-3)
    whole, half = Heads(shared=True), Heads(shared=True)
    layout, first = (OptimizerLayout(net.groups(), rates, Plan(kind)) for net in (whole, half))
    second = OptimizerLayout(half.groups(), rates, Plan(kind))
    for _ in range(4):
        layout.step(whole.losses())
    for _ in range(2):
        first.step(half.losses())
    second.load_state_dict(first.state_dict())
    for _ in range(2):
        second.step(half.losses())
    assert torch.equal(whole.vector(), half.vector())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda g: OptimizerLayout(g, RATES, Plan("singel")), "layout is 'singel'; allowed are single"),  # type: ignore[arg-type]
        (lambda g: OptimizerLayout(g, RATES, Plan("single")), "layout single has one rate"),
        (lambda g: OptimizerLayout(g, {"trunk": 1.0}, Plan("grouped")), "no rate for actor, cost_critic"),
        (lambda g: OptimizerLayout(g, RATES, Plan("isolated", owner="x")), "trunk's owner is 'x'"),
        (lambda g: OptimizerLayout(g, RATES, Plan("grouped", longest=math.nan)), "longest gradient is nan"),
        (lambda g: OptimizerLayout(g, RATES, Plan("grouped", "each")), "clip scope is 'each'"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_a_senseless_layout_is_refused(make, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(Heads(shared=True).groups())
