"""spaCy's binary ``.spacy`` files (``DocBin``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Stream, Table, blocks
from onetrunk.errors import UserError


def docbin(file: Path) -> Stream:
    """One row a document: ``text``, ``spans`` (its entities) and ``cats`` (its categories).

    The format is one compressed value, so the file is held in memory while it is read. Raises
    UserError if spaCy is not installed, if the file is no ``DocBin``, and when what is asked for
    is not annotated in a document.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(enumerate(_documents(file), 1)):
            columns: dict[str, list[Any]] = {name: [] for name in (*names, *optional)}
            for row, document in block:
                for name, values in columns.items():
                    values.append(_value(document, name, f"{file}, row {row}"))
            yield Table(str(file), columns, [row for row, _ in block])

    return Stream(str(file), ["text", "spans", "cats"], read)


def _value(document: Any, name: str, where: str) -> Any:
    if name == "text":
        return document.text
    if name == "cats":
        if not document.cats:
            raise UserError(f"{where}: the document has no categories")
        return dict(document.cats)
    if name != "spans":
        return None
    if not document.has_annotation("ENT_IOB"):
        raise UserError(f"{where}: the document has no entity annotation")
    return [[span.start_char, span.end_char, span.label_] for span in document.ents]


def _documents(file: Path) -> Iterator[Any]:
    try:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab
    except ImportError:
        raise UserError(
            f"{file}: reading .spacy needs spaCy: pip install 'onetrunk[spacy]'"
        ) from None
    vocab = Vocab()
    try:
        documents = DocBin().from_bytes(file.read_bytes())
    # Bytes that are not a DocBin make zlib, msgpack or the look-up of a key fail.
    except Exception as error:
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} is not a spaCy DocBin: {why}") from None
    yield from documents.get_docs(vocab)
