"""`spillguard page`: the operator page as a program of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from spillguard_ros.operator.page import main as run_page


@dataclass(frozen=True)
class Page:
    """Show a running graph in the browser, with buttons for hold, resume, stop and reset."""

    bundle: Path = Path("artifacts/pour_coffee")
    """Directory of the bundle, for the world model that is drawn."""
    host: str = "127.0.0.1"
    """Address to listen on. Beyond loopback the token is needed for looking, too."""
    port: int = 8090
    """Port to listen on."""
    token_file: Path | None = None
    """File with the token, readable by you alone; else $SPILLGUARD_PAGE_TOKEN, else a new one is printed."""
    key: Path | None = None
    """Private key that signs reset and resume, where the monitor has operator_keys. Whoever has the token
    then asks in its name."""
    namespace: str = ""
    """Namespace of the safety monitor."""
    joint_prefix: str = ""
    """Before the names of joints and base frame in messages."""


def main(arguments: Sequence[str] | None = None) -> int:
    """`spillguard page`: the node's parameters as options."""
    page = tyro.cli(Page, args=arguments, prog="spillguard page", description=Page.__doc__)
    args = ["--ros-args", "-p", f"bundle:={page.bundle.resolve()}", "-p", f"host:='{page.host}'"]
    args += ["-p", f"port:={page.port}", "-p", f"joint_prefix:='{page.joint_prefix}'"]
    if page.token_file is not None:
        args += ["-p", f"token_file:={page.token_file.resolve()}"]
    if page.key is not None:
        args += ["-p", f"key_file:={page.key.expanduser().resolve()}"]
    if page.namespace:
        args += ["-r", f"__ns:=/{page.namespace.strip('/')}"]
    return run_page(args)
