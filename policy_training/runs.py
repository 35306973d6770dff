"""What a run is: its configuration, its folder, and how a trained one is loaded."""

import dataclasses
import importlib.metadata
import json
import platform
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from policy_training.algorithms import ALGORITHMS, CONFIGS, ON_POLICY, AlgorithmConfig, SacConfig
from policy_training.buffers import MemoryConfig
from policy_training.checkpoint import load, write_atomically
from policy_training.costs import SCALAR
from policy_training.gaussian import GaussianActor
from policy_training.networks import Actor, DeterministicPolicy, EnsembleCritic, SafetyCritic, Spaces

PACKAGES = ("spillguard", "torch", "numpy", "gymnasium", "mujoco", "tyro", "tensorboard")


@dataclass(frozen=True)
class LoopConfig:
    """How experience is gathered and used, whatever the algorithm."""

    steps: int = 100_000
    "Environment steps of the whole run."
    training_env: dict[str, float] = field(default_factory=dict)
    "Keyword arguments of the environment in training and validation, name and number; evaluation uses none."
    warmup: int = 1_000
    "Steps with random actions before the policy acts; no updates before half of them."
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
    "Medium uses the faster matrix product, if it proves accurate to 1e-4 at the start."
    progress: bool = True
    "Show a progress bar."

    def __post_init__(self) -> None:
        if not (self.steps >= 1 and self.envs >= 1 and self.utd >= 0.0 and self.eval_episodes >= 1):
            raise ValueError("steps, envs and eval_episodes must be at least 1, utd at least 0")
        if not (0.0 <= self.noise_correlation < 1.0 and 0.0 <= self.ema_decay < 1.0):
            raise ValueError("noise_correlation and ema_decay must lie in [0, 1)")
        if self.pretrain and not self.prior_episodes:
            raise ValueError("pretrain needs prior episodes; say --prior-episodes N or --pretrain 0")
        if not min(self.eval_every, self.checkpoint_every, self.log_every) >= 1:
            raise ValueError("eval_every, checkpoint_every and log_every must be at least 1")


@dataclass(frozen=True)
class OnPolicyLoop:
    """How an on-policy algorithm gets its experience. A run ends with its steps or its iterations."""

    steps: int = 1_000_000
    "Environment steps of the whole run; 0 counts iterations alone."
    iterations: int = 0
    "Updates of the whole run; 0 counts steps alone."
    samples: int = 20_000
    "Environment steps of one iteration."
    envs: int = 4
    "Environments; each begins every iteration with a reset and takes its share of the steps."
    processes: int = 0
    "Worker processes for them; 0 steps them in this one. The result is the same to the bit."
    training_env: dict[str, float] = field(default_factory=dict)
    "Keyword arguments of the environment in training, name and number; evaluation uses none."
    normalise_obs: bool = True
    "Scale observations by their running mean and deviation."
    checkpoint_every: int = 5
    "Iterations between checkpoints."
    matmul: Literal["highest", "medium"] = "highest"
    "Medium uses the faster matrix product, if it proves accurate to 1e-4 at the start."
    progress: bool = True
    "Show a progress bar."

    def __post_init__(self) -> None:
        if not (self.steps >= 0 and self.iterations >= 0 and self.steps + self.iterations >= 1):
            raise ValueError(f"steps {self.steps} and iterations {self.iterations}: one must be above 0")
        if not (self.samples >= self.envs >= 1 and self.checkpoint_every >= 1):
            raise ValueError("envs and checkpoint_every must be at least 1, samples at least envs")
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
    algorithm: AlgorithmConfig = field(default_factory=SacConfig)

    def __post_init__(self) -> None:
        if isinstance(self.loop, OnPolicyLoop) != (self.algo in ON_POLICY):
            raise ValueError(f"{self.algo} does not go with a {type(self.loop).__name__}")
        pretrain = getattr(self.loop, "pretrain", 0)
        if pretrain and not hasattr(ALGORITHMS[self.algo], "pretrain"):
            raise ValueError(f"{self.algo} has no pretraining; say --pretrain 0")

    @property
    def off_policy(self) -> LoopConfig:
        """The loop of an off-policy algorithm."""
        if not isinstance(self.loop, LoopConfig):
            raise TypeError(f"{self.algo} is on-policy; its loop has no replay")
        return self.loop

    def costs(self) -> tuple[str, ...]:
        """Costs that an off-policy learner must hear of at every step: the scalar one, then named ones."""
        if not hasattr(self.algorithm, "gamma_c"):
            return ()  # it has no safety critics
        return (SCALAR, *(name for name, _ in getattr(self.algorithm, "eps_limits", ())))

    def to_json(self) -> str:
        """Round trip of `from_json`."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @staticmethod
    def from_json(text: str) -> "RunConfig":
        """Round trip of `to_json`."""
        raw = json.loads(text)
        if raw["algo"] not in ALGORITHMS:
            raise ValueError(f"unknown algorithm {raw['algo']!r}; known are {', '.join(ALGORITHMS)}")
        settings = raw["algorithm"]
        settings["hidden"] = tuple(settings["hidden"])
        for limits in {"cost_limits", "eps_limits"} & settings.keys():
            settings[limits] = tuple((name, limit) for name, limit in settings[limits])
        loop = OnPolicyLoop if raw["algo"] in ON_POLICY else LoopConfig
        return RunConfig(
            algo=raw["algo"], env=raw["env"], seed=raw["seed"],
            loop=loop(**raw["loop"]), memory=MemoryConfig(**raw["memory"]),
            algorithm=CONFIGS[raw["algo"]](**settings),
        )  # fmt: skip


def create_run(config: RunConfig, root: Path) -> Path:
    """A fresh folder root/<env>/<algo>/<time>-s<seed> with config.json and provenance.json in it."""
    return run_folder(root / config.env.split("/")[-1] / config.algo, config.seed, config.to_json())


def run_folder(parent: Path, seed: int, config: str) -> Path:
    """A fresh folder parent/<time>-s<seed> with config.json and provenance.json in it."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    run = parent / f"{stamp}-s{seed}"
    count = 1
    while run.exists():
        count += 1
        run = parent / f"{stamp}-s{seed}-{count}"
    run.mkdir(parents=True)
    write_atomically(run / "config.json", config.encode())
    write_atomically(run / "provenance.json", json.dumps(provenance(), indent=2).encode())
    return run


def provenance() -> dict[str, object]:
    """Where a run comes from: versions, commit, command line."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "python": platform.python_version(), "versions": versions, "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "command": [Path(a).name if a.startswith("/") else a for a in sys.argv],
        "machine": platform.machine(),
    }  # fmt: skip


@dataclass(frozen=True)
class TrainedPolicy:
    """A trained policy as evaluation and export need it."""

    policy: DeterministicPolicy  # obs (B, O) -> action (B, A) in [-1, 1]
    safety_critic: SafetyCritic | None  # obs (B, O), action (B, A) -> Q_c (B,) in [0, 1]
    spaces: Spaces
    config: RunConfig
    step: int  # environment steps behind it
    validation: dict[str, float]  # figures it was chosen by; empty if it was not
    provenance: dict[str, object]  # versions, commit, command line of the run
    run: Path
    checkpoint: Path


def load_policy(path: Path | str) -> TrainedPolicy:
    """From a run folder (its best.pt, else its last checkpoint) or from one checkpoint file in it."""
    path = Path(path)
    run = path if path.is_dir() else path.parent
    if path.is_dir():
        found = [p for p in (path / "best.pt", path / "checkpoint.pt") if p.is_file()]
        if not found:
            raise FileNotFoundError(f"{path} holds neither best.pt nor checkpoint.pt; is it a run folder?")
        path = found[0]
    state = load(path)
    state = state.get("networks", state)
    config = RunConfig.from_json(state["config"])
    shift, scale = (state["policy"][f"scaling.{k}"].numpy() for k in ("shift", "scale"))
    action_size = state["action_size"]
    spaces = Spaces(len(shift), action_size, shift, scale)
    kind = GaussianActor if config.algo in ON_POLICY else Actor
    actor = kind(spaces, config.algorithm.hidden)
    actor.load_state_dict(state["policy"])
    critic = None
    if state["safety_critic"] is not None:
        layer_norm = getattr(config.algorithm, "layer_norm", False)
        ensemble = EnsembleCritic(spaces, config.algorithm.hidden, layer_norm=layer_norm)
        critic = SafetyCritic(ensemble, getattr(config.algorithm, "risk_agg", "max"))
        critic.load_state_dict(state["safety_critic"])
        critic.eval().requires_grad_(False)
    policy = DeterministicPolicy(actor).eval().requires_grad_(False)
    origin = run / "provenance.json"
    origin_facts = json.loads(origin.read_text()) if origin.is_file() else {}
    return TrainedPolicy(
        policy, critic, spaces, config, state["step"], state.get("validation", {}), origin_facts, run, path
    )


def _git(*args: str) -> str:
    folder = Path(__file__).resolve().parent
    try:
        done = subprocess.run(
            ("git", *args), cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
