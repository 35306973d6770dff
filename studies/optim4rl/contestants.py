"""The contestants of a meta-study: hand-made rules, untrained ones, and meta-trained ones."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from policy_training.checkpoint import load
from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.meta_train import create_meta_run
from policy_training.meta_learning.meta_trainer import OPTIMIZER, meta_train
from policy_training.optimizers.learned import Learned, load_optimizer, parse_optimizer, save_optimizer
from policy_training.optimizers.registry import LEARNED

logger = logging.getLogger(__name__)
HAND_MADE = {"Adam": "adam", "RMSProp": "rmsprop", "sign descent": "sign"}
UNTRAINED = "Optim4RL, untrained"
NAMES = {"optim4rl": "Optim4RL", "linear": "LinearOptim", "l2lgd2": "L2LGD2", "star": "STAR"}


@dataclass(frozen=True)
class Contestant:
    """An optimizer under a label; several meta-seeds share one."""

    label: str
    meta_seed: int
    learned: Learned
    text: str  # for --optimizer


def label_of(config: MetaConfig) -> str:
    """The label of a trained optimizer."""
    name = NAMES.get(config.rule, config.rule)
    return name if config.pipeline else f"{name}, no pipeline"


def meta_run_of(config: MetaConfig, root: Path) -> Path | None:
    """The run folder with this configuration, if there is one."""
    for path in sorted((root / config.tasks.replace(",", "+") / config.rule).glob("*/config.json")):
        try:
            if replace(MetaConfig.from_json(path.read_text()), progress=config.progress) == config:
                return path.parent
        except (TypeError, ValueError):  # written by another version
            logger.warning("%s is not read: its configuration is of another version", path.parent)
    return None


def complete_meta(config: MetaConfig, root: Path) -> Path | None:
    """Start the run, resume it, or leave a complete one. None if it was interrupted."""
    run = meta_run_of(config, root)
    if run is not None and finished(run, config):
        return run
    run = run or create_meta_run(config, root)
    logger.info("%s, meta-seed %d: %s", label_of(config), config.seed, run)
    return run if meta_train(config, run, resume=True) else None


def finished(run: Path, config: MetaConfig) -> bool:
    """Whether the run has all its meta-iterations."""
    path = run / "checkpoint.pt"
    return path.is_file() and load(path)["iteration"] >= config.iterations


def hand_made() -> list[Contestant]:
    """Rules without meta-parameters."""
    return [Contestant(label, 0, parse_optimizer(text), text) for label, text in HAND_MADE.items()]


def untrained(seeds: Sequence[int], root: Path) -> list[Contestant]:
    """Optim4RL as meta-training with these seeds begins."""
    found = []
    for seed in seeds:
        phi = LEARNED["optim4rl"].initial(torch.Generator().manual_seed(seed))
        learned = Learned("optim4rl", phi, provenance={"untrained": seed})
        path = root / f"untrained-s{seed}.pt"
        root.mkdir(parents=True, exist_ok=True)
        save_optimizer(path, learned)
        found.append(Contestant(UNTRAINED, seed, learned, f"optim4rl:{path}"))
    return found


def trained(config: MetaConfig, root: Path) -> Contestant | None:
    """The optimizer in a complete run's folder; None if there is none."""
    run = meta_run_of(config, root)
    if run is None or not finished(run, config):
        return None
    path = run / OPTIMIZER
    return Contestant(label_of(config), config.seed, load_optimizer(path), f"{config.rule}:{path}")
