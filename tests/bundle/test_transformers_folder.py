"""An app as a model folder: transformers answers with it as the engine does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

import onetrunk
from onetrunk.apps.app import App
from onetrunk.bundle.transformers_folder import export_transformers
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder

TRAIN = [
    AnnotatedText(f"{name} met mum in {place} now", [(0, len(name), "who")])
    for name in ("ann", "bob", "dora")
    for place in ("paris", "rome", "new york")
] + [AnnotatedText("call mum in new york", [(12, 20, "where")])] * 4
TEXTS = ["ann met mum in new york now", "call dora in rome", "bob"]


def app_of(backbone: Backbone, adapter: str, **options: Any) -> App:
    return onetrunk.adapt(
        backbone,
        "ner",
        TRAIN,
        adapter=adapter,
        head_layers=1,
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("kind", ["bert", "distilbert", "roberta", "electra"])
@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_logits_and_entities_are_those_of_the_app(
    tiny_encoder_folder: Any, tmp_path: Path, kind: str, adapter: str
) -> None:
    backbone = Backbone(load_encoder(str(tiny_encoder_folder(kind))), k=2)
    app = app_of(backbone, adapter, **({"epochs": 6} if adapter == "lora" else {"l2": 1e-3}))
    export_transformers(backbone, "calendar", app, tmp_path / "model")
    model = AutoModelForTokenClassification.from_pretrained(tmp_path / "model").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "model")
    assert model.config.id2label == {0: "O", 1: "B-where", 2: "I-where", 3: "B-who", 4: "I-who"}
    ask = pipeline(
        "token-classification", model=model, tokenizer=tokenizer, aggregation_strategy="first"
    )
    for text, wanted in zip(TEXTS, app.predict(TEXTS), strict=True):
        found = [(one["start"], one["end"], one["entity_group"]) for one in ask(text)]
        assert found == [(e["start"], e["end"], e["type"]) for e in wanted["entities"]], text
        with torch.no_grad():
            logits = model(**tokenizer(text, return_tensors="pt")).logits
        assert logits.shape[-1] == 5


def test_what_no_standard_head_expresses(tiny_backbone: Backbone, tmp_path: Path) -> None:
    labelled = [LabelledText(f"{word} {i}", (word,)) for i in range(8) for word in ("call", "play")]
    intent = onetrunk.adapt(tiny_backbone, "tc", labelled, adapter="linear", l2=0.1)
    unsure = app_of(tiny_backbone, "linear", l2=1e-3)
    unsure.none_below = 0.5
    deep = onetrunk.adapt(tiny_backbone, "ner", TRAIN, adapter="linear", l2=1e-3, head_layers=2)
    nested = onetrunk.adapt(tiny_backbone, "nested-ner", TRAIN, adapter="linear", head_layers=1)
    for app, message in (
        (intent, "heads for whole texts"),
        (unsure, "cannot leave out unsure answers"),
        (deep, "reads the states of 2 layers"),
        (nested, "no head for family 'nested-ner'"),
    ):
        with pytest.raises(UserError, match=message):
            export_transformers(tiny_backbone, "app", app, tmp_path / "model")
    assert not (tmp_path / "model").exists()
