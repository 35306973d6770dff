"""`spillguard espo-study`: CRPO, PCRPO and ESPO on ESPO's tasks at a reduced number of iterations.

Then the control that the paper lacks: PCRPO whose constant batch is the mean that ESPO had with the same
seed. It separates the effect of smaller batches from that of choosing them by conflict. Each run is a normal
run folder. An interrupted one is resumed, a complete one is not repeated.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from policy_training.checkpoint import load
from policy_training.many_runs import Wanted, finished, run_of, train_all
from policy_training.pool import Pool
from policy_training.runs.config import OnPolicyLoop, RunConfig
from policy_training.runs.paper_presets import ITERATIONS, SAFETY_MUJOCO, SAFETY_START
from policy_training.runs.presets import preset
from policy_training.terminal import parsed, subcommand
from studies.espo_page import CONTROL, read, write_page

ALGOS = ("crpo", "pcrpo", "espo")


@dataclass(frozen=True)
class EspoStudyArguments:
    """Train CRPO, PCRPO, ESPO and the control on ESPO's tasks, and write a page of it."""

    tasks: tuple[str, ...] = tuple(SAFETY_MUJOCO)
    "Gymnasium ids of environments that have presets."
    algos: tuple[str, ...] = ALGOS
    "Any of crpo, pcrpo, espo. The control is of pcrpo, and waits for espo's runs."
    seeds: tuple[int, ...] = (1, 2, 3)
    "Training seeds."
    iterations: int = 50
    "Updates of every run; the paper has 500. The safety start is scaled with them."
    base: int | None = None
    "X [steps] instead of the paper's."
    envs: int = 1
    "Environments of a run; each must be able to finish an episode in its share of the smallest batch."
    pool: Pool = field(default_factory=Pool)
    control: bool = True
    "Train the control, too."
    runs: Path = Path("runs/espo_study")
    "Folder of the runs."
    page: Path = Path("docs/results/espo.md")
    "Page to write, its pictures beside it; prose is taken from NAME.notes.md, if there is one."
    page_only: bool = False
    "Train nothing."

    def __post_init__(self) -> None:
        unknown = set(self.algos) - set(ALGOS)
        if unknown:
            raise ValueError(f"unknown algorithm {', '.join(sorted(unknown))}; known are {', '.join(ALGOS)}")
        if not min(self.iterations, self.envs) >= 1:
            raise ValueError("iterations and envs must be at least 1")


def study_config(args: EspoStudyArguments, algo: str, env: str, seed: int, samples: int = 0) -> RunConfig:
    """The paper's configuration with fewer iterations. `samples`, where above 0, replaces the base."""
    config = preset(algo, env, seed)
    assert isinstance(config.loop, OnPolicyLoop)
    loop = replace(
        config.loop, steps=0, iterations=args.iterations, samples=samples or args.base or config.loop.samples,
        envs=args.envs, processes=0, checkpoint_every=2, progress=False,
    )  # fmt: skip
    settings = config.algorithm
    if getattr(settings, "safety_start", 0):
        start = round(SAFETY_START * args.iterations / ITERATIONS)
        settings = replace(settings, safety_start=start)  # type: ignore[call-arg,arg-type]
    return replace(config, loop=loop, algorithm=settings)


def jobs(args: EspoStudyArguments) -> list[Wanted]:
    """The grid. Seeds come first, so that an unfinished study has complete comparisons."""
    return [
        (study_config(args, algo, env, seed), args.runs)
        for seed in args.seeds
        for env in args.tasks
        for algo in args.algos
    ]


def control_jobs(args: EspoStudyArguments) -> list[Wanted]:
    """PCRPO with ESPO's mean batch, for every complete ESPO run."""
    found = []
    for seed in args.seeds:
        for env in args.tasks:
            config = study_config(args, "espo", env, seed)
            run = run_of(config, args.runs)
            if run is not None and finished(run, config):
                samples = round(load(run / "checkpoint.pt")["step"] / args.iterations)
                found.append((study_config(args, "pcrpo", env, seed, samples), args.runs / CONTROL))
    return found


@subcommand("espo-study")
def main(words: Sequence[str]) -> int:
    """Exit status 0 when every run is complete and the page is written."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    console, done = Console(markup=False), True
    args = parsed(EspoStudyArguments, words, "spillguard espo-study")
    if not args.page_only:
        done = train_all(jobs(args), args.pool)
        if done and args.control and "espo" in args.algos:
            done = train_all(control_jobs(args), args.pool)
    runs = [(c.algo, run_of(c, root)) for c, root in jobs(args)]
    runs += [(CONTROL, run_of(c, root)) for c, root in control_jobs(args)]
    found = read(runs)
    write_page(found, args.page)
    console.print(f"{args.page}: {len(found)} runs", soft_wrap=True)
    return 0 if done else 1


if __name__ == "__main__":
    raise SystemExit(main())
