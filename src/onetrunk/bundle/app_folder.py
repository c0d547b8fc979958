"""From an app's folder to what a bundle holds of it, without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onetrunk.apps.neighbours import load_neighbours
from onetrunk.apps.record import adapter_folder, family_of, read_record
from onetrunk.bundle.app import BundledApp, Lora, a_name, b_name
from onetrunk.bundle.layout import Bundle, check_name
from onetrunk.data.units import warn_of_old_units
from onetrunk.decoding import DECODERS, check_none_below
from onetrunk.errors import UserError
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.model.architecture import ARCHITECTURES
from onetrunk.model.heads import read_head
from onetrunk.model.lora import scaling_of
from onetrunk.model.peft_files import Host, read_peft
from onetrunk.sealing import check_files

_PROBE = "Ann met Bob in New York."

Shapes = Mapping[str, Sequence[int | str]]
"""Shapes of the inputs of a bundle's top, by name."""


def read_app(name: str, folder: Path, bundle: Bundle, shapes: Shapes) -> BundledApp:
    """The app in ``folder`` as this bundle holds it.

    Raises :class:`UserError` if the folder is damaged, if the app was trained on another backbone
    or does not fit the graphs, or if a device could not run it.
    """
    check_name(name, bundle.apps)
    record, where = read_record(folder), str(folder)
    bundle.check_fingerprint(record["fingerprint"], where)
    check_none_below(record.get("none_below"), f"{where}: ")
    check_files(record, folder)
    family, labels = family_named(family_of(record)), list(record["labels"])
    decoder = decoder_of(name, family)
    if family.per_word:
        warn_of_old_units(record, where)
    head_layers = record.get("reads", 1)  # before there was a choice: the last state
    classes, width = family.classes(labels), head_layers * bundle.width
    weight, bias = read_head(folder, classes, width)
    numbers = record.get("neighbours")
    app = BundledApp(
        name=name,
        family=family.name,
        decoder=decoder,
        labels=labels,
        head_layers=head_layers,
        max_length=int(record["max_length"]),
        family_of_primary=record["primary"],
        weight=weight,
        bias=bias,
        lora=_lora(folder, bundle, shapes) if record["adapter"] == "lora" else {},
        fingerprint=record["fingerprint"],
        units=record.get("units", ""),
        neighbours=load_neighbours(folder, numbers, classes, width) if numbers else None,
        none_below=record.get("none_below"),
    )
    bundle.check_app(app, where)
    return app


def _lora(folder: Path, bundle: Bundle, shapes: Shapes) -> Lora:
    """The arrays of a PEFT folder, its scaling in B."""

    def size_of(layer: int, target: str) -> tuple[int, int] | None:
        try:
            return int(shapes[a_name(layer, target)][1]), int(shapes[b_name(layer, target)][2])
        except KeyError:
            return None  # the bundle says what is wrong with it

    host = Host(str(bundle.folder), [*ARCHITECTURES.values()], bundle.depth, size_of)
    rank, alpha, rslora, matrices = read_peft(adapter_folder(folder), host)
    scaling, lora = scaling_of(rank, alpha, rslora), {}
    for place, (a, b) in matrices.items():
        lora[a_name(*place)], lora[b_name(*place)] = a, b * scaling
    return lora


def decoder_of(name: str, family: Family[Any, Any]) -> str:
    """The family's decoder, if a device can do all that the family does; else a
    :class:`UserError` for the app ``name``."""
    methods = family.own_methods or (["decoder"] if family.decoder is None else [])
    if not methods and family.text(family.parse(_PROBE)) != _PROBE:
        methods = ["text"]
    if family.decoder is None or methods:
        raise UserError(
            f"app {name}: family {family.name!r} has its own {', '.join(methods)}, which a device "
            "does not have: a bundle reads raw texts, pools each one or takes each word's first "
            f"token, and decodes by one of {', '.join(DECODERS)}"
        )
    return family.decoder
