"""Apps in scikit-learn's shape: ``fit``, ``predict``, ``predict_proba``, ``score``.

    app = TextEstimator("runs/tpl", family="tc").fit(texts, labels)
    app.predict(["book a table in Oslo"])

Cross-validation, grid search and ``clone`` work as with any estimator. A backbone is loaded once
and shared by all estimators that name it.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils import ClassifierTags, RegressorTags, Tags

from onetrunk.adaptation.adapt import train_app
from onetrunk.adaptation.task import AdaptSettings, Data
from onetrunk.apps.app import AdapterKind, App
from onetrunk.apps.engine import Engine
from onetrunk.apps.load import load_apps_and_backbone
from onetrunk.data.iob import entities
from onetrunk.data.rows import LabelledText, NestedText, TaggedText
from onetrunk.errors import UserError
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.families.ner import Ner
from onetrunk.interface import listed
from onetrunk.model.backbone import Backbone, load_backbone
from onetrunk.model.precision import Precision
from onetrunk.progress import Progress, silent

FAMILIES = ("tc", "multi-label", "rating", "ner", "nested-ner")


class TextEstimator(BaseEstimator):  # type: ignore[misc]
    """An app that learns from Python lists.

    What ``X`` and ``y`` hold depends on the family:

    - ``tc``: texts, and a label each (strings, integers, booleans);
    - ``multi-label``: texts, and a list of labels each; or an indicator matrix ``(N, C)`` of 0 and
      1, whose columns are the labels;
    - ``rating``: texts, and a number each;
    - ``ner``: lists of words, and lists of IOB2 tags; or texts, and lists of entities
      ``(first character, character after the last, type)``;
    - ``nested-ner``: texts, and lists of entities, which may overlap.

    Parameters: ``backbone`` is a folder, the name of a bare encoder, or a loaded backbone. The
    others are those of :class:`~onetrunk.adaptation.task.AdaptSettings`.

    Attributes after ``fit``: ``app_``, with losses and validation score in ``app_.record``, and,
    for labels of whole texts, ``classes_``.
    """

    def __init__(
        self,
        backbone: str | Path | Backbone,
        family: str = "tc",
        adapter: AdapterKind = "lora",
        k: int | None = None,
        epochs: int | None = None,
        batch_size: int = 16,
        l2: float | None = None,
        head_layers: int | None = None,
        max_length: int = 128,
        precision: Precision = "auto",
        neighbours: bool = False,
        seed: int = 0,
    ) -> None:
        self.backbone = backbone
        self.family = family
        self.adapter = adapter
        self.k = k
        self.epochs = epochs
        self.batch_size = batch_size
        self.l2 = l2
        self.head_layers = head_layers
        self.max_length = max_length
        self.precision = precision
        self.neighbours = neighbours
        self.seed = seed

    @classmethod
    def load(
        cls, folder: str | Path, backbone: str | Path | Backbone | None = None
    ) -> TextEstimator:
        """A fitted estimator from an app folder. Its labels are strings, as the folder has them.

        Raises :class:`UserError` for a damaged folder, or another backbone than the app's.
        """
        loaded, apps = load_apps_and_backbone([folder], backbone)
        (app,) = apps.values()
        estimator = cls(
            loaded, app.family.name, app.kind, head_layers=app.head_layers,
            max_length=app.max_length,
        )  # fmt: skip
        estimator._family()
        estimator.app_ = app
        estimator._remember(app.labels)
        return estimator

    def __sklearn_clone__(self) -> TextEstimator:
        """An unfitted estimator with the same parameters, on the same backbone, not a copy."""
        return type(self)(**self.get_params(deep=False))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        if self.family == "rating":
            tags.estimator_type, tags.regressor_tags = "regressor", RegressorTags()
        elif self.family in ("tc", "multi-label"):
            several = self.family == "multi-label"
            tags.estimator_type, tags.classifier_tags = (
                "classifier", ClassifierTags(multi_label=several),
            )  # fmt: skip
        tags.target_tags.required = True
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags

    def fit(
        self,
        X: Sequence[Any],
        y: Sequence[Any],
        validation: tuple[Any, Any] | None = None,
        unlabelled: Sequence[Any] | None = None,
        progress: Progress = silent,
    ) -> TextEstimator:
        """Train an app.

        ``validation`` is another ``(X, y)``, for early stopping and thresholds. ``unlabelled`` are
        more texts, without labels: an app with a LoRA on every layer is trained first, and this one
        learns its answers on them.

        Raises :class:`UserError` if X and y differ in length, for a missing value, or for a row
        that the family cannot use.
        """
        family = self._family()
        if self.adapter not in ("lora", "linear"):
            raise UserError(f"adapter {self.adapter!r} is unknown; choose lora or linear")
        answers = self._answers(y, "y")
        self._remember(dict.fromkeys(_flat(family, answers)))
        train = self._rows(X, answers, "y")
        held_out = []
        if validation is not None:
            held_out = self._rows(
                validation[0], self._answers(validation[1], "validation"), "validation"
            )
        labels = family.label_set(train)
        family.check_labels(held_out, labels, "validation")
        settings = AdaptSettings(
            adapter=self.adapter, k=self.k, epochs=self.epochs, batch_size=self.batch_size,
            l2=self.l2, head_layers=self.head_layers, max_length=self.max_length, seed=self.seed,
            neighbours=self.neighbours, precision=self.precision,
        )  # fmt: skip
        texts = [] if unlabelled is None else self._rows(unlabelled, None, "unlabelled")
        data = Data(labels, train, held_out, texts)
        self.app_ = train_app(self._backbone(), family, data, settings, progress=progress)
        return self

    def predict(self, X: Sequence[Any]) -> Any:
        """An answer for each item of X, in the form that ``y`` has; one text gives one answer."""
        family, rows = self._family(), self._rows(X, None, "X")
        answers = [
            _answer(family, x, row, prediction, self._label_of)
            for x, row, prediction in zip(_items(X), rows, self._predictions(rows), strict=True)
        ]
        if isinstance(X, str):
            return answers[0]
        if self.family == "multi-label" and self._columns is not None:
            matrix = np.zeros((len(answers), len(self._columns)), int)
            for row, labels in enumerate(answers):
                matrix[row, [self._columns.index(label) for label in labels]] = 1
            return matrix
        return np.array(answers) if self.family in ("tc", "rating") else answers

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """Probabilities ``(N, C)``, columns as in ``classes_``. For labels of whole texts only."""
        if self._family().name not in ("tc", "multi-label"):
            raise UserError(f"family {self.family!r} has no probabilities of whole texts")
        labels = list(map(str, self.classes_))
        return np.array(
            [
                [prediction.probabilities.get(label, 0.0) for label in labels]
                for prediction in self._predictions(self._rows(X, None, "X"))
            ]
        )

    def score(self, X: Sequence[Any], y: Sequence[Any]) -> float:
        """The family's metric, from 0 to 1 (accuracy, micro-F1, Spearman's rho, entity F1)."""
        family, rows = self._family(), self._rows(X, self._answers(y, "y"), "y")
        family.check_labels(rows, self._app().labels, "y")
        return family.score(rows, self._predictions(rows))[family.metric] / 100

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the app folder, as ``onetrunk adapt`` does."""
        self._app().save(folder, overwrite)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "app_")

    def _app(self) -> App:
        if not hasattr(self, "app_"):
            raise NotFittedError("this estimator is not fitted yet: call fit first")
        return self.app_

    def _predictions(self, rows: Sequence[Any]) -> list[Any]:
        return Engine(self._backbone(), {"app": self._app()}).predict_examples("app", rows)

    def _family(self) -> Family[Any, Any]:
        family = family_named(self.family)
        if family.name not in FAMILIES:
            raise UserError(f"family {self.family!r} has examples of its own: use onetrunk.adapt")
        return family

    def _backbone(self) -> Backbone:
        return self.backbone if isinstance(self.backbone, Backbone) else _loaded(str(self.backbone))

    def _remember(self, labels: Any) -> None:
        """Keep the labels as the user gave them, by their names in the app."""
        self._label_of = {str(label): label for label in labels}
        if self.family in ("tc", "multi-label"):
            self.classes_ = np.array(_sorted(list(self._label_of.values())))

    def _answers(self, y: Any, where: str) -> list[Any]:
        """``y`` as a list. An indicator matrix becomes lists of its columns' names."""
        if self.family != "multi-label" or getattr(y, "ndim", 1) != 2:
            if where == "y":
                self._columns: list[Any] | None = None
            return list(y)
        columns = list(getattr(y, "columns", range(y.shape[1])))
        matrix = np.asarray(y)
        if not np.isin(matrix, (0, 1)).all():
            raise UserError(f"{where}: an indicator matrix holds 0 and 1 alone")
        if where == "y":
            self._columns = columns
        return [[columns[at] for at in np.flatnonzero(row)] for row in matrix]

    def _rows(self, X: Any, answers: list[Any] | None, where: str) -> list[Any]:
        family, items = self._family(), _items(X)
        if answers is None:
            return [_unlabelled(family, item, number) for number, item in enumerate(items, start=1)]
        if len(items) != len(answers):
            raise UserError(f"{where}: {len(answers)} answers for {len(items)} texts")
        rows = [
            _labelled(family, item, answer, f"{where}, row {number}")
            for number, (item, answer) in enumerate(zip(items, answers, strict=True), start=1)
        ]
        family.check_rows(rows, where)
        return rows


def _items(X: Any) -> list[Any]:
    """The items of X: texts, or lists of words."""
    if isinstance(X, str):
        return [X]
    if hasattr(X, "columns") or isinstance(X, bytes) or not hasattr(X, "__iter__"):
        return listed(X, "X")  # which says what to pass
    return list(X)


def _unlabelled(family: Family[Any, Any], item: Any, number: int) -> Any:
    if isinstance(family, Ner) and not isinstance(item, str):
        return TaggedText.from_words(listed(item, f"X, row {number}"))
    return family.parse(_text(item, number))


def _text(item: Any, number: int) -> str:
    if not isinstance(item, str):
        raise UserError(f"X, row {number}: {item!r:.60} ({type(item).__name__}) is no text")
    return item


def _labelled(family: Family[Any, Any], item: Any, answer: Any, where: str) -> Any:
    number = int(where.rpartition(" ")[2])
    if _missing(answer):
        raise UserError(f"{where}: no answer ({answer!r}); leave such rows out of X and y")
    if family.name in ("ner", "nested-ner"):
        return _with_entities(family, item, answer, number)
    labels = answer if family.name == "multi-label" else [answer]
    if isinstance(labels, str):
        raise UserError(f"{where}: {labels!r} is one label; a text has a list of labels")
    return LabelledText(_text(item, number), tuple(str(label) for label in labels))


def _missing(answer: Any) -> bool:
    return answer is None or (isinstance(answer, float) and answer != answer)


def _with_entities(family: Family[Any, Any], item: Any, answer: Any, number: int) -> Any:
    if isinstance(item, str):
        for span in answer:
            if len(span) != 3 or not 0 <= span[0] < span[1] <= len(item):
                raise UserError(f"y, row {number}: {span!r} is no entity (start, end, type) of X")
        kind = TaggedText if isinstance(family, Ner) else NestedText
        return kind.from_spans(item, sorted((int(a), int(b), str(name)) for a, b, name in answer))
    words = listed(item, f"X, row {number}")
    if not isinstance(family, Ner):
        raise UserError(f"X, row {number}: family {family.name!r} takes texts, not lists of words")
    if len(answer) != len(words):
        raise UserError(f"{len(answer)} tags for the {len(words)} words {' '.join(words)[:60]!r}")
    for tag in answer:
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            raise UserError(f"tag {tag!r} is not IOB2: O, B-TYPE or I-TYPE")
    return TaggedText.from_words(words, answer)


def _answer(
    family: Family[Any, Any], item: Any, row: Any, prediction: Any, label_of: dict[str, Any]
) -> Any:
    """A prediction in the form that ``y`` has for this item."""
    if isinstance(family, Ner) and not isinstance(item, str):
        return prediction.tags
    if family.name in ("ner", "nested-ner"):
        spans = entities(prediction.tags) if isinstance(family, Ner) else prediction.entities
        return [(row.words[a][0], row.words[b - 1][1], name) for a, b, name in spans]
    if family.name == "rating":
        return prediction
    labels = [label_of[label] for label in prediction.labels]
    return labels if family.name == "multi-label" else labels[0]


def _flat(family: Family[Any, Any], answers: list[Any]) -> list[Any]:
    """All labels of whole texts, one after the other."""
    if family.name == "multi-label":
        return [label for labels in answers if not _missing(labels) for label in labels]
    return answers if family.name == "tc" else []


def _sorted(labels: list[Any]) -> list[Any]:
    try:
        return sorted(labels)
    except TypeError:  # of several types
        return sorted(labels, key=str)


@lru_cache(maxsize=2)
def _loaded(name: str) -> Backbone:
    return load_backbone(name)
