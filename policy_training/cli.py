"""The program `spillguard`. Each subcommand is imported when it is called, so that `demo` needs no torch."""

import importlib
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

# Module, with the function after a colon where it is not `main`, and what it is for.
COMMANDS = {
    "train": ("policy_training.train", "train a policy"),
    "meta-train": ("policy_training.meta_learning.meta_train", "learn an optimizer on small tasks"),
    "meta-study": ("policy_training.meta_learning.meta_study", "learned optimizers against their controls"),
    "evaluate": ("policy_training.evaluate", "held-out episodes: report.json, curves, pictures"),
    "export": ("policy_training.export", "write a run's policy as a bundle for the robot"),
    "calibrate": ("policy_training.calibrate", "what the critic's threshold promises, and what it costs"),
    "monitor-study": ("policy_training.monitor_study", "good and bad policies, monitor off and on"),
    "espo-study": ("policy_training.espo_study", "CRPO, PCRPO and ESPO at a reduced number of iterations"),
    "study": ("policy_training.study", "optimizer layouts: study layouts, study goal"),
    "plot": ("policy_training.plots", "curves of one or several runs"),
    "table": ("policy_training.tables", "scores, costs and samples of several runs, with intervals"),
    "results": ("policy_training.results", "a page that compares evaluated runs"),
    "video": ("policy_training.video", "a video or a picture strip of one episode"),
    "demo": ("spillguard_ros.demo", "pour with the shipped bundle through the ROS 2 graph"),
    "operator": ("spillguard_ros.operator_command", "hold, resume, stop, reset and more, on a running graph"),
    "page": ("spillguard_ros.operator_page:page_main", "a running graph in the browser, with a stop button"),
    "replay": ("spillguard_ros.review:replay_main", "ask the gate again about every cycle of a recording"),
    "explain": (
        "spillguard_ros.review:explain_main",
        "why a command was changed, at one moment of a recording",
    ),
    "bench": ("benchmarks.run", "speed, as ratios against peers and limits"),
    "doctor": ("policy_training.doctor", "what this machine can do: matrix products, rendering, ROS 2"),
}


def usage() -> str:
    """The list of subcommands."""
    lines = [f"  {name:<14} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(("usage: spillguard COMMAND [options]; COMMAND --help tells its options", *lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    console = Console(stderr=True)
    if not arguments or arguments[0] in ("-h", "--help"):
        Console().print(usage(), highlight=False, soft_wrap=True, markup=False)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        text = f"unknown command {name!r}\n{usage()}"
        console.print(text, highlight=False, soft_wrap=True, markup=False)
        return 2
    module, _, function = COMMANDS[name][0].partition(":")
    try:
        run: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), function or "main")
    except ModuleNotFoundError as error:
        console.print(
            f"spillguard {name} needs {error.name!r}, which is not installed; see the README on set-up",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
        return 2
    return run(rest)


if __name__ == "__main__":
    raise SystemExit(main())
