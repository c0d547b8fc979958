"""The backbone: an encoder after stage 1, its task-primary LoRAs, and the folder of both."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from onetrunk import __version__, kinds
from onetrunk.cards import save_backbone_card
from onetrunk.errors import UserError, as_path, nearest
from onetrunk.hub import fetched, fetched_if
from onetrunk.model.checks import check_nothing_added
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.model.loading import load_encoder, quiet
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.peft_format import load_peft, save_peft
from onetrunk.model.place import RECORD as RECORD
from onetrunk.model.place import check_device
from onetrunk.model.sentence_files import write_backbone_files
from onetrunk.model.tokenizer import save_tokenizer
from onetrunk.records import FORMAT, Values, are_texts, check_record, is_count, is_text
from onetrunk.sealing import FILES, UNSEALED, are_files, check_files, check_seal, sealed
from onetrunk.storage import atomic_folder, read_json, write_json

DEFAULT_K = 3
_VALUES: Values = {
    "k": ("a number of layers", is_count),
    "pooling": ("a name", is_text),
    "primary": ("a list of families", are_texts),
    "fingerprint": ("a hash", is_text),
}
"""Required keys of onetrunk.json: for each, its description in error messages, and a test."""
_OTHERS: Values = {FILES: ("files by name, each with bytes and sha256", are_files)}
"""Optional keys, in the same form; backbones of 0.1.0 lack them."""


@dataclass
class Backbone:
    """One encoder for all apps.

    ``k`` is how many of its last layers may carry LoRA. ``primary_loras`` are the task-primary
    LoRAs by family name; strategies without them leave it empty. ``record`` is what is stored
    about the run: recipe, data hashes and more.

    ```python
    from onetrunk import Backbone

    backbone = Backbone.load("runs/tpl")  # or an encoder as it comes
    print(backbone.k, list(backbone.primary_loras))
    ```
    """

    encoder: Encoder
    k: int
    primary_loras: dict[str, LoraAdapter] = field(default_factory=dict)
    pooling: Pooling = "mean"
    record: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""

    def __repr__(self) -> str:
        primary = ", ".join(self.primary_loras) or "none"
        return f"Backbone({self.encoder.source!r}, k={self.k}, primary LoRAs: {primary})"

    def __post_init__(self) -> None:
        self.fingerprint = self.fingerprint or self.encoder.fingerprint()

    @classmethod
    def load(cls, name: str | Path, device: str = "cpu") -> Backbone:
        """Load a backbone folder, or a bare encoder as a backbone without task-primary LoRAs.

        An encoder is a folder, a hub name or ``package:NAME``
        (:func:`~onetrunk.model.loading.load_encoder`); a backbone is a folder or a hub name
        (:func:`~onetrunk.hub.fetched`). Raises :class:`UserError` if there is none,
        if a backbone folder is incomplete, if its weights are not those it was written with, and
        for a device that is not there.
        """
        as_path(name, "backbone")
        check_device(device)
        folder = fetched_if(RECORD, name)
        if not (folder / RECORD).exists():
            if (folder / "primary").is_dir():
                raise UserError(
                    f"{folder} has task-primary LoRAs but no {RECORD}: it is not complete"
                )
            if "@" in str(name):  # a revision, which transformers takes apart from the name
                encoder = load_encoder(str(fetched(name)))
                encoder.source = str(name)
            else:
                encoder = load_encoder(str(name))
            return cls(encoder, k=min(DEFAULT_K, encoder.depth)).to(device)
        record = read_json(folder / RECORD, "a backbone folder")
        _check_record(record, folder / RECORD)
        check_files(record, folder)
        if FILES in record:
            check_nothing_added(folder, {*record[FILES], RECORD, *UNSEALED})
        encoder = load_encoder(str(folder.resolve()))
        encoder.source = str(name)
        if record["k"] > encoder.depth:
            raise UserError(
                f"{folder / RECORD}: k = {record['k']}, the encoder has {encoder.depth} layers"
            )
        primary_loras = {
            family: load_peft(folder / "primary" / family, encoder) for family in record["primary"]
        }
        backbone = cls(encoder, record["k"], primary_loras, record["pooling"], record)
        if backbone.fingerprint != record["fingerprint"]:
            raise UserError(
                f"{folder}: the weights are not those this backbone was written with "
                f"(fingerprint {backbone.fingerprint[:12]}, recorded {record['fingerprint'][:12]})"
            )
        return backbone.to(device)

    def to(self, device: str) -> Backbone:
        """Move the encoder; apps and engines compute where it is. Returns the backbone."""
        self.encoder.model.to(device)
        return self

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the backbone as a folder, whole or not at all. Apps refer to it from then on.

        Raises :class:`UserError` if the folder exists and ``overwrite`` is false.
        """
        with atomic_folder(as_path(folder, "folder"), overwrite, kinds.BACKBONE) as partial:
            self.write(partial)
        self.encoder.source = str(folder)

    def write(self, folder: Path) -> None:
        """Fill a folder: a Hugging Face model, ``primary/FAMILY`` as PEFT, ``onetrunk.json``, what
        sentence-transformers reads, and a model card."""
        with quiet():
            self.encoder.model.save_pretrained(folder)
        save_tokenizer(self.encoder.tokenizer, folder)
        for family, adapter in self.primary_loras.items():
            save_peft(adapter, self.encoder, folder / "primary" / family)
        values = {
            "format": FORMAT,
            "onetrunk": __version__,
            "k": self.k,
            "pooling": self.pooling,
            "primary": sorted(self.primary_loras),
            "fingerprint": self.fingerprint,
        }
        record = values | self.record | values  # a loaded backbone's record has them, too
        write_backbone_files(folder, record)
        record = sealed(record, folder)
        write_json(folder / RECORD, record)
        save_backbone_card(folder, record, self.encoder.source)


def _check_record(record: dict[str, Any], file: Path) -> None:
    check_record(record, file, _VALUES, _OTHERS)
    check_seal(record, file)
    if record["pooling"] not in get_args(Pooling):
        hint = nearest(str(record["pooling"]), get_args(Pooling))
        raise UserError(f"{file}: pooling {record['pooling']!r} is unknown; {hint}")
