"""What annotation tools export, brought to two shapes: words with tags, and text with spans.

Recognised by their keys: Label Studio tasks (``data`` and ``annotations``), spaCy's training JSON
(``paragraphs``), and text with character spans in any form that :func:`tagged_text` takes (Doccano,
Prodigy, spaCy's simple training data, Label Studio's short export).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from onetrunk.data.formats.table import Stream, Table, show, wrong
from onetrunk.data.notes import Notes
from onetrunk.data.rows import NestedText, TaggedText
from onetrunk.errors import UserError

_LabelledSpan = tuple[int, int, str]

_STARTS, _ENDS, _LABELS = ("start", "start_offset"), ("end", "end_offset"), ("label", "labels")
_MARKS = ("spans", "choices")
_A_SPAN = "[start, end, label] or an object with start, end and label"


def tagged_text(text: str, values: Any, what: str, where: str, notes: Notes) -> TaggedText:
    """The text with the entities of a list of spans, called ``what`` in messages.

    A span is ``[start, end, label]``, or an object with ``start`` (``start_offset``), ``end``
    (``end_offset``) and ``label`` (or ``labels``, a list). If the object repeats the ``text``,
    that must stand there; offsets that fit only when counted in UTF-16 units, as JavaScript does,
    are converted. White space at the edges of a span is left out of it, and of spans that overlap
    the longest is kept. All three are counted in ``notes``.

    Raises UserError for a value that is no span, and for a span that is empty or that is not
    inside the text.
    """
    spans = _spans(text, values, what, where, notes)
    return TaggedText.from_spans(text, _longest(spans, len(text), where, notes))


def nested_text(text: str, values: Any, what: str, where: str, notes: Notes) -> NestedText:
    """:func:`tagged_text`, but spans may overlap; of those of one type the longest is kept."""
    by_type: dict[str, list[_LabelledSpan]] = {}
    for span in _spans(text, values, what, where, notes):
        by_type.setdefault(span[2], []).append(span)
    kept = [_longest(spans, len(text), where, notes) for spans in by_type.values()]
    return NestedText.from_spans(text, [span for spans in kept for span in spans])


def _spans(text: str, values: Any, what: str, where: str, notes: Notes) -> list[_LabelledSpan]:
    """A list of spans, checked, without white space at the edges."""
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
        held = text[mark.start : mark.end]
        if held != held.strip():
            notes.add("spans with white space at an edge, which is left out", where)
        start = mark.start + len(held) - len(held.lstrip())
        spans += [(start, start + len(held.strip()), label) for label in mark.labels]
    return spans


class _Mark(NamedTuple):
    """A span as it was written."""

    start: int
    end: int
    labels: list[str]
    repeats: str | None
    """The text that it says it covers."""

    def fits(self, text: str) -> bool:
        """Whether it covers what it says, if it says anything."""
        inside = 0 <= self.start <= self.end <= len(text)
        return self.repeats is None or (inside and text[self.start : self.end] == self.repeats)

    def in_characters(self, units: bytes) -> _Mark:
        """The same, if the offsets count the UTF-16 units of a text; never more than it has."""
        start, end = (
            len(units[: 2 * max(at, 0)].decode("utf-16-le", "ignore"))
            for at in (self.start, self.end)
        )
        return self._replace(start=start, end=end)

    def fault(self, text: str) -> str:
        """Why it is no span of the text, or nothing."""
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


def _longest(
    spans: Sequence[_LabelledSpan], length: int, where: str, notes: Notes
) -> list[_LabelledSpan]:
    """The spans in order; of those that overlap the longest, and of equally long ones the first."""
    taken = bytearray(length)
    kept = []
    for start, end, label in sorted(spans, key=lambda span: (span[0] - span[1], span[0])):
        if 1 in taken[start:end]:
            notes.add("spans that overlap a longer one, left out", where)
        else:
            taken[start:end] = b"\1" * (end - start)
            kept.append((start, end, label))
    return sorted(kept)


def plain_columns(stream: Stream, notes: Notes, annotated: bool = True) -> Stream:
    """The stream in one of the two shapes, if its rows are records of a tool; else as it is.

    Label Studio gives ``text``, ``spans`` and ``choices``, a row for each task that has an
    annotation (for every task, if not ``annotated``); of several annotations the first counts.
    spaCy's training JSON gives ``tokens`` and ``ner_tags``, a row a sentence. What is left out is
    counted in ``notes``.
    """
    if {"data", "annotations"} <= set(stream.names):

        def tasks(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
            marked: set[str] = set()
            for table in stream.tables("data", "annotations"):
                made = _tasks(table, annotated, notes)
                marked |= {kind for kind in _MARKS if any(made.columns[kind])}
                yield made
            if marked and not marked & set(names) and set(names) & set(_MARKS):
                raise UserError(f"{stream.source} is annotated with {marked.pop()} alone")

        return Stream(stream.source, ["text", *_MARKS], tasks)
    if "paragraphs" in stream.names:

        def sentences(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
            for table in stream.tables("paragraphs"):
                yield _sentences(table, (*names, *optional))

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
        made = {
            "text": _task_text(data, where),
            "spans": [value for value in values if value.get("labels") is not None],
            "choices": [one for value in values for one in value.get("choices") or ()],
        }
        for name, column in columns.items():
            column.append(made[name])
        numbers.append(table.numbers[row])
    return Table(table.source, columns, numbers, table.in_lines)


def _results(annotations: Any, where: str) -> list[list[dict[str, Any]]]:
    """What each annotator who did not skip the task has marked."""
    match annotations:
        case list() if all(isinstance(one, dict) for one in annotations):
            done = [one for one in annotations if not one.get("was_cancelled")]
            results = [one.get("result") for one in done]
        case _:
            raise wrong(where, "'annotations'", annotations, "a list of objects")
    for result in results:
        match result:
            case list() if all(isinstance(one, dict) for one in result):
                values = [one["value"] for one in result if "value" in one]
                for value in values:
                    if not isinstance(value, dict):
                        raise wrong(where, "'value'", value, "an object")
                    if not isinstance(value.get("choices"), list | None):
                        raise wrong(where, "'choices'", value["choices"], "a list of strings")
            case _:
                raise wrong(where, "'result'", result, "a list of objects")
    return results


def _task_text(data: Any, where: str) -> str:
    if not isinstance(data, dict):
        raise wrong(where, "'data'", data, "an object")
    texts = {key: value for key, value in data.items() if isinstance(value, str)}
    if "text" in texts:
        return texts["text"]
    if len(texts) != 1:
        held = " and ".join(map(repr, texts)) or "no text"
        raise UserError(f"{where}: 'data' has {held}; call the one to read 'text'")
    return next(iter(texts.values()))


def _sentences(table: Table, names: Sequence[str]) -> Table:
    columns: dict[str, list[Any]] = {name: [] for name in names}
    numbers = []
    for row, paragraphs in enumerate(table.columns["paragraphs"]):
        try:
            sentences = [
                {
                    "tokens": [token["orth"] for token in sentence["tokens"]],
                    "ner_tags": [token["ner"] for token in sentence["tokens"]],
                }
                for paragraph in paragraphs
                for sentence in paragraph["sentences"]
            ]
        except (KeyError, TypeError) as error:
            why = "'paragraphs' is not spaCy's: it wants sentences of tokens with 'orth' and 'ner'"
            raise UserError(f"{table.at(row)}: {why} ({error})") from None
        for sentence in sentences:
            for name, column in columns.items():
                column.append(sentence.get(name))
        numbers += [table.numbers[row]] * len(sentences)
    return Table(table.source, columns, numbers, table.in_lines)
