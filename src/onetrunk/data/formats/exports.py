"""The exports of annotation tools, converted to rows of simple columns.

They are recognised by their keys: ``data`` and ``annotations`` are tasks of Label Studio,
``annotator`` and ``lead_time`` beside ``text`` are its short export, ``answer`` stands in the rows
of Prodigy, ``paragraphs`` is the training JSON of spaCy, and ``tokenized_text`` that of GLiNER.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from onetrunk.data.formats import gliner, nuner
from onetrunk.data.formats.labelstudio import short_tasks, tasks
from onetrunk.data.formats.labelstudio_task import CHOICES, LABELS
from onetrunk.data.formats.lists import read_list
from onetrunk.data.formats.table import Stream, Table, no_column, show
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError

_LISTS = ("spans", "accept")
_BINARY = "_is_binary"
"""Prodigy's mark of an answer to one suggestion, in a row that was not annotated as a whole."""


def plain_columns(stream: Stream, notes: Notes, annotated: bool = True) -> Stream:
    """Convert the records of a tool to rows of simple columns; return other streams as they are.

    A task of Label Studio becomes a row with ``text``, ``spans`` and ``choices``
    (:func:`~onetrunk.data.formats.labelstudio.tasks`). Rows of Prodigy that were rejected or
    ignored are left out if ``annotated``. A sentence of spaCy's training JSON becomes a row with
    ``tokens`` and ``ner_tags``; rows of GLiNER and NuNER get ``text`` and ``spans``. ``notes``
    counts what is left out, once, however often the rows are read.
    """
    found = Notes()
    plain = _plain_columns(stream, found, annotated)
    if plain is stream:
        return stream
    blocks = 0  # whose notes are counted

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        nonlocal blocks
        found.found.clear()  # of a reading that was not ended
        for number, table in enumerate(plain.read(names, optional), 1):
            if number > blocks:
                blocks = number
                notes.update(found)
            found.found.clear()
            yield table

    return replace(plain, read=read, chosen=stream.chosen)


def _plain_columns(stream: Stream, notes: Notes, annotated: bool) -> Stream:
    names, chosen = set(stream.names), stream.chosen.names
    # A column that a user named holds what the user says, and nothing of a tool.
    of_tasks = {"annotations", "completions", "predictions"}
    if "data" in names and names & of_tasks and not chosen & {"data", *of_tasks}:
        column = "completions" if "completions" in names else "annotations"
        return tasks(stream, column, annotated, notes)
    if annotated and not stream.chosen.labels and _is_short_export(stream):
        return short_tasks(stream, notes)
    if "paragraphs" in names - chosen:

        def sentences(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
            yield from map(_sentences, stream.tables("paragraphs"))

        return Stream(stream.source, ["tokens", "ner_tags"], sentences)
    if annotated and not chosen and names >= gliner.COLUMNS:
        return gliner.with_spans(stream)
    if annotated and not chosen and nuner.are_rows(stream):
        return nuner.with_spans(stream, notes)
    # Later rows may have answers.
    if annotated and (names & {"answer", "status"} or stream.open):
        return _answered(stream, notes)
    return stream


def _is_short_export(stream: Stream) -> bool:
    """Whether rows are Label Studio's short export. Many other tables name an annotator."""
    names = set(stream.names)
    if not {"text", "annotator"} <= names or "ner_tags" in names:
        return False
    if names & {"annotation_id", "lead_time"}:
        return True
    columns = stream.first(*names - {"text", "annotator"})
    return any(_is_result(cell) for cells in columns.values() for cell in cells)


def _is_result(cell: Any) -> bool:
    """Whether a cell holds regions or choices as Label Studio writes them."""
    listed = read_list(cell) if isinstance(cell, str) else cell
    values = listed if isinstance(listed, list) else [listed]
    return any(
        isinstance(value.get(key), list)
        for value in values
        if isinstance(value, dict)
        for key in (*LABELS, *CHOICES)
    )


def _answered(stream: Stream, notes: Notes) -> Stream:
    """Leave out the rows that an annotator rejected or ignored (Prodigy) or discarded (Argilla).

    They need no other column. An accepted row without ``spans`` or ``accept`` in a file that has
    some is a text without entities or choices. A column of answers may hold something else: what
    is none of Prodigy's is read and noted, and a column that is read as text or label is no
    verdict on its rows.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        verdicts = {"answer", "status"} - {*names, *stream.chosen.names}
        asked = (*names, *optional, *_LISTS, *verdicts, _BINARY)
        for table in stream.tables(optional=tuple(dict.fromkeys(asked))):
            nothing = [None] * len(table)
            answers, statuses = (
                table.columns[name] if name in verdicts else nothing
                for name in ("answer", "status")
            )
            rows = []
            for row, answer in enumerate(answers):
                verdict = answer.strip().lower() if isinstance(answer, str) else answer
                if verdict in ("reject", "ignore"):
                    what = f"rows with the answer {verdict!r}, left out"
                    notes.add(what, table.at(row))
                    continue
                status = statuses[row]
                if isinstance(status, str) and status.lower() == "discarded":
                    notes.add("rows with the status 'discarded', left out", table.at(row))
                    continue
                if "spans" in names and table.columns[_BINARY][row] is True:
                    what = "rows of which one span was judged (_is_binary), left out: their other"
                    notes.add(f"{what} entities are not known", table.at(row))
                    continue
                if verdict not in ("accept", None):
                    what = "rows whose answer is not accept, reject or ignore, read as accepted"
                    notes.add(what, f"{table.at(row)}: {show(answer)}")
                rows.append(row)
            answered = table.only(rows)
            listed = _LISTS if "answer" in verdicts & {*stream.names} else ()
            for name in listed:
                cells = answered.columns[name]
                answered.columns[name] = [[] if cell is None else cell for cell in cells]
            for row, record in enumerate(answered.records):
                for name in names:
                    if isinstance(record, dict) and name not in record and name not in listed:
                        raise no_column(f"{answered.at(row)}:", name, list(record))
            yield answered

    return Stream(stream.source, stream.names, read)


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
