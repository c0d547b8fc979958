"""How well an encoder tells a paraphrase from another sentence, before anything is trained.

    python benchmarks/sentence_knowledge.py DATA ENCODER...

Mean-pooled last states of both sides of msrp_paraphrase, centred, and their cosine: the area under
the curve of paraphrases against pairs drawn at random. An encoder tuned for sentences comes near
100, one that knows nothing of sentences is helped by shared words alone. Prints JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from embedding import embed
from onetrunk.data.sources import read_pairs
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import load_encoder
from shared import environment

PAIRS = 1000


def paraphrase_auc(encoder: str, data: Path) -> dict[str, float]:
    """In percent: paraphrases against random pairs, and against pairs of a sentence with the most
    similar other one, which is hard."""
    pairs = read_pairs(data / "pre_pairs" / "msrp_paraphrase")[:PAIRS]
    backbone = Backbone(load_encoder(encoder), k=1)
    sides = [embed(backbone, side) for side in zip(*((p.query, p.positive) for p in pairs))]
    centre = np.concatenate(sides).mean(0)
    queries, positives = (side - centre for side in sides)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    positives /= np.linalg.norm(positives, axis=1, keepdims=True)
    cosines = queries @ positives.T
    true, others = np.diag(cosines), cosines[~np.eye(len(cosines), dtype=bool)].reshape(PAIRS, -1)
    gold = [1] * PAIRS + [0] * PAIRS
    rng = np.random.default_rng(0)
    random = others[np.arange(PAIRS), rng.integers(0, PAIRS - 1, PAIRS)]
    return {
        "random": round(100 * roc_auc_score(gold, [*true, *random]), 2),
        "hardest": round(100 * roc_auc_score(gold, [*true, *others.max(1)]), 2),
        "nearest_is_paraphrase": round(100 * float((true > others.max(1)).mean()), 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("encoders", nargs="+")
    options = parser.parse_args()
    scores = {name: paraphrase_auc(name, options.data.resolve()) for name in options.encoders}
    print(json.dumps({"auc": scores, **environment()}, indent=2))


if __name__ == "__main__":
    main()
