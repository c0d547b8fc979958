"""Weights in eight bits.

- Linear maps: one scale an output. Activations are quantised as they come, with one scale a token:
  what stands beside a text, or which other apps read it, does not change its answer, as it would
  with one scale for all (and one token with large values would cost all others their precision).
- The word embeddings, half of a small encoder: one scale a word, dequantised after the lookup.

LoRA is not touched: what multiplies it is an input of the graph.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onetrunk.bundle.graph import RUNTIME_DOMAIN

EMBEDDINGS = "word_embeddings"
TINY = 1e-12
"""Scale of weights, or of a token, that are all zero."""
# Seven bits of a weight: 8-bit products that are added up in pairs of 16 bits, as x86 does without
# VNNI, would overflow.
WEIGHT_STEPS = 63
ACTIVATION_STEPS, ZERO = 127, 128


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with int8 weights, same inputs and outputs."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    embeddings_in_rows(small.graph)
    _maps_in_columns(small.graph)
    return small


def _maps_in_columns(graph: onnx.GraphProto) -> None:
    """Replace MatMul(x, weights) by (int8 x · int8 weights) · scale of the token · scale of the
    output; maps of one x share its int8."""
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    done: set[str] = set()
    constants = {
        "token_axis": np.array([-1], np.int64),
        "token_step": np.float32(1 / ACTIVATION_STEPS),
        "token_least": np.float32(TINY),
        "token_one": np.float32(1),
        "token_zero": np.uint8(ZERO),
    }
    more = [numpy_helper.from_array(np.array(v), name) for name, v in constants.items()]
    nodes: list[onnx.NodeProto] = []
    scaled: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        (x, weight), (out,) = node.input, node.output
        if x not in scaled:
            scaled.add(x)
            nodes += _in_rows(x)
        if weight not in done:
            done.add(weight)
            values = numpy_helper.to_array(weights[weight])
            scales = np.maximum(np.abs(values).max(0), TINY).astype(np.float32) / WEIGHT_STEPS
            graph.initializer.remove(weights[weight])
            more += [
                numpy_helper.from_array(np.rint(values / scales).astype(np.int8), weight),
                numpy_helper.from_array(scales, f"{weight}.scale"),
            ]
        product = [f"{x}.int8", weight, "token_one", f"{weight}.scale", "token_zero"]
        nodes += [
            helper.make_node(
                "MatMulIntegerToFloat", product, [f"{out}.whole"], domain=RUNTIME_DOMAIN
            ),
            helper.make_node("Mul", [f"{out}.whole", f"{x}.scale"], [out]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(more)


def _in_rows(x: str) -> list[onnx.NodeProto]:
    """``x (…, D)`` -> ``x.int8``, and ``x.scale (…, 1)``: of each token, its largest number."""
    node = helper.make_node
    return [
        node("Abs", [x], [f"{x}.size"]),
        node("ReduceMax", [f"{x}.size", "token_axis"], [f"{x}.largest"], keepdims=1),
        node("Mul", [f"{x}.largest", "token_step"], [f"{x}.step"]),
        node("Max", [f"{x}.step", "token_least"], [f"{x}.scale"]),
        node("Div", [x, f"{x}.scale"], [f"{x}.steps"]),
        node("QuantizeLinear", [f"{x}.steps", "token_one", "token_zero"], [f"{x}.int8"]),
    ]


def embeddings_in_rows(graph: onnx.GraphProto) -> None:
    """Replace Gather(table) by Gather(int8 table) x Gather(scales)."""
    tables = [table for table in graph.initializer if table.name == EMBEDDINGS]
    if not tables:
        return
    values = numpy_helper.to_array(tables[0])
    scales = np.maximum(np.abs(values).max(1, keepdims=True), TINY).astype(np.float32) / 127
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
