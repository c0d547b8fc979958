"""The batches that all sides train on: those of onetrunk, written to files for the peers."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import Any

from onetrunk.config import Recipe, load_recipe
from onetrunk.data.alignment import encode
from onetrunk.data.sources import stream_pairs
from onetrunk.prefinetuning.loop import Trainer

RECIPE = Path(__file__).parents[2] / "recipes/tpl.yaml"


def recipe(data: Path, strategy: str, rows: int, **changes: Any) -> Recipe:
    """The recipe on the corpora of DATA, the first ``rows`` of each."""
    made = load_recipe(RECIPE, strategy=strategy, **changes)
    for family in made.families.values():
        for source in family["sources"]:
            path = Path(source["path"])
            source |= {"path": str(data / path.parent.name / path.name), "max_rows": rows}
    return made


SHORT_TEXTS = ("opentriviaqa", "wordnet_lemma_gloss")
# Number of batches that the sampler by length looks at together.
POOL = 4 * 50


def large_batch(data: Path, size: int, **changes: Any) -> Recipe:
    """The recipe for ``size`` pairs of short texts, whose activations fit into memory at once."""
    made = recipe(data, "tc", 4 * size, **changes)
    pairs = made.families["tc"]
    pairs["batch_size"] = size
    pairs["sources"] = [s for s in pairs["sources"] if Path(s["path"]).name in SHORT_TEXTS]
    return made


def write(data: Path, rows: int, steps: int, folder: Path) -> None:
    """The batches of ``steps`` steps as ``tc.json`` and ``ner.json`` (as many more sentences as
    batching by length needs), and the encoder as ``encoder``."""
    trainer = Trainer(recipe(data, "joint", rows))
    trainer.encoder.model.save_pretrained(folder / "encoder")
    trainer.encoder.tokenizer.save_pretrained(folder / "encoder")
    (folder / "tc.json").write_text(json.dumps(pairs(trainer, rows, steps)))
    (folder / "ner.json").write_text(json.dumps(sentences(trainer, max(steps, POOL))))


def pairs(trainer: Trainer, rows: int, steps: int) -> dict[str, Any]:
    """Raw texts of the drawn pairs, row after row: the texts whose tokens those drawn are."""
    settings = trainer.recipe.families["tc"]
    length, size = settings["max_length"], settings["batch_size"]
    text_of: dict[bytes, str] = {}
    for source in settings["sources"]:
        for pair in islice(stream_pairs(source["path"]), rows):
            texts = [pair.query, pair.positive]
            for text, encoded in zip(
                texts, encode(trainer.encoder.tokenizer, texts, length), strict=True
            ):
                text_of[key(encoded.ids)] = text
    drawn: dict[str, list[str]] = {"query": [], "positive": []}
    for step in range(steps):
        batch: Any = trainer.objectives["tc"].draw(step)  # type: ignore[operator]
        if len(batch.queries) != size or batch.negatives:
            raise SystemExit(f"step {step}: peers need batches of {size} pairs without negatives")
        drawn["query"] += [text_of[key(ids)] for ids in batch.queries]
        drawn["positive"] += [text_of[key(ids)] for ids in batch.positives]
    return {"batch_size": size, "max_length": length, "columns": drawn}


def sentences(trainer: Trainer, steps: int) -> dict[str, Any]:
    """Token ids of the drawn sentences with a class a token: its concept, or none."""
    objective: Any = trainer.objectives["ner"]
    ids, labels = [], []
    for step in range(steps):
        batch = objective.draw(step)
        ids += [row.tolist() for row in batch.ids]
        for of_row in batch.labels:
            classes = [int(batch.concepts[c]) + 1 if c >= 0 else 0 for c in of_row.tolist()]
            # The first and the last token are special ones, which have no class.
            labels.append([-100, *classes[1:-1], -100])
    return {
        "batch_size": trainer.recipe.families["ner"]["batch_size"],
        "classes": len(objective.concepts) + 1,
        "columns": {"input_ids": ids, "labels": labels},
    }


def key(ids: Any) -> bytes:
    return b",".join(str(int(i)).encode() for i in ids)
