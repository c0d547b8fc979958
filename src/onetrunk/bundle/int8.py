"""Weights in eight bits.

- Linear maps have one scale for each output. What they read is quantised at run time:

  - with one scale for each token, in graphs that take several texts and apps. These never share a
    scale: an answer would depend on what is beside it;
  - in graphs of one text and one LoRA, with one scale for all tokens in attention, which takes
    fewer operators. The feed-forward maps keep one for each token, since some tokens are many times
    larger there than others.

- The word embeddings, half of a small encoder, have one scale for each word. They are dequantised
  after the lookup.

LoRA stays in floating point: it is an input of the graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
FEED_FORWARD = ("ffn_up", "ffn_down")
AFTER_ACTIVATION = "ffn_down"
"""The map that reads what an activation function gives."""


@dataclass(frozen=True)
class Steps:
    """How the numbers of a token become 8 bits: number / scale + ``zero``."""

    name: str
    zero: int
    above: int
    """Steps from zero to the token's largest number."""
    least: float
    """The smallest scale."""


OF_STATES = Steps("state", 128, 127, TINY)
# An activation function gives hardly anything below zero: with GELU -0.17, for which the smallest
# scale has room. So most steps are above zero.
OF_ACTIVATIONS = Steps("activation", 32, 223, 0.1701 / 32)


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with int8 weights and a scale for each token, same inputs and outputs."""
    return quantized(model, lambda target: True)


def quantize_of_one(model: onnx.ModelProto) -> onnx.ModelProto:
    """A graph of one text with int8 weights and fewer scales, same inputs and outputs."""
    return quantized(model, FEED_FORWARD.__contains__)


def quantized(model: onnx.ModelProto, by_token: Callable[[str], bool]) -> onnx.ModelProto:
    """The graph with int8 weights. ``by_token`` says which maps read numbers with one scale for
    each token; the others have one for all, which needs a graph of one text."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    quantize_embeddings(small.graph)
    _quantize_maps(small.graph, by_token)
    return small


def _quantize_maps(graph: onnx.GraphProto, by_token: Callable[[str], bool]) -> None:
    """Replace each MatMul(x, weights), and the Add of its bias, by (int8 x · int8 weights) · scale
    of x · scale of the output + bias."""
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    vectors = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 1}
    maps = {n.output[0] for n in graph.node if n.op_type == "MatMul" and n.input[1] in weights}
    # By the output of a map, the addition of its bias.
    additions = {
        node.input[0]: node
        for node in graph.node
        if node.op_type == "Add" and node.input[0] in maps and node.input[1] in vectors
    }
    nodes: list[onnx.NodeProto] = []
    done: set[str] = set()  # maps that read the same x share its int8
    for node in graph.node:
        if node.op_type == "Add" and node.input[0] in additions:
            continue
        if node.output[0] not in maps:
            nodes.append(node)
            continue
        x, weight = node.input
        target = weight.split(".")[1]
        addition = additions[node.output[0]]
        bias, out = addition.input[1], addition.output[0]
        if by_token(target):
            steps = OF_ACTIVATIONS if target == AFTER_ACTIVATION else OF_STATES
            numbers = _quantize_tokens(x, steps, width=weights[weight].dims[0])
            products = _product_of_tokens(x, steps, weight, bias, out)
        else:
            numbers = _quantize_text(x)
            products = [_product(x, weight, (f"{x}.scale", f"{x}.zero"), out, bias)]
        nodes += [*([] if x in done else numbers), *products]
        if weight not in done:
            graph.initializer.remove(weights[weight])
            graph.initializer.extend(_int8_weights(weight, weights[weight]))
        done |= {x, weight}
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name)
        for name, value in _constants().items()
        if name in used
    )


def _constants() -> dict[str, Any]:
    """What the operators of tokens need, by name."""
    constants: dict[str, Any] = {"scale_one": np.float32(1), "last_axis": np.array([-1], np.int64)}
    for steps in (OF_STATES, OF_ACTIVATIONS):
        constants[f"{steps.name}.zero"] = np.uint8(steps.zero)
        constants[f"{steps.name}.step"] = np.float32(1 / steps.above)
        constants[f"{steps.name}.least"] = np.float32(steps.least)
    return constants


def _quantize_text(x: str) -> list[onnx.NodeProto]:
    """``x (1, T, D)`` -> ``x.int8``, and ``x.scale`` and ``x.zero`` by all its numbers."""
    parts = [f"{x}.int8", f"{x}.scale", f"{x}.zero"]
    return [helper.make_node("DynamicQuantizeLinear", [x], parts)]


def _quantize_tokens(x: str, steps: Steps, width: int) -> list[onnx.NodeProto]:
    """``x (…, width)`` -> ``x.int8``, and ``x.scale (…, 1)`` by each token's largest number."""
    node, name = helper.make_node, steps.name
    sizes = [] if steps is OF_ACTIVATIONS else [node("Abs", [x], [f"{x}.size"])]
    zero = numpy_helper.from_array(np.array([steps.zero], np.uint8))
    return [
        *sizes,
        node("ReduceMax", [f"{x}.size" if sizes else x, "last_axis"], [f"{x}.top"], keepdims=1),
        node("Mul", [f"{x}.top", f"{name}.step"], [f"{x}.wanted"]),
        node("Max", [f"{x}.wanted", f"{name}.least"], [f"{x}.scale"]),
        node("Shape", [f"{x}.scale"], [f"{x}.tokens"]),
        node("ConstantOfShape", [f"{x}.tokens"], [f"{x}.zeros"], value=zero),
        node(
            "QuantizeLinear",
            [x, f"{x}.scale", f"{x}.zeros"],
            [f"{x}.int8"],
            axis=-1,
            block_size=width,
        ),
    ]


def _product_of_tokens(
    x: str, steps: Steps, weight: str, bias: str, out: str
) -> list[onnx.NodeProto]:
    whole, scaled = f"{out}.whole", f"{out}.scaled"
    return [
        _product(x, weight, ("scale_one", f"{steps.name}.zero"), whole),
        helper.make_node("Mul", [whole, f"{x}.scale"], [scaled]),
        helper.make_node("Add", [scaled, bias], [out]),
    ]


def _product(
    x: str, weight: str, scale_and_zero: tuple[str, str], out: str, bias: str = ""
) -> onnx.NodeProto:
    """(int8 x - zero) · int8 weights · scale · scale of the output + bias."""
    scale, zero = scale_and_zero
    inputs = [f"{x}.int8", weight, scale, f"{weight}.scale", zero, *(("", bias) if bias else ())]
    return helper.make_node("MatMulIntegerToFloat", inputs, [out], domain=RUNTIME_DOMAIN)


def _int8_weights(name: str, tensor: onnx.TensorProto) -> list[onnx.TensorProto]:
    """The weights ``(in, out)`` in seven bits, and a scale for each output."""
    values = numpy_helper.to_array(tensor)
    scales = np.maximum(np.abs(values).max(0), TINY).astype(np.float32) / WEIGHT_STEPS
    return [
        numpy_helper.from_array(np.rint(values / scales).astype(np.int8), name),
        numpy_helper.from_array(scales, f"{name}.scale"),
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
