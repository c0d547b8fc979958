"""Apps that give no answer where they are not sure enough."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import onetrunk
from onetrunk import TextEstimator, UserError, adapt
from onetrunk.adaptation.abstention import Abstention, thresholds
from onetrunk.apps.app import App, load_app
from onetrunk.apps.engine import Engine
from onetrunk.data.rows import LabelledText
from onetrunk.families import family
from onetrunk.model.backbone import Backbone

rng = random.Random(0)
WORDS = ["call", "mum", "play", "music", "river", "bank", "paris", "new", "york"]


def made(rows: int, noise: float) -> list[LabelledText]:
    """Texts whose label is their first word's, but for some of them."""
    texts = [" ".join(rng.choices(WORDS, k=4)) for _ in range(rows)]
    labels = [text.split()[0][0] if rng.random() > noise else "m" for text in texts]
    return [LabelledText(text, (label,)) for text, label in zip(texts, labels, strict=True)]


TRAIN, HELD_OUT = made(60, 0.1), made(80, 0.2)


@pytest.fixture
def app(tiny_backbone: Backbone) -> App:
    return adapt(tiny_backbone, "tc", TRAIN, HELD_OUT, adapter="linear")


def brute_force(answers: list[tuple[float, bool]], wanted: float) -> float | None:
    """The lowest of all thresholds that could matter."""
    levels = sorted({p for p, _ in answers})
    tried = [0.0, *((low + high) / 2 for low, high in pairwise(levels))]
    for threshold in tried:
        given = [right for p, right in answers if p >= threshold]
        if given and 100 * sum(given) / len(given) >= wanted:
            return threshold
    return None


def test_the_lowest_threshold_is_that_of_brute_force() -> None:
    draw = random.Random(1)
    reached = 0
    for _ in range(400):
        # Few different probabilities, so that many are equal.
        levels = [draw.randint(1, 15) / 16 for _ in range(draw.randint(0, 25))]
        answers = [(p, draw.random() < p) for p in levels]
        cuts = thresholds(answers)
        assert [cut.none_below for cut in cuts] == sorted({cut.none_below for cut in cuts})
        for wanted in (1, 50, 80, 95, 100):
            chosen = next((cut for cut in cuts if cut.precision >= wanted), None)
            assert (chosen and chosen.none_below) == brute_force(answers, wanted)
            if chosen is not None:
                given = [right for p, right in answers if p >= chosen.none_below]
                assert chosen.given == len(given)
                assert chosen.precision == pytest.approx(100 * sum(given) / len(given))
                reached += 1
    assert reached > 500


@pytest.mark.parametrize("kind", ["tc", "multi-label", "ner"])
def test_the_chosen_threshold_holds_on_the_validation_rows(
    kind: str, tiny_backbone: Backbone, corpora: Path
) -> None:
    train: Any = TRAIN
    rows: list[Any] = HELD_OUT
    if kind == "ner":
        train = corpora / "ner/app/train.parquet"
        rows = family("ner").read(corpora / "ner/app/test.parquet")
        rows = [replace(row, entities=row.entities[: at % 3]) for at, row in enumerate(rows)]
    every = adapt(tiny_backbone, kind, train, rows, adapter="linear")
    answers = []
    for row, answer in zip(rows, every.predict([row.text for row in rows]), strict=True):
        if kind == "ner":
            for one in answer["entities"]:
                entity = (one["start"], one["end"], one["type"])
                answers.append((one["score"], entity in row.entities))
        else:
            for label in answer["labels"]:
                answers.append((answer["probabilities"][label], label in row.labels))
    before = 100 * sum(right for _, right in answers) / len(answers)
    wanted = min(100.0, before + 3)
    app = adapt(tiny_backbone, kind, train, rows, adapter="linear", wanted_precision=wanted)
    said = app.record["abstention"]
    assert app.none_below == pytest.approx(brute_force(answers, wanted), abs=2e-4)
    given = [right for p, right in answers if p >= app.none_below]
    assert said["given"] == len(given) < len(answers)
    assert said["precision"] == round(100 * sum(given) / len(given), 2) >= round(wanted, 2)
    assert (said["what"], said["of"]) == (
        ("rows", len(rows)) if kind == "tc" else ("answers", len(answers))
    )


def test_raising_none_below_never_adds_an_answer(
    app: App, tiny_backbone: Backbone, corpora: Path
) -> None:
    texts = [row.text for row in HELD_OUT]
    several = adapt(
        tiny_backbone, "multi-label",
        [LabelledText(row.text, tuple({w[0] for w in row.text.split()})) for row in TRAIN],
        adapter="linear",
    )  # fmt: skip
    ner = adapt(tiny_backbone, "ner", corpora / "ner/app/train.parquet", adapter="linear")
    engine = Engine(tiny_backbone, {"one": app, "several": several, "ner": ner})
    before: list[set[Any]] | None = None
    counts = []
    for step in range(11):
        app.none_below = several.none_below = ner.none_below = step / 10
        now: list[set[Any]] = []
        for result in engine.predict(texts):
            one, more, found = (result["apps"][name] for name in ("one", "several", "ner"))
            assert one.get("abstained", False) is (one["labels"] == [])
            assert "abstained" not in more  # no label is an answer, too
            assert all(entity["score"] >= step / 10 - 1e-4 for entity in found["entities"])
            places = {(e["start"], e["end"], e["type"]) for e in found["entities"]}
            labels = [("one", *one["labels"]), *(("several", label) for label in more["labels"])]
            now.append({*labels[not one["labels"] :], *places})
        if before is not None:
            assert all(later <= earlier for later, earlier in zip(now, before, strict=True))
        before = now
        counts.append(sum(map(len, now)))
    assert counts[0] > counts[5] > counts[-1]
    app.none_below = None
    assert all(answer["labels"] for answer in app.predict(texts))


@pytest.mark.parametrize("none_below", [None, 0.0, 0.6, 1])
def test_a_folder_and_a_bundle_keep_it(
    app: App, tiny_backbone: Backbone, tmp_path: Path, none_below: float | None, change_record: Any
) -> None:
    app.none_below = 0.3
    app.save(tmp_path / "first/app")
    app = load_app(tmp_path / "first/app", tiny_backbone)
    assert app.none_below == 0.3
    app.none_below = none_below  # what the record of the loaded folder says no longer holds
    app.save(tmp_path / "app")
    assert json.loads((tmp_path / "app/app.json").read_text())["none_below"] == none_below
    loaded = load_app(tmp_path / "app", tiny_backbone)
    assert loaded.none_below == none_below
    onetrunk.export({"app": loaded}, tmp_path / "bundle", backbone=tiny_backbone)
    texts = [row.text for row in HELD_OUT]
    found = onetrunk.load(tmp_path / "bundle").predict(texts)
    assert [one["apps"]["app"]["labels"] for one in found] == [
        one["labels"] for one in app.predict(texts)
    ]
    for wrong in (1.5, -0.1, "0.5", True):
        change_record(tmp_path / "app", none_below=wrong)
        with pytest.raises(UserError, match="not a number from 0 to 1"):
            load_app(tmp_path / "app", tiny_backbone)


def test_what_is_refused(tiny_backbone: Backbone) -> None:
    with pytest.raises(UserError, match=r"none_below is 1: .* did you mean 0\.01\?"):
        Abstention(none_below=1)
    rated = [LabelledText(row.text, (str(len(row.text)),)) for row in TRAIN]
    for option in ({"none_below": 0.5}, {"wanted_precision": 90}):
        with pytest.raises(UserError, match=f"'rating' cannot abstain.*leave {next(iter(option))}"):
            adapt(tiny_backbone, "rating", rated, rated, **option)
    with pytest.raises(UserError, match="on validation rows, and there are none"):
        adapt(tiny_backbone, "tc", TRAIN, wanted_precision=90)
    with pytest.raises(UserError, match="leave one of them out"):
        Abstention(0.5, 90)
    for none_below, hint in ((70, r"did you mean 0\.7\?"), (-1, "from 0 to 1"), ("x", "is 'x'")):
        with pytest.raises(UserError, match=hint):
            Abstention(none_below)  # type: ignore[arg-type]
    for wanted, hint in ((0.95, r"did you mean 95\?"), (101, "from 1 to 100"), ("x", "is 'x'")):
        with pytest.raises(UserError, match=hint):
            Abstention(None, wanted)  # type: ignore[arg-type]
    wrong = [LabelledText(row.text, ("b" if row.labels != ("b",) else "c",)) for row in TRAIN]
    with pytest.raises(UserError, match=r"no threshold has 100 % .* best has .* none_below 0\."):
        adapt(tiny_backbone, "tc", TRAIN, wrong, wanted_precision=100)
    blank = [LabelledText(" ", ("c",))]
    with pytest.raises(UserError, match="answers none of the validation rows"):
        adapt(tiny_backbone, "tc", TRAIN, blank, wanted_precision=50)


def test_an_estimator_answers_every_row(app: App, tiny_backbone: Backbone, tmp_path: Path) -> None:
    texts = [*(row.text for row in HELD_OUT), "", " \u200b"]
    every = [max(one["probabilities"], key=one["probabilities"].get) for one in app.predict(texts)]
    app.none_below = 1.0
    assert not any(one["labels"] for one in app.predict(texts))
    app.save(tmp_path / "app")
    estimator = TextEstimator.load(tmp_path / "app", tiny_backbone)
    assert estimator.predict(texts).tolist() == every
    assert estimator.score(texts, every) == 1


def test_scores_tell_how_many_rows_have_an_answer(app: App) -> None:
    rows = [*HELD_OUT, LabelledText("", ("m",))]
    sure = [max(one["probabilities"].values()) for one in app.predict([row.text for row in rows])]
    app.none_below = sorted(sure)[40]
    scores = app.evaluate(rows).scores
    answers = [one["labels"] for one in app.predict([row.text for row in rows])]
    right = sum(tuple(labels) == row.labels for labels, row in zip(answers, rows, strict=True))
    given = sum(map(bool, answers))
    assert 0 < right < given < len(rows) - 1
    assert scores["accuracy"] == pytest.approx(100 * right / len(rows))
    assert scores["answered"] == pytest.approx(100 * given / len(rows))
    assert scores["accuracy_answered"] == pytest.approx(100 * right / given)
    app.none_below = None
    assert "answered" not in app.evaluate(HELD_OUT).scores
    assert family("tc").metric == "accuracy"
