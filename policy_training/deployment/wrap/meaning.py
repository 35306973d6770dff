"""What a contract means, step by step in numpy, with its graph as it came: so must `graph.py`."""

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from policy_training.deployment.wrap.contract import LAST_OUTPUT, Contract, Values
from policy_training.deployment.wrap.drawing import batch_axis

Array32 = NDArray[np.float32]


class Meaning:
    """The policy from one moment on. One observation at a time."""

    def __init__(self, model: bytes, contract: Contract) -> None:
        self._session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._contract, self._last = contract, np.zeros(contract.outputs)
        self._past: list[list[Values]] = []  # of each step, of each entry, oldest first
        into = {name for name, _ in contract.state}
        self._state = {p.name: np.zeros(_one(p.shape), np.float32) for p in self._session.get_inputs()
                       if p.name in into}  # fmt: skip

    def __call__(self, terms: dict[str, Values]) -> Values:
        """Values of the task's terms -> action (A,) in the task's units; of a chunk those used, (H, A)."""
        contract, steps = self._contract, self._contract.history.steps
        said, most = terms | {LAST_OUTPUT: self._last}, contract.clip_observation
        now = [
            np.clip((said[entry.term][list(entry.columns)] - entry.shift) / entry.scale, -most, most)
            for entry in contract.observation
        ]
        self._past = [*(self._past or [now] * (steps - 1)), now][-steps:]
        feeds: dict[str, Any] = dict(self._state)
        for port in self._session.get_inputs():
            if port.name not in feeds:
                mine = [i for i, e in enumerate(contract.observation) if e.input in ("", port.name)]
                feeds[port.name] = self._told(mine).astype(np.float32).reshape(_one(port.shape))
        outs = [port.name for port in self._session.get_outputs()]
        found = dict(zip(outs, self._session.run(outs, feeds), strict=True))
        self._state = {into: found[out] for into, out in contract.state}
        name = contract.output or next(o for o in outs if o not in {out for _, out in contract.state})
        self._last = np.clip(found[name].astype(np.float64).ravel(), -contract.clip, contract.clip)
        rows = self._last.reshape(-1, len(contract.columns))
        action = np.zeros((len(rows), len(contract.task.action)))
        action[:, list(contract.columns)] = contract.offset + contract.scale * rows
        return action[0] if contract.chunk is None else action[: contract.chunk.used]

    def _told(self, entries: list[int]) -> Values:
        """What the graph is given of these entries, with their history."""
        past = self._past if self._contract.history.newest == "last" else self._past[::-1]
        if self._contract.history.of == "term":
            return np.concatenate([step[i] for i in entries for step in past])
        return np.concatenate([step[i] for step in past for i in entries])


def _one(shape: list[Any]) -> list[int]:
    """The shape of a batch of one."""
    sizes = [size if isinstance(size, int) else 0 for size in shape]
    sizes[batch_axis(sizes)] = 1
    return sizes
