"""Which columns of a table to read, and what one row of them holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

from onetrunk.data.formats.table import Stream, Table, no_column, show, string_list, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.rows import TaggedText
from onetrunk.data.schemes import Converter
from onetrunk.errors import UserError


def span_column(stream: Stream) -> str | None:
    """The column of spans, or None if the stream has words with tags."""
    names = stream.names
    spans = [name for name in ("spans", "entities") if name in names]
    tagged = "tokens" in names and "ner_tags" in names
    if "text" not in names or (tagged and not spans):
        return None
    spans = spans or [name for name in ("label", "labels") if name in names]
    found = [*["ner_tags"] * tagged, *spans]
    if len(found) > 1:
        raise _both(stream, found)
    if not found:
        raise no_column(f"{stream.source} has", "spans", names)
    return found[0]


def label_column(stream: Stream) -> str:
    """The column of a text's label or labels."""
    found = [name for name in ("label", "labels") if name in stream.names]
    found = found or [name for name in ("choices", "cats") if name in stream.names]
    if len(found) > 1:
        raise _both(stream, found)
    return found[0] if found else "label"


def _both(stream: Stream, names: Sequence[str]) -> UserError:
    return UserError(f"{stream.source} has both {names[0]!r} and {names[1]!r}; keep one of them")


def tagged_tokens(
    stream: Stream, converter: Converter, notes: Notes
) -> Iterator[tuple[TaggedText, Table, int]]:
    """Rows of words and tags, the tags in IOB2."""
    for table in stream.tables("tokens", "ner_tags"):
        for row in range(len(table)):
            words = string_list(table, "tokens", row)
            tags = string_list(table, "ner_tags", row)
            if not words:
                raise UserError(f"{table.at(row)}: the row has no tokens")
            if len(words) != len(tags):
                raise UserError(f"{table.at(row)}: {len(words)} tokens but {len(tags)} ner_tags")
            if "" in words:
                item = words.index("")
                raise UserError(f"{table.at(row, item)}: token {item + 1} is an empty string")
            converted = converter.convert(tags, partial(table.at, row))
            if converted != tags:
                changed = [item for item, tag in enumerate(tags) if tag != converted[item]]
                what = f"{str(converter.scheme).upper()} tags converted to IOB2"
                notes.add(what, table.at(row, changed[0]), len(changed))
            yield TaggedText.from_words(words, converted), table, row


def labels(value: Any, name: str, where: str) -> tuple[str, ...]:
    """What a cell of the label column holds."""
    if name == "cats":
        if not isinstance(value, dict) or not set(map(type, value.values())) <= {int, float, bool}:
            raise wrong(where, "'cats'", value, "an object of labels with numbers")
        value = [label for label, score in value.items() if score >= 0.5]
    many = isinstance(value, list)
    if name == "labels" and not many:
        raise wrong(where, "'labels'", value, "a list of strings")
    labels: list[str] = []
    for item, one in enumerate(value if many else [value], 1):
        what = f"{name!r} item {item}" if many else f"{name!r}"
        if type(one) not in (str, int):  # bool is an int to isinstance
            raise wrong(where, what, one, "a string or an integer")
        label = str(one)
        if not label.strip():
            raise UserError(f"{where}: {what} is an empty string")
        if label in labels:
            raise UserError(f"{where}: {what} repeats {show(label)}")
        labels.append(label)
    return tuple(labels)


def negatives(table: Table, row: int) -> tuple[str, ...]:
    """A pair's negatives, from the column that has them."""
    one, many = table.columns["negative"][row], table.columns["negatives"][row]
    if one is None and many is None:
        return ()
    if one is not None and many is not None:
        raise UserError(f"{table.at(row)} has both 'negative' and 'negatives'; keep one of them")
    if isinstance(one, str):
        return (one,)
    return tuple(string_list(table, "negative" if many is None else "negatives", row))
