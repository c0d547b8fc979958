"""scikit-learn's own checks of an estimator, with each numeric row of X spelt as a text.

``check_estimator`` leaves estimators of texts alone, so the rows are turned into words here: one
letter a number. What cannot apply to texts is left out by name, with the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.utils.estimator_checks import estimator_checks_generator

from onetrunk.errors import UserError
from onetrunk.estimator import TextEstimator

BACKBONE = Path(__file__).parent / "fixtures/format-0.1/backbone"
COLUMNS = "a text has no columns to count"
NUMBERS = "X is text: it holds no NaN, infinity, complex number, sparse row or number at all"
ONE_LABEL = "one label is refused: there is nothing to tell apart"
LEFT_OUT = {
    "check_n_features_in": COLUMNS,
    "check_n_features_in_after_fitting": COLUMNS,
    "check_classifiers_train": COLUMNS + " (its other parts are in test_estimator.py)",
    "check_regressors_train": COLUMNS + " (likewise)",
    "check_complex_data": NUMBERS,
    "check_estimators_nan_inf": NUMBERS,
    "check_estimator_sparse_tag": NUMBERS,
    "check_estimator_sparse_array": NUMBERS,
    "check_estimator_sparse_matrix": NUMBERS,
    "check_estimators_empty_data_messages": NUMBERS,
    "check_fit1d": NUMBERS,
    "check_fit2d_predict1d": NUMBERS,
    "check_array_api_input": "needs SCIPY_ARRAY_API, and X is text",
    "check_classifiers_one_label": ONE_LABEL,
    "check_fit2d_1sample": ONE_LABEL,
    "check_methods_subset_invariance": "asks for 1e-7; float32 in other batches agrees to 1e-5, "
    "which test_engine.py asserts",
    "check_regressors_no_decision_function": "asks a least-squares fit of constant numbers",
}


def spelt(X: Any) -> list[str]:
    """Each row of numbers as words of one letter."""
    rows = np.clip(np.asarray(X, float) * 3 + 5, 0, 9).astype(int)
    return [" ".join("abcdefghij"[number] for number in row) for row in rows]


class Spelt(TextEstimator):
    """A TextEstimator that takes numbers, for checks that know nothing else."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = True, False
        return tags

    def fit(self, X: Any, y: Any, **more: Any) -> Any:
        return super().fit(spelt(X), y, **more)

    def predict(self, X: Any) -> Any:
        return super().predict(spelt(X))

    def score(self, X: Any, y: Any) -> float:
        return super().score(spelt(X), y)


class SpeltClassifier(Spelt):
    """The same, with probabilities."""

    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(spelt(X))


def checks() -> list[Any]:
    options = {"adapter": "linear", "precision": "fp32", "l2": 0.01, "head_layers": 1}
    made = []
    for kind, family in ((SpeltClassifier, "tc"), (Spelt, "rating")):
        estimator = kind(BACKBONE, family=family, **options)
        for _, check in estimator_checks_generator(estimator, legacy=True, mark=None):
            name = getattr(check, "func", check).__name__
            made.append(pytest.param(estimator, check, name, id=f"{family}-{name}"))
    return made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("estimator", "check", "name"), checks())
def test_scikit_learns_own_checks(estimator: Spelt, check: Any, name: str) -> None:
    if name in LEFT_OUT:
        pytest.skip(LEFT_OUT[name])
    check(estimator)


def test_what_is_left_out_is_a_check() -> None:
    assert set(LEFT_OUT) <= {param.values[2] for param in checks()}


def test_what_kind_of_estimator_it_is() -> None:
    kinds = {"tc": (True, False), "multi-label": (True, False), "rating": (False, True)}
    for family, kind in {**kinds, "ner": (False, False)}.items():
        estimator = TextEstimator(BACKBONE, family=family)
        assert (is_classifier(estimator), is_regressor(estimator)) == kind
        assert hasattr(estimator, "predict_proba") == kind[0]


@pytest.mark.parametrize(
    ("X", "y", "why"),
    [
        (["a", "b", "c"], ["x", "y", float("nan")], "y, row 3: nan is no answer"),
        (["a", "b", "c"], ["x", None, "y"], "y, row 2: None is no answer"),
        (["a", float("nan"), "c"], ["x", "y", "x"], "X, row 2: nan .float. is no text"),
        (pd.DataFrame({"message": ["a"]}), ["x"], "pass one column of the table.*message"),
        (["a", "b"], [0.5, 1.5], "Unknown label type: continuous.*family='rating'"),
        ("ab", ["x", "y"], "2 answers for 1 texts"),
        (None, ["x"], "pass a string or a list of strings"),
        (b"ab", ["x", "y"], "pass a string or a list of strings"),
    ],
)
def test_missing_values_and_tables_are_refused(X: Any, y: Any, why: str) -> None:
    with pytest.raises(UserError, match=why):
        TextEstimator(BACKBONE, adapter="linear").fit(X, y)


def test_an_indicator_matrix_has_a_column_a_label() -> None:
    X = ["refund", "parcel", "refund parcel", "hello"] * 3
    Y = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1]] * 3)
    estimator = TextEstimator(BACKBONE, "multi-label", "linear", l2=1e-3, precision="fp32")
    assert np.array_equal(estimator.fit(X, Y).predict(X), Y)
    assert estimator.classes_.tolist() == [0, 1, 2]
    names = ["money", "box", "greeting"]
    estimator.fit(X, pd.DataFrame(Y, columns=names))
    assert np.array_equal(estimator.predict(X), Y)
    assert estimator.classes_.tolist() == names
    assert estimator.score(X, pd.DataFrame(Y, columns=names)) == 1.0
    with pytest.raises(UserError, match="an indicator matrix holds 0 and 1 alone"):
        estimator.fit(X, 2 * Y)


def test_entities_of_texts_are_character_spans(tmp_path: Path) -> None:
    X = [f"met {name} in {place}" for name in "abcdef" for place in ("paris", "york")]
    y = [[(4, 5, "PER"), (9, len(text), "LOC")] for text in X]
    estimator = TextEstimator(BACKBONE, "ner", "linear", precision="fp32").fit(X, y)
    assert estimator.predict(X) == y
    assert estimator.predict(X[0]) == y[0]
    assert estimator.score(X, y) == 1.0
    nested = TextEstimator(BACKBONE, "nested-ner", "linear", precision="fp32")
    inner = [[(4, len(text), "ALL"), *spans] for text, spans in zip(X, y, strict=True)]
    assert sorted(nested.fit(X, inner).predict(X[3])) == sorted(inner[3])
    with pytest.raises(UserError, match=r"y, row 1: \(4, 99, 'PER'\) is no"):
        estimator.fit(X, [[(4, 99, "PER")], *y[1:]])
    estimator.save(tmp_path / "app")
    again = TextEstimator.load(tmp_path / "app")
    assert again.predict(X) == y
    assert again.family == "ner"


def test_a_saved_app_is_an_estimator_again(tmp_path: Path) -> None:
    X, y = ["play a", "call a", "play b", "call b"] * 3, [1, 10, 1, 10] * 3
    made = TextEstimator(BACKBONE, adapter="linear", precision="fp32").fit(X, y)
    made.save(tmp_path / "app")
    again = TextEstimator.load(tmp_path / "app")
    assert again.classes_.tolist() == ["1", "10"]
    assert again.predict(X).tolist() == [str(label) for label in made.predict(X)]
    np.testing.assert_allclose(again.predict_proba(X), made.predict_proba(X), atol=1e-6)
    assert made.predict("play a") == 1
