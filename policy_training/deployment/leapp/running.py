"""What a LEAPP pipeline means, node by node in numpy, with its graphs as they came: so must `merging.py`."""

from collections.abc import Mapping

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from policy_training.deployment.leapp.pipeline import LeappPipeline
from spillguard_core.bundle.manifest import refusing

Array = NDArray[np.generic]
QUIET = 3  # of onnxruntime's log: errors alone


def quiet_session(graph: bytes) -> onnxruntime.InferenceSession:
    """A session of one thread that says nothing of shapes that are other than declared."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = QUIET
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


class PipelineRun:
    """A pipeline from its first step on. BundleError where a graph cannot be loaded or run."""

    def __init__(self, pipeline: LeappPipeline) -> None:
        self._pipeline = pipeline
        self._state: dict[str, Array] = dict(pipeline.initial)
        self._nodes = []
        for node in pipeline.nodes:
            with refusing(f"the graph of node {node.name} cannot be loaded"):
                self._nodes.append((node, quiet_session(node.graph.SerializeToString())))

    def __call__(self, given: Mapping[str, Array]) -> dict[str, Array]:
        """Values of the inputs from outside, by place, in their own shapes -> of the outputs."""
        made, told = dict[str, Array](), {**given, **self._state}
        for node, session in self._nodes:
            feeds = {}
            ports = [port.name for port in session.get_inputs()]
            for port, name in zip(node.inputs, ports, strict=True):
                place = f"{node.name}/{port.name}"
                source = self._pipeline.flow.get(place)
                feeds[name] = made[source] if source else told[place]
            with refusing(f"the graph of node {node.name} cannot be run"):
                values = session.run(None, feeds)
            places = [f"{node.name}/{port.name}" for port in node.outputs]
            made |= dict(zip(places, values, strict=True))
        self._state = {into: made[out] for into, out in self._pipeline.feedback.items()}
        return {place: made[place] for place in self._pipeline.results}
