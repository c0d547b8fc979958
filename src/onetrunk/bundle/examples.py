"""Labelled examples that a bundle keeps beside a taught app, for the next correction.

``examples/NAME.jsonl`` has an example a line, in a form that :func:`onetrunk.adapt` reads, too:
``text`` with ``spans`` of ``[start, end, type]``, with ``label``, or with ``labels``.
"""

import json
from collections.abc import Sequence
from typing import Any

from onetrunk.bundle.layout import Bundle, check_file_name
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.errors import UserError

EXAMPLES = "examples"

Example = AnnotatedText | LabelledText


def examples_path(name: str) -> str:
    """The path of an app's examples in a bundle."""
    check_file_name(name)
    return f"{EXAMPLES}/{name}.jsonl"


def check_keepable(rows: Sequence[Any], family: str) -> None:
    """Raise :class:`UserError` for the rows of a plug-in that are of a class of its own."""
    for row in rows:
        if not isinstance(row, Example):
            raise UserError(f"examples of family {family!r} cannot be kept: {type(row).__name__}")


def as_record(row: Example) -> dict[str, Any]:
    """An example as a line has it."""
    if isinstance(row, AnnotatedText):
        return {"text": row.text, "spans": [list(entity) for entity in row.entities]}
    if len(row.labels) == 1:
        return {"text": row.text, "label": row.labels[0]}
    return {"text": row.text, "labels": list(row.labels)}


def to_lines(rows: Sequence[Example]) -> bytes:
    """Examples as JSON Lines in ASCII: a text may hold what no encoding has, or ends a line."""
    return "".join(json.dumps(as_record(row)) + "\n" for row in rows).encode()


def read_examples(bundle: Bundle, name: str) -> list[Example] | None:
    """The examples that a bundle keeps for an app; None if it keeps none. They are taken as they
    are: reading them as labelled rows would guess again how their offsets count.

    Raises :class:`UserError` if they are damaged.
    """
    path = examples_path(name)
    if path not in bundle.files:
        return None
    lines = bundle.read(path).decode().splitlines()
    try:
        return [_row(json.loads(line)) for line in lines]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{bundle.folder / path} is damaged: {error!r}") from None


def _row(record: dict[str, Any]) -> Example:
    if "spans" in record:
        entities = ((int(start), int(end), str(kind)) for start, end, kind in record["spans"])
        return AnnotatedText(record["text"], tuple(entities))
    labels = [record["label"]] if "label" in record else record["labels"]
    return LabelledText(record["text"], tuple(labels))
