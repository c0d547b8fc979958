from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from onetrunk.apps.app import App
from onetrunk.bundle.export import export_bundle
from onetrunk.families import FAMILIES
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.lora import LoraAdapter

# name -> family, LoRA (None: a head alone), what a head alone reads, states it reads
SHAPES: dict[str, tuple[str, dict[str, Any] | None, str, int]] = {
    "calendar": ("ner", {"k": 2, "rank": 4}, "ner", 1),
    "dish": ("ner", {"k": 1, "rank": 2, "alpha": 3.0, "rslora": True}, "ner", 2),
    "place": ("ner", None, "ner", 3),
    "intent": ("tc", {"k": 2, "rank": 6, "targets": ("query", "value")}, "tc", 1),
    "spam": ("tc", None, "tc", 1),
    "mood": ("tc", None, "tc", 3),
    "flags": ("multi-label", None, "none", 1),
    "stars": ("rating", None, "none", 2),
    "nested": ("nested-ner", {"k": 2, "rank": 3}, "ner", 3),
}
LABELS = {
    "ner": ["loc", "per"],
    "nested-ner": ["loc", "org", "per"],
    "tc": ["a", "b", "c"],
    "multi-label": ["a", "b"],
}
MAX_LENGTH = 24

MakeApp = Callable[..., App]


@pytest.fixture(scope="session")
def make_app(random_adapter: Callable[..., LoraAdapter]) -> MakeApp:
    """``make_app(backbone, name)``: an app with random weights; ``seed`` makes another."""

    def make(backbone: Backbone, name: str, seed: int = 0, max_length: int = MAX_LENGTH) -> App:
        kind, shape, primary, head_layers = SHAPES[name]
        family, labels = FAMILIES[kind], LABELS.get(kind, ["1", "5"])
        generator = torch.Generator().manual_seed(100 * seed + list(SHAPES).index(name))
        head = nn.Linear(head_layers * backbone.encoder.width, family.classes(labels))
        head.requires_grad_(False)
        for parameter in head.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
        adapter = None
        if shape is not None:
            adapter = random_adapter(backbone.encoder, seed=seed, **shape)
        return App(
            family, labels, head, adapter, primary, max_length, backbone.fingerprint, head_layers
        )

    return make


@pytest.fixture(scope="session")
def make_backbone(
    fresh_encoder: Callable[..., Encoder], random_adapter: Callable[..., LoraAdapter]
) -> Callable[..., Backbone]:
    """``make_backbone(kind)``: a tiny frozen encoder with k = 2 and two primary LoRAs."""

    def make(kind: str = "bert", pooling: str = "mean") -> Backbone:
        encoder = fresh_encoder(kind)
        encoder.freeze()
        primary = {
            family: random_adapter(encoder, k=2, rank=4, seed=seed)
            for seed, family in enumerate(("ner", "tc"), start=7)
        }
        return Backbone(encoder, 2, primary, pooling)

    return make


@pytest.fixture(scope="session")
def exported(
    make_backbone: Callable[..., Backbone],
    make_app: MakeApp,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """``apps`` on ``tiny_backbone``, exported. To be read only: ``bundle`` is to be changed."""
    folder, backbone = tmp_path_factory.mktemp("exported") / "bundle", make_backbone()
    export_bundle(backbone, {name: make_app(backbone, name) for name in SHAPES}, folder)
    return folder


@pytest.fixture
def bundle(exported: Path, tmp_path: Path) -> Path:
    """A copy of ``exported``."""
    shutil.copytree(exported, tmp_path / "bundle")
    return tmp_path / "bundle"


@pytest.fixture
def apps(tiny_backbone: Backbone, make_app: MakeApp) -> dict[str, App]:
    """One app of every shape on ``tiny_backbone``."""
    return {name: make_app(tiny_backbone, name) for name in SHAPES}
