"""Weights of four bits: held against what they stand for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from onetrunk.apps.app import App
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.graph import trunk_graph
from onetrunk.bundle.int4 import BLOCK, ZERO, coded, quantize
from onetrunk.bundle.int8 import EMBEDDINGS
from onetrunk.bundle.runtime import Runtime
from onetrunk.model.backbone import Backbone


def decoded(codes: np.ndarray, scales: np.ndarray) -> np.ndarray:
    values: np.ndarray = (codes.astype(np.float64) - ZERO) * scales
    return values


def test_codes_are_nearest_and_no_worse_than_the_plain_scale() -> None:
    values = np.random.default_rng(0).standard_normal((50, 3, BLOCK)).astype(np.float32)
    codes, scales = coded(values)
    assert codes.max() < 16
    found = np.square(decoded(codes, scales) - values).sum(-1)
    for code in range(16):  # no other code of the same scale is nearer
        other = (code - ZERO) * scales
        assert (np.abs(other - values) >= np.abs(decoded(codes, scales) - values) - 1e-6).all()
    extreme = np.take_along_axis(values, np.abs(values).argmax(-1, keepdims=True), -1)
    for plain, low, high in ((extreme / -ZERO, -8, 7), (extreme / 7, -7, 7)):
        naive = np.square(np.clip(np.rint(values / plain), low, high) * plain - values).sum(-1)
        if high - low == 15:
            assert (found <= naive * 1.00001).all()
        assert found.sum() < 0.95 * naive.sum()


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_what_a_code_can_say_is_kept(kind: type) -> None:
    steps = np.array([[-8, 0, 7, 3], [8, 1, -7, 0], [0, 0, 0, 0]])
    codes, scales = coded((steps * 0.25).astype(np.float32), kind)
    np.testing.assert_array_equal(decoded(codes, scales), steps * 0.25)
    tiny = np.full((1, 4), 1e-9, np.float32)  # below the least number of 16 bits
    assert np.isfinite(decoded(*coded(tiny, kind))).all()


@pytest.mark.parametrize("inputs", [64, 40, 7])
def test_a_map_multiplies_by_what_the_codes_say(inputs: int) -> None:
    """Also where the inputs are no multiple of a block."""
    random = np.random.default_rng(1)
    weight = random.standard_normal((inputs, 5)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "map",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["B", "T", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["B", "T", 5])],
        [numpy_helper.from_array(weight, "weight")],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.microsoft", 1)]
    model = quantize(helper.make_model(graph, opset_imports=opsets, ir_version=10))
    blocks = np.pad(weight.T, ((0, 0), (0, -inputs % BLOCK))).reshape(5, -1, BLOCK)
    stands_for = decoded(*coded(blocks)).reshape(5, -1)[:, :inputs].T
    x = random.standard_normal((2, 9, inputs)).astype(np.float32)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    (found,) = session.run(["y"], {"x": x})
    wanted = x @ stands_for
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert np.abs(found - x @ weight).max() > 0.02 * np.abs(wanted).max()


def test_a_word_is_what_its_bytes_say(tiny_backbone: Backbone) -> None:
    encoder = tiny_backbone.encoder
    model = trunk_graph(encoder, encoder.depth)
    table = encoder.token_embedding.weight.detach().numpy()
    block = min(BLOCK, table.shape[1])
    blocks = table.reshape(len(table), -1, block)
    stands_for = decoded(*coded(blocks, np.float16)).astype(np.float32).reshape(table.shape)
    given = onnx.ModelProto()
    given.CopyFrom(model)
    for tensor in given.graph.initializer:
        if tensor.name == EMBEDDINGS:
            tensor.CopyFrom(numpy_helper.from_array(stands_for, EMBEDDINGS))
    ids = np.arange(24).reshape(2, 12) % len(table)
    feeds = {"input_ids": ids, "attention_mask": np.ones_like(ids)}

    def hidden(one: onnx.ModelProto) -> np.ndarray:
        session = onnxruntime.InferenceSession(
            one.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (found,) = session.run(["hidden"], feeds)
        return np.asarray(found)

    np.testing.assert_allclose(hidden(quantize(model)), hidden(given), atol=1e-5)


def test_a_bundle_of_four_bits(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    eight = export_bundle(tiny_backbone, apps, tmp_path / "int8", "int8")
    four = export_bundle(tiny_backbone, apps, tmp_path / "int4", "int4")
    assert four.sizes["trunk.onnx"] < eight.sizes["trunk.onnx"]
    assert eight.difference < four.difference < 3  # of a standard deviation, with random weights
    runtime = Runtime(tmp_path / "int4")
    texts = ["call mum in new york", "the bank is in paris " * 3, "a", "play music now"]
    windows = [runtime.tokenizer.encode(text).ids for text in texts]
    units = [list(range(len(ids))) for ids in windows]
    together = runtime.logits(list(apps), windows, units)
    for name in apps:  # neither other texts nor other apps change an answer
        for i, ids in enumerate(windows):
            (alone,) = runtime.logits([name], [ids], [units[i]])[name]
            gap = np.abs(alone - together[name][i])
            assert gap.max() < 1e-3
