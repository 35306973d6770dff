"""The subject of an evaluation, as a rule from observation to action: run, checkpoint, bundle or scripted
controller."""

from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from policy_training.experience.environments import full_name
from policy_training.experience.episodes import ActionRule
from policy_training.experience.scripted import scripted_controller
from policy_training.networks.plain import plain_policy
from policy_training.runs.trained import load_policy
from sim.pouring.deployed_config import pouring_bundle
from spillguard_core.bundle.bundle import Bundle

DEFAULT_ENV = "spillguard/PourCoffee-v0"


@dataclass(frozen=True)
class Subject:
    """What is evaluated."""

    rule: ActionRule  # obs (O,) -> action (A,)
    env: str
    origin: dict[str, object]
    folder: Path
    run: Path | None = None  # where it was trained
    bundle: Path | None = None  # where it was exported to


def subject(policy: str, env: str | None = None) -> Subject:
    """The policy that a command line names; `env` is that of the scripted controller."""
    if policy == "scripted":
        env = full_name(env or DEFAULT_ENV)
        origin: dict[str, object] = {"policy": "scripted", "env": env}
        return Subject(scripted_controller(env), env, origin, Path("runs/evaluation/scripted"))
    path = Path(policy)
    if (path / "manifest.json").is_file():
        bundle, rule = deployed(path)
        manifest, folder = bundle.manifest, Path("runs/evaluation") / path.resolve().name
        origin = {
            "policy": "bundle", "env": manifest.task, "threshold": manifest.threshold.value,
            "provenance": asdict(manifest.provenance),
        }  # fmt: skip
        return Subject(rule, manifest.task, origin, folder, bundle=path)
    trained = load_policy(path)
    origin = {
        "policy": trained.checkpoint.name, "run": trained.run.name, "algo": trained.config.algo,
        "env": trained.config.env, "training_seed": trained.config.seed, "training_steps": trained.step,
        "training": trained.provenance, "action_bounds": trained.spaces.action_bounds,
    }  # fmt: skip
    rule, folder = plain_policy(trained.policy.actor), trained.run / "evaluation"
    return Subject(rule, trained.config.env, origin, folder, trained.run)


@cache
def deployed(path: Path) -> tuple[Bundle, ActionRule]:
    """A bundle and its policy for one observation; loaded once in a process."""
    bundle = pouring_bundle(path)
    return bundle, lambda obs: bundle.policy(obs[None])[0]
