"""The meta-gradient: closed form, double backward pass and finite differences agree; signs are right."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch

from policy_training.algorithms.meta_sac_lag import Inner, MetaSacLag, MetaSacLagConfig
from policy_training.experience.replay import Batch
from policy_training.experience.spaces import Spaces
from policy_training.steps.autograd_meta_gradient import (
    Batches,
    autograd_gradients,
    lookahead,
    outer_objectives,
    plain_values,
)
from policy_training.steps.closed_meta_gradient import closed_gradients
from policy_training.steps.differentiable_step import RmsPropStep, meta_gradient
from policy_training.steps.imitation import Lesson
from policy_training.steps.scalar_adam import Knob, ScalarAdam

CONFIG = MetaSacLagConfig(hidden=(16, 16), initial_nu=2.0, nu_lr=0.5, initial_eps=0.3)
RULE = RmsPropStep(lr=0.01)
OBS, ACTION, BATCH = 5, 2, 32
NOTHING = Lesson(torch.zeros(0, ACTION), torch.zeros(0))


@pytest.fixture(autouse=True)
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


class Setting:
    """An agent with a used RMSProp state, and one set of batches."""

    def __init__(self, config: MetaSacLagConfig, rule: RmsPropStep = RULE, seed: int = 0) -> None:
        self.agent, self.rule = MetaSacLag(Spaces.unscaled(OBS, ACTION), config, seed), rule
        rng = torch.Generator().manual_seed(seed)
        self.agent.square = 1e-4 * torch.rand(self.agent.phi.shape, generator=rng)
        self.agent.steps = 7
        self.start = self.agent.place()
        obs, fresh, initial = torch.randn((3, BATCH, OBS), generator=rng)
        noise, fresh_noise = torch.randn((2, BATCH, ACTION), generator=rng)
        actions, zeros = torch.rand((BATCH, ACTION), generator=rng), torch.zeros(BATCH)
        self.batch = Batch(obs, actions, obs, zeros, zeros, zeros, prior=BATCH // 2)
        self.batches = Batches(obs, noise, NOTHING, fresh, fresh_noise, initial)

    def inner(self) -> Inner:
        weight = self.agent.config.imitation
        return self.agent.inner(self.batch, self.batches.noise, self.rule, weight, split=True)

    def oracle(self) -> tuple[float, float]:
        taught = Setting(self.agent.config, self.rule).inner().taught
        return autograd_gradients(self.agent, self.start, self.rule, self.batches._replace(taught=taught))

    def closed(self) -> tuple[float, float]:
        """Takes the inner step."""
        return closed_gradients(self.agent, self.inner(), self.rule, self.batches)

    def stepped(self, eps: float, alpha: float) -> tuple[torch.Tensor, torch.Tensor]:
        """phi' and nu' for these eps and alpha."""
        knobs = torch.tensor(eps), torch.tensor(alpha)
        phi, nu = lookahead(self.agent, self.start, self.rule, self.batches, *knobs)
        return phi.detach(), nu.detach()

    def objectives(
        self, eps_inner: float, alpha: float, eps_outer: float, nu_outer: float | None
    ) -> list[float]:
        """J_eps and J_alpha as plain numbers: what finite differences see. J_alpha's nu' does not move."""
        phi, nu = self.stepped(eps_inner, alpha)
        fixed = torch.tensor(self.nu_now() if nu_outer is None else nu_outer)
        eps, nu_eps = torch.tensor(eps_outer), nu if nu_outer is None else fixed
        j_eps, _ = outer_objectives(self.agent, phi, nu_eps, eps, self.batches)
        _, j_alpha = outer_objectives(self.agent, phi, fixed, eps, self.batches)
        return [float(j_eps.detach()), float(j_alpha.detach())]

    def nu_now(self) -> float:
        return float(self.stepped(self.agent.eps, self.agent.alpha)[1])

    def values(self, phi: torch.Tensor) -> tuple[float, float]:
        """Mean log pi and mean Q_c on the inner batch."""
        _, log_prob, _, q_c = plain_values(self.agent, phi, self.batches.obs, self.batches.noise)
        return float(log_prob.detach().mean()), float(q_c.detach().mean())


@pytest.mark.parametrize("objective", ["linear", "nonlinear"])
@pytest.mark.parametrize("paths", ["A", "B", "C"])
@pytest.mark.parametrize("nu_form", ["softplus", "exp"])
def test_double_backward_agrees_with_finite_differences(paths: str, objective: str, nu_form: str) -> None:
    s = Setting(replace(CONFIG, eps_paths=paths, eps_objective=objective, nu_form=nu_form))
    eps, alpha, h = s.agent.eps, s.agent.alpha, 1e-5
    nu_outer = s.nu_now() if paths == "C" else None

    def j_eps(e: float) -> float:
        return s.objectives(e, alpha, e if paths == "A" else eps, nu_outer)[0]

    def j_alpha(a: float) -> float:
        return s.objectives(eps, a, eps, nu_outer)[1]

    numeric_eps = (j_eps(eps + h) - j_eps(eps - h)) / (2.0 * h)
    numeric_alpha = (j_alpha(alpha + h) - j_alpha(alpha - h)) / (2.0 * h)
    assert s.oracle() == pytest.approx((numeric_eps, numeric_alpha), rel=1e-4, abs=1e-9)


@pytest.mark.parametrize("imitation", [0.0, 2.0])
@pytest.mark.parametrize("risk_agg", ["min", "max"])
@pytest.mark.parametrize("objective", ["linear", "nonlinear"])
@pytest.mark.parametrize("paths", ["A", "B", "C"])
@pytest.mark.parametrize("nu_form", ["softplus", "exp"])
def test_closed_form_agrees_with_double_backward(
    paths: str, objective: str, nu_form: str, risk_agg: str, imitation: float
) -> None:
    config = replace(
        CONFIG,
        eps_paths=paths,
        eps_objective=objective,
        nu_form=nu_form,
        risk_agg=risk_agg,
        imitation=imitation,
    )
    oracle = Setting(config).oracle()
    assert Setting(config).closed() == pytest.approx(oracle, rel=1e-9, abs=1e-14)


def test_the_capped_multiplier_passes_no_gradient_to_the_threshold() -> None:
    config = replace(CONFIG, nu_max=2.0 + 1e-9, initial_eps=0.01, eps_paths="B")
    assert Setting(config).closed()[0] == 0.0
    assert Setting(config).oracle()[0] == 0.0


def test_raising_eps_lowers_nu_and_moves_the_policy_uphill_in_q_c() -> None:
    # d nu'/d eps = -b_nu nu'(x') and, for plain gradient steps, d phi'/d eps = +b_phi b_nu slope grad Q_c
    s = Setting(replace(CONFIG, eps_paths="B"), RmsPropStep(lr=1e-3, e=1e3))  # a large e makes the step plain
    uphill = []
    for eps in (0.2, 0.6):
        phi, nu = s.stepped(eps, s.agent.alpha)
        uphill.append((float(nu), s.values(phi)[1]))
    assert uphill[1][0] < uphill[0][0]
    assert uphill[1][1] > uphill[0][1]


def test_path_a_drifts_up_and_path_b_does_not() -> None:
    # (7): the direct path alone is -nu', so descent raises eps at the rate nu'.
    a, b = (Setting(replace(CONFIG, eps_paths=p)).closed()[0] for p in "AB")
    nu = Setting(CONFIG).nu_now()
    assert a - b == pytest.approx(-nu)


def test_eps_follows_the_violation_level_of_the_updated_policy() -> None:
    # (7) with variant B and a step too short to matter: the sign is that of Q_c' - eps.
    for eps, sign in ((0.05, -1.0), (0.95, 1.0)):
        s = Setting(replace(CONFIG, initial_eps=eps), RmsPropStep(lr=1e-12))
        assert s.closed()[0] * sign > 0.0  # descent raises a low eps and lowers a high one


def test_without_multiplier_the_alpha_objective_is_that_of_meta_sac() -> None:
    # (8) with nu = 0: J_alpha = E_D0[Q_r(s0, deterministic action of phi')], the objective of Meta-SAC.
    s = Setting(replace(CONFIG, initial_nu=1e-300, nu_form="exp", nu_lr=0.0))
    alpha, eps = torch.tensor(s.agent.alpha, requires_grad=True), torch.tensor(s.agent.eps)
    phi, nu = lookahead(s.agent, s.start, s.rule, s.batches, eps, alpha)
    assert float(nu.detach()) < 1e-200
    still = torch.zeros(BATCH, ACTION)
    j_meta_sac = plain_values(s.agent, phi, s.batches.initial, still)[2].mean()
    (expected,) = torch.autograd.grad(j_meta_sac, alpha)
    assert s.closed()[1] == pytest.approx(float(expected), rel=1e-9)


def test_raising_alpha_lowers_the_density_of_the_updated_policy() -> None:
    # d phi'/d alpha = -b_phi grad log pi for plain gradient steps.
    s = Setting(CONFIG, RmsPropStep(lr=1e-3, e=1e3))
    density = [s.values(s.stepped(s.agent.eps, alpha)[0])[0] for alpha in (0.1, 5.0)]
    assert density[1] < density[0]


def test_a_coordinate_without_gradient_gives_a_finite_meta_gradient() -> None:
    grad, square = torch.tensor([0.0, 1.0]), torch.zeros(2)
    _, square = RULE.step(torch.zeros(2), grad, square, 1)
    jacobian = RULE.jacobian(grad, square, 1)
    assert torch.isfinite(meta_gradient(torch.ones(2), jacobian, torch.ones(2)))


def test_rmsprop_jacobian_agrees_with_finite_differences() -> None:
    rng = torch.Generator().manual_seed(3)
    theta, grad, square = torch.rand((3, 10), generator=rng)
    h = 1e-6
    up, _ = RULE.step(theta, grad + h, square, 4)
    down, _ = RULE.step(theta, grad - h, square, 4)
    _, after = RULE.step(theta, grad, square, 4)
    torch.testing.assert_close(RULE.jacobian(grad, after, 4), (up - down) / (2.0 * h), rtol=1e-5, atol=1e-9)


def test_the_first_rmsprop_step_is_as_long_as_the_later_ones() -> None:
    theta, _ = RULE.step(torch.zeros(1), torch.tensor([5.0]), torch.zeros(1), 1)
    assert float(theta) == pytest.approx(-RULE.lr, rel=1e-6)


def test_scalar_adam_equals_torch_adam() -> None:
    value, mine = torch.nn.Parameter(torch.tensor(1.0)), 1.0
    adam, own = torch.optim.Adam([value], lr=0.01, eps=1e-12), ScalarAdam(0.01)
    for grad in (0.3, -0.2, 5.0, 0.01):
        value.grad = torch.tensor(grad)
        adam.step()
        mine += own.step(grad)
    assert mine == pytest.approx(float(value.detach()), rel=1e-9)


@pytest.mark.parametrize("form", ["sigmoid", "exp", "clamp"])
def test_a_knob_starts_where_it_is_set_and_stays_in_its_range(form: str) -> None:
    knob = Knob(form, 0.1, 0.5, lr=0.05)
    assert knob.value == pytest.approx(0.1)
    before = knob.value
    knob.descend(-1.0)
    assert knob.value > before
    for _ in range(500):
        knob.descend(-1.0)
    assert 0.49 < knob.value <= 0.5
    for _ in range(2000):
        knob.descend(1.0)
    assert 0.0 <= knob.value < 0.01


@pytest.mark.parametrize("form", ["sigmoid", "exp"])
def test_a_knob_steps_along_the_slope_of_its_form(form: str) -> None:
    # Adam's first step has length lr in x; its sign and the next moments follow grad * d value / d x
    knob, h = Knob(form, 0.2, 0.9, lr=0.0), 1e-6
    knob.descend(3.0)
    x, slope = knob.x, []
    for side in (h, -h):
        knob.x = x + side
        slope.append(knob.value)
    assert knob.adam.mean == pytest.approx(0.1 * 3.0 * (slope[0] - slope[1]) / (2.0 * h), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, -1.0, 1.5, float("nan")])
def test_a_knob_outside_its_range_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="not within"):
        Knob("exp", value, 1.0, 0.1)
