"""Weights in eight bits.

- Linear maps have one scale for each output. Activations are quantised at run time, with one scale
  for each token, or one for all tokens of a text, which is faster and less precise. Several texts
  or apps never share a scale: an answer would depend on what is beside it. So a scale for each text
  needs the graphs for one text and one LoRA at a time.
- The word embeddings, half of a small encoder, have one scale for each word. They are dequantised
  after the lookup.

LoRA stays in floating point: it is an input of the graph.
"""

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onetrunk.bundle.graph_parts import RUNTIME_DOMAIN

EMBEDDINGS = "word_embeddings"
TINY = 1e-12
"""Smallest scale: for weights, or a token, that are all zero."""
# Weights use seven bits: x86 without VNNI adds pairs of 8-bit products in 16 bits, which would
# overflow with eight.
WEIGHT_STEPS = 63
ACTIVATION_STEPS, ZERO = 127, 128


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with int8 weights and a scale for each token, same inputs and outputs."""
    return _quantized(model, _scale_tokens)


def quantize_of_one(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of one text with int8 weights and one scale for its tokens."""
    return _quantized(model, _scale_text)


def _quantized(
    model: onnx.ModelProto, quantize_maps: Callable[[onnx.GraphProto], None]
) -> onnx.ModelProto:
    small = onnx.ModelProto()
    small.CopyFrom(model)
    quantize_embeddings(small.graph)
    quantize_maps(small.graph)
    return small


def _scale_text(graph: onnx.GraphProto) -> None:
    """Replace MatMul(x, weights) and the Add of a bias by (int8 x · int8 weights) · scale of the
    text · scale of the output + bias."""
    vectors = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 1}
    # By the output of a map, the addition of its bias.
    additions = {
        node.input[0]: node
        for node in graph.node
        if node.op_type == "Add" and node.input[1] in vectors
    }
    merged: list[onnx.NodeProto] = []

    def scaled(x: str) -> list[onnx.NodeProto]:
        parts = [f"{x}.int8", f"{x}.scale", f"{x}.zero"]
        return [helper.make_node("DynamicQuantizeLinear", [x], parts)]

    def product(x: str, weight: str, out: str) -> list[onnx.NodeProto]:
        addition = onnx.NodeProto()
        addition.CopyFrom(additions[out])
        merged.append(addition)
        inputs = [
            f"{x}.int8", weight, f"{x}.scale", f"{weight}.scale", f"{x}.zero", "", addition.input[1]
        ]  # fmt: skip
        return [_product(inputs, addition.output[0])]

    _quantize_maps(graph, scaled, product)
    for addition in merged:
        graph.node.remove(addition)


def _scale_tokens(graph: onnx.GraphProto) -> None:
    """Replace MatMul(x, weights) by (int8 x · int8 weights) · scale of the token · scale of the
    output."""
    constants = {
        "token_axis": np.array([-1], np.int64),
        "token_step": np.float32(1 / ACTIVATION_STEPS),
        "token_least": np.float32(TINY),
        "token_one": np.float32(1),
        "token_zero": np.uint8(ZERO),
    }

    def product(x: str, weight: str, out: str) -> list[onnx.NodeProto]:
        inputs = [f"{x}.int8", weight, "token_one", f"{weight}.scale", "token_zero"]
        whole = f"{out}.whole"
        return [_product(inputs, whole), helper.make_node("Mul", [whole, f"{x}.scale"], [out])]

    graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name) for name, value in constants.items()
    )
    _quantize_maps(graph, _quantize_tokens, product)


def _quantize_maps(
    graph: onnx.GraphProto,
    scaled: Callable[[str], list[onnx.NodeProto]],
    product: Callable[[str, str, str], list[onnx.NodeProto]],
) -> None:
    """Replace each MatMul(x, weights): ``scaled(x)`` gives the nodes of its int8, which maps of one
    x share, and ``product(x, weights, output)`` those of the product."""
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            nodes.append(node)
            continue
        x, weight = node.input
        if x not in done:
            nodes += scaled(x)
        if weight not in done:
            tensors = _int8_weights(weight, weights[weight])
            graph.initializer.remove(weights[weight])
            graph.initializer.extend(tensors)
        done |= {x, weight}
        nodes += product(x, weight, node.output[0])
    del graph.node[:]
    graph.node.extend(nodes)


def _product(inputs: list[str], out: str) -> onnx.NodeProto:
    return helper.make_node("MatMulIntegerToFloat", inputs, [out], domain=RUNTIME_DOMAIN)


def _int8_weights(name: str, tensor: onnx.TensorProto) -> list[onnx.TensorProto]:
    """The weights ``(in, out)`` in seven bits, and a scale for each output."""
    values = numpy_helper.to_array(tensor)
    scales = np.maximum(np.abs(values).max(0), TINY).astype(np.float32) / WEIGHT_STEPS
    return [
        numpy_helper.from_array(np.rint(values / scales).astype(np.int8), name),
        numpy_helper.from_array(scales, f"{name}.scale"),
    ]


def _quantize_tokens(x: str) -> list[onnx.NodeProto]:
    """``x (…, D)`` -> ``x.int8``, and ``x.scale (…, 1)`` by each token's largest number."""
    node = helper.make_node
    return [
        node("Abs", [x], [f"{x}.size"]),
        node("ReduceMax", [f"{x}.size", "token_axis"], [f"{x}.largest"], keepdims=1),
        node("Mul", [f"{x}.largest", "token_step"], [f"{x}.step"]),
        node("Max", [f"{x}.step", "token_least"], [f"{x}.scale"]),
        node("Div", [x, f"{x}.scale"], [f"{x}.steps"]),
        node("QuantizeLinear", [f"{x}.steps", "token_one", "token_zero"], [f"{x}.int8"]),
    ]


def quantize_embeddings(graph: onnx.GraphProto) -> None:
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
    replace_lookup(
        graph,
        lambda ids, out: [
            helper.make_node("Gather", [EMBEDDINGS, ids], ["word_int8"]),
            helper.make_node("Cast", ["word_int8"], ["word_float"], to=TensorProto.FLOAT),
            helper.make_node("Gather", [f"{EMBEDDINGS}.scale", ids], ["word_scale"]),
            helper.make_node("Mul", ["word_float", "word_scale"], [out]),
        ],
    )


def replace_lookup(
    graph: onnx.GraphProto, nodes: Callable[[str, str], Sequence[onnx.NodeProto]]
) -> None:
    """Put ``nodes(ids, output)`` in the place of the lookup of word embeddings."""
    for place, lookup in enumerate(graph.node):
        if lookup.op_type == "Gather" and lookup.input[0] == EMBEDDINGS:
            replacement = nodes(lookup.input[1], lookup.output[0])
            graph.node.remove(lookup)
            for offset, node in enumerate(replacement):
                graph.node.insert(place + offset, node)
            return
