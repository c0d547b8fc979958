"""Data for the inference family: weak pairs for stage 1, and two labelled tasks to score it on.

Weak pairs say what follows from what without anyone having labelled it:

- ``wikisplit_parts``: a sentence entails each of the sentences that it was split into.
- ``caption_heads``: a caption entails what stands before its first ``with``, ``while`` or the like;
  another caption of the same picture does not follow.

The labelled tasks are the two halves of what there is of SICK (Marelli et al. 2014): pairs of high
relatedness that people judged to be an entailment or not. Each half trains one task and tests the
other, and no sentence is in both.
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
NAME = re.compile(r"(?<=[a-z,] )(?:[A-Z]\w+|\d+)\b")  # not at the start, where any word is
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
    """Each sentence of a split as a positive of the whole, and with a name or number of the whole
    in place of one of its own as the negative, where there are two."""
    made = []
    for pair in pairs:
        names = list(dict.fromkeys(NAME.findall(pair["query"])))
        for part in SENTENCE_END.split(pair["positive"]):
            row = {"query": pair["query"], "positive": part}
            own = [name for name in NAME.findall(part) if name in names]
            foreign = [name for name in names if name not in part]
            if own and foreign:
                row["negatives"] = [part.replace(own[-1], foreign[-1])]
            made.append(row)
    return made


def caption_heads(pairs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """The beginning of a caption as its positive, another one of its picture as its negative."""
    made = {}
    for pair in pairs:
        head = HEAD_END.split(pair["query"], maxsplit=1)[0]
        if head != pair["query"] and len(head.split()) >= HEAD_WORDS:
            head += " ." * pair["query"].endswith(" .")  # else a missing stop would tell
            made[pair["query"]] = {
                "query": pair["query"], "positive": head, "negatives": [pair["positive"]],
            }  # fmt: skip
    return list(made.values())


def sick_halves(pairs: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """All pairs in two parts with equally many that are no entailment and no sentence in common."""
    group = {}  # sentence -> the sentences that pairs connect it with

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
    for found in sorted(by_group.values(), key=lambda found: (-others(found), -len(found))):
        min(halves, key=lambda half: (others(half), len(half))).extend(found)
    return halves


def others(found: list[dict[str, Any]]) -> int:
    """How many are no entailment."""
    return sum(row["label"] == "other" for row in found)


def balanced(half: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """All that are no entailment, and of the others as many as make up ``size``."""
    few = [row for row in half if row["label"] == "other"]
    many = [row for row in half if row["label"] != "other"]
    return few + random.Random(0).sample(many, size - len(few))


def rows(folder: Path) -> list[dict[str, Any]]:
    """A training set."""
    found: list[dict[str, Any]] = pq.read_table(folder / "train.parquet").to_pylist()
    return found


def write(file: Path, found: Iterable[dict[str, Any]]) -> None:
    """As JSON Lines."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
