"""`spillguard study NAME`: experiments that write their own page under docs/results."""

import importlib
import sys
from collections.abc import Callable, Sequence

from policy_training.terminal import complain

STUDIES = {
    "layouts": ("policy_training.layout_toy_page", "optimizer layouts on two targets of different size"),
    "goal": ("policy_training.goal_study", "optimizer layouts and the cost critic's rate on the goal tasks"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one study; its exit status."""
    name, *rest = (sys.argv[1:] if arguments is None else list(arguments)) or [""]
    if name not in STUDIES:
        known = "; ".join(f"{key}: {text}" for key, (_, text) in STUDIES.items())
        return complain("study", ValueError(f"unknown study {name!r}; known are {known}"))
    run: Callable[[Sequence[str]], int] = importlib.import_module(STUDIES[name][0]).main
    return run(rest)
