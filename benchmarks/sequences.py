"""Shared by the benchmarks of many random sequences: a gate whose critic accepts everything, and
processes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Annotated, TypeVar

import numpy as np
import tyro
from numpy.typing import NDArray

from benchmarks.bundles import SHIPPED
from policy_training.pool import Pool, ordered
from sim.pouring.deployed_config import deployed_config
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.gate.decision import GateConfig
from spillguard_core.gate.gate import Models

T = TypeVar("T")


@dataclass
class SequenceArgs:
    """Random sequences."""

    sequences: int = 20_000
    """Sequences, an equal share of each kind."""
    seed: int = 0
    """Seed."""
    pool: Annotated[Pool, tyro.conf.arg(prefix_name=False)] = field(default_factory=Pool)
    """Where they run."""
    bundle: Path = SHIPPED
    """Bundle whose limits and world model are used."""


def no_danger(obs: NDArray[np.float32], action: NDArray[np.float32]) -> NDArray[np.float32]:
    """A critic that accepts everything: q_c (B,)."""
    del action
    return np.zeros(len(obs), dtype=np.float32)


def hard_limits_alone(bundle: Path) -> tuple[Models, GateConfig]:
    """The gate as deployed with this bundle, with a critic that accepts everything."""
    loaded = load_bundle(bundle)
    config = deployed_config(loaded, None)
    return replace(loaded.models(config), critic=no_danger), config


def shared_out(
    work: Callable[[Path, int, int], list[T]], args: SequenceArgs, chunk: int, seeds: Callable[[int], int]
) -> Iterator[T]:
    """What `work(bundle, sequences, seed)` gives, `chunk` sequences a seed; `seeds` numbers them."""
    sizes = [min(chunk, args.sequences - first) for first in range(0, args.sequences, chunk)]
    jobs = [(args.bundle, size, seeds(number)) for number, size in enumerate(sizes)]
    return chain.from_iterable(ordered(work, jobs, args.pool))
