"""Data for the inference family: weak pairs for stage 1, and two labelled tasks to score it on.

Rules make weak pairs, without labels by people:

- ``wikisplit_parts``: a sentence entails each of the sentences into which it was split.
- ``caption_heads``: a caption entails its beginning, up to the first ``with``, ``while`` or the
  like. Another caption of the same picture does not follow.

The labelled tasks are the two halves of the related pairs of SICK (Marelli et al. 2014), which
people judged to be an entailment or not. Each half trains one task and tests the other. No sentence
is in both halves.
"""

from __future__ import annotations

import json
import random
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

TRAIN_ROWS = 500
SENTENCE_END = re.compile(r"(?<= [.!?]) (?=[A-Z'\"])")
# A capitalised word or a number, but not at the start, where every word is capitalised.
NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z]\w+|\d+)\b")
HEAD_END = re.compile(r" (?:with|while|as|near|,) ")
HEAD_WORDS = 4


def build(data: Path, out: Path) -> None:
    """Write ``weak/NAME/train.jsonl``, ``nli/TASK/{train,test}.jsonl`` and ``held_out.txt``, all
    sentences of the tasks, from DATA/pre_pairs."""
    weak = data / "pre_pairs"
    write(out / "weak/wikisplit_parts/train.jsonl", wikisplit_parts(rows(weak / "wikisplit")))
    write(out / "weak/caption_heads/train.jsonl", caption_heads(rows(weak / "flickr8k_captions")))
    halves = sick_halves(rows(weak / "sick_related"))
    for train, test in ((0, 1), (1, 0)):
        few = balanced(halves[train], TRAIN_ROWS)
        write(out / f"nli/sick_{train}/train.jsonl", few)
        write(out / f"nli/sick_{train}/test.jsonl", halves[test])
    sentences = [row[side] for half in halves for row in half for side in ("premise", "hypothesis")]
    (out / "held_out.txt").write_text("\n".join(dict.fromkeys(sentences)) + "\n", encoding="utf-8")


def wikisplit_parts(pairs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each sentence of a split is a positive of the whole. If it has a name or a number, and the
    whole has another one, the sentence with the other one in its place is a negative."""
    result = []
    for pair in pairs:
        names = list(dict.fromkeys(NAME.findall(pair["query"])))
        for part in SENTENCE_END.split(pair["positive"]):
            row = {"query": pair["query"], "positive": part}
            names_of_part = [name for name in NAME.findall(part) if name in names]
            other_names = [name for name in names if name not in part]
            if names_of_part and other_names:
                row["negatives"] = [part.replace(names_of_part[-1], other_names[-1])]
            result.append(row)
    return result


def caption_heads(pairs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The beginning of a caption is its positive, another caption of the picture its negative."""
    by_query = {}
    for pair in pairs:
        head = HEAD_END.split(pair["query"], maxsplit=1)[0]
        if head != pair["query"] and len(head.split()) >= HEAD_WORDS:
            head += " ." * pair["query"].endswith(" .")  # a missing full stop would give it away
            by_query[pair["query"]] = {
                "query": pair["query"], "positive": head, "negatives": [pair["positive"]],
            }  # fmt: skip
    return list(by_query.values())


def sick_halves(pairs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """All pairs in two halves that have no sentence in common and equally many non-entailments."""
    group = {}  # sentence -> all sentences that pairs connect with it
    for pair in pairs:
        joined = group.get(pair["query"], {pair["query"]}) | group.get(
            pair["positive"], {pair["positive"]}
        )
        group |= dict.fromkeys(joined, joined)
    by_group = defaultdict(list)
    for pair in pairs:
        label = "entailed" if pair["label"] == "ENTAILMENT" else "other"
        row = {"premise": pair["query"], "hypothesis": pair["positive"], "label": label}
        by_group[min(group[pair["query"]])].append(row)
    halves: list[list[dict[str, Any]]] = [[], []]
    for members in sorted(by_group.values(), key=lambda rows: (-others(rows), -len(rows))):
        min(halves, key=lambda half: (others(half), len(half))).extend(members)
    return halves


def others(pairs: list[dict[str, Any]]) -> int:
    """The number of pairs that are no entailment."""
    return sum(row["label"] == "other" for row in pairs)


def balanced(half: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """``size`` pairs: all that are no entailment, and some of the others."""
    few = [row for row in half if row["label"] == "other"]
    many = [row for row in half if row["label"] != "other"]
    return few + random.Random(0).sample(many, size - len(few))


def rows(folder: Path) -> list[dict[str, Any]]:
    """The rows of a training set."""
    table: list[dict[str, Any]] = pq.read_table(folder / "train.parquet").to_pylist()
    return table


def write(file: Path, rows: Iterable[dict[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
