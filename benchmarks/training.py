"""Updates/s of SAC, SAC-Lag and Meta SAC-Lag over each other and over SAC of Stable-Baselines3 and SBX.

Equal networks (256 x 256 ReLU), batch (256), one update per call, one thread, observations and actions of
Hopper's size, the same random transitions. Contenders take turns, in another order each time. Processor time,
which other processes disturb less; with one thread on a quiet machine wall time is equal. Ours runs with the
process settings of `spillguard train`, the peers with their defaults.
"""

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro

from benchmarks.record import Ratio, report
from benchmarks.sac_peers import ACTIONS, OBS, TRANSITIONS, transitions
from policy_training.algorithms import CONFIGS, OFF_POLICY
from policy_training.experience.replay import Memory, MemoryConfig
from policy_training.experience.spaces import Spaces
from policy_training.processor import set_processor

WIDTH, BATCH = 256, 256
Contender = Callable[[int], float]  # number of updates -> [s]


@dataclass
class TrainingBenchArguments:
    """Benchmark of the gradient updates."""

    repeats: int = 9
    """Turns of every contender."""
    updates: int = 60
    """Updates in a turn."""
    sbx_python: Path | None = None
    """A Python with sbx-rl (its pins differ from ours); without it SBX is left out."""


def ours(name: str, precision: str) -> Contender:
    """One of our algorithms at a precision of torch's float32 matmul."""
    data = transitions(seed=0)
    memory = Memory(OBS, ACTIONS, seed=0, config=MemoryConfig(capacity=TRANSITIONS))
    memory.add(**data)
    memory.add_initial(data["obs"][:500])
    algorithm = OFF_POLICY[name](
        Spaces.unscaled(OBS, ACTIONS), CONFIGS[name](hidden=(WIDTH, WIDTH), batch_size=BATCH), seed=0
    )

    def run(updates: int) -> float:
        torch.set_float32_matmul_precision(precision)
        start = time.process_time()
        for _ in range(updates):
            algorithm.update(memory)
        return time.process_time() - start

    return run


def peer(name: str, precision: str, python: Path) -> Contender:
    """A peer's SAC in a child process on one core."""
    child = subprocess.Popen(
        [python, Path(__file__).parent / "sac_peers.py", name, precision],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip

    def ask(line: str) -> str:
        assert child.stdin and child.stdout  # both are pipes
        child.stdin.write(line)
        child.stdin.flush()
        answer = child.stdout.readline()
        if not answer:
            raise RuntimeError(f"{name} in {python} ended with status {child.wait()}; is it installed there?")
        return answer

    ask(f"{WIDTH}\n{BATCH}\n")
    return lambda updates: float(ask(f"{updates}\n"))


def measured(contenders: dict[str, Contender], args: TrainingBenchArguments) -> dict[str, list[float]]:
    """Updates/s (repeats) of every contender, in turns."""
    names = list(contenders)
    for name in names:
        contenders[name](10)
    rates: dict[str, list[float]] = {name: [] for name in names}
    rng = np.random.default_rng(0)
    for _ in range(args.repeats):
        for index in rng.permutation(len(names)):
            name = names[index]
            rates[name].append(args.updates / contenders[name](args.updates))
    return rates


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(TrainingBenchArguments)
    set_processor()
    contenders = {
        f"{name} {precision}": ours(name, precision)
        for precision in ("medium", "highest")
        for name in OFF_POLICY
    }
    contenders |= {
        f"sb3 {precision}": peer("sb3", precision, Path(sys.executable))
        for precision in ("medium", "highest")
    }
    if args.sbx_python:
        contenders["sbx"] = peer("sbx", "highest", args.sbx_python)
    rates = measured(contenders, args)

    def ratio(name: str, over: str, aim: float | None) -> Ratio:
        values = [a / b for a, b in zip(rates[name], rates[over], strict=True)]
        return Ratio(f"{name} / {over}", values, aim)

    ratios = [
        ratio("sac medium", "sb3 highest", 2.0),
        ratio("sac_lag medium", "sb3 highest", 1.0),
        ratio("meta_sac_lag medium", "sac_lag medium", 0.8),
        ratio("sac medium", "sb3 medium", None),
        ratio("sac highest", "sb3 highest", None),
        ratio("sac_lag highest", "sb3 highest", None),
        ratio("meta_sac_lag highest", "sac_lag highest", None),
    ]
    if "sbx" in rates:
        ratios.insert(1, ratio("sac medium", "sbx", 1.0))
    figures = {f"{name}, updates/s (median)": f"{np.median(values):.0f}" for name, values in rates.items()}
    if "sbx" not in rates:
        figures["sbx"] = "left out: give --sbx-python, a Python with sbx-rl"
    figures["medium, highest"] = "torch's float32 matmul precision; highest is torch's default"
    report("training", ratios, figures, ("torch", "stable-baselines3", "numpy"))


if __name__ == "__main__":
    main()
