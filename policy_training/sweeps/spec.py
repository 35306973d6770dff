"""The runs that a file asks for: options of `spillguard train`, a grid of them, times seeds.

    schema: 1
    title: A threshold by hand or by itself  # optional, as are score, baseline and common
    seeds: [1, 2, 3]
    common: {steps: 20000}           # options of all grids
    grid:                            # or a list of such grids
      algo: [sac_lag, meta_sac_lag]  # every option of `spillguard train`; a list is an axis
      env: spillguard/Nav2D-v0
      initial-nu: [0.1, 0.5]

All runs of the first seed come first, so that a cut sweep still compares.
"""

import itertools
import math
import shlex
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from policy_training.experience.environments import make_env
from policy_training.runs.config import RunConfig
from policy_training.terminal import UsageError, told
from policy_training.train import DEFAULT_ALGO, DEFAULT_ENV, parse
from spillguard_core.robot.plain_yaml import plain_yaml, read_text

SCHEMA = 1
KEYS = ("schema", "title", "score", "baseline", "seeds", "common", "grid")
OWN = ("seed", "seeds", "launcher", "workers", "address", "runs", "resume", "progress", "help")
"""Options of `train` that a sweep sets itself."""
MOST = 5_000  # runs of one file
LARGEST_SEED = 2**31


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


def _words(value: Any) -> list[str]:
    """A value as on the command line: a list is several words of one option, a mapping names with values."""
    if isinstance(value, dict):
        return [word for pair in value.items() for part in pair for word in _words(part)]
    return [word for part in value for word in _words(part)] if isinstance(value, list) else [str(value)]


def option_words(options: Mapping[str, Any]) -> Iterator[str]:
    """Options as on the command line."""
    for name, value in options.items():
        if isinstance(value, bool):
            yield f"--{'' if value else 'no-'}{name}"
            continue
        yield f"--{name}"
        yield from value.split() if isinstance(value, str) else _words(value)


def options_of(raw: Any) -> dict[str, Any]:
    """A mapping of options of `spillguard train`, by their names on the command line."""
    if not (isinstance(raw, dict) and raw and all(isinstance(name, str) for name in raw)):
        raise ValueError(f"needed are options of `spillguard train` with their values, got {raw!r}")
    named = {name.replace("_", "-"): value for name, value in raw.items()}
    if len(named) < len(raw):
        raise ValueError(f"an option is there twice: {', '.join(raw)}")
    for name, value in named.items():
        if name in OWN:
            raise ValueError(f"{name} cannot be set here; seeds stand beside the options")
        if value is None or value in ([], {}):
            raise ValueError(f"{name} is {value!r}; allowed are a value or a list of them")
    return named


def seeds_of(raw: Any) -> tuple[int, ...]:
    """Different whole numbers."""
    whole = isinstance(raw, list) and raw and all(type(seed) is int for seed in raw)
    if not (whole and len(set(raw)) == len(raw) and all(0 <= seed < LARGEST_SEED for seed in raw)):
        raise ValueError(f"seeds is {raw!r}; needed is a list of different whole numbers from 0 on")
    return tuple(raw)


def _points(grid: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every point of one grid, as options by name."""
    axes = [value if isinstance(value, list) else [value] for value in grid.values()]
    for point in itertools.product(*axes):
        yield dict(zip(grid, point, strict=True))


def _size(grid: Mapping[str, Any]) -> int:
    return math.prod(len(value) if isinstance(value, list) else 1 for value in grid.values())


def _labels(points: Sequence[Mapping[str, Any]]) -> list[str]:
    """The algorithm of each, and the options in which the points of that algorithm differ."""
    algos = [" ".join(_words(point.get("algo", DEFAULT_ALGO))) for point in points]
    seen: dict[tuple[str, str], set[str]] = {}
    names = {name for point in points for name in point} - {"algo", "env"}
    for algo, point in zip(algos, points, strict=True):
        for name in names:
            seen.setdefault((algo, name), set()).add(" ".join(_words(point.get(name, "-"))))

    def told_of(algo: str, point: Mapping[str, Any]) -> str:
        vary = [name for name in point if len(seen.get((algo, name), ())) > 1]
        return ", ".join([algo, *(" ".join([name, *_words(point[name])]) for name in vary)])

    return [told_of(algo, point) for algo, point in zip(algos, points, strict=True)]


def read_spec(path: Path) -> Spec:
    """The runs that a file asks for. ValueError, with the file's name, if it asks for none that could be."""
    try:
        return _spec(plain_yaml(read_text(path)))
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        raise ValueError(f"{path}: {told(error)}") from error


def _spec(raw: Any) -> Spec:
    if not isinstance(raw, dict) or not {"schema", "seeds", "grid"} <= raw.keys() <= {*KEYS}:
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"needed are schema, seeds, grid; allowed are {', '.join(KEYS)}; got {got}")
    if raw["schema"] != SCHEMA:
        raise ValueError(f"schema is {raw['schema']!r}; this version reads {SCHEMA}")
    seeds, common = seeds_of(raw["seeds"]), options_of(raw["common"]) if "common" in raw else {}
    told_grids = raw["grid"] if isinstance(raw["grid"], list) else [raw["grid"]]
    grids = [{**common, **options_of(grid)} for grid in told_grids]
    count = len(seeds) * sum(map(_size, grids))
    if not 0 < count <= MOST:
        raise ValueError(f"grid and seeds ask for {count} runs; allowed are 1 to {MOST}")
    points = [point for grid in grids for point in _points(grid)]
    labelled = list(zip(_labels(points), configurations(points), strict=True))
    twice = Counter((label, config.env.split("/")[-1]) for label, config in labelled)
    for (label, env), times in twice.items():
        if times > 1:
            raise ValueError(f"{label} on {env} is asked for twice, or cannot be told apart")
    cells = [Cell(label, replace(config, seed=seed)) for seed in seeds for label, config in labelled]
    page = [name for name in ("title", "score", "baseline") if raw.get(name)]
    spec = Spec(tuple(cells), **{name: " ".join(str(raw[name]).split()) for name in page})
    labels = list(dict.fromkeys(cell.label for cell in cells))
    if spec.baseline and spec.baseline not in labels:
        raise ValueError(f"baseline is {spec.baseline!r}; allowed are {', '.join(labels)}")
    return spec


def configurations(points: Iterable[Mapping[str, Any]]) -> Iterator[RunConfig]:
    """What `spillguard train` makes of these options. Every environment is made once."""
    known = set[str]()
    for point in points:
        config = configuration(point)
        options = config.loop.training_env
        if (key := f"{config.env} {options}") not in known:
            known.add(key)
            make_env(config.env).close()
            make_env(config.env, options).close()
        yield config


def configuration(point: Mapping[str, Any]) -> RunConfig:
    """What `spillguard train` makes of these options."""
    words = list(option_words({"algo": DEFAULT_ALGO, "env": DEFAULT_ENV, **point}))
    if {"-h", "--help"} & {*words}:
        raise ValueError(f"{shlex.join(words)} asks for help; needed are values")
    try:
        args = parse(words)
    except UsageError as error:
        said = str(error).removesuffix("; spillguard train see --help")
        raise ValueError(f"{shlex.join(words)}: {said}") from error
    return RunConfig(args.algo, args.env, args.seed, args.loop, args.memory, args.algorithm)
