"""The configuration of a run, and how it is read."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from policy_training.algorithms import resolve
from policy_training.algorithms.sac import SacConfig
from policy_training.experience.costs import SCALAR
from policy_training.experience.replay import MemoryConfig
from policy_training.ranges import COUNT, check_ranges, check_types


@dataclass(frozen=True)
class LoopConfig:
    """How experience is collected and used, for any off-policy algorithm."""

    steps: int = 100_000
    "Environment steps of the whole run."
    training_env: dict[str, float | bool | str] = field(default_factory=dict)
    "Keyword arguments of the environment in training and validation, name and value; evaluation uses none."
    warmup: int = 1_000
    "Steps with random actions before the policy acts; updates begin after half of them."
    envs: int = 1
    "Environments side by side."
    env_processes: bool = False
    "Each environment in a worker process, so that physics overlaps with the gradient step."
    utd: float = 1.0
    "Updates per environment step."
    exploration_noise: Literal["white", "coloured"] = "white"
    "Coloured: the actor's noise is correlated in time."
    noise_correlation: float = 0.9
    "Correlation of coloured noise from one step to the next, in [0, 1)."
    prior_episodes: int = 0
    "Episodes of the scripted controller recorded before training; each batch draws a share from them."
    prior_noise: float = 0.2
    "Standard deviation of the time-correlated noise on the scripted actions."
    pretrain: int = 0
    "Updates on the prior episodes before the first step: critics learn, the policy imitates."
    shaping: float = 0.0
    "Weight of the environment's potential Phi: adds weight * (gamma Phi(s') - Phi(s)) to the reward."
    policy_lr_final: float = 1.0
    "The policy's rate falls linearly to this share of itself."
    ema_decay: float = 0.0
    "Decay per update of an averaged policy, used for validation and export; 0 uses the policy itself."
    eval_every: int = 5_000
    "Steps between validations; the best validated policy is kept as best.pt."
    eval_episodes: int = 20
    "Deterministic episodes per validation, on seeds of their own."
    eval_process: bool = False
    "Validate in a second process while training goes on; results count from the next validation on."
    checkpoint_every: int = 10_000
    "Steps between checkpoints."
    log_every: int = 1_000
    "Steps between rows of progress.csv and TensorBoard."
    matmul: Literal["highest", "medium"] = "highest"
    "Medium uses the faster matrix product, if a check at the start finds it accurate to 1e-4."
    progress: bool = True
    "Show a progress bar."

    def __post_init__(self) -> None:
        check_ranges(self, steps=COUNT)
        if self.pretrain and not self.prior_episodes:
            raise ValueError("pretrain needs prior episodes; say --prior-episodes N or --pretrain 0")


@dataclass(frozen=True)
class OnPolicyLoop:
    """How experience is collected for an on-policy algorithm. A run ends with its steps or its iterations."""

    steps: int = 1_000_000
    "Environment steps of the whole run; 0 counts iterations alone."
    iterations: int = 0
    "Updates of the whole run; 0 counts steps alone."
    samples: int = 20_000
    "Environment steps of one iteration."
    envs: int = 4
    "Environments; each begins every iteration with a reset and takes its share of the steps."
    processes: int = 0
    "Worker processes for them; 0 steps them in this one. The result is bit-equal."
    training_env: dict[str, float | bool | str] = field(default_factory=dict)
    "Keyword arguments of the environment in training, name and value; evaluation uses none."
    normalise_obs: bool = True
    "Scale observations by their running mean and deviation."
    checkpoint_every: int = 5
    "Iterations between checkpoints."
    matmul: Literal["highest", "medium"] = "highest"
    "Medium uses the faster matrix product, if a check at the start finds it accurate to 1e-4."
    progress: bool = True
    "Show a progress bar."

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.steps + self.iterations >= 1:
            raise ValueError(f"steps {self.steps} and iterations {self.iterations}: one must be above 0")
        if not self.samples >= self.envs:
            raise ValueError(f"samples is {self.samples}; it must be at least envs, {self.envs}")
        if not 0 <= self.processes <= self.envs:
            raise ValueError(f"processes is {self.processes}; allowed is 0 to envs, {self.envs}")


@dataclass(frozen=True)
class RunConfig:
    """Everything that decides a run."""

    algo: str
    env: str
    seed: int = 1
    loop: LoopConfig | OnPolicyLoop = field(default_factory=LoopConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    algorithm: Any = field(default_factory=SacConfig)  # of the class that `resolve` names

    def __post_init__(self) -> None:
        check_ranges(self)
        chosen = resolve(self.algo)
        if not isinstance(self.algorithm, chosen.config):
            raise ValueError(f"{self.algo} does not go with a {type(self.algorithm).__name__}")
        if isinstance(self.loop, OnPolicyLoop) != chosen.on_policy:
            raise ValueError(f"{self.algo} does not go with a {type(self.loop).__name__}")
        pretrain = getattr(self.loop, "pretrain", 0)
        if pretrain and not hasattr(chosen.algorithm, "pretrain"):
            raise ValueError(f"{self.algo} has no pretraining; say --pretrain 0")

    @property
    def off_policy(self) -> LoopConfig:
        """The loop of an off-policy algorithm."""
        if not isinstance(self.loop, LoopConfig):
            raise TypeError(f"{self.algo} is on-policy; its loop has no replay")
        return self.loop

    def costs(self) -> tuple[str, ...]:
        """Costs that every step must report to an off-policy learner: the scalar one, then named ones."""
        if not hasattr(self.algorithm, "gamma_c"):
            return ()  # it has no safety critics
        return (SCALAR, *(name for name, _ in getattr(self.algorithm, "eps_limits", ())))

    def to_json(self) -> str:
        """Round trip of `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @staticmethod
    def from_json(text: str) -> "RunConfig":
        """Round trip of `to_json`. ValueError where it is no configuration, or one of another version."""
        try:
            config = RunConfig._from(json.loads(text))
            for part in (config, config.loop, config.memory, config.algorithm):
                check_types(part)
            return config
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"no configuration of this version: {error}") from error

    @staticmethod
    def _from(raw: dict[str, Any]) -> "RunConfig":
        chosen = resolve(raw["algo"])
        settings = raw["algorithm"]
        settings["hidden"] = tuple(settings["hidden"])
        for limits in {"cost_limits", "eps_limits"} & settings.keys():
            settings[limits] = tuple((name, limit) for name, limit in settings[limits])
        loop = OnPolicyLoop if chosen.on_policy else LoopConfig
        return RunConfig(
            algo=raw["algo"], env=raw["env"], seed=raw["seed"],
            loop=loop(**raw["loop"]), memory=MemoryConfig(**raw["memory"]),
            algorithm=chosen.config(**settings),
        )  # fmt: skip


def read_config(run: Path) -> RunConfig:
    """The configuration of a run folder. ValueError or FileNotFoundError with the file's name."""
    path = run / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{run} is no run folder: it has no config.json")
    try:
        return RunConfig.from_json(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
