"""`spillguard study NAME`: experiments that write their own page under docs/results."""

import importlib
from collections.abc import Callable, Sequence

from rich.console import Console

from policy_training.terminal import UsageError, subcommand

STUDIES = {
    "layouts": ("studies.layout_toy_page", "optimizer layouts on two targets of different size"),
    "threshold": ("studies.threshold_study", "where Meta SAC-Lag's threshold ends, from where it starts"),
    "critic": ("studies.critic_study", "what a safety critic averts by itself, beside the tilt rule"),
    "goal": ("studies.goal_study", "optimizer layouts and the cost critic's rate on the goal tasks"),
}


@subcommand("study")
def main(words: Sequence[str]) -> int:
    """Run one study; its exit status."""
    known = "; ".join(f"{key}: {text}" for key, (_, text) in STUDIES.items())
    name, *rest = words or [""]
    if name in ("-h", "--help"):
        Console(markup=False).print(
            f"usage: spillguard study NAME [options]; there are {known}", soft_wrap=True, markup=False
        )
        return 0
    if name not in STUDIES:
        raise UsageError(f"unknown study {name!r}; known are {known}")
    run: Callable[[Sequence[str]], int] = importlib.import_module(STUDIES[name][0]).main
    return run(rest)
