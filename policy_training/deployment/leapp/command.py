"""`spillguard leapp`: a bundle's policy as a LEAPP pipeline, for the stacks that run those."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from policy_training.deployment.leapp.writing import UNGUARDED, write_pipeline
from policy_training.terminal import parsed, subcommand
from spillguard_core.bundle.bundle import load_bundle
from spillguard_core.robot.arm import load_robot


@dataclass(frozen=True)
class LeappArguments:
    """Write a bundle's policy as a LEAPP pipeline: a YAML file and an ONNX graph. A policy that runs from it
    does not pass the safety monitor: no limits, no braking check, no critic."""

    bundle: tyro.conf.Positional[Path]
    "Directory of the bundle."
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    "Folder of the pipeline; its name is that of the YAML file."
    robot: str = ""
    "Of a bundle for an arm of your own: the folder with its robot.yaml."
    public_key: Path | None = None
    "PEM file of the Ed25519 public key that the bundle has to be signed for."


@subcommand("leapp")
def main(words: Sequence[str]) -> int:
    """`spillguard leapp`."""
    args = parsed(LeappArguments, words, "spillguard leapp")
    bundle = load_bundle(args.bundle, load_robot(args.robot) if args.robot else None, args.public_key)
    write_pipeline(bundle, args.bundle, args.out)
    memory = f", feeds back {bundle.policy.memory} values" if bundle.policy.memory else ""
    Console(markup=False).print(
        f"{args.out}: {bundle.task.name} on {bundle.robot.name}, {bundle.manifest.policy_rate:g} Hz{memory}; "
        f"a policy that runs from it {UNGUARDED}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return 0
