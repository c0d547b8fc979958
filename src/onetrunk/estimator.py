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

from onetrunk.adaptation.distill import deep_teacher, taught
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.task import AdaptSettings, Data
from onetrunk.adaptation.training import Progress
from onetrunk.apps.app import AdapterKind, App, backbone_from, save_app
from onetrunk.apps.engine import Engine
from onetrunk.data.rows import LabelledText, TaggedText
from onetrunk.errors import UserError
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.families.classification import WholeText
from onetrunk.families.multi_label import MultiLabel
from onetrunk.families.ner import Ner
from onetrunk.families.rating import Rating
from onetrunk.model.backbone import Backbone, load_backbone
from onetrunk.model.precision import Precision
from onetrunk.storage import atomic_folder


class TextEstimator(BaseEstimator):  # type: ignore[misc]
    """An app that learns from Python lists.

    ``X`` and ``y`` by family: ``tc`` texts and a label each (of any type with distinct texts, such
    as str or int); ``multi-label`` texts and a list of labels each; ``rating`` texts and numbers;
    ``ner`` lists of words and lists of IOB2 tags.

    ``backbone`` is a folder or the name of a bare encoder, or a loaded backbone. ``progress`` is
    called with (what is going on, updates done, updates in all). The other parameters are those of
    :class:`~onetrunk.adaptation.task.AdaptSettings`.

    After ``fit``: ``app_``, with losses and validation score in ``app_.record``, and ``classes_``.
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
        progress: Progress | None = None,
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
        self.progress = progress

    def __sklearn_clone__(self) -> TextEstimator:
        """An unfitted estimator with the same parameters, on the same backbone, not a copy."""
        return type(self)(**self.get_params(deep=False))

    def fit(
        self,
        X: Sequence[Any],
        y: Sequence[Any],
        validation: tuple[Any, Any] | None = None,
        unlabelled: Sequence[Any] | None = None,
    ) -> TextEstimator:
        """Train an app. ``validation`` is another (X, y), for early stopping and thresholds.
        On ``unlabelled``, more of what X has, it learns the answers of an app with a LoRA on every
        layer, which is trained first.

        Raises :class:`UserError` if X and y differ in length or the family cannot use a row.
        """
        family = self._family()
        train = self._rows(X, y, "y")
        held_out = self._rows(*validation, "validation") if validation is not None else []
        labels = family.label_set(train)
        family.check_labels(held_out, labels, "validation")
        if self.adapter not in ("lora", "linear"):
            raise UserError(f"adapter {self.adapter!r} is unknown; choose lora or linear")
        settings = AdaptSettings(
            adapter=self.adapter, k=self.k, epochs=self.epochs, batch_size=self.batch_size,
            l2=self.l2, head_layers=self.head_layers, max_length=self.max_length, seed=self.seed,
            neighbours=self.neighbours, precision=self.precision,
        )  # fmt: skip
        watch = self.progress or (lambda what, done, total: None)
        backbone, data = self._backbone(), Data(labels, train, held_out)
        if unlabelled is not None:
            teacher = deep_teacher(backbone, family, data, settings, watch)
            more = self._rows(unlabelled, None, "unlabelled")
            data = taught(teacher, backbone, data, more, settings.precision)
        self.app_ = fit(backbone, family, data, settings, watch)
        given = [label for answer in y for label in (answer if _several(family) else [answer])]
        self._given = {str(label): label for label in given}
        self.classes_ = np.array([self._given.get(label, label) for label in labels])
        return self

    def predict(self, X: Sequence[Any]) -> Any:
        """An answer each, in the form that ``y`` has; an array unless answers are lists."""
        family, found = self._family(), self._predictions(X)
        if isinstance(family, Ner):
            return [prediction.tags for prediction in found]
        if isinstance(family, Rating):
            return np.array(found)
        chosen = [[self._given[label] for label in prediction.labels] for prediction in found]
        return chosen if _several(family) else np.array([label for (label,) in chosen])

    def predict_proba(self, X: Sequence[Any]) -> np.ndarray:
        """Probabilities ``(N, C)``, columns as in ``classes_``. For labels of whole texts only."""
        family = self._family()
        if not isinstance(family, WholeText) or isinstance(family, Rating):
            raise UserError(f"family {self.family!r} has no probabilities of whole texts")
        found = self._predictions(X)
        return np.array([list(prediction.probabilities.values()) for prediction in found])

    def score(self, X: Sequence[Any], y: Sequence[Any]) -> float:
        """The family's metric, from 0 to 1 (accuracy, micro-F1, Spearman's rho, entity F1)."""
        family, rows = self._family(), self._rows(X, y, "y")
        family.check_labels(rows, self._app().labels, "y")
        return family.score(rows, self._predictions(X))[family.metric] / 100

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the app folder, as ``onetrunk adapt`` does."""
        backbone, folder = self._backbone(), Path(folder)
        self._app().record["backbone"] = backbone_from(folder, backbone.encoder.source)
        with atomic_folder(folder, overwrite) as made:
            save_app(self._app(), backbone, made)

    def _app(self) -> App:
        if not hasattr(self, "app_"):
            raise NotFittedError("this estimator is not fitted yet: call fit first")
        return self.app_

    def _predictions(self, X: Sequence[Any]) -> list[Any]:
        engine = Engine(self._backbone(), {"app": self._app()})
        return engine.predict_examples("app", self._rows(X, None, "X"))

    def _family(self) -> Family[Any, Any]:
        family = family_named(self.family)
        if not isinstance(family, Ner | WholeText):
            raise UserError(f"family {self.family!r} has examples of its own: use adapt.fit")
        return family

    def _backbone(self) -> Backbone:
        return self.backbone if isinstance(self.backbone, Backbone) else _loaded(str(self.backbone))

    def _rows(self, X: Sequence[Any], y: Sequence[Any] | None, where: str) -> list[Any]:
        family = self._family()
        if y is not None and len(X) != len(y):
            raise UserError(f"{where}: {len(y)} answers for {len(X)} texts")
        answers = [None] * len(X) if y is None else y
        rows = [_row(family, x, answer) for x, answer in zip(X, answers, strict=True)]
        if y is not None:
            family.check_rows(rows, where)
        return rows


def _several(family: Family[Any, Any]) -> bool:
    """Whether an answer is a list of labels."""
    return isinstance(family, MultiLabel | Ner)


def _row(family: Family[Any, Any], x: Any, answer: Any) -> Any:
    if isinstance(family, Ner):
        return _sentence(list(x), answer)
    if answer is None:
        return LabelledText(str(x))
    labels = answer if _several(family) else [answer]
    return LabelledText(str(x), tuple(map(str, labels)))


def _sentence(words: list[str], tags: Sequence[str] | None) -> TaggedText:
    if tags is None:
        return TaggedText.from_words(words)
    if len(tags) != len(words):
        raise UserError(f"{len(tags)} tags for the {len(words)} words {' '.join(words)[:60]!r}")
    for tag in tags:
        if tag != "O" and tag[:2] not in ("B-", "I-"):
            raise UserError(f"tag {tag!r} is not IOB2: O, B-TYPE or I-TYPE")
    return TaggedText.from_words(words, tags)


@lru_cache(maxsize=2)
def _loaded(name: str) -> Backbone:
    return load_backbone(name)
