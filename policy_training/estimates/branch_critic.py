"""A critic of the gate's question, fitted to labels from branches of the physics, and how well it tells
them apart.

    (1)  min  E_labels [ -y log q - (1 - y) log(1 - q) ],   q = sigmoid(f(o, a)),  y: a rule is broken

Supervised, an ensemble of E networks that begin differently; the deployed value is their largest, so that
one doubt is enough. Overall figures are flattered by states that are lost already and by
those where nothing can happen: *avertable* rows are those whose label hangs on the action, positive ones
that the fallback would have saved and all that are negative.

Shapes: N labels, E members.
"""

from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu
from torch.nn.functional import binary_cross_entropy_with_logits

from policy_training.experience.spaces import Spaces
from policy_training.networks.squashed import EnsembleCritic, SafetyCritic

JUDGED = 0.15  # of the episodes, on which the best epoch is chosen


class Branches(Protocol):
    """What is fitted."""

    @property
    def obs(self) -> NDArray[np.float32]: ...
    @property
    def action(self) -> NDArray[np.float32]: ...
    @property
    def broken(self) -> NDArray[np.bool_]: ...
    @property
    def doomed(self) -> NDArray[np.bool_]: ...
    @property
    def episode(self) -> NDArray[np.int64]: ...


class FitConfig(NamedTuple):
    """The networks and their training."""

    hidden: tuple[int, ...] = (128, 128)
    members: int = 3
    epochs: int = 60
    batch: int = 256
    lr: float = 1e-3
    weight_decay: float = 1e-4
    seed: int = 0


def fitted(rows: Branches, spaces: Spaces, config: FitConfig) -> SafetyCritic:
    """The critic of the epoch with the lowest cross-entropy (1) on episodes that were kept aside."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    numbers = rng.permutation(np.unique(rows.episode))
    aside = np.isin(rows.episode, numbers[: max(1, round(JUDGED * len(numbers)))])
    if not (rows.broken[~aside].any() and (~rows.broken[~aside]).any()):
        raise ValueError(f"{len(rows.broken)} labels are too few: all of those to fit are alike")
    critic = SafetyCritic(EnsembleCritic(spaces, config.hidden, config.members, layer_norm=True), "max")
    optimizer = torch.optim.AdamW(critic.parameters(), config.lr, weight_decay=config.weight_decay)
    obs, action = torch.as_tensor(rows.obs), torch.as_tensor(rows.action)
    broken = torch.as_tensor(rows.broken.astype(np.float32))
    inside, judged = np.flatnonzero(~aside), np.flatnonzero(aside)
    best, kept = np.inf, {name: value.clone() for name, value in critic.state_dict().items()}

    def loss(part: NDArray[np.intp]) -> torch.Tensor:
        logits = critic.logits(obs[part], action[part])
        return binary_cross_entropy_with_logits(logits, broken[part].expand(len(logits), -1))

    for _ in range(config.epochs):
        order = rng.permutation(inside)
        for first in range(0, len(order), config.batch):
            optimizer.zero_grad()
            loss(order[first : first + config.batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            found = float(loss(judged))
        if found < best:
            best, kept = found, {name: value.clone() for name, value in critic.state_dict().items()}
    critic.load_state_dict(kept)
    return critic.eval().requires_grad_(False)


def values(critic: SafetyCritic, rows: Branches) -> NDArray[np.float64]:
    """Q_c (N,) of the labelled actions."""
    with torch.no_grad():
        found: NDArray[np.float64] = critic(torch.as_tensor(rows.obs), torch.as_tensor(rows.action)).numpy()
    return found.astype(np.float64)


def separation(q_c: NDArray[np.float64], broken: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a bad action is valued higher than a good one. NaN without both."""
    bad, good = q_c[broken], q_c[~broken]
    if not (len(bad) and len(good)):
        return float("nan")
    return float(mannwhitneyu(bad, good).statistic / (len(bad) * len(good)))


class Figures(NamedTuple):
    """How well a critic tells actions apart."""

    labels: int
    broken: int
    avertable: int  # of the broken ones, those that the fallback would have saved
    auc: float
    auc_avertable: float
    recall: float  # of the broken ones, above the threshold
    recall_avertable: float
    false_alarms: float  # share of the others, above it


def figures(q_c: NDArray[np.float64], rows: Branches, threshold: float) -> Figures:
    """Of these values (N,) of the rows at a threshold."""
    saved = rows.broken & ~rows.doomed
    matters = saved | ~rows.broken
    flagged = q_c > threshold

    def share(part: NDArray[np.bool_]) -> float:
        return float(flagged[part].mean()) if part.any() else float("nan")

    return Figures(
        len(q_c), int(rows.broken.sum()), int(saved.sum()), separation(q_c, rows.broken),
        separation(q_c[matters], rows.broken[matters]), share(rows.broken), share(saved), share(~rows.broken),
    )  # fmt: skip
