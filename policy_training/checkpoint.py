"""Checkpoints: tensors, numbers and strings in one file, which runs no code when it is read."""

from pathlib import Path
from typing import Any

import torch

from policy_training.files import replacing

State = dict[str, Any]  # tensors, numbers, strings, and containers of them


def save(path: Path, state: State) -> None:
    """A checkpoint of tensors, numbers, strings and containers of them.

    It is written tensor by tensor without a copy in memory. OSError where the
    disk is full.
    """
    with replacing(path) as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            # torch reports a file position and hides the disk's error.
            raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def load(path: Path, *, mapped: bool = False) -> State:
    """Inverse of `save`. A checkpoint is data: loading one runs no code from it. ValueError if it is
    truncated or something else.

    Mapped tensors are read from the file when they are used, so that a replay is never held twice; only for a
    file that no other process replaces.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except OSError:
        raise
    except Exception as error:  # damaged bytes end in errors of any kind
        why = str(error).splitlines()[0] if str(error) else "it is empty"
        raise ValueError(f"{path} is no complete checkpoint: {why}; resume from another one") from error
    if not isinstance(state, dict):
        raise ValueError(f"{path} holds a {type(state).__name__}; a checkpoint is a dictionary")
    return state
