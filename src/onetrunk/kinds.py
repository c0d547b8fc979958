"""What a folder is, by a file in it; the error where another kind of folder is meant; and what a
folder of each kind holds, so that nothing else is deleted where it is replaced."""

from pathlib import Path

from onetrunk.errors import UserError, first_of, nearest_path
from onetrunk.replacing import finish_replacing

KINDS = {
    "app.json": "an app",
    "bundle.json": "a bundle",
    "onetrunk.json": "a backbone",
    "config.json": "an encoder",
}
"""By the file that shows it, the first one that is there: a backbone is an encoder, too."""
_WHAT_TO_NAME = {
    "app.json": "name a folder that `onetrunk adapt` wrote",
    "bundle.json": "name a folder that `onetrunk export` wrote",
    "onetrunk.json": "name a folder that `onetrunk prefinetune` wrote",
    "config.json": "name an encoder, or a backbone that `onetrunk prefinetune` wrote",
}

ENCODER = (
    "config.json", "generation_config.json", "model*.safetensors", "model.safetensors.index.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
    "vocab.json", "vocab.txt", "merges.txt", "*.model", "*.jinja",
)  # fmt: skip
"""Names and patterns, as in :data:`onetrunk.storage.Contents`: the first shows the kind."""
SENTENCE_FOLDER = (
    "sentence_bert_config.json", *ENCODER, "modules.json", "config_sentence_transformers.json",
    "1_Pooling/config.json", "README.md",
)  # fmt: skip
BACKBONE = (
    "onetrunk.json", *SENTENCE_FOLDER, "primary/*/adapter_*", "decontamination.json",
    "training.jsonl", "losses.png", "conflict.png", "tensorboard/**",
)  # fmt: skip
APP = (
    "app.json", "head.safetensors", "neighbours.safetensors", "adapter/adapter_*", "adapter_*",
    "rows.json", "README.md",
)  # fmt: skip
MERGED = ("app.json", "model.onnx", "tokenizer.json")
BUNDLE = (
    "bundle.json", "trunk.onnx", "top.onnx", "tokenizer.json", "primary/*.safetensors",
    "apps/*.safetensors", "examples/*.jsonl", "README.md",
)  # fmt: skip
PAGE = (
    "bundle/bundle.json", *(f"bundle/{name}" for name in BUNDLE), "runtime/*.js", "runtime/*.d.ts",
    "ort/*", "index.html", "style.css", "icon.svg", "*.js",
)  # fmt: skip
ORT_ADAPTERS = ("none.onnx_adapter", "*.onnx_adapter")
COSTS = ("costs.json", "costs.png")
EVALUATION = ("evaluation.json", "rows.jsonl", "index.html", "curve.png")
REPORT = ("report.json", "report.md", "report.html", "figures/*.svg")
LABELLED = (".work/job.json",)
PAIRS = ("report.json", "report.md", "train.parquet")
CORPUS = (
    "recipe.yaml", "suite.yaml", "pre_ner/*/*.parquet", "pre_pairs/*/*.parquet",
    "ner/*/*.parquet", "tc/*/*.parquet",
)  # fmt: skip

LISTED = 5
"""So many folders are named."""


def kind_of(folder: Path) -> str:
    """``an app``, ``a bundle``, ``a backbone`` or ``an encoder``; empty for anything else."""
    finish_replacing(folder)
    return next((kind for file, kind in KINDS.items() if (folder / file).exists()), "")


def wrong_kind(path: Path, file: str) -> UserError:
    """The error for a path that is not the kind of folder that ``file`` shows."""
    meant = KINDS[file]
    if path.is_file():
        return UserError(f"{path} is a file, not {meant}: {_WHAT_TO_NAME[file]}")
    if not path.is_dir():
        siblings = path.parent.iterdir() if path.parent.is_dir() else ()
        hint = nearest_path(path, filter(_is_visible_folder, siblings))
        return UserError(f"no such folder: {path}{hint}")
    if kind := kind_of(path):
        return UserError(f"{path} is {kind}, not {meant}: {_WHAT_TO_NAME[file]}")
    inside = [str(folder.parent) for folder in sorted(path.glob(f"*/{file}"))]
    hint = f"; in it are {first_of(inside, LISTED)}" if inside else ""
    return UserError(f"{path} is not {meant} folder: it has no {file}{hint}")


def _is_visible_folder(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")
