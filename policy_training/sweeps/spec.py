"""The runs that a file asks for: options of `spillguard train`, a grid of them, times seeds.

    schema: 1
    title: A threshold by hand or by itself  # optional, as are score and baseline of the page
    seeds: [1, 2, 3]
    grid:                            # or a list of such grids
      algo: [sac_lag, meta_sac_lag]  # every option of `spillguard train`; a list is an axis
      env: spillguard/Nav2D-v0
      steps: 20000
      initial-eps: [0.02, 0.1]

All runs of the first seed come first, so that a cut sweep still compares.
"""

import itertools
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from policy_training.experience.environments import make_env
from policy_training.runs.config import RunConfig
from policy_training.terminal import UsageError
from policy_training.train import DEFAULT_ALGO, parse

SCHEMA = 1
KEYS = ("schema", "title", "score", "baseline", "seeds", "grid")
OWN = ("seed", "seeds", "launcher", "workers", "address", "runs", "resume", "progress", "help")
"""Options of `train` that a sweep sets itself."""


class Cell(NamedTuple):
    """One run that is wanted."""

    label: str
    config: RunConfig


@dataclass(frozen=True)
class Spec:
    """What is trained."""

    cells: tuple[Cell, ...]
    title: str = "Sweep"
    score: str = "return"
    baseline: str = ""


def _plain(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def option_words(options: Mapping[str, Any]) -> Iterator[str]:
    """Options as on the command line. A list holds several words of one option."""
    for name, value in options.items():
        option = name.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{'' if value else 'no-'}{option}"
        else:
            yield f"--{option}"
            yield from map(str, value) if isinstance(value, list) else shlex.split(str(value))


def options_of(raw: Any) -> dict[str, Any]:
    """A mapping of options of `spillguard train`, by their names on the command line."""
    if not (isinstance(raw, dict) and raw and all(isinstance(name, str) for name in raw)):
        raise ValueError(f"needed are options of `spillguard train` with their values, got {raw!r}")
    named = {name.replace("_", "-"): value for name, value in raw.items()}
    if len(named) < len(raw):
        raise ValueError(f"an option is there twice: {', '.join(raw)}")
    for name in named:
        if name in OWN:
            raise ValueError(f"{name} cannot be set here; seeds stand beside the options")
    return named


def seeds_of(raw: Any) -> tuple[int, ...]:
    """Different whole numbers."""
    whole = isinstance(raw, list) and raw and all(type(seed) is int and seed >= 0 for seed in raw)
    if not (whole and len(set(raw)) == len(raw)):
        raise ValueError(f"seeds is {raw!r}; needed is a list of different whole numbers")
    return tuple(raw)


def _points(raw: Any) -> Iterator[dict[str, Any]]:
    """Every point of one grid, as options by name."""
    grid = options_of(raw)
    for name, value in grid.items():
        if value is None or value == [] or isinstance(value, dict):
            raise ValueError(f"{name} is {value!r}; allowed are a value or a list of them")
    axes = [value if isinstance(value, list) else [value] for value in grid.values()]
    for point in itertools.product(*axes):
        yield dict(zip(grid, point, strict=True))


def _label(point: Mapping[str, Any], points: Sequence[Mapping[str, Any]]) -> str:
    """The algorithm, and the options in which its points differ."""
    alike = [p for p in points if p.get("algo") == point.get("algo")]
    vary = [n for n in point if n not in ("algo", "env") and len({_plain(p.get(n)) for p in alike}) > 1]
    return ", ".join([str(point.get("algo", DEFAULT_ALGO)), *(f"{n} {_plain(point[n])}" for n in vary)])


def read_spec(path: Path) -> Spec:
    """The runs that a file asks for. ValueError, with the file's name, if it asks for none that could be."""
    try:
        raw = yaml.safe_load(path.read_text())
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is no YAML: {error}") from error
    try:
        return _spec(raw)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {error}") from error


def _spec(raw: Any) -> Spec:
    if not isinstance(raw, dict) or not {"schema", "seeds", "grid"} <= raw.keys() <= {*KEYS}:
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"needed are schema, seeds, grid; allowed are {', '.join(KEYS)}; got {got}")
    if raw["schema"] != SCHEMA:
        raise ValueError(f"schema is {raw['schema']!r}; this version reads {SCHEMA}")
    grids = raw["grid"] if isinstance(raw["grid"], list) else [raw["grid"]]
    points = [point for grid in grids for point in _points(grid)]
    if not points:
        raise ValueError("grid is empty: there is nothing to train")
    labelled = [(_label(point, points), configuration(point)) for point in points]
    count = Counter(config.to_json() for _, config in labelled)
    twice = [label for label, config in labelled if count[config.to_json()] > 1]
    if twice:
        raise ValueError(f"the same run is asked for twice: {twice[0]}")
    seeds = seeds_of(raw["seeds"])
    cells = [Cell(label, replace(config, seed=seed)) for seed in seeds for label, config in labelled]
    told = {name: str(raw[name]) for name in ("title", "score", "baseline") if name in raw}
    return Spec(tuple(cells), **told)


def configuration(point: Mapping[str, Any]) -> RunConfig:
    """What `spillguard train` makes of these options."""
    words = list(option_words(point))
    try:
        args = parse(words)
        make_env(args.env).close()
    except UsageError as error:
        said = str(error).removesuffix("; spillguard train see --help")
        raise ValueError(f"{shlex.join(words)}: {said}") from error
    return RunConfig(args.algo, args.env, args.seed, args.loop, args.memory, args.algorithm)
