"""The folder of a bundle or of graphs: written beside its place, then put there at once. It deletes nobody's
file."""

import shutil
import tempfile
from pathlib import Path

from spillguard_core.bundle import bundle as robot
from spillguard_core.bundle.signing import SIGNATURE


def check_replaceable(out: Path) -> None:
    """FileExistsError if `out` holds files that were not exported: --overwrite is for bundles and graphs."""
    if out.is_symlink():
        raise FileExistsError(f"{out} is a symbolic link; name the folder itself, or choose another place")
    if not out.is_dir():
        raise FileExistsError(f"{out} is a file; choose another place")
    known = {*robot.FILES, robot.MANIFEST, SIGNATURE}
    others = sorted(
        file.name for file in out.iterdir()
        if file.name != "report" and not (file.name in known and file.is_file())
    )  # fmt: skip
    if others:
        raise FileExistsError(
            f"{out} holds more than a bundle ({', '.join(others[:3])}); --overwrite would delete it: choose "
            "another place"
        )


def check_bundle_or_empty(out: Path) -> None:
    """FileExistsError if `out` holds files and no manifest: a graph alone may be the only one of its kind."""
    check_replaceable(out)
    names = sorted(file.name for file in out.iterdir())
    if names and robot.MANIFEST not in names:
        raise FileExistsError(
            f"{out} holds {', '.join(names)} and no {robot.MANIFEST}, so it is no bundle; --overwrite would "
            "delete it: choose another place"
        )


def folder_beside(out: Path) -> Path:
    """A new directory beside `out`, of a name that nobody has: what stands there is somebody's."""
    out.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    made.chmod(0o755)  # mkdtemp's own are for this user alone
    return made


def replace_folder(part: Path, out: Path) -> None:
    """Put the finished directory in its place; the old one stays until the new one is complete."""
    if not out.exists():
        part.rename(out)
        return
    check_replaceable(out)
    old = folder_beside(out)
    try:
        out.rename(old)  # onto an empty directory
    except BaseException:
        old.rmdir()
        raise
    try:
        part.rename(out)
    except BaseException:
        old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
