"""From a recipe's source to a prepared corpus: located, read, decontaminated, tokenised, cached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from onetrunk.config import Dataset, Source
from onetrunk.contamination.evaluation_sets import EvaluationSets
from onetrunk.corpora.store import Prepared, Writer, key_of, prepared
from onetrunk.corpora.tokenised import (
    NerCorpus,
    PairCorpus,
    tokenizer_sha256,
    write_ner,
    write_pairs,
)
from onetrunk.data.locate import Located, locate
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Pair, TaggedText
from onetrunk.data.sources import stream_ner, stream_pairs

# Part of every key: raised when the arrays or what is read into them change.
FORMAT = 2

_Row = TypeVar("_Row")
Watch = Callable[[str, int], None]
"""Told which source is being prepared and how many rows of it are done."""


@dataclass
class CorpusBuilder:
    """What the sources of a run have in common."""

    tokenizer: Any
    evaluation: EvaluationSets = field(default_factory=EvaluationSets)
    """Rows that overlap with these are left out."""
    notes: Notes = field(default_factory=Notes)
    """What reading changed or found odd, of all sources."""
    watch: Watch = lambda name, done: None

    def __post_init__(self) -> None:
        self._tokenizer = tokenizer_sha256(self.tokenizer)

    def ner(self, source: Source, max_length: int, texts: bool = False) -> tuple[str, NerCorpus]:
        """Name and tagged sentences of a source, with their ``texts`` if a teacher reads them."""

        def make(located: Located, notes: Notes, writer: Writer) -> dict[str, Any]:
            return self.kept(
                source, located, stream_ner(located, notes, scheme=source.scheme), _sentence,
                lambda rows, watch: write_ner(
                    rows, self.tokenizer, max_length, writer, watch, notes, texts
                ),
            )  # fmt: skip

        name, store = self.store("ner", source, max_length, make, scheme=source.scheme, texts=texts)
        return name, NerCorpus(store)

    def pairs(
        self, source: Source, max_length: int, prefixes: tuple[str, str] = ("", "")
    ) -> tuple[str, PairCorpus]:
        """Name and text pairs of a source, ``prefixes`` before queries and before all others."""

        def make(located: Located, notes: Notes, writer: Writer) -> dict[str, Any]:
            return self.kept(
                source, located, stream_pairs(located, notes), _texts,
                lambda rows, watch: write_pairs(
                    rows, self.tokenizer, max_length, writer, watch, prefixes
                ),
            )  # fmt: skip

        name, store = self.store(
            "pairs", source, max_length, make, scheme=source.scheme, prefixes=prefixes
        )
        return name, PairCorpus(store)

    def store(
        self,
        kind: str,
        source: Dataset,
        max_length: int,
        make: Callable[[Located, Notes, Writer], dict[str, Any]],
        **parts: Any,
    ) -> tuple[str, Prepared]:
        """Name and store of a source; ``make`` fills it (through :meth:`kept`) unless it is cached.

        ``parts`` is what the arrays follow from besides what is named here.
        """
        located = locate(source.path)
        sha256 = located.sha256()
        key = key_of(
            format=FORMAT, kind=kind, source=sha256, max_rows=source.max_rows, **parts,
            max_length=max_length, tokenizer=self._tokenizer, evaluation=self.evaluation.sha256,
        )  # fmt: skip
        rebuilt = Notes()

        def write(writer: Writer) -> dict[str, Any]:
            notes = Notes()
            about = make(located, notes, writer)
            return {"sha256": sha256, **about, "notes": notes.as_json()}

        store = prepared(kind, key, write, rebuilt)
        self.notes.update(rebuilt)
        self.notes.update(Notes.from_json(store.record["notes"]))
        return located.name, store

    def kept(
        self,
        source: Dataset,
        located: Located,
        rows: Iterable[_Row],
        texts_of: Callable[[_Row], Sequence[str]],
        write: Callable[[Iterator[_Row], Callable[[int], None]], dict[str, Any]],
    ) -> dict[str, Any]:
        """Write the rows of a source that no evaluation set holds."""
        first = islice(rows, source.max_rows)
        kept, report = self.evaluation.filter(first, texts_of)
        about = write(kept, lambda done: self.watch(located.name, done))
        return {**about, "decontamination": report()}


def _sentence(row: TaggedText) -> Sequence[str]:
    return (row.text,)


def _texts(pair: Pair) -> Sequence[str]:
    return (pair.query, pair.positive, *pair.negatives)
