"""Networks as ONNX graphs: one file each, weights inside, free batch dimension, no traces of this machine."""

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn

from spillguard_core.bundle.graph_trial import TOLERANCE

OPSET = 18
LARGEST_BATCH = 4096  # the exporter wants a bound on the free dimension


def write_checked(module: nn.Module, inputs: dict[str, torch.Tensor], output: str, path: Path) -> None:
    """A graph that ONNX Runtime computes as torch does."""
    write_graph(module, inputs, output, path)
    with torch.no_grad():
        wanted = module(*inputs.values()).numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run([output], {name: value.numpy() for name, value in inputs.items()})
    if not np.allclose(found, wanted, rtol=0.0, atol=TOLERANCE):
        worst = np.abs(found - wanted).max()
        raise ValueError(f"{path.name} differs from torch by {worst:.1e}, allowed is {TOLERANCE}")


def write_graph(module: nn.Module, inputs: dict[str, torch.Tensor], output: str, path: Path) -> None:
    """One file with the weights inside, float32, free batch dimension, without traces of this machine."""
    batch = torch.export.Dim("batch", min=1, max=LARGEST_BATCH)
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):  # they log missing extras and every step
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            tuple(inputs.values()),
            input_names=list(inputs),
            output_names=[output],
            opset_version=OPSET,
            dynamic_shapes=tuple({0: batch} for _ in inputs),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _forget(model.graph.node)
    _forget(model.graph.value_info)
    _forget([*model.graph.input, *model.graph.output, *model.graph.initializer, model.graph, model])
    onnx.checker.check_model(model)
    onnx.save(model, path, save_as_external_data=False)


def _forget(entries: Iterable[object]) -> None:
    """Drop doc strings and metadata: the exporter stores stack traces, and with them paths, in every node."""
    for entry in entries:
        for name in ("metadata_props", "doc_string"):
            if hasattr(entry, name):
                entry.ClearField(name)  # type: ignore[attr-defined]
