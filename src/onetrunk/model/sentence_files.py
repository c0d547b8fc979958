"""The files by which sentence-transformers opens a folder.

``modules.json`` names the classes that make an embedding of a text. A backbone needs its
task-primary LoRA and reads long texts in windows, which no class of sentence-transformers does: so
its class is :class:`onetrunk.sentence_module.BackboneModule`, and sentence-transformers asks for
``trust_remote_code=True`` before it imports that.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onetrunk.model.heads import Pooling
from onetrunk.storage import write_json

MODULES, SETTINGS = "modules.json", "config_sentence_transformers.json"
READING, POOLING = "sentence_bert_config.json", "1_Pooling"
BACKBONE_MODULE = "onetrunk.sentence_module.BackboneModule"


def write_backbone_files(folder: Path, record: Mapping[str, Any]) -> None:
    """Make a folder with a backbone one of sentence-transformers, too."""
    write_json(folder / MODULES, [_module(0, "", BACKBONE_MODULE)])
    if not (folder / SETTINGS).exists():  # sentence-transformers may just have written it
        write_json(folder / SETTINGS, _settings(record))


def write_plain_files(
    folder: Path, record: Mapping[str, Any], pooling: Pooling, width: int, max_length: int
) -> None:
    """Make an encoder's folder one that sentence-transformers opens by its own classes alone.

    ``width`` is D, the size of a state; longer texts are cut at ``max_length`` tokens.
    """
    own = "sentence_transformers.models"
    modules = [_module(0, "", f"{own}.Transformer"), _module(1, POOLING, f"{own}.Pooling")]
    write_json(folder / MODULES, modules)
    write_json(folder / SETTINGS, _settings(record))
    reading = {"max_seq_length": max_length, "do_lower_case": False}
    write_json(folder / READING, reading)
    (folder / POOLING).mkdir()
    modes = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
    chosen = {key: mode == pooling for key, mode in modes.items()}
    write_json(folder / POOLING / "config.json", {"word_embedding_dimension": width, **chosen})


def _module(index: int, path: str, of_class: str) -> dict[str, Any]:
    return {"idx": index, "name": str(index), "path": path, "type": of_class}


def _settings(record: Mapping[str, Any]) -> dict[str, Any]:
    """``encode`` puts nothing before a text; ``encode_query`` and ``encode_document`` put what
    stage 1 put before queries and passages."""
    pairs = record.get("data", {}).get("tc", {})
    prompts = {
        "query": pairs.get("query_prefix", ""),
        "document": pairs.get("passage_prefix", ""),
    }
    return {
        "model_type": "SentenceTransformer",
        "prompts": prompts,
        "default_prompt_name": None,
        "similarity_fn_name": "cosine",
    }
