"""The exports of annotation tools, converted to words with tags or to text with spans.

They are recognised by their keys: ``data`` and ``annotations`` are tasks of Label Studio,
``paragraphs`` is the training JSON of spaCy. Text with character spans may have any form that
:func:`annotated_text` takes (Doccano, Prodigy, spaCy's simple training data, Label Studio's short
export).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from onetrunk.data.formats.table import Stream, Table, show, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, Entity
from onetrunk.data.words import inside_word, visible
from onetrunk.errors import UserError

_STARTS, _ENDS, _LABELS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels")
_MARKS = ("spans", "choices")
_A_SPAN = "[start, end, label] or an object with start, end and label"


def annotated_text(
    text: str, values: Any, what: str, where: str, notes: Notes, nested: bool = False
) -> AnnotatedText:
    """Return a text with the entities of a list of spans, which messages call ``what``.

    A span is ``[start, end, label]``, or an object with ``start`` (or ``start_offset``), ``end``
    (or ``end_offset``) and ``label`` (or ``labels``, a list). An object may also hold the ``text``
    of the span, which is compared. Offsets that fit only as UTF-16 units, in which JavaScript
    counts, are converted. White space and
    invisible characters at the edges of a span are left out of it. If spans overlap,
    or with ``nested`` those of one type, the longest is kept. ``notes`` counts all three, and the
    spans that begin or end inside a word.

    Raises UserError for a value that is not a span, and for a span that is empty or not inside
    the text.
    """
    groups: dict[str, list[Entity]] = {}
    for span in _spans(text, values, what, where, notes):
        groups.setdefault(span[2] if nested else "", []).append(span)
    longest = [_longest(spans, len(text), where, notes) for spans in groups.values()]
    entities = sorted(span for spans in longest for span in spans)
    for start, end, _ in entities:
        if inside_word(text, start) or inside_word(text, end):
            place = f"{where}: {show(text[start:end])}"
            notes.add("spans that begin or end inside a word", place)
    return AnnotatedText(text, tuple(entities))


def _spans(text: str, values: Any, what: str, where: str, notes: Notes) -> list[Entity]:
    """Check a list of spans and take white space away from their edges."""
    if not isinstance(values, list):
        raise wrong(where, what, values, "a list of spans")
    marks = [_parse(value, f"{what} item {item}", where) for item, value in enumerate(values, 1)]
    if any(not mark.fits(text) for mark in marks):
        units = text.encode("utf-16-le")
        converted = [mark.in_characters(units) for mark in marks]
        if all(mark.fits(text) for mark in converted):
            notes.add("texts with span offsets in UTF-16 units, converted to characters", where)
            marks = converted
    spans = []
    for item, (mark, value) in enumerate(zip(marks, values, strict=True), 1):
        if why := mark.fault(text):
            raise UserError(f"{where}: {what} item {item} {why}: {show(value)}")
        start, end = visible(text, mark.start, mark.end)
        if (start, end) != (mark.start, mark.end):
            notes.add("spans with white space at an edge, which is left out", where)
        spans += [(start, end, label) for label in mark.labels]
    return spans


class _Mark(NamedTuple):
    """A span as the file has it."""

    start: int
    end: int
    labels: list[str]
    repeats: str | None
    """The text of the span, if the file holds it."""

    def fits(self, text: str) -> bool:
        """Whether the span covers the text that the file holds, if it does."""
        inside = 0 <= self.start <= self.end <= len(text)
        return self.repeats is None or (inside and text[self.start : self.end] == self.repeats)

    def in_characters(self, units: bytes) -> _Mark:
        """Convert offsets from UTF-16 units to characters; ``units`` is the encoded text."""
        start, end = (
            len(units[: 2 * max(offset, 0)].decode("utf-16-le", "ignore"))
            for offset in (self.start, self.end)
        )
        return self._replace(start=start, end=end)

    def fault(self, text: str) -> str:
        """Return a phrase that says why the span does not fit the text, or nothing."""
        if self.start == self.end:
            return "is empty"
        if not 0 <= self.start < self.end <= len(text):
            return f"is not inside the text, which has {len(text)} characters"
        if not self.fits(text):
            return f"is not what stands there, {show(text[self.start : self.end])}"
        if not text[self.start : self.end].strip():
            return "holds only white space"
        if not all(label.strip() for label in self.labels):
            return "has an empty label"
        return ""


def _parse(value: Any, what: str, where: str) -> _Mark:
    match value:
        case [start, end, label]:
            repeats = None
        case dict():
            start, end, label = (_either(value, keys) for keys in (_STARTS, _ENDS, _LABELS))
            repeats = value.get("text")
        case _:
            raise wrong(where, what, value, _A_SPAN)
    labels = label if isinstance(label, list) else [label]
    if not (type(start) is type(end) is int and labels and set(map(type, labels)) == {str}):
        raise wrong(where, what, value, _A_SPAN)
    return _Mark(start, end, labels, repeats if isinstance(repeats, str) else None)


def _either(value: dict[str, Any], keys: Sequence[str]) -> Any:
    return next((value[key] for key in keys if key in value), None)


def _longest(spans: Sequence[Entity], length: int, where: str, notes: Notes) -> list[Entity]:
    """Keep the longest of overlapping spans, and the first of equally long ones; sort them."""
    covered = bytearray(length)
    longest = []
    for start, end, label in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if 1 in covered[start:end]:
            notes.add("spans that overlap a longer one, left out", where)
        else:
            covered[start:end] = b"\1" * (end - start)
            longest.append((start, end, label))
    return sorted(longest)


def plain_columns(stream: Stream, notes: Notes, annotated: bool = True) -> Stream:
    """Convert the records of a tool to rows of simple columns; return other streams as they are.

    A task of Label Studio becomes a row with ``text``, ``spans`` and ``choices``; of several
    annotations the first is read. Tasks without annotations are left out if ``annotated``. A
    sentence of spaCy's training JSON becomes a row with ``tokens`` and ``ner_tags``. ``notes``
    counts what is left out.
    """
    if {"data", "annotations"} <= set(stream.names):

        def tasks(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
            annotations: set[str] = set()
            for table in stream.tables("data", "annotations"):
                rows = _tasks(table, annotated, notes)
                annotations |= {name for name in _MARKS if any(rows.columns[name])}
                yield rows
            if annotations and not annotations & set(names) and set(names) & set(_MARKS):
                raise UserError(f"{stream.source} is annotated with {annotations.pop()} alone")

        return Stream(stream.source, ["text", *_MARKS], tasks)
    if "paragraphs" in stream.names:

        def sentences(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
            yield from map(_sentences, stream.tables("paragraphs"))

        return Stream(stream.source, ["tokens", "ner_tags"], sentences)
    return stream


def _tasks(table: Table, annotated: bool, notes: Notes) -> Table:
    columns: dict[str, list[Any]] = {name: [] for name in ("text", *_MARKS)}
    numbers = []
    for row, data in enumerate(table.columns["data"]):
        where = table.at(row)
        results = _results(table.columns["annotations"][row], where) if annotated else []
        if annotated and not results:
            notes.add("tasks without an annotation, left out", where)
            continue
        if any(result != results[0] for result in results):
            notes.add("tasks with several annotations, of which the first is read", where)
        values = [item["value"] for item in results[0] if "value" in item] if results else []
        columns["text"].append(_task_text(data, where))
        columns["spans"].append([value for value in values if value.get("labels") is not None])
        columns["choices"].append(
            [choice for value in values for choice in value.get("choices") or ()]
        )
        numbers.append(table.numbers[row])
    return Table(table.source, columns, numbers, table.in_lines)


def _results(annotations: Any, where: str) -> list[list[dict[str, Any]]]:
    """Return the result of each annotator who did not skip the task."""
    annotations = _objects(annotations, where, "'annotations'")
    results = [
        _objects(annotation.get("result"), where, "'result'")
        for annotation in annotations
        if not annotation.get("was_cancelled")
    ]
    for item in (item for result in results for item in result if "value" in item):
        value = item["value"]
        if not isinstance(value, dict):
            raise wrong(where, "'value'", value, "an object")
        if not isinstance(value.get("choices"), list | None):
            raise wrong(where, "'choices'", value["choices"], "a list of strings")
    return results


def _objects(value: Any, where: str, what: str) -> list[dict[str, Any]]:
    if isinstance(value, list) and all(isinstance(item, dict) for item in value):
        return value
    raise wrong(where, what, value, "a list of objects")


def _task_text(data: Any, where: str) -> str:
    if not isinstance(data, dict):
        raise wrong(where, "'data'", data, "an object")
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    if "text" in texts:
        return texts["text"]
    if len(texts) != 1:
        keys = " and ".join(map(repr, texts)) or "no text"
        raise UserError(f"{where}: 'data' has {keys}; call the one to read 'text'")
    return next(iter(texts.values()))


def _sentences(table: Table) -> Table:
    columns: dict[str, list[Any]] = {"tokens": [], "ner_tags": []}
    numbers = []
    for row, paragraphs in enumerate(table.columns["paragraphs"]):
        try:
            sentences = [
                sentence["tokens"]
                for paragraph in paragraphs
                for sentence in paragraph["sentences"]
            ]
            columns["tokens"] += [[token["orth"] for token in tokens] for tokens in sentences]
            columns["ner_tags"] += [[token["ner"] for token in tokens] for tokens in sentences]
        except (KeyError, TypeError) as error:
            why = "'paragraphs' is not spaCy's: it wants sentences of tokens with 'orth' and 'ner'"
            raise UserError(f"{table.at(row)}: {why} ({error})") from None
        numbers += [table.numbers[row]] * len(sentences)
    return Table(table.source, columns, numbers, table.in_lines)
