"""Weights in four bits, for devices without room for eight.

There is one scale for each 32 neighbouring weights, of an output of a linear map or of a word.
Linear maps are ONNX Runtime's ``MatMulNBits``. Activations stay fp32: rounding them is hardly
faster, and not every build rounds, so a browser's answers would differ from a phone's. LoRA stays
in floating point.
"""

import math

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onetrunk.bundle.graph_parts import RUNTIME_DOMAIN
from onetrunk.bundle.int8 import EMBEDDINGS, TINY, replace_lookup

BLOCK = 32
ZERO = 8
"""The code of zero; codes are 0 to 15."""
_SHRUNK = np.linspace(1, 0.75, 6, dtype=np.float32)
_FP32_ACTIVATIONS = 1  # ``accuracy_level``


def quantize(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with weights of four bits, same inputs and outputs."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    _quantize_embeddings(small.graph)
    _quantize_maps(small.graph)
    return small


def coded(values: np.ndarray, kind: type = np.float32) -> tuple[np.ndarray, np.ndarray]:
    """Blocks ``(…, n)`` -> codes ``(…, n)`` uint8 below 16 and scales ``(…, 1)`` of ``kind``, so
    that ``(codes - ZERO) * scales`` is near.

    The first scale tried just holds a block's largest number; of it and some smaller ones, the
    scale with the least squared error is taken.
    """
    extreme = np.take_along_axis(values, np.abs(values).argmax(-1, keepdims=True), -1)
    # There is one more step below zero than above it, so the largest number goes to that side.
    whole = np.where(np.abs(extreme) < TINY, TINY, -extreme / ZERO)
    best = np.full(whole.shape, np.inf, np.float32)
    codes = np.zeros(values.shape, np.uint8)
    scales: np.ndarray = whole.astype(kind)
    for share in _SHRUNK:
        scale = (whole * share).astype(kind)
        # A scale too small for ``kind`` is zero, and then the block is zero.
        divisor = np.where(scale == 0, 1, scale).astype(np.float32)
        steps = np.clip(np.rint(values / divisor), -ZERO, 15 - ZERO)
        error = np.square(steps * scale.astype(np.float32) - values).sum(-1, keepdims=True)
        better = error < best
        best = np.where(better, error, best)
        codes = np.where(better, (steps + ZERO).astype(np.uint8), codes)
        scales = np.where(better, scale, scales)
    return codes, scales


def _quantize_maps(graph: onnx.GraphProto) -> None:
    """Replace MatMul(x, weights) by MatMulNBits."""
    weights = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) == 2}
    done: set[str] = set()
    for node in graph.node:
        if node.op_type != "MatMul" or node.input[1] not in weights:
            continue
        (x, weight), (out,) = node.input, node.output
        inputs, outputs = weights[weight].dims
        if weight not in done:
            done.add(weight)
            columns = numpy_helper.to_array(weights[weight]).T
            blocks = np.pad(columns, ((0, 0), (0, -inputs % BLOCK))).reshape(outputs, -1, BLOCK)
            codes, scales = coded(blocks)
            graph.initializer.remove(weights[weight])
            graph.initializer.append(
                numpy_helper.from_array(codes[..., ::2] | codes[..., 1::2] << 4, weight)
            )
            graph.initializer.append(numpy_helper.from_array(scales[..., 0], f"{weight}.scale"))
        node.CopyFrom(
            helper.make_node(
                "MatMulNBits", [x, weight, f"{weight}.scale"], [out], domain=RUNTIME_DOMAIN,
                K=inputs, N=outputs, bits=4, block_size=BLOCK, accuracy_level=_FP32_ACTIVATIONS,
            )
        )  # fmt: skip


def _quantize_embeddings(graph: onnx.GraphProto) -> None:
    """Replace Gather(table) by Gather(table of bytes). A byte holds a code of the first half of a
    word's numbers and one of the second half; they are unpacked after the lookup."""
    tables = [table for table in graph.initializer if table.name == EMBEDDINGS]
    if not tables:
        return
    values = numpy_helper.to_array(tables[0])
    words, width = values.shape
    block = math.gcd(width, BLOCK)
    codes, scales = coded(values.reshape(words, -1, block), np.float16)
    codes = codes.reshape(words, width)
    constants = {
        EMBEDDINGS: codes[:, : width // 2] | codes[:, width // 2 :] << 4,
        f"{EMBEDDINGS}.scale": scales,
        "word_low_bits": np.uint8(15),
        "word_shift": np.uint8(4),
        "word_zero": np.float32(ZERO),
        "word_blocks": np.array([0, 0, -1, block]),
        "word_whole": np.array([0, 0, width]),
    }
    graph.initializer.remove(tables[0])
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name) for name, value in constants.items()
    )
    node = helper.make_node
    replace_lookup(
        graph,
        lambda ids, out: [
            node("Gather", [EMBEDDINGS, ids], ["word_bytes"]),
            node("BitwiseAnd", ["word_bytes", "word_low_bits"], ["word_first"]),
            node("BitShift", ["word_bytes", "word_shift"], ["word_second"], direction="RIGHT"),
            node("Concat", ["word_first", "word_second"], ["word_codes"], axis=-1),
            node("Cast", ["word_codes"], ["word_float"], to=TensorProto.FLOAT),
            node("Sub", ["word_float", "word_zero"], ["word_steps"]),
            node("Reshape", ["word_steps", "word_blocks"], ["word_in_blocks"]),
            node("Gather", [f"{EMBEDDINGS}.scale", ids], ["word_scale_half"]),
            node("Cast", ["word_scale_half"], ["word_scale"], to=TensorProto.FLOAT),
            node("Mul", ["word_in_blocks", "word_scale"], ["word_scaled"]),
            node("Reshape", ["word_scaled", "word_whole"], [out]),
        ],
    )
