"""The program `spillguard`. Each subcommand is imported when it is called, so that `demo` needs no torch."""

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence

from rich.console import Console

from policy_training.terminal import complain, subcommand

# Module, with the function after a colon where it is not `main`, and what it is for.
COMMANDS = {
    "train": ("policy_training.train", "train a policy"),
    "meta-train": ("policy_training.meta_learning.meta_train", "learn an optimizer on small tasks"),
    "meta-study": ("studies.optim4rl.meta_study", "learned optimizers against their controls"),
    "sweep": (
        "policy_training.sweeps.command",
        "many runs from one file, side by side here or on a Ray cluster, with one page",
    ),
    "tune": ("policy_training.sweeps.tune", "search for good options of train, with Optuna"),
    "evaluate": ("policy_training.evaluation.evaluate", "held-out episodes: report.json, curves, pictures"),
    "export": ("policy_training.deployment.export", "write a run's policy as a bundle for the robot"),
    "wrap": (
        "policy_training.deployment.wrap.command",
        "somebody else's policy, ONNX, Stable-Baselines3 or LEAPP, as a bundle for the robot",
    ),
    "leapp": (
        "policy_training.deployment.leapp.command",
        "a bundle's policy as a LEAPP pipeline, which runs without the safety monitor",
    ),
    "train-critic": (
        "policy_training.deployment.train_critic",
        "a safety critic for the gate, from labels that the physics gives, for any policy",
    ),
    "calibrate": (
        "policy_training.deployment.calibrate",
        "what the critic's threshold promises, and what it costs",
    ),
    "transfer": (
        "policy_training.deployment.transfer.command",
        "from nominal cells to held-out ones: where a bundle still pours, and how it fails",
    ),
    "monitor-study": ("studies.monitor_study", "good and bad policies, monitor off and on"),
    "espo-study": ("studies.espo_study", "CRPO, PCRPO and ESPO at a reduced number of iterations"),
    "study": ("studies.study", "experiments with a page: layouts, goal, threshold"),
    "plot": ("policy_training.evaluation.plots", "curves of one or several runs"),
    "table": (
        "policy_training.evaluation.tables",
        "scores, costs and samples of several runs, with intervals",
    ),
    "results": ("policy_training.evaluation.results_page", "a page that compares evaluated runs"),
    "video": ("policy_training.evaluation.video", "a video or a picture strip of one episode"),
    "demo": ("spillguard_sim.demo", "pour with the shipped bundle through the ROS 2 graph"),
    "operator": ("spillguard_ros.operator.command", "hold, resume, stop, reset and more, on a running graph"),
    "keys": ("spillguard_ros.operator.keys_command", "a key pair for an operator, whose requests are signed"),
    "page": ("spillguard_ros.operator.page_command", "a running graph in the browser, with a stop button"),
    "replay": (
        "spillguard_ros.recording.review:replay_main",
        "ask the gate again about every cycle of a recording",
    ),
    "explain": (
        "spillguard_ros.recording.review:explain_main",
        "why a command was changed, at one moment of a recording",
    ),
    "contract-test": (
        "spillguard_ros.operator.contract_test",
        "does a bundle mean what its source meant, and does the arm do what it means",
    ),
    "shadow-report": (
        "spillguard_ros.recording.shadow_report:main",
        "what the monitor would have made of a policy, and how far that is from what the arm did",
    ),
    "excite": (
        "spillguard_ros.operator.excite",
        "move the arm, through the monitor, so that a recording can be identified",
    ),
    "identify": (
        "spillguard.identify",
        "fit an arm to a recording of its commands and states: a domain file",
    ),
    "identify-granules": (
        "spillguard.identify_granules",
        "friction and rolling of granules from an angle and a time: a domain file",
    ),
    "robot": ("spillguard.robot", "an arm's description from its URDF, its links enclosed by capsules"),
    "site": ("spillguard.site", "a lab's own table, walls and slow zones: what is close, how it looks"),
    "case": ("spillguard.case.command", "the safety case: check its links, write its pages"),
    "bench": ("benchmarks.run", "speed, as ratios against peers and limits"),
    "doctor": ("spillguard.doctor", "what this machine can do: matrix products, rendering, ROS 2"),
}


def usage() -> str:
    """The list of subcommands."""
    lines = [f"  {name:<18} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join(("usage: spillguard COMMAND [options]; COMMAND --help tells its options", *lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one subcommand; its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        Console().print(usage(), highlight=False, soft_wrap=True, markup=False)
        return 0 if arguments else 2
    name, *rest = arguments
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        return complain("", f"unknown command {name!r}{guess} spillguard --help lists them", 2)
    module, _, function = COMMANDS[name][0].partition(":")
    try:
        run: Callable[[Sequence[str]], int] = getattr(importlib.import_module(module), function or "main")
    except ModuleNotFoundError as error:
        return complain(name, f"needs {error.name!r}, which is not installed; see the README on set-up", 2)
    return subcommand(name)(run)(rest)


if __name__ == "__main__":
    raise SystemExit(main())
