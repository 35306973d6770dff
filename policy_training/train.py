"""`spillguard train`: pick the preset, parse what overrides it, run the loop."""

import argparse
import dataclasses
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import tyro
from rich.console import Console

from policy_training.algorithms import ON_POLICY
from policy_training.buffers import MemoryConfig
from policy_training.episodes import make_env
from policy_training.loops import train
from policy_training.on_policy_loop import train_on_policy
from policy_training.presets import preset
from policy_training.processor import set_processor
from policy_training.runs import RunConfig, create_run
from policy_training.terminal import complain

L = TypeVar("L")
C = TypeVar("C")
DEFAULT_ALGO, DEFAULT_ENV = "meta_sac_lag", "spillguard/PourCoffee-v0"


@dataclass(frozen=True)
class TrainArguments(Generic[L, C]):
    """Train a policy. Defaults below are those of the chosen algorithm and environment."""

    loop: L
    memory: MemoryConfig
    algorithm: C
    algo: str = DEFAULT_ALGO
    "Algorithm."
    env: str = DEFAULT_ENV
    "Gymnasium id of the environment."
    seed: int = 1
    "Seed of everything."
    seeds: tuple[int, ...] = ()
    "Several seeds, one run each; replaces seed."
    launcher: Literal["local", "ray"] = "local"
    "With several seeds: one after the other here, or side by side on Ray (pip extra ray)."
    runs: Path = Path("runs")
    "Folder of the runs."
    resume: Path | None = field(default=None)
    "Run folder to continue; its own configuration holds, except for --steps."


@dataclass(frozen=True)
class OnPolicyArguments(TrainArguments[L, C]):
    """Train a policy. Defaults below are those of the chosen algorithm and environment."""

    memory: tyro.conf.Suppress[MemoryConfig]  # forgets at every iteration


def parse(arguments: Sequence[str]) -> TrainArguments:
    """Command line -> arguments; --algo and --env decide the defaults, so they are read first."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--algo", default=DEFAULT_ALGO)
    first.add_argument("--env", default=DEFAULT_ENV)
    known, _ = first.parse_known_args([a for a in arguments if a not in ("-h", "--help")])
    chosen = preset(known.algo, known.env)
    arguments_of = OnPolicyArguments if known.algo in ON_POLICY else TrainArguments
    kind: Any = arguments_of[type(chosen.loop), type(chosen.algorithm)]  # type: ignore[index]
    default = kind(
        loop=chosen.loop, memory=chosen.memory, algorithm=chosen.algorithm, algo=known.algo, env=known.env
    )
    args: TrainArguments = tyro.cli(
        kind, config=(tyro.conf.OmitArgPrefixes,), default=default, args=list(arguments),
        prog="spillguard train", description=TrainArguments.__doc__,
    )  # fmt: skip
    return args


def run_seed(config: RunConfig, root: Path) -> Path:
    """One whole run in this process."""
    set_processor(config.loop.matmul)
    run = create_run(config, root)
    follow(config)(config, run)
    return run


def follow(config: RunConfig) -> Callable[..., bool]:
    """The loop that goes with the algorithm."""
    return train_on_policy if config.algo in ON_POLICY else train


def resume_run(arguments: TrainArguments, steps: int | None) -> Path:
    """Continue a run."""
    run = arguments.resume
    if run is None or not (run / "config.json").is_file():
        raise FileNotFoundError(f"{run} is no run folder: it has no config.json")
    config = RunConfig.from_json((run / "config.json").read_text())
    if steps is not None:
        config = dataclasses.replace(config, loop=dataclasses.replace(config.loop, steps=steps))
    set_processor(config.loop.matmul)
    follow(config)(config, run, resume=True)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when every run came to its end or was interrupted in good order."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    console = Console()
    try:
        args = parse(arguments)
        if args.resume is not None:
            run = resume_run(args, args.loop.steps if "--steps" in arguments else None)
            console.print(f"run: {run}", soft_wrap=True)
            return 0
        make_env(args.env).close()
        config = RunConfig(args.algo, args.env, args.seed, args.loop, args.memory, args.algorithm)
        configs = [dataclasses.replace(config, seed=s) for s in args.seeds or (args.seed,)]
        for run in launch(configs, args.runs, args.launcher):
            console.print(f"run: {run}", soft_wrap=True)
    except (ValueError, FileNotFoundError, FloatingPointError, ModuleNotFoundError) as error:
        return complain("train", error)
    return 0


def launch(configs: Sequence[RunConfig], root: Path, launcher: str) -> list[Path]:
    """All runs, here or on Ray."""
    if launcher == "local" or len(configs) == 1:
        return [run_seed(c, root) for c in configs]
    try:
        import ray
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--launcher ray needs Ray: pip install 'spillguard[ray]'") from error
    ray.init(ignore_reinit_error=True)
    task = ray.remote(num_cpus=1)(run_seed)
    quiet = [dataclasses.replace(c, loop=dataclasses.replace(c.loop, progress=False)) for c in configs]
    return ray.get([task.remote(c, root.resolve()) for c in quiet])


if __name__ == "__main__":
    raise SystemExit(main())
