"""The backbone: an encoder after stage 1, its task-primary LoRAs, and the folder they live in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from onetrunk import __version__
from onetrunk.errors import UserError, nearest
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.model.loading import load_encoder, quiet
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.peft_format import load_peft, save_peft
from onetrunk.storage import read_json, write_json

RECORD = "onetrunk.json"
DEFAULT_K = 3


@dataclass
class Backbone:
    """One encoder for every app. ``k`` is how many of its last layers may carry LoRA;
    ``primary_loras`` holds a LoRA by family name (empty for strategies without them)."""

    encoder: Encoder
    k: int
    primary_loras: dict[str, LoraAdapter] = field(default_factory=dict)
    pooling: Pooling = "mean"
    record: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def __post_init__(self) -> None:
        self.fingerprint = self.fingerprint or self.encoder.fingerprint()


def save_backbone(backbone: Backbone, folder: Path) -> None:
    """Fill ``folder``: a Hugging Face model folder, ``primary/FAMILY`` as PEFT, ``onetrunk.json``.

    ``record`` (recipe, data hashes, …) is stored as given.
    """
    with quiet():
        backbone.encoder.model.save_pretrained(folder)
    # What a tokenizer last truncated to would be saved with it.
    backbone.encoder.tokenizer.backend_tokenizer.no_truncation()
    backbone.encoder.tokenizer.save_pretrained(folder)
    for family, adapter in backbone.primary_loras.items():
        save_peft(adapter, backbone.encoder, folder / "primary" / family)
    write_json(
        folder / RECORD,
        {
            "format": 1,
            "onetrunk": __version__,
            "k": backbone.k,
            "pooling": backbone.pooling,
            "primary": sorted(backbone.primary_loras),
            "fingerprint": backbone.fingerprint,
            **backbone.record,
        },
    )


def load_backbone(name: str | Path) -> Backbone:
    """Load a backbone folder, or any bare encoder (:func:`load_encoder`) as one without primaries.

    Raises :class:`UserError` if a backbone folder is incomplete or its weights are not those it
    was written with.
    """
    folder = Path(name)
    if not (folder / RECORD).exists():
        if (folder / "primary").is_dir():
            raise UserError(f"{folder} has task-primary LoRAs but no {RECORD}: it is not complete")
        encoder = load_encoder(str(name))
        return Backbone(encoder, k=min(DEFAULT_K, encoder.depth))
    record = read_json(folder / RECORD, "a backbone folder")
    for key, kind in (("k", int), ("pooling", str), ("primary", list), ("fingerprint", str)):
        if not isinstance(record.get(key), kind):
            raise UserError(f"{folder / RECORD} is damaged: it has no valid {key!r}")
    if record["pooling"] not in get_args(Pooling):
        hint = nearest(str(record["pooling"]), get_args(Pooling))
        raise UserError(f"{folder / RECORD}: pooling {record['pooling']!r} is unknown; {hint}")
    encoder = load_encoder(str(folder.resolve()))
    encoder.source = str(name)
    if not 1 <= record["k"] <= encoder.depth:
        raise UserError(
            f"{folder / RECORD}: k = {record['k']}, the encoder has {encoder.depth} layers"
        )
    primary_loras = {
        family: load_peft(folder / "primary" / family, encoder) for family in record["primary"]
    }
    backbone = Backbone(encoder, int(record["k"]), primary_loras, record["pooling"], record)
    if backbone.fingerprint != record["fingerprint"]:
        raise UserError(
            f"{folder}: the weights are not those this backbone was written with "
            f"(fingerprint {backbone.fingerprint[:12]}, recorded {record['fingerprint'][:12]})"
        )
    return backbone
