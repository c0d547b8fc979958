"""The part of ``kinds.py`` on many labels, several a text: the ``types`` column of
DATA/pre_ner/ufet_crowd. A text is a mention and its sentence; labels are all types that occur in
train.

Each side has all of train, chooses a threshold for each label on validation, and is scored on test,
whose unseen types count as missed. Validation also chooses among scikit-learn's settings; apps find
theirs in folds of train. Every app and every setting of scikit-learn's is a job of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer, StandardScaler

from embedding import embed
from onetrunk.benchmark.jobs import Job
from onetrunk.estimator import TextEstimator
from onetrunk.families.multi_label import best_thresholds
from onetrunk.families.scores import label_scores
from onetrunk.model.backbone import Backbone
from shared import Parts

ALPHAS = np.logspace(-1, 5, 13)
Labelled = tuple[list[str], list[list[str]]]


def mentions(path: Path) -> Labelled:
    """``mention: sentence`` and its types."""
    texts, types = [], []
    for row in pq.read_table(path).to_pylist():
        mention = [
            word for word, tag in zip(row["tokens"], row["ner_tags"], strict=True) if tag != "O"
        ]
        texts.append(f"{' '.join(mention)}: {' '.join(row['tokens'])}")
        types.append(sorted(set(row["types"])))
    return texts, types


@dataclass
class Mentions:
    """The data set, and its texts as a frozen backbone sees them."""

    backbone: Backbone
    folder: Path

    @cached_property
    def train(self) -> Labelled:
        return mentions(self.folder / "train.parquet")

    @cached_property
    def test(self) -> Labelled:
        return mentions(self.folder / "test.parquet")

    @cached_property
    def labels(self) -> list[str]:
        return sorted({label for row in self.train[1] for label in row})

    @cached_property
    def held_out(self) -> Labelled:
        """The validation rows, with only those labels that occur in train."""
        texts, types = mentions(self.folder / "validation.parquet")
        known = set(self.labels)
        return texts, [[label for label in row if label in known] for row in types]

    @cached_property
    def embedded(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Pooled states of train, validation and test, each ``(N, D)``."""
        parts = (self.train, self.held_out, self.test)
        states = [embed(self.backbone, texts) for texts, _ in parts]
        return states[0], states[1], states[2]

    def about(self) -> dict[str, Any]:
        known = set(self.labels)
        unseen = mean(label not in known for row in self.test[1] for label in row)
        return {
            "labels": len(self.labels),
            "train": len(self.train[0]),
            "test": len(self.test[0]),
            "unseen_in_test": round(100 * unseen, 2),
        }


def by_example(gold: list[list[str]], predicted: list[list[str]]) -> float:
    """F1 of macro-averaged precision and recall, as this data set is usually scored."""
    pairs = [(set(g), set(f)) for g, f in zip(gold, predicted, strict=True)]
    precision = mean(len(g & f) / len(f) for g, f in pairs if f) if any(predicted) else 0.0
    recall = mean(len(g & f) / len(g) for g, f in pairs)
    return 200 * precision * recall / max(precision + recall, 1e-9)


def scores(gold: list[list[str]], predicted: list[list[str]]) -> dict[str, float]:
    return {
        "micro_f1": label_scores(gold, predicted)["micro_f1"],
        "example_f1": by_example(gold, predicted),
    }


def ours(data: Mentions, way: Mapping[str, Any]) -> dict[str, Any]:
    """An app, and the processor's seconds of fitting it."""
    start = time.process_time()
    app = TextEstimator(data.backbone, "multi-label", **way)
    app.fit(*data.train, validation=data.held_out)
    seconds = time.process_time() - start
    neighbours = app.app_.neighbours
    return {
        **scores(data.test[1], app.predict(data.test[0])),
        "fit_seconds": seconds,
        "neighbours": neighbours
        and {name: getattr(neighbours, name) for name in ("count", "temperature", "share")},
    }


def peer(data: Mentions, model: Any) -> dict[str, Any]:
    """One setting of one of scikit-learn's models, and the processor's seconds of fitting it."""
    (x, x_held_out, x_test), (_, gold), (_, gold_of_test) = data.embedded, data.held_out, data.test
    binarizer = MultiLabelBinarizer(classes=data.labels)
    y, start = binarizer.fit_transform(data.train[1]), time.process_time()
    model.fit(x, y)
    seconds = time.process_time() - start
    held_out, test = (_probabilities(model, part) for part in (x_held_out, x_test))
    cuts = best_thresholds(held_out - 0.5, binarizer.transform(gold) > 0) + 0.5
    return {
        "validation": label_scores(gold, _chosen(held_out >= cuts, data.labels))["micro_f1"],
        **scores(gold_of_test, _chosen(test >= cuts, data.labels)),
        "fit_seconds": seconds,
    }


def peers() -> dict[str, dict[str, Any]]:
    """By kind, scikit-learn's models by setting, each on states as they are and standardised."""
    kinds: dict[str, dict[str, Any]] = {
        "one-vs-rest logistic regression": {
            f"C={c}": OneVsRestClassifier(LogisticRegression(C=c, max_iter=500))
            for c in (0.01, 0.1, 1.0, 10.0)
        },
        "ridge": {"": RidgeCV(ALPHAS)},
        "nearest neighbours": {
            str(count): KNeighborsClassifier(count, metric="cosine", weights="distance")
            for count in (4, 8, 16, 32, 64)
        },
    }
    return {kind: dict(_both(models)) for kind, models in kinds.items()}


def _both(models: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, model in models.items():
        yield name, model
        yield f"{name} standardised".strip(), make_pipeline(StandardScaler(), model)


def _probabilities(model: Any, x: np.ndarray) -> np.ndarray:
    """``(N, C)`` of a multi-label model; ridge gives numbers in their place."""
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(x))
    probabilities = model.predict_proba(x)
    if isinstance(probabilities, np.ndarray):
        return probabilities
    return np.stack(
        [p[:, 1] if p.shape[1] > 1 else np.zeros(len(x)) for p in probabilities], axis=1
    )


def _chosen(yes: np.ndarray, labels: list[str]) -> list[list[str]]:
    return [[labels[i] for i in np.flatnonzero(row)] for row in yes]


def jobs(data: Mentions, ways: Mapping[str, Mapping[str, Any]], parts: Parts) -> list[Job]:
    """A job for each app and one for each setting of scikit-learn's."""
    makers: dict[str, Callable[[], dict[str, Any]]] = {
        _our_part(name): partial(ours, data, way) for name, way in ways.items()
    } | {
        _peer_part(kind, name): partial(peer, data, model)
        for kind, models in peers().items()
        for name, model in models.items()
    }
    return [parts.job(name, make) for name, make in makers.items()]


def collected(data: Mentions, ways: Mapping[str, Any], parts: Parts) -> dict[str, Any]:
    """The results of the jobs. Each kind of scikit-learn's models has the setting that is best on
    validation rows."""
    best = {}
    for kind, models in peers().items():
        settings = {name: parts[_peer_part(kind, name)] for name in models}
        name = max(settings, key=lambda name: float(settings[name]["validation"]))
        best[kind] = {"setting": name, **settings[name]}
    apps = {name: parts[_our_part(name)] for name in ways}
    return {**data.about(), "onetrunk": apps, "scikit-learn": best}


def _our_part(name: str) -> str:
    return f"ufet_crowd.onetrunk, {name}"


def _peer_part(kind: str, name: str) -> str:
    return f"ufet_crowd.scikit-learn, {f'{kind} {name}'.strip()}"
