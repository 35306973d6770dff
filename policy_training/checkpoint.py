"""Files that are either the old version or the new one, never half of one."""

import io
import os
from pathlib import Path
from typing import Any

import torch

State = dict[str, Any]  # tensors, numbers, strings, and containers of them


def write_atomically(path: Path, data: bytes | memoryview) -> None:
    """Replace `path`. On a full disk or a kill the previous content stays."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def save(path: Path, state: State) -> None:
    """A checkpoint of tensors, numbers, strings and containers of them."""
    stream = io.BytesIO()
    torch.save(state, stream)
    write_atomically(path, stream.getbuffer())


def load(path: Path) -> State:
    """Inverse of `save`. A checkpoint is data: loading one runs no code from it."""
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    return torch.load(path, map_location="cpu", weights_only=True)
