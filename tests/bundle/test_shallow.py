"""A bundle whose trunk has fewer layers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch

from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.bundle.export import export_bundle, top_layers
from onetrunk.bundle.layout import MANIFEST
from onetrunk.bundle.parity import hostile_texts
from onetrunk.bundle.shallow import Skipped, trunk_layers, with_shallow_trunk
from onetrunk.bundle.vocabulary import with_vocabulary_of
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder

TEXTS = ["call mum in new york", "the bank is in paris", "play music now", "a café in zurich, now!"]


def shallow(
    backbone: Backbone, k: int = 1, layers: int = 1, **more: Any
) -> tuple[Backbone, list[float]]:
    errors: list[float] = []
    found = with_shallow_trunk(
        backbone, k, layers, TEXTS * 8, precision="fp32",
        progress=lambda done, total, error: errors.append(error), **more,
    )  # fmt: skip
    return found, errors


def missed(found: Backbone, backbone: Backbone, k: int) -> float:
    """Of the variance of what leaves the trunk."""
    texts = [backbone.encoder.tokenizer(text)["input_ids"] for text in TEXTS]
    sizes, below = list(map(len, texts)), backbone.encoder.depth - k
    with torch.inference_mode():
        entering = backbone.encoder.embed_packed(texts)
        wanted, given = (
            one.encoder.run_packed(entering, sizes, 0, below) for one in (backbone, found)
        )
    return float((given - wanted).square().mean() / wanted.var(0).mean())


@pytest.mark.parametrize("kind", ["bert", "distilbert"])
def test_it_learns_what_the_whole_trunk_gives(
    kind: str, make_backbone: Callable[..., Backbone]
) -> None:
    backbone = make_backbone(kind)
    before = {n: t.clone() for n, t in backbone.encoder.model.state_dict().items()}
    found, errors = shallow(backbone, steps=60)
    assert missed(found, backbone, 1) < 0.5 * missed(shallow(backbone, steps=1)[0], backbone, 1)
    assert errors[-1] == pytest.approx(missed(found, backbone, 1), rel=0.3)
    for name, tensor in backbone.encoder.model.state_dict().items():  # is as it was
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)
    assert found.fingerprint == backbone.fingerprint
    assert not any(p.requires_grad for p in found.encoder.model.parameters())
    assert [isinstance(layer, Skipped) for layer in found.encoder.layers].count(True) == 1
    assert trunk_layers(found.encoder, 1) == backbone.encoder.depth - 2
    assert found.encoder.layers[-1] is backbone.encoder.layers[-1]
    assert found.encoder.token_embedding is backbone.encoder.token_embedding
    again, _ = shallow(backbone, steps=60)
    assert missed(again, backbone, 1) == missed(found, backbone, 1)


def test_a_bundle_computes_what_the_shallower_encoder_does(
    tiny_encoder: Encoder, random_adapter: Any, make_app: Callable[..., App], tmp_path: Path
) -> None:
    """Export holds the graphs against it; LoRA finds its layers by the old numbers."""
    tiny_encoder.freeze()
    primary = {f: random_adapter(tiny_encoder, k=1, rank=4, seed=9) for f in ("ner", "tc")}
    backbone = Backbone(tiny_encoder, 1, primary)
    apps = {name: make_app(backbone, name) for name in ("dish", "spam")}
    k = top_layers(backbone, apps)
    assert k == 1
    found, _ = shallow(backbone, k, steps=5)
    few = with_vocabulary_of(found, [*TEXTS, *hostile_texts(20)])
    whole = export_bundle(backbone, apps, tmp_path / "whole")
    for side, smaller in (("layers", found), ("both", few)):
        written = export_bundle(backbone, apps, tmp_path / side, smaller=smaller)
        assert written.difference < 1e-4
        assert written.sizes["trunk.onnx"] < whole.sizes["trunk.onnx"]
        manifest = json.loads((tmp_path / side / MANIFEST).read_text())
        assert (manifest["depth"], manifest["k"]) == (backbone.encoder.depth, k)
        assert manifest["trunk_layers"] == backbone.encoder.depth - k - 1
        trunk, top = (onnx.load(tmp_path / side / f"{n}.onnx") for n in ("trunk", "top"))
        attention = [
            sum(node.op_type == "MultiHeadAttention" for node in one.graph.node)
            for one in (trunk, top)
        ]
        assert attention == [backbone.encoder.depth - k - 1, k]
    shallower = Engine(found, apps)
    engine = Engine(backbone, apps)
    assert shallower.predict(TEXTS) != engine.predict(TEXTS)


def test_what_cannot_be_left_out(tiny_backbone: Backbone) -> None:
    depth = tiny_backbone.encoder.depth
    with pytest.raises(UserError, match=f"has {depth - 1} below the 1 that .* give 1 to"):
        with_shallow_trunk(tiny_backbone, 1, depth - 1, TEXTS)
    with pytest.raises(UserError, match="none can be left out"):
        with_shallow_trunk(tiny_backbone, depth - 1, 1, TEXTS)
    with pytest.raises(UserError, match="no texts to teach"):
        with_shallow_trunk(tiny_backbone, 1, 1, [])
