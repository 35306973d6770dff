"""A policy's recorded answers, given again: does the bundle mean by its numbers what their source meant?

The recording names every joint and is in physical units, so that an order, sign, offset or unit that the
bundle has wrong makes other actions. What would explain them is looked for: one joint swapped with another,
a sign, degrees, an offset.

Shapes: N steps, J joints, A entries of the action.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spillguard_core.bundle.bundle import Bundle
from spillguard_core.bundle.graphs import PolicyRun

Values = NDArray[np.float64]
Change = Callable[[Values], Values]
OF_JOINTS = ("joint_position", "joint_velocity")
AGREEMENT = 0.01  # of the largest action that was recorded for an entry; metadata is rounded now and then
SMALL = 1e-5  # of an action of 1: as good as none
MOVES = 1e-3  # [rad] that each joint has to move in a recording, for its order and sign to show
EXPLAINED = 0.05  # of the difference, that is left of it
MOST_STEPS = 100_000
TRIED = 200  # steps on which explanations are tried
OFFSETS = tuple(sign * by for by in (0.1, 0.5 * math.pi, math.pi) for sign in (1.0, -1.0))  # [rad]
UNITS = (
    ("degrees where radians are meant", math.degrees(1.0)),
    ("radians where degrees are meant", math.radians(1.0)),
)


class Recorded(NamedTuple):
    """Steps of a policy where it comes from, one after the other."""

    terms: Mapping[str, Values]  # name of a term -> (N, its width), in the robot's order of joints
    action: Values  # (N, A) in the units and the order of the task
    first: NDArray[np.bool_]  # (N,) where the policy began anew


class Agreement(NamedTuple):
    """What came of it."""

    steps: int
    worst: float  # largest difference, of the largest action recorded for its entry
    at: int  # step of it
    entry: str  # of the action
    explanation: str  # empty: none was found, or none is needed

    @property
    def agrees(self) -> bool:
        """Whether the bundle answers as its source did."""
        return self.worst <= AGREEMENT


def load_recorded(path: Path, bundle: Bundle) -> Recorded:
    """Read an .npz of `joint_names` (J,), the bundle's terms by name, `action_names` (A,), `action` (N, A),
    of a policy of chunks (N, H, A), and optionally `episode` (N,). ValueError says what was got and what is
    needed."""
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            raw = {name: archive[name] for name in archive.files}
    except OSError:
        raise
    except Exception as error:  # whatever a damaged or hostile archive does
        raise ValueError(f"{path} is no readable .npz of arrays: {error}") from error
    wanted = {"joint_names", "action", "action_names", *bundle.terms}
    if not wanted <= raw.keys():
        lacks, has = ", ".join(sorted(wanted - raw.keys())), ", ".join(sorted(raw))
        raise ValueError(f"{path} lacks {lacks}; it has {has}")
    joints = _order(raw["joint_names"], bundle.robot.joint_names, f"joint_names of {path}")
    entries = _order(raw["action_names"], [a.name for a in bundle.task.action], f"action_names of {path}")
    count = len(np.atleast_1d(raw["action"]))
    terms = {}
    for name in bundle.terms:
        width = bundle.task.terms[name].width
        values = _numbers(raw[name], (count, width), f"{name} of {path}")
        terms[name] = values[:, joints] if name in OF_JOINTS else values
    ahead = () if bundle.manifest.ahead is None else (bundle.manifest.actions,)
    action = _numbers(raw["action"], (count, *ahead, len(entries)), f"action of {path}")[..., entries]
    episode = raw.get("episode", np.zeros(count))
    if episode.shape != (count,):
        raise ValueError(f"episode of {path} has the shape {episode.shape}, needed is {(count,)}")
    _check_shown(terms, bundle.robot.joint_names, path)
    first = np.ones(count, dtype=bool)
    first[1:] = episode[1:] != episode[:-1]
    return Recorded(terms, action, first)


def _check_shown(terms: Mapping[str, Values], names: Sequence[str], path: Path) -> None:
    """ValueError if a recording is too poor to tell joints apart."""
    for name in (name for name in OF_JOINTS[:1] if name in terms):
        still = [
            joint for joint, moved in zip(names, np.ptp(terms[name], axis=0), strict=True) if moved < MOVES
        ]
        if still:
            raise ValueError(
                f"{path} shows too little: {', '.join(still)} never moves by {MOVES} rad in {name}"
            )


def _order(names: NDArray[Any], wanted: Any, what: str) -> list[int]:
    """Where each wanted name stands."""
    got = [str(name) for name in names.ravel().tolist()]
    if sorted(got) != sorted(wanted):
        raise ValueError(f"{what} are {', '.join(got)}; needed is each of {', '.join(wanted)} once")
    return [got.index(name) for name in wanted]


def _numbers(values: NDArray[Any], shape: tuple[int, ...], what: str) -> Values:
    if values.shape != shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        got = f"{values.dtype} {values.shape}"
        raise ValueError(f"{what} has to be finite numbers of the shape {shape}, got {got}")
    if not 1 <= shape[0] <= MOST_STEPS:
        raise ValueError(f"{what} has {shape[0]} steps, allowed are 1 to {MOST_STEPS}")
    return np.asarray(values, dtype=np.float64)


def answers(bundle: Bundle, terms: Mapping[str, Values], first: NDArray[np.bool_]) -> Values:
    """The bundle's actions (N, A) in the task's units; chunks (N, H, A)."""
    seen = np.concatenate([terms[name] for name in bundle.terms], axis=1).astype(np.float32)
    run, found = PolicyRun(bundle.policy), []
    for obs, begins in zip(seen, first, strict=True):
        if begins:
            run.reset()
        found.append(bundle.actions(run(obs)))
    actions = np.array(found)
    return actions if bundle.manifest.ahead is not None else actions[:, 0]


def replayed(bundle: Bundle, recorded: Recorded) -> Agreement:
    """Whether the bundle answers what was recorded with what was recorded."""
    entries = recorded.action.reshape(-1, len(bundle.scale))
    largest = np.maximum(np.abs(entries).max(axis=0), SMALL * bundle.scale)
    difference = np.abs(answers(bundle, recorded.terms, recorded.first) - recorded.action) / largest
    at, *_, entry = np.unravel_index(int(difference.argmax()), difference.shape)
    worst = float(difference.max())
    name = bundle.task.action[int(entry)].name
    explanation = "" if worst <= AGREEMENT else _explanation(bundle, recorded)
    return Agreement(len(difference), worst, int(at), name, explanation)


def _explanation(bundle: Bundle, recorded: Recorded) -> str:
    """The single mistake that leaves least of the difference; empty if none explains it."""
    terms = {name: values[:TRIED] for name, values in recorded.terms.items()}
    action, first = recorded.action[:TRIED], recorded.first[:TRIED]
    plain = float(np.abs(answers(bundle, terms, first) - action).mean())
    best, words = EXPLAINED * plain, ""
    got = answers(bundle, terms, first)
    for told, change in _mistakes([axis.name for axis in bundle.task.action]):
        left = float(np.abs(change(got) - action).mean())
        if left < best:
            best, words = left, f"its action has {told}"
    for name in (name for name in OF_JOINTS if name in terms):
        for told, change in _mistakes(bundle.robot.joint_names):
            changed = answers(bundle, {**terms, name: change(terms[name])}, first)
            left = float(np.abs(changed - action).mean())
            if left < best:
                best, words = left, f"{name} has {told}"
    return words


def _mistakes(names: Any) -> Iterator[tuple[str, Change]]:
    """Each in words, and what undoes it in columns of these names."""
    count = len(names)

    def picked(order: list[int]) -> Change:
        return lambda values: values[..., order]

    def changed(column: int | None, factor: float = 1.0, offset: float = 0.0) -> Change:
        factors, offsets = np.full(count, factor), np.full(count, offset)
        if column is not None:
            others = np.arange(count) != column
            factors[others], offsets[others] = 1.0, 0.0
        return lambda values: values * factors + offsets

    for one, other in combinations(range(count), 2):
        order = [*range(count)]
        order[one], order[other] = other, one
        yield f"{names[one]} and {names[other]} swapped", picked(order)
    for column, name in enumerate(names):
        yield f"the sign of {name} wrong", changed(column, -1.0)
    for unit, factor in UNITS:
        yield unit, changed(None, factor)
        for column, name in enumerate(names):
            yield f"{unit}, at {name}", changed(column, factor)
    for column, name in enumerate(names):
        for by in OFFSETS:
            yield f"{name} off by {by:.2f}", changed(column, offset=by)
