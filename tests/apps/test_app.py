import copy
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import pipeline

from onetrunk.adaptation.adapt import adapt
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App, load_app, save_app
from onetrunk.apps.engine import Engine
from onetrunk.apps.neighbours import Neighbours
from onetrunk.apps.subset import Subset
from onetrunk.errors import UserError
from onetrunk.families import family
from onetrunk.model.backbone import Backbone


def make(
    backbone: Backbone, corpora: Path, folder: Path, adapter: Any = "lora", name: str = "ner"
) -> App:
    kind = family(name)
    train = kind.read(corpora / name / "app/train.parquet")
    settings = AdaptSettings(adapter=adapter, epochs=1)
    app = fit(backbone, kind, Data(kind.label_set(train), train), settings)
    folder.mkdir()
    save_app(app, backbone, folder)
    return app


@pytest.mark.parametrize("adapter", ["lora", "linear"])
def test_round_trip(corpora: Path, tiny_backbone: Backbone, tmp_path: Path, adapter: Any) -> None:
    app = make(tiny_backbone, corpora, tmp_path / "app", adapter)
    loaded = load_app(tmp_path / "app", tiny_backbone)
    assert (loaded.labels, loaded.kind, loaded.family_of_primary) == (
        app.labels,
        adapter,
        app.family_of_primary,
    )
    assert loaded.record["train_rows"] == 24
    texts = ["ann met mum in new york", "bob call mum in paris"]
    results = []
    for one in (app, loaded):
        engine = Engine(tiny_backbone, {"app": one})
        results.append(engine.predict(texts))
    assert results[0] == results[1]
    files = {file.name for file in (tmp_path / "app").iterdir()}
    assert files == {"app.json", "head.safetensors", "README.md"} | (
        {"adapter"} if adapter == "lora" else set()
    )
    with pytest.raises(ValueError, match="model_type"):  # and not a head that nobody trained
        pipeline("token-classification", str(tmp_path / "app"))


def test_what_was_changed_is_saved(corpora: Path, tiny_backbone: Backbone, tmp_path: Path) -> None:
    app = make(tiny_backbone, corpora, tmp_path / "app", "linear", "tc")
    app.subset = Subset([0, 2], {"rows": 2}, "abc")
    width, classes = app.head.in_features, len(app.labels)
    app.neighbours = Neighbours.of(np.eye(3, width), np.eye(3, classes), 2, 0.1, 0.4)
    (tmp_path / "first").mkdir()
    save_app(app, tiny_backbone, tmp_path / "first")
    loaded = load_app(tmp_path / "first", tiny_backbone)
    assert loaded.subset == app.subset
    loaded.labels, loaded.max_length = [*reversed(loaded.labels)], 16
    loaded.neighbours, loaded.none_below = None, 0.5
    (tmp_path / "second").mkdir()
    save_app(loaded, tiny_backbone, tmp_path / "second")
    again = load_app(tmp_path / "second", tiny_backbone)
    assert (again.labels, again.max_length) == (loaded.labels, 16)
    assert (again.neighbours, again.none_below) == (None, 0.5)
    assert again.subset == app.subset
    assert again.record["train_rows"] == app.record["train_rows"]


def test_another_tokenizer_of_the_same_weights(
    corpora: Path, tiny_backbone: Backbone, tmp_path: Path, change_record: Any
) -> None:
    """A tokenizer is no weight, and yet an app reads texts by it."""
    make(tiny_backbone, corpora, tmp_path / "app", "linear")
    tokenizer = copy.deepcopy(tiny_backbone.encoder.tokenizer)
    tokenizer.backend_tokenizer.normalizer = None
    other = replace(tiny_backbone, encoder=replace(tiny_backbone.encoder, tokenizer=tokenizer))
    assert other.fingerprint == tiny_backbone.fingerprint
    tokenizer("a text that is cut", truncation=True, max_length=4)  # which the tokenizer keeps
    with pytest.raises(UserError, match=r"app was trained with another tokenizer than that of"):
        load_app(tmp_path / "app", other)
    copied = copy.deepcopy(tiny_backbone.encoder.tokenizer)
    copied("a text that is cut", truncation=True, max_length=4)
    same = replace(tiny_backbone, encoder=replace(tiny_backbone.encoder, tokenizer=copied))
    load_app(tmp_path / "app", same)
    change_record(tmp_path / "app")
    record = json.loads((tmp_path / "app/app.json").read_text())
    del record["tokens_sha256"]
    (tmp_path / "app/app.json").write_text(json.dumps(record))
    load_app(tmp_path / "app", other)  # an app of 0.1.0


@pytest.mark.parametrize("head_layers", [0, 5, "2", None])
def test_a_damaged_number_of_states(
    corpora: Path, tiny_backbone: Backbone, tmp_path: Path, head_layers: Any, change_record: Any
) -> None:
    make(tiny_backbone, corpora, tmp_path / "app", "linear")
    change_record(tmp_path / "app", reads=head_layers)
    with pytest.raises(UserError, match=r"not 1 to 4|not a number of layers"):
        load_app(tmp_path / "app", tiny_backbone)


def test_an_older_multi_label_app(
    corpora: Path, tiny_backbone: Backbone, tmp_path: Path, change_record: Any
) -> None:
    """It said so beside its family, and must not be taken for an app of one label."""
    make(tiny_backbone, corpora, tmp_path / "app", "linear", "tc")
    for several, name in ((True, "multi-label"), (False, "tc")):
        change_record(tmp_path / "app", multi_label=several)
        assert load_app(tmp_path / "app", tiny_backbone).family.name == name


def test_another_backbone_is_refused(
    corpora: Path, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    """Invariant 5."""
    make(tiny_backbone, corpora, tmp_path / "app")
    with torch.no_grad():
        tiny_backbone.encoder.linear(0, "key").weight[0, 0] += 1e-3
    other = Backbone(tiny_backbone.encoder, 2, tiny_backbone.primary_loras)
    with pytest.raises(UserError, match=r"app .*app was trained on .* \(.{12}\), not on .* \("):
        load_app(tmp_path / "app", other)


def test_a_missing_head_is_an_error(corpora: Path, tiny_backbone: Backbone, tmp_path: Path) -> None:
    make(tiny_backbone, corpora, tmp_path / "app")
    (tmp_path / "app/head.safetensors").unlink()
    with pytest.raises(UserError, match="refusing to use a random head"):
        load_app(tmp_path / "app", tiny_backbone)


def test_a_missing_lora_is_an_error(corpora: Path, tiny_backbone: Backbone, tmp_path: Path) -> None:
    make(tiny_backbone, corpora, tmp_path / "app")
    (tmp_path / "app/adapter/adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"has no adapter_model\.safetensors"):
        load_app(tmp_path / "app", tiny_backbone)


def test_a_missing_primary_is_an_error(
    corpora: Path, tiny_backbone: Backbone, tmp_path: Path
) -> None:
    make(tiny_backbone, corpora, tmp_path / "app", "linear")
    bare = Backbone(tiny_backbone.encoder, 2)
    with pytest.raises(UserError, match="needs the primary LoRA 'ner'"):
        load_app(tmp_path / "app", bare)


@pytest.mark.parametrize("key", ["family", "labels", "fingerprint", "max_length"])
def test_a_damaged_record(corpora: Path, tiny_backbone: Backbone, tmp_path: Path, key: str) -> None:
    make(tiny_backbone, corpora, tmp_path / "app", "linear")
    path = tmp_path / "app/app.json"
    record = json.loads(path.read_text())
    del record[key]
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=rf"app\.json is damaged: it has no '{key}'"):
        load_app(tmp_path / "app", tiny_backbone)


def test_not_an_app_folder(tiny_backbone: Backbone, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not an app folder: it has no app\.json"):
        load_app(tmp_path, tiny_backbone)


def test_scores_on_the_rows_that_an_app_learnt_are_noted(
    tiny_backbone: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [{"text": f"call {n}", "label": "xy"[n % 2]} for n in range(8)]
    app = adapt(tiny_backbone, "tc", train=rows, adapter="linear")
    app.save(tmp_path / "app")
    loaded = load_app(tmp_path / "app", tiny_backbone)
    caplog.clear()
    loaded.evaluate(rows[:6])
    assert "these very texts" not in caplog.text
    loaded.evaluate(rows[::-1])  # in any order
    what = "the app was trained on these very texts: scores on them mean little (the test rows)"
    assert what in caplog.text
