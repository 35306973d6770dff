"""Are the results there, do they say what is claimed, and are they not older than the code they speak of?"""

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spillguard.case.model import Accepted, Case, Figure, Value

COMMIT = re.compile(r"commit[ `]+([0-9a-f]{7,40}\+?)")


def digest(root: Path, path: str) -> str:
    """SHA-256 of a file, or of all Python files of a folder with their names. OSError if it is not there."""
    place = root / path
    if not place.is_dir():
        return hashlib.sha256(place.read_bytes()).hexdigest()
    total = hashlib.sha256()
    for file in sorted(place.rglob("*.py")):
        total.update(f"{file.relative_to(place).as_posix()} {digest(file.parent, file.name)}\n".encode())
    return total.hexdigest()


def broken_figures(case: Case, root: Path) -> Iterator[str]:
    """Figures whose files are not there, or have changed since they were accepted, or that claim too much."""
    for figure in case.figures:
        gone = [path for path in (figure.file, *figure.code) if not (root / path).exists()]
        yield from (f"{figure.id}: {path} does not exist" for path in gone)
        if gone:
            continue
        yield from _stale(figure, case.accepted.get(figure.id), root)
        yield from _untrue(figure, root)


def _stale(figure: Figure, accepted: Accepted | None, root: Path) -> Iterator[str]:
    if figure.older:
        if accepted is not None:
            yield f"{figure.id}: said to be older than its code, but accepted; one of the two is wrong"
        return
    if accepted is None:
        yield f"{figure.id}: never accepted: spillguard case accept {figure.id}"
        return
    if digest(root, figure.file) != accepted.result:
        yield f"{figure.id}: {figure.file} is not what was accepted: spillguard case accept {figure.id}"
    if set(accepted.code) != set(figure.code):
        yield f"{figure.id}: accepted with other files of code: spillguard case accept {figure.id}"
    for path in figure.code:
        if path in accepted.code and digest(root, path) != accepted.code[path]:
            yield f"{figure.id}: {figure.file} is older than {path}; make it again: {figure.command}"


def _untrue(figure: Figure, root: Path) -> Iterator[str]:
    for value in figure.values:
        number = read_value(root / figure.file, value)
        if value.at_most is not None and not number <= value.at_most:
            yield f"{figure.id}: {value.text} is {number:g}, at most {value.at_most:g} is claimed"


def read_value(file: Path, value: Value) -> float:
    """The number at `value.key`. ValueError where there is none."""
    number = _at(json.loads(file.read_text()), value.key)
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"{file}: {value.key} is no number, got {number!r}")
    return number


def _at(tree: Any, key: str) -> Any:
    for part in key.split("."):
        try:
            tree = tree[int(part) if isinstance(tree, list) else part]
        except (LookupError, TypeError, ValueError):
            return None
    return tree


def commit_of(figure: Figure, root: Path) -> str:
    """The commit that the result names as its own. ValueError if it names none."""
    text = (root / figure.file).read_text()
    if figure.file.endswith(".json"):
        commit = _at(json.loads(text), figure.commit_key)
    else:
        found = COMMIT.search(text)
        commit = found[1] if found else None
    if not isinstance(commit, str):
        raise ValueError(f"{figure.file}: names no commit")
    return commit


def accepted(figure: Figure, before: Accepted | None, root: Path, because: str) -> Accepted:
    """Hashes as they are now. ValueError where the code changed and the result was not made again."""
    if figure.older:
        raise ValueError(
            f"{figure.id}: figures.yaml calls it older than its code; make it again, take that away"
        )
    now = Accepted(
        commit=commit_of(figure, root), result=digest(root, figure.file),
        code={path: digest(root, path) for path in figure.code}, because=because,
    )  # fmt: skip
    if before is not None and before.result == now.result and before.code != now.code and not because:
        raise ValueError(
            f"{figure.id}: {figure.file} is the one that was accepted before, but the code has changed; make "
            f"it again ({figure.command}), or say with --because why the change does not touch it"
        )
    return now
