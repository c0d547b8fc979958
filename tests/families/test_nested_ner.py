import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import load_app, save_app
from onetrunk.apps.engine import Engine
from onetrunk.data.formats.annotations import annotated_text
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.words import words_of
from onetrunk.decoding import Entities
from onetrunk.families import family
from onetrunk.families.ner import Ner
from onetrunk.families.nested_ner import NestedNer
from onetrunk.model.backbone import Backbone

KIND = NestedNer()
TEXT = "the Bank of New England in the Bank of Paris"
SPANS = [[4, 23, "org"], [12, 23, "loc"], [31, 44, "org"], [39, 44, "loc"], [9, 11, "word"]]


def drawn(rng: random.Random, text: str) -> list[list[Any]]:
    found = []
    for _ in range(rng.randint(0, 5)):
        start = rng.randrange(len(text))
        end = rng.randint(start + 1, len(text))
        if text[start:end].strip(" \u200b"):
            found.append([start, end, rng.choice("abc")])
    return found


def nested_text(text: str, spans: list[list[Any]], notes: Notes | None = None) -> AnnotatedText:
    return annotated_text(text, spans, "'spans'", "F:1", notes or Notes(), nested=True)


def test_overlapping_spans_are_kept() -> None:
    row = nested_text(TEXT, SPANS)
    assert list(row.entities) == sorted(tuple(span) for span in SPANS)
    assert KIND.label_set([row]) == ["loc", "org", "word"]


def test_any_spans_are_kept_without_what_is_invisible_at_their_edges() -> None:
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(
            rng.choice(["a", "bc", " ", "-", "\u200b", "日", "e\u0301"]) for _ in range(9)
        )
        spans, notes = drawn(rng, text), Notes()
        row = nested_text(text, spans, notes)
        left_out = sum("left out: " in line and "overlap" in line for line in notes.lines())
        stripped = set()
        for a, b, kind in spans:
            visible = text[a:b].strip(" \u200b")
            start = text.index(visible, a)
            stripped.add((start, start + len(visible), kind))
        assert set(row.entities) <= stripped
        assert left_out or set(row.entities) == stripped


def test_without_overlap_it_is_the_row_of_ner() -> None:
    for spans in ([], [[4, 23, "org"]], [[0, 3, "x"], [4, 8, "y"]]):
        flat = annotated_text(TEXT, spans, "'spans'", "F:1", Notes())
        assert nested_text(TEXT, spans) == flat


def test_of_one_type_the_longest_is_kept_and_said(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.jsonl", Notes()
    spans = [[0, 3, "a"], [2, 8, "a"], [0, 8, "b"]]
    file.write_text(json.dumps({"text": "abcdefgh", "spans": spans}))
    (row,) = KIND.read(file, notes)
    assert row.entities == ((0, 8, "b"), (2, 8, "a"))
    assert notes.lines()[0] == f"spans that overlap a longer one, left out: 1 ({file}:1)"
    tags = tmp_path / "a.conll"
    tags.write_text("a B-X\nb I-X\nc O\n")
    assert KIND.read(tags)[0].entities == ((0, 3, "X"),)


def test_what_is_sure_is_decoded_and_scored() -> None:
    rng = random.Random(1)
    labels = ["a", "b", "c"]
    rows, predictions = [], []
    for _ in range(50):
        text = " ".join("xyz"[rng.randrange(3)] for _ in range(6))
        row = nested_text(text, drawn(rng, text))
        units = words_of(text)
        targets = torch.from_numpy(KIND.targets(row, units, labels))
        sure = 20 * KIND.soft_targets(targets, KIND.classes(labels))
        assert float(KIND.loss(sure, targets)) < 1e-6
        rows.append(row)
        predictions.append(KIND.decode(sure, units, labels))
        assert sorted(predictions[-1].entities) == list(row.entities)
    assert KIND.score(rows, predictions) == {"f1": 100, "precision": 100, "recall": 100}
    assert KIND.score(rows, [Entities([], [])] * len(rows))["recall"] == 0


def test_one_type_alone_is_decoded_as_ner_does() -> None:
    torch.manual_seed(0)
    units = words_of("a b c d e f g")
    for _ in range(100):
        logits = torch.randn(7, 3)
        assert KIND.decode(logits, units, ["x"]) == Ner().decode(logits, units, ["x"])


def test_the_loss_is_the_mean_of_each_types(tmp_path: Path) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 6), torch.randint(0, 3, (5, 2))
    parts = [Ner().loss(logits[:, 3 * i : 3 * i + 3], targets[:, i]) for i in range(2)]
    assert float(KIND.loss(logits, targets)) == pytest.approx(float(sum(parts)) / 2)


@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_an_app_learns_entities_in_entities(
    tiny_backbone: Backbone, tmp_path: Path, adapter: Any
) -> None:
    rng, rows = random.Random(0), []
    for _ in range(60):
        place, word = rng.choice(["paris", "york"]), rng.choice(["play", "met", "call"])
        text = f"{word} bank in {place} {rng.choice(['river', 'music'])}"
        start = text.index("bank")
        end = text.index(place) + len(place)
        rows.append({"text": text, "spans": [[start, end, "org"], [end - len(place), end, "loc"]]})
    file = tmp_path / "train.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    kind = family("nested-ner")
    train = kind.read(file)
    settings = AdaptSettings(adapter=adapter, epochs=4)
    app = fit(tiny_backbone, kind, Data(kind.label_set(train), train[:40]), settings)
    engine = Engine(tiny_backbone, {"app": app})
    assert engine.score("app", train[40:], "rows")["f1"] > 95
    (found,) = engine.predict([rows[-1]["text"]])
    spans = [[e["start"], e["end"], e["type"]] for e in found["apps"]["app"]["entities"]]
    assert spans == rows[-1]["spans"]  # the outer first
    (tmp_path / "app").mkdir()
    save_app(app, tiny_backbone, tmp_path / "app")
    assert torch.equal(load_app(tmp_path / "app", tiny_backbone).head.weight, app.head.weight)
