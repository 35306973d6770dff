"""Everything that decides a meta-training run."""

import dataclasses
import json
from dataclasses import dataclass
from typing import Literal

from policy_training.meta_learning.tasks import find_tasks
from policy_training.optimizers.registry import LEARNED
from policy_training.ranges import COUNT, check_ranges


@dataclass(frozen=True)
class MetaConfig:
    """Learn an optimizer on many agents of small tasks at once."""

    tasks: str = "small_dense_short,small_dense_long"
    "Names of tasks, separated by commas; they have equal weight."
    rule: str = "optim4rl"
    "Which optimizer is learned."
    units: int = 64
    "Agents of each task, with one game each."
    reset_interval: int = 72
    "Meta-iterations between resets of an agent; units are reset in turn."
    pipeline: bool = True
    "Without it units are never reset, so that all have the same age."
    iterations: int = 585
    "Meta-updates of the whole run."
    inner_updates: int = 4
    "Agent updates, each after a rollout, between two meta-updates."
    rollout: int = 20
    "Steps of a game between two agent updates."
    unit_games: int = 1
    "Games that an agent plays at once; more make its gradients less noisy."
    estimator: Literal["truncated", "persistent"] = "truncated"
    "Meta-gradient: of the loss after inner_updates, or by evolution strategies over an agent's whole life."
    std: float = 0.1
    "Standard deviation of the noise on the meta-parameters; persistent only."
    meta_lr: float = 1e-3
    "Adam's rate for the meta-parameters."
    clip: Literal["none", "norm", "elementwise"] = "norm"
    "Meta-gradients are clipped to norm 0.5, or to plus and minus 1 elementwise, or not."
    rescale: float = 0.0
    "Norm to which each task's meta-gradient is scaled before the mean over tasks; 0: no scaling."
    seed: int = 1
    "Seed of everything."
    checkpoint_every: int = 20
    "Meta-iterations between checkpoints."
    progress: bool = True
    "Show a progress bar."

    def __post_init__(self) -> None:
        find_tasks(self.tasks)
        if self.rule not in LEARNED:
            raise ValueError(f"rule is {self.rule!r}; known are {', '.join(LEARNED)}")
        check_ranges(self, iterations=COUNT)
        if self.estimator not in ("truncated", "persistent"):
            raise ValueError(f"estimator is {self.estimator!r}; allowed are truncated and persistent")
        if self.clip not in ("none", "norm", "elementwise"):
            raise ValueError(f"clip is {self.clip!r}; allowed are none, norm and elementwise")

    def to_json(self) -> str:
        """Round trip of `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @staticmethod
    def from_json(text: str) -> "MetaConfig":
        """Round trip of `to_json`."""
        return MetaConfig(**json.loads(text))
