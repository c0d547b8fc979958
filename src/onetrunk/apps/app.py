"""An app: one downstream task as a head, its labels and usually a LoRA; and the app's folder."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from onetrunk import __version__, kinds
from onetrunk.apps.engine import Engine
from onetrunk.apps.evaluation import Evaluation, evaluation_of
from onetrunk.apps.neighbours import Neighbours, load_neighbours, save_neighbours
from onetrunk.apps.reading import Source, address_of, hash_of_texts, read_labelled, source_name
from onetrunk.apps.record import (
    ADAPTER,
    LEARNT,
    LOOSE,
    TOKENS,
    adapter_folder,
    family_of,
    other_backbone,
    read_record,
)
from onetrunk.apps.record import RECORD as RECORD
from onetrunk.apps.subset import FILE as SUBSET
from onetrunk.apps.subset import Subset
from onetrunk.cards import encoder_of, save_app_card
from onetrunk.data.notes import logged
from onetrunk.data.sources import Columns
from onetrunk.data.units import RULE, warn_of_old_units
from onetrunk.decoding import check_none_below
from onetrunk.errors import UserError, as_path, first_of
from onetrunk.families import family
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.heads import load_head, save_head
from onetrunk.model.lora import NONE, LoraAdapter
from onetrunk.model.peft_format import load_peft, save_peft
from onetrunk.model.tokenizer import reading_of
from onetrunk.records import FORMAT
from onetrunk.sealing import check_files, sealed
from onetrunk.storage import atomic_folder, write_json

AdapterKind = Literal["lora", "linear"]


@dataclass
class App:
    """A downstream task that runs on one backbone.

    ``adapter`` is its own LoRA, or None for an app that is a linear head alone. Such an app reads
    the states under a task-primary LoRA: ``family_of_primary`` names its family, or is ``none`` for
    the bare backbone.

    ```python
    import onetrunk

    app = onetrunk.adapt("runs/tpl", "tc", train="intents.csv", adapter="linear")
    print(app.labels, app.predict("play music"))
    app.save("apps/copy")
    ```
    """

    family: Family[Any, Any]
    labels: list[str]
    head: nn.Linear
    adapter: LoraAdapter | None
    family_of_primary: str
    max_length: int
    fingerprint: str
    head_layers: int = 1
    """The head reads the states of so many layers side by side, the last one and those before."""
    units: str = RULE
    """The rule by which its units were made; empty for apps of 0.1.0."""
    record: dict[str, Any] = field(default_factory=dict)
    neighbours: Neighbours | None = None
    """Labelled texts whose votes are blended with the head's answer."""
    none_below: float | None = None
    """An answer that is less probable, from 0 to 1, is not given. None: all are. Ratings have no
    probability."""
    backbone: Backbone | None = field(default=None, compare=False)
    """The backbone that it was trained on or loaded for. :meth:`predict`, :meth:`evaluate` and
    :meth:`save` raise :class:`UserError` without it."""
    subset: Subset | None = field(default=None, compare=False)
    """The rows that it was trained on, if they were drawn from more."""

    def __repr__(self) -> str:
        shown = first_of(self.labels, 5)
        backbone = self.backbone.encoder.source if self.backbone else self.fingerprint[:12]
        what = f"{self.family.name}, {self.kind}, {len(self.labels)} labels: {shown}"
        return f"App({'; '.join([what, *self._learnt(), f'backbone {backbone}'])})"

    def _learnt(self) -> Iterator[str]:
        """How many rows it has learnt, and its best known score, as far as its record says."""
        record, metric = self.record, self.family.metric
        if rows := record.get("train_rows"):
            yield f"{rows:,} rows"
        if test := record.get("test"):
            yield f"{metric} {test[metric]:.1f} on {test['rows']:,} test rows"
        elif (score := record.get("cross_validation")) is not None:
            yield f"{metric} {score:.1f} by cross-validation"
        elif (score := record.get("validation")) is not None:
            yield f"{metric} {score:.1f} on {record['validation_rows']:,} validation rows"

    @property
    def kind(self) -> AdapterKind:
        """``lora`` or ``linear``."""
        return "linear" if self.adapter is None else "lora"

    def logits(self, gathered: Tensor) -> Tensor:
        """Head input ``(U, D)`` -> logits ``(U, C)``."""
        logits: Tensor = self.head.to(gathered.device)(gathered)
        if self.neighbours is None:
            return logits
        votes = torch.from_numpy(self.neighbours.votes(gathered.cpu()))
        blended = self.family.blend(logits, votes, self.neighbours.share)
        return blended + torch.from_numpy(self.neighbours.shift).to(blended.device)

    @torch.no_grad()
    def shift(self, by: Tensor) -> None:
        """Add ``(C,)`` to the logits, for good."""
        if self.neighbours is None:
            self.head.bias.add_(by)
        else:
            self.neighbours.shift += by.cpu().numpy()

    def predict(self, texts: Any) -> Any:
        """This app's answer to one text, or a list of answers to a list of texts."""
        results = self._engine().predict(texts)
        if isinstance(texts, str):
            return results["apps"]["app"]
        return [result["apps"]["app"] for result in results]

    def evaluate(
        self,
        data: Source,
        text_column: str | None = None,
        label_column: str | Sequence[str] | None = None,
        strict_labels: bool = False,
        temperature: bool = False,
    ) -> Evaluation:
        """Score the app on labelled rows; of a folder, on its test split.

        The columns are those of :func:`onetrunk.adapt`. A label that training never had counts as
        a miss, and a note names it; with ``strict_labels`` it is refused. ``temperature`` fits one
        (:class:`Calibration`).

        Raises :class:`UserError` for rows that cannot be read or used.
        """
        columns = Columns.named(text_column, label_column)
        with logged() as notes:
            rows, place = read_labelled(
                self.family, data, "test", notes, self.labels, columns, strict_labels
            )
            if self.record.get(LEARNT) == hash_of_texts(self.family, rows):
                what = "the app was trained on these very texts: scores on them mean little"
                notes.say(what, source_name(data, "test"))
        predictions = self._engine().predict_examples("app", rows, place)
        evaluation = evaluation_of(self.family, self.labels, rows, predictions, temperature, place)
        return replace(evaluation, data=address_of(data))

    def save(self, folder: str | Path, overwrite: bool = False) -> None:
        """Write the app folder; its name becomes the app's. It appears whole or not at all.

        Raises :class:`UserError` if ``folder`` exists and ``overwrite`` is false.
        """
        folder, backbone = as_path(folder, "folder"), self._backbone()
        self.record["backbone"] = backbone_from(folder, backbone.encoder.source)
        with atomic_folder(folder, overwrite, kinds.APP) as partial:
            save_app(self, backbone, partial, folder.resolve().name)

    def _engine(self) -> Engine:
        return Engine(self._backbone(), {"app": self})

    def _backbone(self) -> Backbone:
        if self.backbone is None:
            raise UserError("this app was made without its backbone: set app.backbone first")
        return self.backbone

    def check(self, backbone: Backbone, name: str) -> None:
        """Raise :class:`UserError` unless the app was trained on exactly this backbone, and its
        ``none_below`` is a probability."""
        check_none_below(self.none_below, f"app {name}: ")
        if self.fingerprint != backbone.fingerprint:
            record = {**self.record, "fingerprint": self.fingerprint}
            raise other_backbone(name, record, backbone.encoder.source, backbone.fingerprint)
        if self.family_of_primary not in (NONE, *backbone.primary_loras):
            raise UserError(
                f"app {name} needs the primary LoRA {self.family_of_primary!r} of its backbone"
            )


def backbone_from(folder: Path, backbone: str) -> str:
    """How an app in ``folder`` finds its backbone again: a folder relative to its own, the name of
    an encoder as it is."""
    if Path(backbone).is_dir():
        return os.path.relpath(Path(backbone).resolve(), folder.resolve())
    return backbone


def save_app(app: App, backbone: Backbone, folder: Path, name: str | None = None) -> None:
    """Fill ``folder`` with ``app.json``, ``head.safetensors``, the LoRA as a PEFT folder and
    ``neighbours.safetensors``, each if the app has it; and with a model card that calls the app
    ``name``, by default as the folder."""
    save_head(app.head, folder)
    if app.adapter is not None:
        save_peft(app.adapter, backbone.encoder, folder / ADAPTER)
    if app.subset is not None:
        app.subset.save(folder / SUBSET)
    values = {
        "format": FORMAT,
        "onetrunk": __version__,
        "family": app.family.name,
        "labels": app.labels,
        "adapter": app.kind,
        "primary": app.family_of_primary,
        "reads": app.head_layers,
        "units": app.units,
        "max_length": app.max_length,
        "fingerprint": app.fingerprint,
        TOKENS: reading_of(backbone.encoder.tokenizer),
        "none_below": app.none_below,
    }
    if app.neighbours is not None:
        values["neighbours"] = save_neighbours(app.neighbours, folder)
    # The record of an app that was loaded holds all of these, as they were then.
    others = {key: value for key, value in app.record.items() if key != "neighbours"}
    record = sealed(values | others | values, folder, LOOSE)
    write_json(folder / RECORD, record)
    encoder = encoder_of(backbone.record, backbone.encoder.source)
    save_app_card(folder, name or folder.name, record, encoder)


def load_app(folder: Path, backbone: Backbone) -> App:
    """Read an app folder for the backbone it was trained on.

    Raises :class:`UserError` for another backbone, or if the head or LoRA is missing or damaged.
    """
    record = read_record(folder)
    kind = family(family_of(record))
    labels = list(record["labels"])
    app = App(
        family=kind,
        labels=labels,
        head=nn.Linear(1, 1),  # replaced below, once the backbone is known to be the right one
        adapter=None,
        family_of_primary=record["primary"],
        head_layers=record.get("reads", 1),  # before there was a choice: the last state
        max_length=int(record["max_length"]),
        fingerprint=record["fingerprint"],
        units=record.get("units", ""),
        record=record,
        none_below=record.get("none_below"),
        backbone=backbone,
    )
    app.check(backbone, str(folder))
    if record.get(TOKENS) not in (None, reading_of(backbone.encoder.tokenizer)):
        raise UserError(
            f"app {folder} was trained with another tokenizer than that of "
            f"{backbone.encoder.source}, which cuts some words otherwise: name the backbone that "
            "it was trained on, or train it again on this one"
        )
    check_files(record, folder)
    if kind.decoder is not None and kind.per_word:
        warn_of_old_units(record, str(folder))
    most = backbone.encoder.depth + 1
    if app.head_layers > most:
        raise UserError(f"{folder / RECORD}: reads is {app.head_layers!r}, not 1 to {most}")
    width = app.head_layers * backbone.encoder.width
    app.head = load_head(folder, kind.classes(labels), width)
    if numbers := record.get("neighbours"):
        app.neighbours = load_neighbours(folder, numbers, kind.classes(labels), width)
    if record["adapter"] == "lora":
        app.adapter = load_peft(adapter_folder(folder), backbone.encoder)
    if (folder / SUBSET).exists():
        app.subset = Subset.load(folder / SUBSET)
    return app
