"""From a source that a recipe names to a prepared corpus.

A source is located, its rows are read, those that evaluation sets hold are left out, and the rest
is tokenised into a store of the cache.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, TypeVar

from onetrunk.config import Dataset, Source
from onetrunk.contamination.evaluation_sets import EvaluationSets
from onetrunk.corpora.remote import is_address, local_copy, said_of
from onetrunk.corpora.store import Prepared, Writer, prepared
from onetrunk.corpora.tokenised import (
    NerCorpus,
    PairCorpus,
    tokenizer_sha256,
    write_ner,
    write_pairs,
)
from onetrunk.data.locate import Located, locate
from onetrunk.data.notes import Notes
from onetrunk.data.sources import USUAL, Columns, stream_ner, stream_pairs
from onetrunk.progress import Progress, silent
from onetrunk.storage import key_of

# Part of every key: raised when the arrays change, or what is read into them.
FORMAT = 2
# How often progress is reported, in rows.
REPORT_EVERY = 4096

_Row = TypeVar("_Row")


@dataclass
class CorpusBuilder:
    """Prepares the sources of a run. All of them are tokenised and checked in the same way."""

    tokenizer: Any
    evaluation: EvaluationSets = field(default_factory=EvaluationSets)
    """Rows that overlap with these sets are left out."""
    notes: Notes = field(default_factory=Notes)
    """Everything that reading the sources changed or found odd."""
    progress: Progress = silent

    def __post_init__(self) -> None:
        self._tokenizer_sha256 = tokenizer_sha256(self.tokenizer)

    def ner(self, source: Source, max_length: int, texts: bool = False) -> NerCorpus:
        """The tagged sentences of a source. A teacher needs the ``texts``, too."""
        return NerCorpus(*self.prepare(
            "ner", source, max_length,
            read=lambda located, notes: stream_ner(located, notes, scheme=source.scheme),
            texts_of=lambda sentence: [sentence.text],
            write=lambda rows, writer: write_ner(rows, self.tokenizer, max_length, writer, texts),
            scheme=source.scheme, texts=texts,
        ))  # fmt: skip

    def pairs(
        self, source: Source, max_length: int, prefixes: tuple[str, str] = ("", "")
    ) -> PairCorpus:
        """The text pairs of a source.

        The first of ``prefixes`` is put before queries, the second before all other texts.
        """
        return PairCorpus(*self.prepare(
            "pairs", source, max_length,
            read=stream_pairs,
            texts_of=lambda pair: [pair.query, pair.positive, *pair.negatives],
            write=lambda rows, writer: write_pairs(
                rows, self.tokenizer, max_length, writer, prefixes
            ),
            scheme=source.scheme, prefixes=prefixes,
        ))  # fmt: skip

    def prepare(
        self,
        kind: str,
        source: Dataset,
        max_length: int,
        read: Callable[[Located, Notes], Iterable[_Row]],
        texts_of: Callable[[_Row], Sequence[str]],
        write: Callable[[Iterator[_Row], Writer], dict[str, Any]],
        **parts: Any,
    ) -> tuple[str, Prepared]:
        """Name and store of a source, from the cache if it was prepared before.

        ``read`` gives the rows. A row is left out if an evaluation set holds one of the texts that
        ``texts_of`` names. ``write`` tokenises the rest and returns what to record. The key of the
        store is made of the arguments, of what they name, and of ``parts``: whatever else the
        arrays depend on.
        """
        if is_address(source.path):
            copy = local_copy(source.path, self.progress)
            local = source.model_copy(update={"path": str(copy)})
            with said_of(source.path, copy):
                return self.prepare(kind, local, max_length, read, texts_of, write, **parts)
        located = locate(source.path, source.split)
        columns = Columns.named(source.text_column, source.label_column)
        if columns != USUAL:
            located, parts["columns"] = replace(located, columns=columns), str(columns)
        sha256 = located.sha256()

        def make(writer: Writer) -> dict[str, Any]:
            rows = islice(read(located, writer.notes), source.max_rows)
            clean, report = self.evaluation.filter(rows, texts_of)
            record = write(self._watched(clean, located.name), writer)
            return {"sha256": sha256, **record, "decontamination": report()}

        key = key_of(
            format=FORMAT, kind=kind, source=sha256, max_rows=source.max_rows, **parts,
            max_length=max_length, tokenizer=self._tokenizer_sha256,
            evaluation=self.evaluation.sha256,
        )  # fmt: skip
        return located.name, prepared(kind, key, make, self.notes)

    def _watched(self, rows: Iterable[_Row], name: str) -> Iterator[_Row]:
        """The rows, while progress tells how many were read."""
        for done, row in enumerate(rows):
            if done % REPORT_EVERY == 0:
                self.progress(f"preparing {name}: {done:,} rows", done, None)
            yield row
