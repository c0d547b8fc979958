import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.task import AdaptSettings, Data
from onetrunk.apps.app import load_app, save_app
from onetrunk.apps.engine import Engine
from onetrunk.data.formats.annotations import nested_text, tagged_text
from onetrunk.data.iob import entities
from onetrunk.data.notes import Notes
from onetrunk.data.rows import NestedText, TaggedText
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
        if text[start:end].strip():
            found.append([start, end, rng.choice("abc")])
    return found


def offsets(row: NestedText) -> list[tuple[int, int, str]]:
    return [(row.words[a][0], row.words[b - 1][1], kind) for a, b, kind in row.entities]


def test_overlapping_spans_are_kept() -> None:
    row = nested_text(TEXT, SPANS, "'spans'", "F:1", Notes())
    assert sorted(offsets(row)) == sorted(tuple(span) for span in SPANS)
    assert [TEXT[a:b] for a, b in row.words] == TEXT.split()
    assert KIND.label_set([row]) == ["loc", "org", "word"]


def test_any_spans_are_runs_of_whole_words() -> None:
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(
            rng.choice(["a", "bc", " ", "-", "\u200b", "日", "e\u0301"]) for _ in range(9)
        )
        spans, notes = drawn(rng, text), Notes()
        row = nested_text(text, spans, "'spans'", "F:1", notes)
        left_out = sum("left out: " in line and "overlap" in line for line in notes.lines())
        stripped = {
            (a + len(text[a:b]) - len(text[a:b].lstrip()), a + len(text[a:b].rstrip()), kind)
            for a, b, kind in spans
        }
        assert set(offsets(row)) <= stripped
        assert left_out or set(offsets(row)) == stripped
        assert all(a < b for a, b in row.words)
        assert all(b <= c for (_, b), (c, _) in zip(row.words, row.words[1:], strict=False))
        letters = str.maketrans("", "", " \u200b")
        visible = "".join(text[a:b] for a, b in row.words)
        assert visible.translate(letters) == text.translate(letters)


def test_without_overlap_it_is_the_row_of_ner() -> None:
    for spans in ([], [[4, 23, "org"]], [[0, 3, "x"], [4, 8, "y"]]):
        flat = tagged_text(TEXT, spans, "'spans'", "F:1", Notes())
        assert nested_text(TEXT, spans, "'spans'", "F:1", Notes()) == NestedText.of(flat)


def test_of_one_type_the_longest_is_kept_and_said(tmp_path: Path) -> None:
    file, notes = tmp_path / "a.jsonl", Notes()
    spans = [[0, 3, "a"], [2, 8, "a"], [0, 8, "b"]]
    file.write_text(json.dumps({"text": "abcdefgh", "spans": spans}))
    (row,) = KIND.read(file, notes)
    assert offsets(row) == [(0, 8, "b"), (2, 8, "a")]
    assert notes.lines() == [f"spans that overlap a longer one, left out: 1 ({file}:1)"]
    tags = tmp_path / "a.conll"
    tags.write_text("a B-X\nb I-X\nc O\n")
    assert KIND.read(tags)[0].entities == ((0, 2, "X"),)


def test_what_is_sure_is_decoded_and_scored() -> None:
    rng = random.Random(1)
    labels = ["a", "b", "c"]
    rows, found = [], []
    for _ in range(50):
        text = " ".join("xyz"[rng.randrange(3)] for _ in range(6))
        row = nested_text(text, drawn(rng, text), "'spans'", "F:1", Notes())
        units = [i if rng.random() < 0.9 else -1 for i in range(len(row.words))]
        seen = KIND.targets(row, range(len(row.words)), labels)
        targets = KIND.targets(row, units, labels)
        assert torch.equal(targets, seen[[i for i, at in enumerate(units) if at >= 0]])
        sure = 20 * KIND.soft_targets(seen, KIND.classes(labels))
        assert float(KIND.loss(sure, seen)) < 1e-6
        rows.append(row)
        found.append(KIND.decode(sure, row, range(len(row.words)), labels))
        assert found[-1].entities == list(row.entities)
        answer = KIND.unit_probabilities(sure[[i for i, at in enumerate(units) if at >= 0]], units)
        hidden = [i for i, at in enumerate(units) if at < 0]
        assert float(answer[hidden].sum()) == 0
    assert KIND.score(rows, found) == {"f1": 100, "precision": 100, "recall": 100}
    empty = [type(one)([], []) for one in found]
    assert KIND.score(rows, empty)["recall"] == 0


def test_one_type_alone_is_decoded_as_ner_does() -> None:
    torch.manual_seed(0)
    for _ in range(100):
        logits, row = torch.randn(7, 3), TaggedText.from_words(list("abcdefg"))
        flat = Ner().decode(logits, row, range(7), ["x"])
        nested = KIND.decode(logits, NestedText.of(row), range(7), ["x"])
        assert nested.entities == entities(flat.tags)
        assert Ner().render(row, flat) == KIND.render(NestedText.of(row), nested)


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
