"""The corpora of one family, and how often each of them is drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np

from onetrunk.config import Dataset
from onetrunk.corpora.tokenised import TokenisedCorpus
from onetrunk.data.batching import source_weights
from onetrunk.errors import UserError

Data = TypeVar("Data", bound=TokenisedCorpus)
Listed = TypeVar("Listed", bound=Dataset)


@dataclass
class Mixture(Generic[Data]):
    """Corpora, the probability that each is drawn, and counts of what was drawn."""

    corpora: list[Data]
    weights: list[float]
    drawn: list[int] = field(init=False)
    truncated: int = 0
    texts: int = 0

    def __post_init__(self) -> None:
        self.drawn = [0] * len(self.corpora)

    @classmethod
    def open(
        cls,
        key: str,
        sources: Sequence[Listed],
        exponent: float,
        prepare: Callable[[Listed], Data],
    ) -> Mixture[Data]:
        """Prepare every source.

        ``key`` is where the recipe lists the sources. Raises :class:`UserError` if it lists none,
        for a bad source or one without rows, and if two have the same name.
        """
        if not sources:
            raise UserError(f"recipe: {key} is empty, and this strategy trains on it")
        corpora: list[Data] = []
        for source in sources:
            corpus = prepare(source)
            if corpus.name in {other.name for other in corpora}:
                raise UserError(
                    f"two sources are called {corpus.name!r}: rename one of them ({source.path})"
                )
            if not len(corpus):
                raise UserError(f"source {source.path} has no rows left")
            corpora.append(corpus)
        sizes = [corpus.store.record["rows"] for corpus in corpora]
        fixed = [source.weight for source in sources]
        return cls(corpora, source_weights(sizes, fixed, exponent))

    def choose(self, rng: np.random.Generator, size: int) -> list[int]:
        """Corpus indices of ``size`` independent draws."""
        return rng.choice(len(self.corpora), size=size, p=self.weights).tolist()

    def rows(self, rng: np.random.Generator, size: int) -> list[tuple[int, int]]:
        """``size`` rows, each the index of a corpus that is drawn by weight, and its own in it."""
        chosen = self.choose(rng, size)
        return [(corpus, int(rng.integers(len(self.corpora[corpus])))) for corpus in chosen]

    def count(self, corpus: int, texts: int = 1, truncated: int = 0) -> None:
        """Count texts of one corpus that are trained on, and how many of them were cut short."""
        self.drawn[corpus] += texts
        self.texts += texts
        self.truncated += truncated

    def counts(self) -> dict[str, Any]:
        """What :meth:`count` counted so far, for a checkpoint."""
        return {"drawn": list(self.drawn), "texts": self.texts, "truncated": self.truncated}

    def restore_counts(self, counts: Mapping[str, Any]) -> None:
        """Go on from what :meth:`counts` returned."""
        self.drawn = list(counts["drawn"])
        self.texts, self.truncated = counts["texts"], counts["truncated"]

    def decontamination(self) -> dict[str, dict[str, Any]]:
        """By source: what was left out, if the run names evaluation sets."""
        reports = {corpus.name: corpus.store.record["decontamination"] for corpus in self.corpora}
        return {name: report for name, report in reports.items() if report}

    def report(self) -> dict[str, Any]:
        """Sources, rows, hashes, the number of texts drawn, and the share of them that was cut;
        ``left_out``: the rows that evaluation sets hold, if the run names any."""
        left_out = {
            name: {"left_out": sum(report["source"]["removed"].values())}
            for name, report in self.decontamination().items()
        }
        return {
            "sources": [
                {
                    "name": corpus.name,
                    "probability": round(weight, 4),
                    "texts_drawn": drawn,
                    **{key: corpus.store.record[key] for key in ("rows", "sha256")},
                    **left_out.get(corpus.name, {}),
                }
                for corpus, weight, drawn in zip(
                    self.corpora, self.weights, self.drawn, strict=True
                )
            ],
            "texts_drawn": self.texts,
            "truncated_share": round(self.truncated / max(1, self.texts), 4),
        }
