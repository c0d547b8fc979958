"""Answers as annotation tools import them, for people to correct instead of to begin anew.

Label Studio: https://labelstud.io/guide/predictions; Doccano: JSON Lines of sequence labelling and
text classification; Prodigy: its rows of spans and labels.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import json_text
from onetrunk.storage import write_text

Row = Mapping[str, Any]
"""The columns of a row beside its text."""

_LABELS = ("label", "labels", "spans", "entities", "choices", "hypertextlabels", "paragraphlabels")
"""Columns of the short export of Label Studio that are read as the labels."""


def label_studio(text: str, answer: Row, row: Row, score: float) -> dict[str, Any]:
    """One task with a prediction. The project's controls are ``label`` and ``text``."""
    result: list[dict[str, Any]] = [
        _item("labels", {key: entity[key] for key in ("start", "end", "text")}
              | {"labels": [entity["type"]]})
        for entity in answer.get("entities", ())
    ]  # fmt: skip
    if answer.get("labels"):
        result.append(_item("choices", {"choices": list(answer["labels"])}))
    if "value" in answer:
        result.append(_item("number", {"number": answer["value"]}))
    prediction = {"model_version": "onetrunk", "score": score, "result": result}
    return {"data": {**_renamed(row, ("text", *_LABELS)), "text": text},
            "predictions": [prediction]}  # fmt: skip


def doccano(text: str, answer: Row, row: Row, score: float) -> dict[str, Any]:
    """One line: ``label`` holds ``[start, end, type]`` of each entity, or the labels; other columns
    are in ``meta``, where none changes how the line is read."""
    marks = [[entity["start"], entity["end"], entity["type"]] for entity in answer["entities"]] \
        if "entities" in answer else [str(label) for label in _labels(answer)]  # fmt: skip
    task = {"text": text, "label": marks}
    return {**task, "meta": dict(row)} if row else task


def prodigy(text: str, answer: Row, row: Row, score: float) -> dict[str, Any]:
    """One line with ``spans``, or with ``label`` or ``accept``; other columns are in ``meta``."""
    task: dict[str, Any] = {"text": text, "meta": {**_renamed(row, ("score",)), "score": score}}
    if "entities" in answer:
        spans = [
            {"start": entity["start"], "end": entity["end"], "label": entity["type"]}
            for entity in answer["entities"]
        ]
        return {**task, "spans": spans}
    labels = _labels(answer)
    return {**task, "label": labels[0]} if len(labels) == 1 else {**task, "accept": labels}


TOOLS: Mapping[str, Callable[[str, Row, Row, float], dict[str, Any]]] = {
    "label-studio": label_studio,
    "doccano": doccano,
    "prodigy": prodigy,
}
"""By name: ``(text, answer, other columns, the app's certainty from 0 to 1) -> a task``."""


def write_tasks(tasks: Sequence[Mapping[str, Any]], file: Path, notes: Notes | None = None) -> None:
    """Write tasks as a JSON array (``.json``), or one a line; the file appears whole. ``notes``
    counts what :func:`json_text` changes."""
    lines = [json_text(task, notes, f"task {number:,}") for number, task in enumerate(tasks, 1)]
    whole = "[\n" + ",\n".join(lines) + "\n]\n"
    write_text(file, whole if file.suffix == ".json" else "".join(f"{line}\n" for line in lines))


def _renamed(row: Row, taken: Sequence[str]) -> dict[str, Any]:
    """A row whose columns with names that are taken are called ``input_NAME``."""
    names = {*row, *taken}
    renamed = {}
    for name, value in row.items():
        free = name
        while free in taken or (free != name and free in names):
            free = f"input_{free}"
        renamed[free] = value
    return renamed


def _item(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    return {"from_name": "label", "to_name": "text", "type": kind, "value": dict(value)}


def _labels(answer: Row) -> list[Any]:
    return list(answer.get("labels", [f"{answer['value']:g}"] if "value" in answer else []))
