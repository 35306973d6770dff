"""Steps/s of PPO-Lag, CPO and PCPO over OmniSafe's: same task, networks, passes and batch, one thread each.

``python -m benchmarks.on_policy --peer PYTHON``, where PYTHON is the interpreter of an environment that has
OmniSafe (0.5.0 with safety-gymnasium 1.0.0 runs on Python 3.8 to 3.10). Nothing is installed here.

CPU time of whole iterations, experience and update; the peer's is the difference of a long and a short
training, which removes the cost of its start. Without a peer only our figures are printed. No update stops
early in either, because that depends on chance. PPO-Lag's value functions have passes of their own here and
share the policy's there, so both make equally many.
"""

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from rich.console import Console
from rich.progress import track

from benchmarks.on_policy_peer import NOT_INSTALLED
from benchmarks.record import Ratio, report
from policy_training.algorithms import CONFIGS
from policy_training.loops.on_policy import OnPolicyTrainer
from policy_training.processor import set_processor
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.folder import create_run

CHILD = Path(__file__).with_name("on_policy_peer.py")
PEERS = {"ppo_lag": "PPOLag", "cpo": "CPO", "pcpo": "PCPO"}
ENV, PEER_ENV = "spillguard/SafetyHopperVelocity-v0", "SafetyHopperVelocity-v1"
AIM = 2.0


@dataclass(frozen=True)
class OnPolicyBenchArguments:
    """Benchmark of the on-policy family against OmniSafe."""

    peer: Path | None = None
    """Python of an environment that has OmniSafe."""
    repeats: int = 3
    """Repeats; ours and the peer's take turns."""
    iterations: int = 4
    """Iterations that are timed in each."""
    samples: int = 5_000
    """Environment steps of an iteration."""
    passes: int = 10
    """Passes over them in an update."""
    batch: int = 64
    """Steps of a minibatch."""


def our_config(algo: str, args: OnPolicyBenchArguments) -> RunConfig:
    """The same settings as the peer's, seed 1."""
    settings: dict[str, Any] = {"critic_epochs": args.passes, "critic_batch": args.batch}
    if algo == "ppo_lag":
        settings |= {"policy_epochs": args.passes, "policy_batch": args.batch, "target_kl": 1e9}
    loop = OnPolicyLoop(steps=0, iterations=10**6, samples=args.samples, envs=1, progress=False)
    return RunConfig(algo, ENV, 1, loop, algorithm=replace(CONFIGS[algo](), **settings))


def our_seconds(algo: str, args: OnPolicyBenchArguments) -> float:
    """CPU seconds of one environment step, update included."""
    with tempfile.TemporaryDirectory() as folder:
        config = our_config(algo, args)
        trainer = OnPolicyTrainer(config, create_run(config, Path(folder)))
        trainer.iterate()
        start = time.process_time()
        for _ in range(args.iterations):
            trainer.iterate()
        passed = time.process_time() - start
        trainer.sampler.close()
    return passed / (args.iterations * args.samples)


def peer_seconds(algo: str, args: OnPolicyBenchArguments) -> tuple[float, str]:
    """The same of the peer, and its version. RuntimeError if it does not run."""
    found = []
    for epochs in (1, 1 + args.iterations):
        numbers = (epochs, args.samples, args.passes, args.batch)
        command = [str(args.peer), str(CHILD), PEERS[algo], PEER_ENV, *map(str, numbers)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == NOT_INSTALLED:
            raise RuntimeError(f"{done.stderr.strip()}; give --peer the Python of an environment that has it")
        if done.returncode != 0:
            raise RuntimeError(f"the peer failed on {algo}:\n{done.stderr.strip()[-2000:]}")
        found.append(json.loads(done.stderr.strip().splitlines()[-1]))
    passed = found[1]["cpu_seconds"] - found[0]["cpu_seconds"]
    return passed / (args.iterations * args.samples), str(found[0]["version"])


def main() -> None:
    """Print the ratios."""
    args = tyro.cli(OnPolicyBenchArguments)
    set_processor()
    torch.set_num_threads(1)
    ours: dict[str, list[float]] = {algo: [] for algo in PEERS}
    theirs: dict[str, list[float]] = {algo: [] for algo in PEERS}
    version = ""
    for _ in track(range(args.repeats), "repeats"):
        for algo in PEERS:
            ours[algo].append(our_seconds(algo, args))
            if args.peer is not None:
                seconds, version = peer_seconds(algo, args)
                theirs[algo].append(seconds)
    figures = {f"{algo}, ours [steps/s]": f"{1.0 / min(values):.0f}" for algo, values in ours.items()}
    if args.peer is None:
        for name, value in figures.items():
            Console().print(f"{name}: {value}")
        Console().print("no ratio: say --peer PYTHON, the interpreter of an environment that has OmniSafe")
        return
    figures |= {f"{algo}, OmniSafe {version} [steps/s]": f"{1.0 / min(v):.0f}" for algo, v in theirs.items()}
    ratios = [
        Ratio(
            f"{algo} over OmniSafe's {PEERS[algo]}",
            [t / o for o, t in zip(ours[algo], theirs[algo], strict=True)],
            AIM,
        )
        for algo in PEERS
    ]
    report("on_policy", ratios, figures, ("torch", "mujoco", "gymnasium", "numpy"))


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, soft_wrap=True)
        sys.exit(1)
