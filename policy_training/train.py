"""`spillguard train`: pick the preset, parse what overrides it, run the loop."""

import argparse
import dataclasses
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import tyro
from rich.console import Console

from policy_training.algorithms import OFF_POLICY, ON_POLICY, resolve
from policy_training.experience.environments import full_name, make_env
from policy_training.experience.replay import MemoryConfig
from policy_training.interruption import InterruptedTrainingError, interruptible
from policy_training.many_runs import follow, silent
from policy_training.option_groups import grouped, split, whole
from policy_training.pool import Pool, ordered
from policy_training.processor import set_processor
from policy_training.runs.config import LoopConfig, OnPolicyLoop, RunConfig, read_config
from policy_training.runs.folder import create_run
from policy_training.runs.presets import preset
from policy_training.terminal import UsageError, parsed, subcommand
from sim.registration import ENVIRONMENTS

L = TypeVar("L")
C = TypeVar("C")
DEFAULT_ALGO, DEFAULT_ENV = "meta_sac_lag", "spillguard/PourCoffee-v0"
KNOWN_ALGORITHMS = (
    f"Algorithm: off-policy {', '.join(OFF_POLICY)}; on-policy {', '.join(ON_POLICY)}; or one of yours as "
    "module:Class (CONTRIBUTING.md)."
)
KNOWN_ENVIRONMENTS = (
    f"Environment: {', '.join(ENVIRONMENTS)}; or any other of Gymnasium whose observations and actions are "
    "vectors, by its id, or by module:Id, which imports the module that registers it (docs/own_task.md)."
)
EXTENSIBLE = ("steps", "iterations", "checkpoint_every", "log_every", "progress")
"""Options that may change on resume."""


@dataclass(frozen=True)
class TrainArguments(Generic[L, C]):
    """Train a policy. Defaults below are those of the chosen algorithm and environment."""

    loop: L
    memory: MemoryConfig
    algorithm: C
    algo: Annotated[str, tyro.conf.arg(help=KNOWN_ALGORITHMS)] = DEFAULT_ALGO
    env: Annotated[str, tyro.conf.arg(help=KNOWN_ENVIRONMENTS)] = DEFAULT_ENV
    seed: int = 1
    "Seed of everything."
    seeds: tuple[int, ...] = ()
    "Several seeds, one run each; replaces seed."
    pool: Pool = field(default_factory=lambda: Pool(1))
    runs: Path = Path("runs")
    "Folder of the runs."
    resume: Path | None = field(default=None)
    "Run folder to continue. Its own configuration holds; only steps or iterations can change its end."


@dataclass(frozen=True)
class OnPolicyArguments(TrainArguments[L, C]):
    """Train a policy. Defaults below are those of the chosen algorithm and environment."""

    memory: tyro.conf.Suppress[MemoryConfig]  # has no replay memory


def parse(arguments: Sequence[str]) -> TrainArguments:
    """Command line -> arguments. --algo and --env, or the run to resume, are read first: they decide the
    defaults."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    first.add_argument("--algo", default=DEFAULT_ALGO)
    first.add_argument("--env", default=DEFAULT_ENV)
    first.add_argument("--resume", type=Path)
    try:
        known, _ = first.parse_known_args([a for a in arguments if a not in ("-h", "--help")])
    except argparse.ArgumentError as error:
        raise UsageError(str(error)) from error
    chosen = read_config(known.resume) if known.resume else preset(known.algo, known.env)
    arguments_of = OnPolicyArguments if resolve(chosen.algo).on_policy else TrainArguments
    loop, algorithm = grouped(type(chosen.loop), "loop"), grouped(type(chosen.algorithm), chosen.algo)
    kind: Any = arguments_of[loop, algorithm]  # type: ignore[index]
    default = kind(
        loop=split(chosen.loop, loop), memory=chosen.memory, algorithm=split(chosen.algorithm, algorithm),
        algo=chosen.algo, env=chosen.env, seed=chosen.seed,
    )  # fmt: skip
    args: TrainArguments = parsed(
        kind, arguments, "spillguard train", default=default, description=TrainArguments.__doc__
    )
    try:
        loop_config = whole(args.loop, type(chosen.loop))
        algorithm_config = whole(args.algorithm, type(chosen.algorithm))
    except ValueError as error:
        raise UsageError(str(error)) from error
    args = dataclasses.replace(args, env=full_name(args.env), loop=loop_config, algorithm=algorithm_config)
    if known.resume:
        refuse_changes(args, dataclasses.replace(default, loop=chosen.loop, algorithm=chosen.algorithm))
    return args


def refuse_changes(args: TrainArguments, run: TrainArguments) -> None:
    """ValueError for options that may not change on resume: it would be another run."""
    given = settings(args) | {"resume": None}
    other = [name for name, value in settings(run).items() if value != given[name] and name not in EXTENSIBLE]
    if other:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in other)
        allowed = ", ".join(f"--{name.replace('_', '-')}" for name in EXTENSIBLE)
        raise ValueError(f"{names}: a resumed run keeps its configuration; it takes {allowed} alone")


def settings(args: TrainArguments) -> dict[str, Any]:
    """Every option by its name on the command line."""
    groups = {name: getattr(args, name) for name in ("loop", "memory", "algorithm", "pool")}
    own = {f.name: getattr(args, f.name) for f in dataclasses.fields(args) if f.name not in groups}
    inner = [{f.name: getattr(group, f.name) for f in dataclasses.fields(group)} for group in groups.values()]
    return {name: value for part in (own, *inner) for name, value in part.items()}


def run_seed(config: RunConfig, root: Path) -> Path:
    """One complete run in this process."""
    set_processor(config.loop.matmul)
    run = create_run(config, root)
    follow(config)(config, run)
    return run


def resume_run(run: Path, loop: LoopConfig | OnPolicyLoop) -> Path:
    """Resume a run with this loop."""
    config = dataclasses.replace(read_config(run), loop=loop)
    set_processor(config.loop.matmul)
    follow(config)(config, run, resume=True)
    return run


@subcommand("train")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when every run is complete or was interrupted and saved."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    args, console = parse(words), Console(markup=False)
    if args.resume is not None:
        runs = iter([resume_run(args.resume, args.loop)])
    else:
        make_env(args.env).close()
        config = RunConfig(args.algo, args.env, args.seed, args.loop, args.memory, args.algorithm)
        configs = [dataclasses.replace(config, seed=s) for s in args.seeds or (args.seed,)]
        runs = launch(configs, args.runs, args.pool)
    for run in runs:
        console.print(f"run: {run}", soft_wrap=True)
    return 0


def launch(configs: Sequence[RunConfig], root: Path, pool: Pool) -> Iterator[Path]:
    """All runs. An interruption ends those under way, which save themselves, and begins no other."""
    if not pool.here:
        configs = [silent(config) for config in configs]
    with interruptible(), suppress(InterruptedTrainingError):
        yield from ordered(run_seed, [(config, root.resolve()) for config in configs], pool)


if __name__ == "__main__":
    raise SystemExit(main())
