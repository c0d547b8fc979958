"""spaCy's binary ``.spacy`` files (``DocBin``)."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from onetrunk.data.formats.table import Stream, Table, blocks, reason
from onetrunk.errors import UserError

LARGEST = 2**30
"""Bytes of a file that is unpacked, in memory, as a whole."""
SPAN_GROUPS = "span_groups"
"""The column of spans that may overlap; spaCy keeps them beside the entities."""
_NAMES = ["text", "spans", SPAN_GROUPS, "cats"]


def docbin(file: Path) -> Stream:
    """Return one row for each document: ``text``, ``spans`` (entities), ``span_groups`` (spans of
    all groups, which may overlap) and ``cats`` (categories).

    The format is one compressed value, so the file is held in memory while it is read. Raises
    UserError if spaCy is not installed, if the file is not a ``DocBin``, or if a document is not
    annotated with what is read.
    """

    def read(names: Sequence[str], optional: Sequence[str]) -> Iterator[Table]:
        for block in blocks(enumerate(_documents(file), 1)):
            columns = {
                name: [_value(document, name, f"{file}, row {row}") for row, document in block]
                for name in (*names, *optional)
                if name in _NAMES
            }
            yield Table(str(file), columns, [row for row, _ in block])

    return Stream(str(file), _NAMES, read)


def _value(document: Any, name: str, where: str) -> Any:
    if name == "text":
        return document.text
    if name == "cats":
        if not document.cats:
            raise UserError(f"{where}: the document has no categories")
        return dict(document.cats)
    if name == SPAN_GROUPS:
        spans = [span for group in document.spans.values() for span in group]
        return [[span.start_char, span.end_char, span.label_] for span in spans]
    if not document.has_annotation("ENT_IOB"):
        if document.spans:
            return []
        raise UserError(f"{where}: the document has no entity annotation")
    missing = [token.text for token in document if not token.ent_iob]
    if missing:
        what = f"{len(missing)} of {len(document)} words are not annotated, such as {missing[0]!r}"
        raise UserError(
            f"{where}: {what}; leave the document out or, if they are no entities, call "
            'doc.set_ents(doc.ents, default="outside")'
        )
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
        content = file.read_bytes()
        unpacking = zlib.decompressobj()
        unpacking.decompress(content, LARGEST)
        if unpacking.unconsumed_tail:
            raise ValueError(f"it has more than {LARGEST:,} bytes when it is unpacked")
        documents = DocBin().from_bytes(content)
    # Other bytes make zlib, msgpack or the look-up of a key fail.
    except Exception as error:
        raise UserError(f"{file} is not a spaCy DocBin: {reason(error)}") from None
    yield from documents.get_docs(vocab)
