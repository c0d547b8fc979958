"""Weights in eight bits.

- Linear maps: one scale an output, activations quantised as they come, by onnxruntime's own tool.
- The word embeddings, half of a small encoder: one scale a word, dequantised after the lookup.

LoRA is not touched: what multiplies it is an input of the graph.
"""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

EMBEDDINGS = "word_embeddings"


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with int8 weights, same inputs and outputs."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    _embeddings_in_rows(small.graph)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # it advises what we have done already
        try:
            quantize_dynamic(
                small, out, op_types_to_quantize=["MatMul"], per_channel=True,
                # Seven bits of a weight: 8-bit products that are added up in pairs of 16 bits, as
                # x86 does without VNNI, would overflow.
                reduce_range=True, weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
            )  # fmt: skip
        finally:
            logging.getLogger().setLevel(level)
        return onnx.load(out)


def _embeddings_in_rows(graph: onnx.GraphProto) -> None:
    """Replace Gather(table) by Gather(int8 table) x Gather(scales)."""
    tables = [table for table in graph.initializer if table.name == EMBEDDINGS]
    if not tables:
        return
    values = numpy_helper.to_array(tables[0])
    scales = np.maximum(np.abs(values).max(1, keepdims=True), 1e-12).astype(np.float32) / 127
    rows = np.rint(values / scales).astype(np.int8)
    graph.initializer.remove(tables[0])
    graph.initializer.append(numpy_helper.from_array(rows, EMBEDDINGS))
    graph.initializer.append(numpy_helper.from_array(scales, f"{EMBEDDINGS}.scale"))
    for at, node in enumerate(graph.node):
        if node.op_type == "Gather" and node.input[0] == EMBEDDINGS:
            ids, out = node.input[1], node.output[0]
            node.output[0] = "word_int8"
            more = [
                helper.make_node("Cast", ["word_int8"], ["word_float"], to=TensorProto.FLOAT),
                helper.make_node("Gather", [f"{EMBEDDINGS}.scale", ids], ["word_scale"]),
                helper.make_node("Mul", ["word_float", "word_scale"], [out]),
            ]
            for offset, extra in enumerate(more, start=1):
                graph.node.insert(at + offset, extra)
            return
