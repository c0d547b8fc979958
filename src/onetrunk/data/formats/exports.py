"""The exports of annotation tools, converted to rows of simple columns.

They are recognised by their keys: ``data`` and ``annotations`` are tasks of Label Studio,
``annotator`` beside ``text`` is its short export, ``answer`` stands in the rows of Prodigy, and
``paragraphs`` is the training JSON of spaCy.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from onetrunk.data.formats import nuner
from onetrunk.data.formats.labelstudio import short_tasks, tasks
from onetrunk.data.formats.table import USUAL, Stream, Table, show
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError

_LISTS = ("spans", "accept")


def plain_columns(stream: Stream, notes: Notes, annotated: bool = True) -> Stream:
    """Convert the records of a tool to rows of simple columns; return other streams as they are.

    A task of Label Studio becomes a row with ``text``, ``spans`` and ``choices``
    (:func:`~onetrunk.data.formats.labelstudio.tasks`). Rows of Prodigy that were rejected or
    ignored are left out if ``annotated``. A sentence of spaCy's training JSON becomes a row with
    ``tokens`` and ``ner_tags``. ``notes`` counts what is left out.
    """
    plain = _plain_columns(stream, notes, annotated)
    return plain if plain is stream else replace(plain, chosen=stream.chosen)


def _plain_columns(stream: Stream, notes: Notes, annotated: bool) -> Stream:
    names = set(stream.names)
    if "data" in names and names & {"annotations", "completions", "predictions"}:
        column = "completions" if "completions" in names else "annotations"
        return tasks(stream, column, annotated, notes)
    is_short = {"text", "annotator"} <= names and "ner_tags" not in names
    if annotated and is_short and not stream.chosen.labels:
        return short_tasks(stream, notes)
    if "paragraphs" in names:

        def sentences(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
            yield from map(_sentences, stream.tables("paragraphs"))

        return Stream(stream.source, ["tokens", "ner_tags"], sentences)
    if annotated and names == nuner.COLUMNS and stream.chosen == USUAL:
        return nuner.with_spans(stream, notes)
    # Later rows may have answers.
    if annotated and (names & {"answer", "status"} or stream.open):
        return _answered(stream, notes)
    return stream


def _answered(stream: Stream, notes: Notes) -> Stream:
    """Leave out the rows that an annotator rejected or ignored (Prodigy) or discarded (Argilla).

    They need no other column. An accepted row without ``spans`` or ``accept`` in a file that has
    some is a text without entities or choices. A column of answers may hold something else: what
    is none of Prodigy's is read and noted, and one that the user chose is not looked at. Rows are
    noted once, however often the stream is read.
    """
    chosen = {stream.chosen.text, *stream.chosen.labels}
    noted: set[int] = set()

    def note(what: str, number: int, where: str) -> None:
        if number not in noted:
            noted.add(number)
            notes.add(what, where)

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for table in stream.tables(optional=(*names, *optional, *_LISTS, "answer", "status")):
            rows = []
            for row, number in enumerate(table.numbers):
                answer = None if "answer" in chosen else table.columns["answer"][row]
                verdict = answer.strip().lower() if isinstance(answer, str) else answer
                if verdict in ("reject", "ignore"):
                    what = f"rows with the answer {verdict!r}, left out"
                    note(what, number, table.at(row))
                    continue
                status = None if "status" in chosen else table.columns["status"][row]
                if isinstance(status, str) and status.lower() == "discarded":
                    note("rows with the status 'discarded', left out", number, table.at(row))
                    continue
                if verdict not in ("accept", None):
                    what = "rows whose answer is not accept, reject or ignore, read as accepted"
                    note(what, number, f"{table.at(row)}: {show(answer)}")
                rows.append(row)
            columns = {
                name: [column[row] for row in rows] for name, column in table.columns.items()
            }
            for name in _LISTS if "answer" in stream.names else ():
                columns[name] = [[] if cell is None else cell for cell in columns[name]]
            yield Table(table.source, columns, [table.numbers[row] for row in rows], table.in_lines)

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
