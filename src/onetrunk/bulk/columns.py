"""Answers as columns of a table, for CSV and Parquet.

A label is the column ``APP`` with ``APP.probability`` beside it; both are lists where a text may
have several labels, and empty where an app abstained. Entities are a list in ``APP``, a rating is a
number, and what a plug-in family answers is JSON. The column ``error`` says why a row has no
answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import json_text
from onetrunk.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

APPS, ERROR, TEXT = "apps", "error", "text"
Decoders = Mapping[str, str | None]
"""The decoder of each app; None if its family has an answer of its own."""


def decoders_of(model: Engine | Runtime) -> Decoders:
    """The decoder of each app of a model."""
    apps: Mapping[str, Any] = model.apps
    # In a bundle an app names its decoder itself, in PyTorch its family does.
    return {
        name: app.family.decoder if hasattr(app.family, "decoder") else app.decoder
        for name, app in apps.items()
    }


def answer_names(decoders: Decoders, reserved: Iterable[str] = (TEXT, ERROR)) -> list[str]:
    """The columns that answers take.

    Raises :class:`UserError` if one would have the name of another, or one of those ``reserved``
    for what no app says.
    """
    names = [name for app in decoders.items() for name in _names(*app)]
    uses = Counter([*names, *reserved])
    for app, decoder in decoders.items():
        for name in _names(app, decoder):
            if uses[name] > 1:
                others = [repr(other) for other in _apps_of(name, decoders) if other != app]
                also = f"as the app {others[0]} does" if others else "which has another use"
                raise UserError(
                    f"the app {app!r} answers in the column {name!r}, {also}: rename the app, or "
                    "write .jsonl (onetrunk predict), where answers are no columns"
                )
    return [*names, ERROR]


def _names(app: str, decoder: str | None) -> list[str]:
    """The columns of an app."""
    return [app, f"{app}.probability"] if decoder in ("tc", "multi-label") else [app]


def _apps_of(column: str, decoders: Decoders) -> list[str]:
    return [app for app, decoder in decoders.items() if column in _names(app, decoder)]


def answer_cells(
    decoders: Decoders, result: Mapping[str, Any], notes: Notes | None = None, where: str = ""
) -> dict[str, Any]:
    """The cells of one result of a stream, None where it has no answer; without the error.
    ``notes`` counts what :func:`json_text` changes."""
    cells: dict[str, Any] = {}
    for app, decoder in decoders.items():
        answer = result.get(APPS, {}).get(app)
        match decoder:
            case "tc" | "multi-label":
                labels = probabilities = None
                if answer and not answer.get("abstained"):
                    labels = answer["labels"]
                    probabilities = [answer["probabilities"][label] for label in labels]
                    if decoder == "tc":
                        (labels,), (probabilities,) = labels, probabilities
                cells |= dict(zip(_names(app, decoder), (labels, probabilities), strict=True))
            case "ner" | "nested-ner":
                cells[app] = answer and answer["entities"]
            case "rating":
                cells[app] = answer and answer["value"]
            case _:
                cells[app] = answer and json_text(answer, notes, where)
    return cells


def answer_types(decoders: Decoders) -> dict[str, pa.DataType]:
    """Arrow's type of each of :func:`answer_names`."""
    import pyarrow as pa

    text, number, place = pa.string(), pa.float64(), pa.int64()
    entity = pa.struct(
        {"start": place, "end": place, "text": text, "type": text, "score": number}.items()
    )
    by_decoder: dict[str | None, list[pa.DataType]] = {
        "tc": [text, number],
        "multi-label": [pa.list_(text), pa.list_(number)],
        "ner": [pa.list_(entity)],
        "nested-ner": [pa.list_(entity)],
        "rating": [number],
    }
    types = [kind for decoder in decoders.values() for kind in by_decoder.get(decoder, [text])]
    return dict(zip(answer_names(decoders), [*types, text], strict=True))


def json_row(row: Mapping[str, Any], result: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A row of the input with its result beside its columns, as JSON Lines have it."""
    check_free(row, (APPS, ERROR), where)
    return {**row, **result}


def check_free(
    columns: Iterable[str], taken: Iterable[str], where: str, decoders: Decoders | None = None
) -> None:
    """Raise :class:`UserError` if a column of the input has the name of an answer's; ``decoders``
    are those of the apps that answer in columns."""
    for name in sorted({*columns} & {*taken}):
        apps = "".join(f", or the app {app!r}" for app in _apps_of(name, decoders or {}))
        raise UserError(
            f"{where}: the column {name!r} of the input has the name of a column of answers: "
            f"rename it{apps}"
        )
