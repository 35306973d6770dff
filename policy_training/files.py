"""Files that are either the old version or the new one, never half of one."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write that takes the place of `path` at the end. After any error, a full disk or a kill the
    previous content stays. Until then it is `.NAME.part`: a NAME.part may be somebody's own."""
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Replace `path`. On a full disk or a kill the previous content stays."""
    with replacing(path) as file:
        file.write(data)


def write_new(path: Path, text: str) -> None:
    """A file that was not there. FileExistsError if it was; after any other error there is still none."""
    with path.open("x", encoding="utf-8") as file:
        try:
            file.write(text)
            file.flush()
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def read_regular(path: Path, largest: int) -> bytes:
    """Of a file that ends: a pipe or a device would make its reader wait, or fill the memory. `largest`
    [bytes] that it may be. OSError, ValueError."""
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file")
    with path.open("rb") as file:
        data = file.read(largest + 1)
    if len(data) > largest:
        raise ValueError(f"{path} is larger than the {largest} bytes that are allowed")
    return data


def read_json(path: Path) -> Any:
    """The content of a JSON file. ValueError, with the file's name, if it is damaged."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from error


@contextmanager
def locked(folder: Path, work: str = "trains this run") -> Iterator[None]:
    """An exclusive lock on a folder. BlockingIOError if another process holds it, which does this `work`. The
    lock ends with the process, however that ends; its file stays and means nothing.
    """
    with (folder / ".lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BlockingIOError(f"{folder}: another process {work}; wait for its end") from error
        yield
