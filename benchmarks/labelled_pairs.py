"""Pairs from the labels of weak sources: two titles (or bodies) that have one label.

    python benchmarks/labelled_pairs.py DATA OUT [--pairs 20000]

For each source of ``SOURCES`` in DATA/pre_pairs this writes OUT/SOURCE_by_label/train.parquet. A
recipe lists it like any other source of pairs. Labels with fewer than two texts are left out. A
batch may hold two pairs of one label, and then each is a false negative of the other: so these
sources have many labels.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

SOURCES = {
    "arxiv_title_abstract": "query",
    "20ng_subject_body": "positive",
    "reuters21578_title_body": "positive",
    "sgd_turn_response": "query",
}
"""By source, the side whose texts are paired."""


def pairs_of(table: pa.Table, side: str, count: int) -> pa.Table:
    """``count`` pairs of two different texts of one label; labels are drawn by the square root of
    their texts, so that a batch holds many of them."""
    by_label: dict[str, list[str]] = defaultdict(list)
    for text, label in zip(table[side].to_pylist(), table["label"].to_pylist(), strict=True):
        if text and label:
            by_label[str(label)].append(text)
    texts = [list(dict.fromkeys(of_label)) for of_label in by_label.values()]
    texts = [of_label for of_label in texts if len(of_label) > 1]
    rng = np.random.default_rng(0)
    weights = np.sqrt([len(of_label) for of_label in texts])
    drawn = rng.choice(len(texts), size=count, p=weights / weights.sum())
    pairs = [[texts[label][i] for i in rng.choice(len(texts[label]), 2, False)] for label in drawn]
    queries, positives = map(list, zip(*pairs, strict=True))
    return pa.table({"query": queries, "positive": positives})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=int, default=20_000)
    options = parser.parse_args()
    for source, side in SOURCES.items():
        table = pq.read_table(options.data / "pre_pairs" / source / "train.parquet")
        folder = options.out / f"{source}_by_label"
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pairs_of(table, side, options.pairs), folder / "train.parquet")
        print(folder)


if __name__ == "__main__":
    main()
