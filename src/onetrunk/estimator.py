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
from sklearn.utils.metaestimators import available_if

from onetrunk.adaptation.adapt import train_app
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import AdapterKind, App
from onetrunk.apps.engine import Engine
from onetrunk.apps.load import load_apps_and_backbone
from onetrunk.data.rows import numbered
from onetrunk.errors import UserError
from onetrunk.estimator_rows import (
    InvalidInput,
    answer_of,
    answers_of,
    items_of,
    labelled_rows,
    unlabelled_rows,
)
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.precision import Precision
from onetrunk.progress import Progress, silent

FAMILIES = ("tc", "multi-label", "rating", "ner", "nested-ner")


def _has_probabilities(estimator: TextEstimator) -> bool:
    if estimator.family not in ("tc", "multi-label"):
        raise AttributeError(f"family {estimator.family!r} has no probabilities of whole texts")
    return True


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
    others are those of :class:`~onetrunk.adaptation.settings.AdaptSettings`.

    Attributes after ``fit``: ``app_``, with losses and validation score in ``app_.record``, and,
    for labels of whole texts, ``classes_``: in order, or as the columns of an indicator matrix.

    ```python
    from onetrunk import TextEstimator

    intent = TextEstimator("runs/tpl", family="tc")
    intent.fit(["call mum", "play music"], ["call", "play"])
    print(intent.predict(["call ann"]))
    ```
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
        estimator.app_, estimator._columns = app, None
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
        X: Any,
        y: Any,
        validation: tuple[Any, Any] | None = None,
        unlabelled: Any = None,
        progress: Progress = silent,
    ) -> TextEstimator:
        """Train an app.

        ``validation`` is another ``(X, y)``, for early stopping and thresholds. ``unlabelled`` are
        more texts, without labels: an app with a LoRA on every layer is trained first, and this one
        learns its answers on them.

        Raises :class:`~onetrunk.estimator_rows.InvalidInput`, which is a UserError and a
        ValueError, if X and y differ in length, for a missing value, and for a row that the family
        cannot use.
        """
        family = self._family()
        if self.adapter not in ("lora", "linear"):
            raise InvalidInput(f"adapter {self.adapter!r} is unknown; choose lora or linear")
        answers, self._columns = answers_of(family, y, "y")
        rows = labelled_rows(family, X, answers, "y")
        self._remember(_flat(family, answers))
        held_out = []
        if validation is not None:
            of_validation, _ = answers_of(family, validation[1], "validation", self._columns)
            held_out = labelled_rows(
                family, validation[0], of_validation, "validation", self._names()
            )
        labels = family.label_set(rows)
        family.check_labels(held_out, labels, numbered("validation"))
        settings = AdaptSettings(
            adapter=self.adapter, k=self.k, epochs=self.epochs, batch_size=self.batch_size,
            l2=self.l2, head_layers=self.head_layers, max_length=self.max_length, seed=self.seed,
            neighbours=self.neighbours, precision=self.precision,
        )  # fmt: skip
        texts = [] if unlabelled is None else unlabelled_rows(family, unlabelled)
        data = Data(labels, rows, held_out, texts)
        self.app_ = train_app(self._backbone(), family, data, settings, progress=progress)
        return self

    def predict(self, X: Any) -> Any:
        """An answer for each item of X, in the form that ``y`` has; one text gives one answer."""
        family, app = self._family(), self._app()
        items = items_of(X)
        rows = unlabelled_rows(family, items)
        predictions = self._predictions(app, rows)
        answers = [
            answer_of(family, item, prediction)
            for item, prediction in zip(items, predictions, strict=True)
        ]
        if self.family == "tc":
            answers = [self._label_of[label] for (label,) in answers]
        elif self.family == "multi-label":
            answers = [[self._label_of[label] for label in labels] for labels in answers]
        if isinstance(X, str):
            return answers[0]
        if self.family == "multi-label" and self._columns is not None:
            return (
                np.array([[column in labels for column in self._columns] for labels in answers]) * 1
            )
        return np.array(answers) if self.family in ("tc", "rating") else answers

    @available_if(_has_probabilities)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities ``(N, C)``, columns as in ``classes_``. For labels of whole texts only."""
        app, labels = self._app(), list(self._label_of)
        return np.array(
            [
                [prediction.probabilities.get(label, 0.0) for label in labels]
                for prediction in self._predictions(app, unlabelled_rows(self._family(), X))
            ]
        )

    def score(self, X: Any, y: Any) -> float:
        """The family's metric, from 0 to 1 (accuracy, micro-F1, Spearman's rho, entity F1)."""
        family, app = self._family(), self._app()
        answers, _ = answers_of(family, y, "y", self._columns)
        rows = labelled_rows(family, X, answers, "y", self._names())
        return family.score(rows, self._predictions(app, rows))[family.metric] / 100

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the app folder, as ``onetrunk adapt`` does."""
        self._app().save(folder, overwrite)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "app_")

    def _app(self) -> App:
        if not hasattr(self, "app_"):
            raise NotFittedError("this estimator is not fitted yet: call fit first")
        return self.app_

    def _predictions(self, app: App, rows: Sequence[Any]) -> list[Any]:
        # A classifier in scikit-learn's sense answers every row.
        engine, abstaining = Engine(self._backbone(), {"app": app}), self.family != "tc"
        return engine.predict_examples("app", rows, abstaining=abstaining)

    def _family(self) -> Family[Any, Any]:
        family = family_named(self.family)
        if family.name not in FAMILIES:
            raise UserError(f"family {self.family!r} has examples of its own: use onetrunk.adapt")
        return family

    def _backbone(self) -> Backbone:
        return self.backbone if isinstance(self.backbone, Backbone) else _loaded(str(self.backbone))

    def _remember(self, labels: Sequence[Any]) -> None:
        """Keep the labels as the user gave them, by their names in the app: in order, or in that of
        the columns of an indicator matrix."""
        if self.family in ("tc", "multi-label"):
            ordered = list(dict.fromkeys(labels if self._columns is None else self._columns))
            if self._columns is None:
                try:
                    ordered.sort()
                except TypeError:  # labels of several types
                    ordered.sort(key=str)
            self._label_of = {str(label): label for label in ordered}
            self.classes_ = np.array(ordered)

    def _names(self) -> dict[Any, str]:
        """The names in the app of labels as the user gave them."""
        return {label: name for name, label in getattr(self, "_label_of", {}).items()}


def _flat(family: Family[Any, Any], answers: list[Any]) -> list[Any]:
    """All labels of whole texts, one after the other."""
    if family.name == "multi-label":
        return [label for labels in answers for label in labels]
    return answers if family.name == "tc" else []


@lru_cache(maxsize=2)
def _loaded(name: str) -> Backbone:
    return Backbone.load(name)
