"""The bare onnxruntime and MuJoCo calls that one decision contains, with the same postures and tensors."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import mujoco
import numpy as np
import onnxruntime as ort

MUJOCO = ("mj_kinematics", "mj_comPos", "mj_jacSite", "mj_collision", "mju_cholFactor", "mju_cholSolve")
"""Every function of MuJoCo that `spillguard_core` calls for a decision."""
Call = tuple[Callable[..., Any], tuple[Any, ...]]


@dataclass
class BareCalls:
    """Calls in their order, each with its own arguments."""

    onnx: list[Call] = field(default_factory=list)
    mujoco: list[Call] = field(default_factory=list)

    def seconds(self) -> tuple[float, float]:
        """Processor time [s] in onnxruntime and in MuJoCo, for all calls once.

        Writing a posture into MuJoCo's state is part of it, without it there is nothing to compute.
        """
        start = time.process_time()
        for function, arguments in self.onnx:
            function(*arguments)
        between = time.process_time()
        for function, arguments in self.mujoco:
            function(*arguments)
        return between - start, time.process_time() - between


@contextlib.contextmanager
def noted() -> Iterator[BareCalls]:
    """Records the calls that are made inside. Recording takes time, so nothing in it is timed."""
    calls = BareCalls()
    run = ort.InferenceSession.run

    def onnx(session: ort.InferenceSession, outputs: Any, feed: dict[str, Any], *more: Any) -> Any:
        copies = {name: value.copy() for name, value in feed.items()}
        calls.onnx.append((run, (session, outputs, copies, *more)))  # not `session.run`: it is this function
        return run(session, outputs, feed, *more)

    def physics(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            if function.__name__ == "mj_kinematics":
                data = arguments[1]
                calls.mujoco.append((np.copyto, (data.qpos, data.qpos.copy())))
            own = tuple(a.copy() if isinstance(a, np.ndarray) and a.base is None else a for a in arguments)
            calls.mujoco.append((function, own))
            return function(*arguments)

        return call

    with contextlib.ExitStack() as patches:
        patches.enter_context(mock.patch.object(ort.InferenceSession, "run", onnx))
        for name in MUJOCO:
            patches.enter_context(mock.patch.object(mujoco, name, physics(getattr(mujoco, name))))
        yield calls
