"""The weak corpora of one family, opened and mixed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from onetrunk.config import FamilySettings
from onetrunk.data.alignment import Encoded
from onetrunk.data.batching import source_weights
from onetrunk.data.sources import find_files
from onetrunk.errors import UserError
from onetrunk.storage import sha256_of_file

Row = TypeVar("Row")


@dataclass
class Corpus(Generic[Row]):
    """One opened source."""

    name: str
    rows: list[Row]
    sha256: str


@dataclass
class Mixture(Generic[Row]):
    """Corpora with the probability that each is drawn, and counts of what was drawn."""

    corpora: list[Corpus[Row]]
    weights: list[float]
    drawn: list[int] = field(init=False)
    truncated: int = 0
    texts: int = 0

    def __post_init__(self) -> None:
        self.drawn = [0] * len(self.corpora)

    @classmethod
    def open(cls, settings: FamilySettings, read: Callable[[Path], list[Row]]) -> Mixture[Row]:
        """Read every source. Raises :class:`UserError` for a bad one or for two of one name."""
        corpora: list[Corpus[Row]] = []
        for source in settings.sources:
            file = find_files(Path(source.path))
            name = file.parent.name if file.stem == "train" else file.stem
            if name in {corpus.name for corpus in corpora}:
                raise UserError(f"two sources are called {name!r}: rename one of them ({file})")
            rows = read(file)[: source.max_rows]
            corpora.append(Corpus(name, rows, sha256_of_file(file)))
        sizes = [len(corpus.rows) for corpus in corpora]
        fixed = [source.weight for source in settings.sources]
        return cls(corpora, source_weights(sizes, fixed, settings.exponent))

    def choose(self, rng: np.random.Generator, size: int) -> list[int]:
        """Corpus indices of ``size`` independent draws."""
        return rng.choice(len(self.corpora), size=size, p=self.weights).tolist()

    def count(self, corpus: int, encoded: list[Encoded]) -> None:
        """Note that these texts of one corpus were trained on."""
        self.drawn[corpus] += len(encoded)
        self.texts += len(encoded)
        self.truncated += sum(text.truncated for text in encoded)

    def report(self) -> dict[str, Any]:
        """Sources, rows, hashes, texts drawn and the share that was cut at max_length."""
        return {
            "sources": [
                {
                    "name": corpus.name,
                    "rows": len(corpus.rows),
                    "probability": round(weight, 4),
                    "texts_drawn": drawn,
                    "sha256": corpus.sha256,
                }
                for corpus, weight, drawn in zip(
                    self.corpora, self.weights, self.drawn, strict=True
                )
            ],
            "texts_drawn": self.texts,
            "truncated_share": round(self.truncated / max(1, self.texts), 4),
        }
