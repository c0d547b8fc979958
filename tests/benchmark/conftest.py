"""A suite of two small tasks on a tiny encoder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from onetrunk.benchmark.suite import Suite
from onetrunk.benchmark.suite_file import load_suite

MakeSuite = Callable[..., Suite]


@pytest.fixture
def suite_file(corpora: Path, tiny_encoder_folder: Any) -> Callable[..., Path]:
    """``suite_file(strategies=…, …)``: a suite with these keys changed; None leaves a key out."""
    recipe = {
        "encoder": str(tiny_encoder_folder("bert")),
        "k": 2,
        "lora": {"rank": 4, "alpha": 8},
        "precision": "fp32",
        "families": {
            "ner": {"batch_size": 4, "sources": [{"path": "pre_ner/a"}]},
            "tc": {"batch_size": 4, "sources": [{"path": "pre_pairs/c"}]},
        },
    }
    (corpora / "recipe.yaml").write_text(yaml.safe_dump(recipe))

    def make(**changes: Any) -> Path:
        content: dict[str, Any] = {
            "recipe": "recipe.yaml",
            "steps": 2,
            "strategies": [
                "none",
                "tpl",
                {"name": "tpl-discarded", "strategy": "tpl", "discard_primary": True},
            ],
            "draws": [{"rows": 8}],
            "adapt": {"epochs": 1, "rank": 4},
            "tasks": [
                {"name": "who", "family": "ner", "data": "ner/app"},
                {"name": "verb", "family": "tc", "data": "tc/app", "metric": "macro_f1"},
            ],
        }
        content = {key: value for key, value in (content | changes).items() if value is not None}
        path = corpora / "suite.yaml"
        path.write_text(yaml.safe_dump(content, sort_keys=False))
        return path

    return make


@pytest.fixture
def make_suite(suite_file: Callable[..., Path]) -> MakeSuite:
    """``make_suite(strategies=…, …)``: that suite, loaded."""
    return lambda **changes: load_suite(suite_file(**changes))
