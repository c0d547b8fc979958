"""Recipes over the small data sets of all tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.config import Recipe


@pytest.fixture
def make_recipe(corpora: Path, tiny_encoder_folder: Any) -> Callable[..., Recipe]:
    """``make_recipe(strategy=…, …)``: both families on a tiny BERT, with these keys changed."""

    def make(**changes: Any) -> Recipe:
        data: dict[str, Any] = {
            "encoder": str(tiny_encoder_folder("bert")),
            "steps": 4,
            "k": 2,
            "lora": {"rank": 4, "alpha": 8},
            "precision": "fp32",
            "families": {
                "ner": {
                    "batch_size": 8,
                    "sources": [{"path": str(corpora / "pre_ner" / name)} for name in "ab"],
                },
                "tc": {
                    "batch_size": 8,
                    "weight": 0.5,
                    "sources": [{"path": str(corpora / "pre_pairs" / name)} for name in "cd"],
                },
            },
        }
        return Recipe.model_validate(data | changes)

    return make
