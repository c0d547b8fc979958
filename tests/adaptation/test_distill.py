from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from onetrunk.adaptation.distill import LABEL_SHARE, deep_teacher, taught
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.apps.windows import OfUnits
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.data.words import words_of
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES, family
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder

KINDS = ["ner", "tc", "multi-label", "rating"]
LINEAR = AdaptSettings(adapter="linear", precision="fp32")


def load(corpora: Path, name: str) -> tuple[Family[Any, Any], Data]:
    kind = family(name)
    if name == "ner":
        train = kind.read(corpora / "ner/app/train.parquet")
    else:
        rows = FAMILIES["tc"].read(corpora / "tc/app/train.parquet")
        values = {"call": "1", "play": "3"}
        train = [
            LabelledText(row.text, tuple(values[label] for label in row.labels))
            if name == "rating"
            else row
            for row in rows
        ]
    return kind, Data(kind.label_set(train), train)


def gold(kind: Family[Any, Any], data: Data) -> list[OfUnits]:
    """Labels in the form of answers."""
    classes, answers = kind.classes(data.labels), []
    for row in data.train:
        units = words_of(row.text) if isinstance(row, AnnotatedText) else []
        targets = torch.from_numpy(kind.targets(row, units, data.labels))
        answers.append(OfUnits(units, kind.soft_targets(targets, classes)))
    return answers


@pytest.mark.parametrize("name", KINDS)
def test_the_loss_of_ballots_is_that_of_targets(name: str) -> None:
    kind, labels = family(name), ["0", "1", "2"]
    rows: list[Any] = [LabelledText("a", (label,)) for label in labels]
    if name == "ner":
        rows = [AnnotatedText("a", ((0, 1, label),)) for label in labels]
    labels = kind.label_set(rows)
    targets = torch.tensor(np.concatenate([kind.targets(row, [(0, 1)], labels) for row in rows]))
    logits = torch.randn(len(rows), kind.classes(labels))
    soft_targets = kind.soft_targets(targets, logits.shape[1])
    assert soft_targets.shape == logits.shape
    assert_close(kind.loss(logits, soft_targets), kind.loss(logits, targets))


@pytest.mark.parametrize("adapter", ["linear", "lora"])
@pytest.mark.parametrize("name", KINDS)
def test_learning_labels_as_answers_is_learning_labels(
    corpora: Path, tiny_backbone: Backbone, name: str, adapter: Any
) -> None:
    kind, data = load(corpora, name)
    settings = AdaptSettings(adapter=adapter, epochs=2, batch_size=8)
    app = fit(tiny_backbone, kind, data, settings)
    same = fit(tiny_backbone, kind, replace(data, soft_targets=gold(kind, data)), settings)
    # Words' answers are rounded otherwise than their labels, which a rough start of a LoRA's head
    # shows.
    close = 1e-2 if (name, adapter) == ("ner", "lora") else 1e-3
    assert_close(same.head.weight, app.head.weight, atol=close, rtol=0)
    assert same.record["unlabelled_rows"] == 0


@pytest.mark.parametrize("name", KINDS)
def test_answers_are_what_is_decided_from(
    corpora: Path, tiny_backbone: Backbone, name: str
) -> None:
    """Of texts in several windows, too."""
    kind, data = load(corpora, name)
    app = fit(tiny_backbone, kind, data, replace(LINEAR, max_length=8))
    rows = [kind.parse(text) for text in ("ann met mum in paris", "play mum " * 20, "")]
    engine = Engine(tiny_backbone, {"app": app})
    answers = engine.unit_probabilities("app", rows)
    predictions = engine.predict_examples("app", rows, abstaining=False)
    for row, (units, answer), predicted in zip(rows, answers, predictions, strict=True):
        count = len(words_of(row.text)) if name == "ner" else 1
        assert answer.shape == (count, kind.classes(data.labels))
        if name == "ner":
            assert units == words_of(row.text)
            assert_close(answer.sum(1), torch.ones(count))
            decoded = kind.decode(answer.log(), units, data.labels)
            assert decoded.entities == predicted.entities
        elif name == "tc":
            assert predicted.labels == (data.labels[int(answer.argmax())],)
        elif name == "rating":
            low, high = map(float, data.labels)
            assert predicted == pytest.approx(low + float(answer) * (high - low), abs=1e-5)
        else:
            chosen = [label for label, p in zip(data.labels, answer[0], strict=True) if p >= 0.5]
            assert sorted(predicted.labels) == chosen


@pytest.mark.parametrize("name", KINDS)
def test_a_taught_app_answers_more_like_its_teacher(
    corpora: Path, tiny_backbone: Backbone, name: str
) -> None:
    """On other texts, and the teacher may be of any backbone."""
    kind, data = load(corpora, name)
    data.train = data.train[:6]
    rows = [kind.parse(kind.text(row)) for row in load(corpora, name)[1].train[6:]]
    teacher = deep_teacher(tiny_backbone, kind, data, AdaptSettings(epochs=4, batch_size=4))
    assert teacher.adapter is not None
    assert len(teacher.adapter.layers) == tiny_backbone.encoder.depth
    lesson = taught(teacher, tiny_backbone, data, rows[:9])
    student, untaught = (fit(tiny_backbone, kind, each, LINEAR) for each in (lesson, data))
    assert (student.record["train_rows"], student.record["unlabelled_rows"]) == (6, 9)
    apps = {"teacher": teacher, "student": student, "untaught": untaught}
    engine = Engine(tiny_backbone, apps)
    said = {
        name: torch.cat([values for _, values in engine.unit_probabilities(name, rows[9:])])
        for name in apps
    }
    assert (said["student"] - said["teacher"]).abs().mean() < (
        said["untaught"] - said["teacher"]
    ).abs().mean()


def test_labels_are_half_of_what_is_learned_of_labelled_rows(
    corpora: Path, tiny_backbone: Backbone, tiny_encoder_folder: Any
) -> None:
    kind, data = load(corpora, "ner")
    other = Backbone(load_encoder(str(tiny_encoder_folder("distilbert"))), k=2)
    teacher = fit(other, kind, data, LINEAR)
    lesson = taught(teacher, other, data, [kind.parse("ann met bob")])
    engine = Engine(other, {"teacher": teacher})
    said = engine.unit_probabilities("teacher", [*data.train, kind.parse("ann met bob")])
    assert lesson.soft_targets is not None
    for found, answer, label in zip(lesson.soft_targets, said, gold(kind, data), strict=False):
        assert found.units == answer.units == label.units
        assert_close(found.values, LABEL_SHARE * label.values + (1 - LABEL_SHARE) * answer.values)
    assert_close(lesson.soft_targets[-1].values, said[-1].values)
    assert data.soft_targets is None
    fit(tiny_backbone, kind, lesson, LINEAR)  # of another backbone than its teacher


def test_what_cannot_be_taught_is_refused(corpora: Path, tiny_backbone: Backbone) -> None:
    kind, data = load(corpora, "tc")
    teacher = fit(tiny_backbone, kind, data, LINEAR)
    more = replace(data, labels=[*data.labels, "stop"])
    with pytest.raises(UserError, match=r"2 labels, the training rows 3; .*'stop'"):
        taught(teacher, tiny_backbone, more, [])
    lesson = taught(teacher, tiny_backbone, data, [])
    with pytest.raises(UserError, match="neighbours are labelled texts"):
        fit(tiny_backbone, kind, lesson, replace(LINEAR, neighbours=True))
    with pytest.raises(ValueError, match="as many as"):
        fit(tiny_backbone, kind, replace(lesson, train=data.train[1:]), LINEAR)


def test_answers_for_units_of_another_tokenizer() -> None:
    """Each has those of the unit in which it begins; where there is none, no loss comes."""
    answers = OfUnits([(0, 3), (3, 4), (6, 9)], torch.tensor([[1.0], [2.0], [3.0]]))
    assert answers.of([(0, 3), (3, 4), (6, 9)]) is answers.values
    units = [(0, 2), (2, 4), (4, 5), (7, 9), (9, 12)]
    assert answers.of(units).tolist() == [[1.0], [1.0], [0.0], [3.0], [0.0]]
