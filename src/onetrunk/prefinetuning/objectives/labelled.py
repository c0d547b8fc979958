"""Labelled sets of any family as prepared corpora, from which supervised pre-finetuning draws."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.config import Dataset
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.remote import is_address
from onetrunk.corpora.store import Writer
from onetrunk.corpora.tokenised import TokenisedCorpus
from onetrunk.data.alignment import encode
from onetrunk.data.formats.table import USUAL
from onetrunk.data.locate import Located
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.families.base import Family

# Rows that are tokenised together.
CHUNK = 4096

_Row = tuple[str, Any]
"""Where a row comes from, for messages, and the family's example."""


@dataclass(frozen=True)
class LabelledCorpus(TokenisedCorpus):
    """A tokenised labelled set. A row is one text with its units and a target for each unit."""

    @property
    def labels(self) -> list[str]:
        """All labels of the set, sorted. Targets are numbered as in the family's heads."""
        return self.store.record["labels"]

    def units(self, row: int) -> np.ndarray:
        """Token index of each unit, ``(u,)`` int32, u > 0."""
        return self.store.part("units", "unit_starts", row)

    def targets(self, row: int) -> np.ndarray:
        """Class of each unit, ``(u,)`` int32."""
        return self.store.part("targets", "unit_starts", row)


def labelled_corpus(
    family: Family[Any, Any], builder: CorpusBuilder, source: Dataset, max_length: int
) -> LabelledCorpus:
    """A labelled set, read and labelled as the family does it for an app.

    Rows that evaluation sets hold are left out. Raises :class:`UserError` for what the family's
    reader refuses, and for a row that has no label or several where a unit takes one.
    """

    def read(located: Located, notes: Notes) -> Iterator[_Row]:
        # The reader of a plug-in's family may take paths alone: it gets one where that is enough.
        is_usual = located.columns == USUAL and source.split == "train"
        spec = Path(source.path) if is_usual and not is_address(source.path) else located
        for number, example in enumerate(family.read(spec, notes), start=1):
            yield f"{located}, row {number}", example

    return LabelledCorpus(*builder.prepare(
        "labelled", source, max_length, read,
        texts_of=lambda row: [family.text(row[1])],
        write=lambda rows, writer: _write(family, rows, builder.tokenizer, max_length, writer),
        family=f"{type(family).__module__}.{type(family).__qualname__}",
    ))  # fmt: skip


def _write(
    family: Family[Any, Any],
    rows: Iterable[_Row],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
) -> dict[str, Any]:
    """Tokenise rows into a store that :class:`LabelledCorpus` reads; returns what to record.

    A text of more than ``max_length`` tokens is cut: the label need not hold for its later windows.
    """
    rows = list(rows)  # a label's class is known only when all labels are
    labels = family.label_set(example for _, example in rows)
    token_counts, unit_counts, cut = [0], [0], []
    for start in range(0, len(rows), CHUNK):
        chunk = rows[start : start + CHUNK]
        encoded = encode(tokenizer, [family.text(example) for _, example in chunk], max_length)
        tokens: list[int] = []
        read_at: list[int] = []
        targets: list[int] = []
        for (where, example), text in zip(chunk, encoded, strict=True):
            spans, (unit_tokens,) = family.units(example, [text])
            classes = family.targets(example, spans, labels).tolist()
            if len(classes) != len(unit_tokens):
                raise UserError(
                    f"{where}: {len(classes)} labels for {len(unit_tokens)} units; "
                    "supervised pre-finetuning takes sets in which each has exactly one"
                )
            if not unit_tokens:
                writer.notes.add("rows left out: nothing of them is read", where)
                continue
            tokens += text.ids
            read_at += unit_tokens
            targets += classes
            token_counts.append(len(text.ids))
            unit_counts.append(len(unit_tokens))
            cut.append(text.truncated)
        for name, values in (("tokens", tokens), ("units", read_at), ("targets", targets)):
            writer.append(name, np.array(values, np.int32))
    writer.append("starts", np.cumsum(token_counts, dtype=np.int64))
    writer.append("unit_starts", np.cumsum(unit_counts, dtype=np.int64))
    writer.append("truncated", np.array(cut, bool))
    return {"rows": len(cut), "cut": sum(cut), "labels": labels}
