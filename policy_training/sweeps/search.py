"""What `spillguard tune` looks for: options of `spillguard train` within ranges.

schema: 1
seeds: [1, 2]                       # every trial trains all of them; its value is their mean
options: {algo: sac_lag, env: spillguard/Nav2D-v0, steps: 20000}
search:
  policy-lr: {low: 1.0e-5, high: 1.0e-2, log: true}
  envs: {low: 1, high: 4}           # whole numbers if both are
  hidden: {values: [[64, 64], [256, 256]]}
score: return                       # column of progress.csv over the last tenth of the steps; high: good
at_most: {cost: 0.1}                # columns that must not be above; optional
trials: 40
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from policy_training.many_runs import silent
from policy_training.runs.config import RunConfig
from policy_training.sweeps.spec import configuration, configurations, options_of, seeds_of
from policy_training.terminal import told
from spillguard_core.robot.plain_yaml import plain_yaml, read_text

KEYS = {"schema", "seeds", "options", "search", "score", "at_most", "trials"}


class SearchSpec(NamedTuple):
    """What is looked for."""

    seeds: tuple[int, ...]
    options: Mapping[str, Any]
    space: Mapping[str, BaseDistribution]
    values: Mapping[str, Sequence[Any]]  # those of a list, which Optuna knows by their place
    score: str
    at_most: Mapping[str, float]
    trials: int

    def found(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The options that a trial stands for."""
        return {name: self.values[name][v] if name in self.values else v for name, v in params.items()}

    def config(self, params: Mapping[str, Any]) -> RunConfig:
        """Of a trial."""
        return silent(configuration({**self.options, **self.found(params)}))


def read_search(path: Path) -> SearchSpec:
    """What a file asks for. ValueError, with the file's name, if that cannot be."""
    try:
        return _search(plain_yaml(read_text(path)))
    except FileNotFoundError:
        raise
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path}: {told(error)}") from error


def _search(raw: Any) -> SearchSpec:
    needed = KEYS - {"at_most"}
    if not isinstance(raw, dict) or not needed <= raw.keys() <= KEYS:
        got = ", ".join(map(str, raw)) if isinstance(raw, dict) else type(raw).__name__
        raise ValueError(f"needed are {', '.join(sorted(needed))}; allowed is at_most, too; got {got}")
    if raw["schema"] != 1:
        raise ValueError(f"schema is {raw['schema']!r}; this version reads 1")
    if type(raw["trials"]) is not int or raw["trials"] < 1:
        raise ValueError(f"trials is {raw['trials']!r}; needed is a whole number of at least 1")
    if not (isinstance(raw["search"], dict) and raw["search"]):
        raise ValueError("search is empty: nothing can be looked for")
    length = {"steps", "iterations"} & raw["search"].keys()
    if length:
        raise ValueError(f"{', '.join(length)}: runs of unequal length cannot be compared; it is an option")
    space, values = dict[str, BaseDistribution](), dict[str, Sequence[Any]]()
    for name, told_range in options_of(raw["search"]).items():
        space[name] = _range(name, told_range)
        if isinstance(space[name], CategoricalDistribution):
            values[name] = told_range["values"]
    asked = raw.get("at_most") or {}
    if not isinstance(asked, dict):
        raise ValueError(f"at_most is {asked!r}; needed are columns with their limits")
    limits = {str(name): float(limit) for name, limit in asked.items()}
    found = SearchSpec(
        seeds_of(raw["seeds"]), options_of(raw["options"]), space, values, str(raw["score"]), limits,
        raw["trials"],
    )  # fmt: skip
    for end in (0, -1):  # both ends of every range, before anything is trained
        point = found.found({name: _ends(kind)[end] for name, kind in space.items()})
        list(configurations([{**found.options, **point}]))
    return found


def _range(name: str, raw: Any) -> BaseDistribution:
    given = raw.keys() if isinstance(raw, dict) else set()
    if given == {"values"} and isinstance(raw["values"], list) and raw["values"]:
        return CategoricalDistribution(range(len(raw["values"])))
    if not {"low", "high"} <= given <= {"low", "high", "log"}:
        raise ValueError(f"{name} is {raw!r}; allowed are low, high and log, or a list of values")
    log = bool(raw.get("log", False))
    if type(raw["low"]) is int and type(raw["high"]) is int:
        return IntDistribution(raw["low"], raw["high"], log=log)
    return FloatDistribution(float(raw["low"]), float(raw["high"]), log=log)


def _ends(kind: Any) -> tuple[Any, Any]:
    if isinstance(kind, CategoricalDistribution):
        return kind.choices[0], kind.choices[-1]
    return kind.low, kind.high
