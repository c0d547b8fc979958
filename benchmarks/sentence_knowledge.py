"""How well an encoder tells texts that belong together from others, before anything is trained.

    python benchmarks/sentence_knowledge.py DATA ENCODER...

Of each set of pairs 1,000: mean-pooled last states of both sides, centred, and their cosine. The
area under the curve of true pairs against pairs drawn at random, and how often the true partner is
the nearest of the thousand. Pairs share words, which any encoder sees: so the same is measured on
the mean of its word vectors, without any layer. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from embedding import embed
from onetrunk.data.sources import read_pairs
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder
from shared import environment

PAIRS = 1000
SETS = (
    "msrp_paraphrase",
    "flickr8k_captions",
    "sick_related",
    "opentriviaqa",
    "acl_anthology_title_abstract",
)


def knowledge(encoder: str, data: Path) -> dict[str, dict[str, float]]:
    """By set and what is read: area under the curve and nearest partners, in percent."""
    backbone = Backbone(load_encoder(encoder), k=1)
    table: dict[str, dict[str, float]] = {}
    for name in SETS:
        pairs = read_pairs(data / "pre_pairs" / name)
        order = np.random.default_rng(0).permutation(len(pairs))[:PAIRS]
        sides = [
            [pairs[place].query for place in order],
            [pairs[place].positive for place in order],
        ]
        states = [embed(backbone, side) for side in sides]
        vectors = [word_means(backbone, side) for side in sides]
        table[name] = {
            **compared("states", *states),
            **compared("words", *vectors),
        }
    return table


@torch.inference_mode()
def word_means(backbone: Backbone, texts: list[str]) -> np.ndarray:
    """``(N, D)``: the mean of the vectors of a text's pieces."""
    encoder = backbone.encoder
    weight = encoder.token_embedding.weight
    ids = encoder.tokenizer(texts, add_special_tokens=False, truncation=True, max_length=128)
    return np.stack([weight[torch.tensor(of_text)].mean(0).numpy() for of_text in ids["input_ids"]])


def compared(what: str, queries: np.ndarray, positives: np.ndarray) -> dict[str, float]:
    """The two figures from both sides' vectors ``(N, D)``."""
    centre = np.concatenate([queries, positives]).mean(0)
    queries, positives = (
        side / np.maximum(np.linalg.norm(side, axis=1, keepdims=True), 1e-9)
        for side in (queries - centre, positives - centre)
    )
    cosines, count = queries @ positives.T, len(queries)
    true = np.diag(cosines)
    shift = np.random.default_rng(0).integers(1, count, count)
    random = cosines[np.arange(count), (np.arange(count) + shift) % count]
    gold = [1] * count + [0] * count
    return {
        f"{what}_auc": round(100 * roc_auc_score(gold, [*true, *random]), 2),
        f"{what}_nearest": round(100 * float((cosines.argmax(1) == np.arange(count)).mean()), 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("encoders", nargs="+")
    options = parser.parse_args()
    table = {name: knowledge(name, options.data.resolve()) for name in options.encoders}
    print(json.dumps({"encoders": table, **environment()}, indent=2))


if __name__ == "__main__":
    main()
