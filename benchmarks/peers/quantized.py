"""A graph in eight bits as onnxruntime's own tool makes it: one scale for all activations of a map,
the fastest there is."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import onnx
from onnx import TensorProto
from onnxruntime.quantization import QuantType, quantize_dynamic

from onetrunk.bundle.int8 import quantize_embeddings


def quantized(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with int8 weights, one scale an output; word embeddings as a bundle has them."""
    small = onnx.ModelProto()
    small.CopyFrom(model)
    quantize_embeddings(small.graph)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        level = logging.getLogger().level
        logging.getLogger().setLevel(logging.ERROR)  # it advises what we have done already
        try:
            quantize_dynamic(
                small, out, op_types_to_quantize=["MatMul"], per_channel=True, reduce_range=True,
                weight_type=QuantType.QInt8,
                extra_options={"MatMulConstBOnly": True, "DefaultTensorType": TensorProto.FLOAT},
            )  # fmt: skip
        finally:
            logging.getLogger().setLevel(level)
        return onnx.load(out)
