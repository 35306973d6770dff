"""`spillguard keys`: a pair of keys for one operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console

from spillguard_ros.node.keys import make_keys


@dataclass(frozen=True)
class Keys:
    """Make an Ed25519 key pair for one operator; nothing is overwritten.

    NAME.key is private: it stays with the operator and signs (spillguard operator reset --key FILE). NAME.pub
    goes to the robot, into the folder that the monitor's operator_keys names.
    """

    name: tyro.conf.Positional[str]
    """Of the operator, as the monitor's log and recording will call them."""
    out: Annotated[Path, tyro.conf.arg(aliases=["-o"])]
    """Folder for both files; it is made if it is not there."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files and say what each is for."""
    asked = tyro.cli(Keys, args=arguments, prog="spillguard keys", description=Keys.__doc__)
    private, public = make_keys(asked.name, asked.out.expanduser())
    console = Console(markup=False, highlight=False, soft_wrap=True)
    console.print(f"{private}  private: keep it; spillguard operator reset --key {private}")
    console.print(f"{public}  public: copy it into the folder that operator_keys of the monitor names")
    return 0
