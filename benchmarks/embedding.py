"""Texts as the frozen states that a linear classification app reads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onetrunk.adaptation.trunk_cache import TrunkCache, unit_features
from onetrunk.apps.top import Top
from onetrunk.apps.windows import Examples
from onetrunk.data.rows import LabelledText
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE
from onetrunk.model.lora_stack import LoraStack


def embed(backbone: Backbone, texts: Sequence[str], primary: str = NONE) -> np.ndarray:
    """The pooled last state ``(N, D)`` under a family's primary LoRA, or of the bare backbone;
    windows averaged."""
    kind = family_named("tc")
    rows = [LabelledText(text) for text in texts]
    examples = Examples.prepare(kind, rows, backbone.encoder, 128)
    stack = LoraStack(
        backbone.encoder, {k: v for k, v in backbone.primary_loras.items() if k == primary}
    )
    trunk = TrunkCache(examples, Top(backbone.encoder, stack, backbone.k), primary, cache=False)
    parts = unit_features(trunk, kind, backbone.pooling)
    return np.stack([part.mean(0).numpy() for _, part, _ in examples.joined(parts)])
