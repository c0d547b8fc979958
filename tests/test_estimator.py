from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, f1_score
from sklearn.model_selection import GridSearchCV, cross_val_score

from onetrunk.adaptation.distill import deep_teacher, taught
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.apps.load import load_apps_and_backbone
from onetrunk.data.rows import LabelledText
from onetrunk.errors import UserError
from onetrunk.estimator import TextEstimator
from onetrunk.estimator_rows import InvalidInput
from onetrunk.families import family
from onetrunk.model.backbone import Backbone
from onetrunk.storage import atomic_folder


@pytest.fixture
def texts(corpora: Path) -> tuple[list[str], list[str]]:
    rows = family("tc").read(corpora / "tc/app/train.parquet")
    return [row.text for row in rows], [row.labels[0] for row in rows]


@pytest.fixture
def sentences(corpora: Path) -> tuple[list[list[str]], list[list[str]]]:
    table = pq.read_table(corpora / "ner/app/train.parquet")
    return table["tokens"].to_pylist(), table["ner_tags"].to_pylist()


@pytest.mark.parametrize("adapter", ["linear", "lora"])
def test_it_is_what_fit_and_the_engine_give(
    tiny_backbone: Backbone, texts: Any, adapter: Any
) -> None:
    X, y = texts
    made = TextEstimator(tiny_backbone, adapter=adapter, epochs=2, seed=3).fit(X, y)
    kind = family("tc")
    rows = [LabelledText(text, (label,)) for text, label in zip(X, y, strict=True)]
    settings = AdaptSettings(adapter=adapter, epochs=2, seed=3)
    app = fit(tiny_backbone, kind, Data(kind.label_set(rows), rows), settings)
    engine = Engine(tiny_backbone, {"app": app})
    want = engine.predict_examples("app", rows)
    assert made.predict(X).tolist() == [prediction.labels[0] for prediction in want]
    probabilities = made.predict_proba(X)
    assert probabilities.shape == (len(X), len(made.classes_))
    assert probabilities.sum(1) == pytest.approx(1)
    assert made.classes_[probabilities.argmax(1)].tolist() == made.predict(X).tolist()
    assert made.score(X, y) == pytest.approx(accuracy_score(y, made.predict(X)))
    assert made.app_.record["seed"] == 3


def test_texts_without_labels_are_answered_by_a_deep_app(
    tiny_backbone: Backbone, texts: Any
) -> None:
    X, y = texts
    made = TextEstimator(tiny_backbone, adapter="linear", epochs=2).fit(X[:8], y[:8], None, X[8:])
    kind = family("tc")
    rows = [LabelledText(text, (label,)) for text, label in zip(X[:8], y[:8], strict=True)]
    data = Data(kind.label_set(rows), rows)
    settings = AdaptSettings(adapter="linear", epochs=2)
    teacher = deep_teacher(tiny_backbone, kind, data, settings)
    lesson = taught(teacher, tiny_backbone, data, [LabelledText(text) for text in X[8:]])
    want = fit(tiny_backbone, kind, lesson, settings)
    assert torch.equal(made.app_.head.weight, want.head.weight)
    assert made.app_.record["unlabelled_rows"] == len(X) - 8


def test_scikit_learn_searches_and_validates(tiny_backbone: Backbone, texts: Any) -> None:
    X, y = (np.array(part) for part in texts)
    plain = TextEstimator(tiny_backbone, adapter="linear")
    assert clone(plain).get_params() == plain.get_params()
    scores = cross_val_score(plain, X, y, cv=3)
    assert scores.mean() > 0.8
    search = GridSearchCV(plain, {"l2": [1e-2, 100.0]}, cv=3).fit(X, y)
    assert search.best_params_ == {"l2": 1e-2}
    assert search.score(X, y) > 0.9


def test_labels_keep_their_type(tiny_backbone: Backbone, texts: Any) -> None:
    X, y = texts
    numbers = [sorted(set(y)).index(label) for label in y]
    made = TextEstimator(tiny_backbone, adapter="linear").fit(X, numbers)
    assert sorted(made.classes_.tolist()) == sorted(set(numbers))
    assert accuracy_score(numbers, made.predict(X)) > 0.9


def test_entities(tiny_backbone: Backbone, sentences: Any) -> None:
    X, y = sentences
    calls: list[str] = []
    made = TextEstimator(tiny_backbone, "ner", batch_size=8).fit(
        X, y, (X[:9], y[:9]), progress=lambda what, done, total: calls.append(what)
    )
    assert made.score(X, y) > 0.8
    assert [len(tags) for tags in made.predict(X)] == [len(words) for words in X]
    assert calls
    assert "validation" in made.app_.record
    assert not hasattr(made, "predict_proba")  # as scikit-learn asks
    with pytest.raises(AttributeError) as refused:
        made.predict_proba(X)
    assert "family 'ner' has no probabilities" in str(refused.value.__cause__)
    with pytest.raises(UserError, match="1 tags for the 2 words 'in york'"):
        made.score([["in", "york"]], [["O"]])
    with pytest.raises(UserError, match="y, row 1: tag 1 'LOC' is not O, B-type or I-type"):
        made.fit([["york"]], [["LOC"]])


def test_several_labels_and_ratings(tiny_backbone: Backbone) -> None:
    words = ["call", "play", "mum", "paris", "york"]
    X = [" ".join((words * 2)[i : i + 1 + i % 4]) for i in range(5)] * 2
    y = [text.split() for text in X]
    many = TextEstimator(tiny_backbone, "multi-label", "linear", l2=1e-3).fit(X, y)
    assert [sorted(found) for found in many.predict(X)] == [sorted(labels) for labels in y]
    assert many.score(X, y) == 1.0
    grid = np.array([[label in labels for label in many.classes_] for labels in y])
    of_grid = TextEstimator(tiny_backbone, "multi-label", "linear", l2=1e-3)
    assert (of_grid.fit(X, csr_matrix(grid.astype(int))).predict(X) == grid).all()
    of_grid.fit(X, grid.astype(int).tolist())
    assert (np.array(of_grid.predict(X)) == grid).all()
    assert f1_score(grid, many.predict_proba(X) >= 0.5, average="micro") == 1.0
    stars = TextEstimator(tiny_backbone, "rating", "linear").fit(X, [len(labels) for labels in y])
    assert stars.predict(X).shape == (10,)
    assert stars.score(X, [len(labels) for labels in y]) > 0.8


def test_saved_apps_are_apps(tiny_backbone: Backbone, texts: Any, tmp_path: Path) -> None:
    with atomic_folder(tmp_path / "backbone") as folder:
        tiny_backbone.write(folder)
    X, y = texts
    made = TextEstimator(tmp_path / "backbone", adapter="linear").fit(X, y)
    made.save(tmp_path / "apps/verbs")
    engine = Engine(*load_apps_and_backbone([tmp_path / "apps/verbs"]))
    found = engine.predict(X)
    labels = [result["apps"]["verbs"]["labels"][0] for result in found]
    assert labels == made.predict(X).tolist()
    assert engine.apps["verbs"].record["backbone"] == "../../backbone"


def test_what_cannot_be_used_is_refused(tiny_backbone: Backbone) -> None:
    plain = TextEstimator(tiny_backbone)
    with pytest.raises(NotFittedError):
        plain.predict(["a"])
    with pytest.raises(UserError, match="y: 1 answers for 2 texts"):
        plain.fit(["a", "b"], ["x"])
    with pytest.raises(UserError, match="unknown task family 'nre'"):
        TextEstimator(tiny_backbone, "nre").fit(["a"], ["x"])
    with pytest.raises(UserError, match="adapter 'lroa' is unknown; choose lora or linear"):
        TextEstimator(tiny_backbone, adapter="lroa").fit(["a", "b"], ["x", "y"])
    with pytest.raises(UserError, match=r"y, row 2: .* is no number"):
        TextEstimator(tiny_backbone, "rating").fit(["a", "b"], [1, "x"])
    with pytest.raises(UserError, match="k 99: the encoder has 3 layers; choose 1 to 3"):
        TextEstimator(tiny_backbone, k=99, adapter="linear").fit(["a", "b"], ["x", "y"])
    with pytest.raises(InvalidInput, match="validation, row 1: 3 is one label; pass a list"):
        TextEstimator(tiny_backbone, "multi-label").fit(
            ["a", "b"], [["x"], []], validation=(["c"], [3])
        )


@pytest.mark.parametrize("rows", [list, tuple, lambda grid: pd.Series(grid.tolist())])
def test_rows_of_an_indicator_matrix_one_by_one(tiny_backbone: Backbone, rows: Any) -> None:
    grid = np.array([[n % 2, n % 3 == 0, 1] for n in range(12)])
    X = [f"{'call' if n % 2 else 'play'} {n}" for n in range(12)]
    whole = TextEstimator(tiny_backbone, "multi-label", "linear").fit(X, grid)
    by_row = TextEstimator(tiny_backbone, "multi-label", "linear").fit(X, rows(grid))
    assert (by_row.predict(X) == whole.predict(X)).all()
    assert by_row.predict(X).shape == (12, 3)
    with pytest.raises(InvalidInput, match=r"y, row 1: .* has a label twice"):
        TextEstimator(tiny_backbone, "multi-label").fit(X[:2], [["x", "x"], ["y"]])


def test_labels_that_a_fold_never_saw_are_misses(tiny_backbone: Backbone, texts: Any) -> None:
    X, y = texts
    fitted = TextEstimator(tiny_backbone, "tc", "linear").fit(X, y)
    score = fitted.score(X, y)
    assert fitted.score([*X, "a b"], [*y, "never seen"]) == pytest.approx(
        score * len(X) / (len(X) + 1)
    )


def test_items_of_a_generator_are_read_once(tiny_backbone: Backbone, texts: Any) -> None:
    X, y = texts
    fitted = TextEstimator(tiny_backbone, "tc", "linear").fit(iter(X), y)
    assert fitted.predict(iter(X)).tolist() == fitted.predict(X).tolist()


@pytest.mark.parametrize(
    ("family", "text", "answer", "message"),
    [
        ("tc", "ada", pd.NaT, "is no answer"),
        ("tc", "ada", pd.NA, "is no answer"),
        ("tc", "ada", ["x"], "is no label"),
        ("tc", "ada", "", "is no label"),
        ("tc", "ada", " \u3000", "is no label"),
        ("multi-label", "ada", 3, "is one label; pass a list"),
        ("multi-label", "ada", np.int64(3), "is one label; pass a list"),
        ("multi-label", "ada", {"x": 0}, "is one label; pass a list"),
        ("multi-label", "ada", ["x", None], "None is no label"),
        ("multi-label", "ada", [float("nan")], "nan is no label"),
        ("ner", "ada", 3, "is no list of spans or tags"),
        ("ner", "ada", (0, 3, "P"), "0 is no .start, end, type. of the text"),
        ("ner", "ada", [{"start": 0, "end": 3, "label": "P"}], "is no .start, end, type."),
        ("ner", "ada", [("0", "3", "P")], "is no .start, end, type. of the text"),
        ("ner", "ada", [(0, 2.5, "P")], "is no .start, end, type. of the text"),
        ("ner", "ada", [(0, 3, None)], "is no .start, end, type. of the text"),
        ("ner", "ada", [(0, 2, "P"), (1, 3, "L")], "overlap; keep one of them"),
        ("nested-ner", "ada", [(0, 2, "P"), (1, 3, "P")], "overlap; keep one of them"),
        ("ner", ["ada"], [None], "tag None is no string"),
        ("ner", ["ada"], [1], "tag 1 is no string"),
        ("ner", ["ada"], ["I-P"], "tag 1 'I-P' does not continue an entity"),
    ],
)
def test_odd_answers_are_refused(
    tiny_backbone: Backbone, family: str, text: Any, answer: Any, message: str
) -> None:
    with pytest.raises(InvalidInput, match=f"^y, row 1: .*{message}"):
        TextEstimator(tiny_backbone, family, "linear").fit([text], [answer])


def test_answers_that_are_no_list_or_of_two_kinds(tiny_backbone: Backbone) -> None:
    estimator = TextEstimator(tiny_backbone, "tc", "linear")
    for y in ({0: "x", 1: "y"}, {"x", "y"}, "xy"):
        with pytest.raises(InvalidInput, match=r"^y: (dict|set|str) is no list of answers in the"):
            estimator.fit(["a", "b"], y)
    with pytest.raises(InvalidInput, match=r"y holds strings \(row 2\) and other values \(row 1\)"):
        estimator.fit(["a", "b", "c"], [1, "1", "x"])
    with pytest.raises(InvalidInput, match=r"y holds strings \(row 1\) and other values \(row 1\)"):
        TextEstimator(tiny_backbone, "multi-label", "linear").fit(["a", "b"], [["x", 1], ["x"]])


def test_indicators_are_numbers_of_any_type(tiny_backbone: Backbone, texts: Any) -> None:
    X, y = texts
    verbs = sorted(set(y))
    grid = [[float(verb == label) for verb in verbs] for label in y]
    found = TextEstimator(tiny_backbone, "multi-label", "linear", l2=1e-3).fit(X, grid)
    assert list(found.classes_) == list(range(len(verbs)))
    assert (np.array(found.predict(X)) == np.array(grid)).all()


def test_missing_values_that_became_strings_are_said(
    tiny_backbone: Backbone, texts: Any, caplog: pytest.LogCaptureFixture
) -> None:
    X, y = texts
    X, y = [*X, str(None)], np.array([*y, np.nan])
    TextEstimator(tiny_backbone, "tc", "linear").fit(X, y)
    (note,) = [record.getMessage() for record in caplog.records if "missing" in record.msg]
    assert note.endswith(f"read as such: 2 (y, row {len(y)}: 'nan', X, row {len(y)}: 'None')")


def test_probabilities_have_the_columns_of_y(tiny_backbone: Backbone, texts: Any) -> None:
    """In their order, also those of which no row has a 1; rows may be scored by either form."""
    X, y = texts
    verbs = sorted(set(y), reverse=True)
    columns = [*verbs[:1], "never", *verbs[1:]]
    Y = pd.DataFrame([[int(label == column) for column in columns] for label in y], columns=columns)
    for form in (Y, Y.to_numpy(), csr_matrix(Y.to_numpy())):
        made = TextEstimator(tiny_backbone, "multi-label", "linear", l2=1e-3).fit(X, form)
        assert list(made.classes_) == (columns if form is Y else [*range(len(columns))])
        probabilities = made.predict_proba(X)
        assert probabilities.shape == Y.shape
        assert ((probabilities >= 0.5) == (made.predict(X) == 1)).all()
        assert (probabilities[:, 1] == 0).all()
        assert made.score(X, form) == made.score(X, Y.to_numpy()) == 1.0
        with pytest.raises(InvalidInput, match=r"2 columns, where y of fit had"):
            made.score(X, Y.to_numpy()[:, :2])
    named = TextEstimator(tiny_backbone, "multi-label", "linear", l2=1e-3).fit(X, Y)
    assert named.score(X, Y[sorted(columns)]) == 1.0  # by name
    held_out = X[:5], Y.to_numpy()[:5]
    assert named.fit(X, Y, validation=held_out).app_.record["validation"] == 100.0


@pytest.mark.parametrize("forms", [(1.0, 0.0), (True, False), (np.float32(1), np.float32(0))])
def test_equal_labels_are_one_label(tiny_backbone: Backbone, texts: Any, forms: Any) -> None:
    """A gap makes floats of a column of integers; then 1.0 is 1."""
    X, verbs = texts
    y = [forms[verb == verbs[0]] for verb in verbs]
    ints = [int(label) for label in y]
    made = TextEstimator(tiny_backbone, "tc", "linear", l2=1e-3).fit(X, y)
    assert made.score(X, ints) == made.score(X, y) == accuracy_score(ints, made.predict(X)) == 1.0
    assert made.fit(X, y, validation=(X[:4], ints[:4])).app_.record["validation"] == 100.0
    assert len(made.fit(X, [*y[:-1], ints[-1]]).classes_) == 2
