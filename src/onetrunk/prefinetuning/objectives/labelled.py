"""Labelled sets of any family as prepared corpora: what supervised pre-finetuning draws from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onetrunk.config import Dataset
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.store import Prepared, Writer
from onetrunk.data.alignment import encode
from onetrunk.data.locate import Located
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.families.base import Family

# Rows that are tokenised together.
CHUNK = 4096


@dataclass(frozen=True)
class LabelledCorpus:
    """A labelled set, tokenised: a row is one text with its units and their targets."""

    store: Prepared

    @property
    def labels(self) -> list[str]:
        """All labels of the set, sorted; targets count them as the family's heads do."""
        return self.store.record["labels"]

    def __len__(self) -> int:
        return len(self.store.arrays["starts"]) - 1

    def tokens(self, row: int) -> np.ndarray:
        """Token ids with special tokens, ``(T,)`` int32."""
        return self._part("tokens", "starts", row)

    def units(self, row: int) -> np.ndarray:
        """Token index of each unit, ``(u,)`` int32, u > 0."""
        return self._part("units", "unit_starts", row)

    def targets(self, row: int) -> np.ndarray:
        """Class of each unit, ``(u,)`` int32."""
        return self._part("targets", "unit_starts", row)

    def truncated(self, row: int) -> bool:
        """Whether the text goes on beyond its last token."""
        return bool(self.store.arrays["truncated"][row])

    def _part(self, name: str, starts: str, row: int) -> np.ndarray:
        first, after = self.store.arrays[starts][row : row + 2]
        return self.store.arrays[name][first:after]


def labelled_corpus(
    family: Family[Any, Any], builder: CorpusBuilder, source: Dataset, max_length: int
) -> tuple[str, LabelledCorpus]:
    """Name and rows of a labelled set, read and labelled as ``family`` does for an app.

    Rows that evaluation sets hold are left out. The result is cached; of a family that is not part
    of onetrunk, under the name of its class.

    Raises :class:`UserError` for what the family's reader refuses, and for a row that has no label
    or several where a unit takes one.
    """

    def make(located: Located, notes: Notes, writer: Writer) -> dict[str, Any]:
        rows = enumerate(family.read(Path(source.path), notes), start=1)
        return builder.kept(
            source, located, rows, lambda row: (family.text(row[1]),),
            lambda kept, watch: _write(
                family, kept, builder.tokenizer, max_length, writer, watch, notes, str(located)
            ),
        )  # fmt: skip

    made_by = f"{type(family).__module__}.{type(family).__qualname__}"
    name, store = builder.store("labelled", source, max_length, make, family=made_by)
    return name, LabelledCorpus(store)


def _write(
    family: Family[Any, Any],
    rows: Iterable[tuple[int, Any]],
    tokenizer: Any,
    max_length: int,
    writer: Writer,
    watch: Callable[[int], None],
    notes: Notes,
    where: str,
) -> dict[str, Any]:
    """Tokenise numbered rows into a store that :class:`LabelledCorpus` reads.

    A text of more than ``max_length`` tokens is cut: its label would be a guess for later windows.
    """
    numbered = list(rows)  # the classes are known only when every label was seen
    labels = family.label_set(example for _, example in numbered)
    token_counts, unit_counts, cut = [0], [0], []
    for first in range(0, len(numbered), CHUNK):
        part = numbered[first : first + CHUNK]
        encoded = encode(tokenizer, [family.text(example) for _, example in part], max_length)
        tokens: list[int] = []
        units: list[int] = []
        targets: list[int] = []
        for (number, example), text in zip(part, encoded, strict=True):
            (places,) = family.units(example, [text])
            visible = [at for at in places if at >= 0]
            classes = family.targets(example, places, labels).tolist()
            if len(classes) != len(visible):
                raise UserError(
                    f"{where}, row {number}: {len(classes)} labels for {len(visible)} units; "
                    "supervised pre-finetuning takes sets in which each has exactly one"
                )
            if not text.truncated and (unread := len(places) - len(visible)):
                notes.add("units that no token stands for", f"{where}, row {number}", unread)
            if not visible:
                notes.add("rows left out: nothing of them is read", f"{where}, row {number}")
                continue
            tokens += text.ids
            units += visible
            targets += classes
            token_counts.append(len(text.ids))
            unit_counts.append(len(visible))
            cut.append(text.truncated)
        for name, values in (("tokens", tokens), ("units", units), ("targets", targets)):
            writer.append(name, np.array(values, np.int32))
        watch(len(cut))
    writer.append("starts", np.cumsum(token_counts, dtype=np.int64))
    writer.append("unit_starts", np.cumsum(unit_counts, dtype=np.int64))
    writer.append("truncated", np.array(cut, bool))
    return {"rows": len(cut), "cut": sum(cut), "labels": labels}
