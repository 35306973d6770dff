"""The files of the case: reading `docs/assurance`, writing what was accepted."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_type_hints

import msgspec

from spillguard.case.model import Accepted, Case

FOLDER = Path("docs/assurance")
ACCEPTED = FOLDER / "accepted.yaml"
HEADER = "# Written by `spillguard case accept`. SHA-256 of results and of the code they speak of.\n"


def load(root: Path) -> Case:
    """The case of the repository at `root`. ValueError names file and place where the schema is not kept."""
    if not (root / FOLDER).is_dir():
        raise ValueError(f"{FOLDER}: no such folder in {root}; call this at the root of the repository")
    types = get_type_hints(Case)
    unknown = sorted({file.stem for file in (root / FOLDER).glob("*.yaml")} - set(types))
    if unknown:
        raise ValueError(f"{FOLDER}/{unknown[0]}.yaml: unknown file, known are {', '.join(types)}")
    return Case(**{name: _read(root / FOLDER / f"{name}.yaml", kind) for name, kind in types.items()})


def _read(file: Path, kind: Any) -> Any:
    try:
        return msgspec.yaml.decode(file.read_bytes(), type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{FOLDER / file.name}: {error}") from error


def keep(root: Path, accepted: Mapping[str, Accepted]) -> None:
    """Write what was accepted."""
    text = msgspec.yaml.encode(dict(sorted(accepted.items())), order="sorted").decode()
    (root / ACCEPTED).write_text(HEADER + text)
