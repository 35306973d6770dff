"""`spillguard meta-train`: learn an optimizer on small tasks and save it for `--optimizer`."""

import dataclasses
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from policy_training.meta_learning.config import MetaConfig
from policy_training.meta_learning.meta_trainer import OPTIMIZER, meta_train
from policy_training.processor import set_processor
from policy_training.runs import run_folder
from policy_training.terminal import complain


@dataclass(frozen=True)
class MetaTrainArguments:
    """Learn an optimizer on many agents of small tasks, from scratch."""

    config: MetaConfig
    seeds: tuple[int, ...] = ()
    "Several meta-seeds, one run each; replaces seed."
    runs: Path = Path("runs/meta_train")
    "Folder of the runs."
    resume: Path | None = None
    "Run folder to continue; its own configuration holds, except for --iterations."


def create_meta_run(config: MetaConfig, root: Path) -> Path:
    """A fresh folder root/<tasks>/<rule>/<time>-s<seed> with config.json and provenance.json in it."""
    return run_folder(root / config.tasks.replace(",", "+") / config.rule, config.seed, config.to_json())


def resume_meta_run(run: Path, iterations: int | None) -> Path:
    """Continue a run."""
    if not (run / "config.json").is_file():
        raise FileNotFoundError(f"{run} is no run folder: it has no config.json")
    config = MetaConfig.from_json((run / "config.json").read_text())
    if iterations is not None:
        config = dataclasses.replace(config, iterations=iterations)
    meta_train(config, run, resume=True)
    return run


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0 when every run came to its end or was interrupted in good order."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    words, console = sys.argv[1:] if arguments is None else list(arguments), Console()
    set_processor()
    try:
        args = tyro.cli(
            Annotated[MetaTrainArguments, tyro.conf.OmitArgPrefixes], prog="spillguard meta-train",
            args=words, default=MetaTrainArguments(MetaConfig()),
        )  # fmt: skip
        if args.resume is not None:
            given = "--iterations" in words
            runs = [resume_meta_run(args.resume, args.config.iterations if given else None)]
        else:
            runs = []
            for seed in args.seeds or (args.config.seed,):
                config = dataclasses.replace(args.config, seed=seed)
                runs.append(create_meta_run(config, args.runs))
                meta_train(config, runs[-1])
        for run in runs:
            console.print(f"run: {run}\nuse it: --optimizer optim4rl:{run / OPTIMIZER}", soft_wrap=True)
    except (ValueError, FileNotFoundError, FloatingPointError) as error:
        return complain("meta-train", error)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
