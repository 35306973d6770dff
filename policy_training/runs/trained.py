"""A trained policy, from a run's folder or a checkpoint."""

from dataclasses import dataclass
from pathlib import Path

from policy_training.algorithms import resolve
from policy_training.checkpoint import State, load
from policy_training.experience.spaces import Spaces
from policy_training.files import read_json
from policy_training.networks.filtered import acting
from policy_training.networks.gaussian import GaussianActor
from policy_training.networks.squashed import Actor, DeterministicPolicy, EnsembleCritic, SafetyCritic
from policy_training.runs.config import RunConfig


@dataclass(frozen=True)
class TrainedPolicy:
    """A trained policy for evaluation and export."""

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
    path = Path(path).expanduser()
    run = path if path.is_dir() else path.parent
    if path.is_dir():
        found = [p for p in (path / "best.pt", path / "checkpoint.pt") if p.is_file()]
        if not found:
            raise FileNotFoundError(f"{path} holds neither best.pt nor checkpoint.pt; is it a run folder?")
        path = found[0]
    state = load(path)
    state = state.get("networks", state)
    if not (
        isinstance(state, dict)
        and {"config", "policy", "action_size", "safety_critic", "step"} <= state.keys()
    ):
        raise ValueError(f"{path} is no checkpoint of a policy")
    try:
        config, spaces, policy, critic = _built(state)
    except (KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{path} is no checkpoint of a policy of this version: {error}") from error
    origin = run / "provenance.json"
    origin_facts = read_json(origin) if origin.is_file() else {}
    return TrainedPolicy(
        policy, critic, spaces, config, state["step"], state.get("validation", {}), origin_facts, run, path
    )


def _built(state: State) -> tuple[RunConfig, Spaces, DeterministicPolicy, SafetyCritic | None]:
    """Configuration and networks of a checkpoint."""
    config = RunConfig.from_json(state["config"])
    shift, scale = (state["policy"][f"scaling.{k}"].numpy() for k in ("shift", "scale"))
    action_size = state["action_size"]
    spaces = Spaces(len(shift), action_size, shift, scale, state.get("action_bounds"))
    kind = GaussianActor if resolve(config.algo).on_policy else Actor
    actor = kind(spaces, config.algorithm.hidden)
    actor.load_state_dict(state["policy"])
    critic = None
    if state["safety_critic"] is not None:
        layer_norm = getattr(config.algorithm, "layer_norm", False)
        members = getattr(config.algorithm, "critic_members", 2)
        ensemble = EnsembleCritic(spaces, config.algorithm.hidden, members, layer_norm)
        critic = SafetyCritic(ensemble, getattr(config.algorithm, "risk_agg", "max"))
        critic.load_state_dict(state["safety_critic"])
        critic.eval().requires_grad_(False)
    policy = DeterministicPolicy(acting(config.algorithm, actor, critic)).eval().requires_grad_(False)
    return config, spaces, policy, critic
