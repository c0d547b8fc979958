"""Text classification: InfoNCE on weak pairs, mean pooling, a sequence head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from onetrunk.config import FamilySettings
from onetrunk.data.alignment import Encoded, encode
from onetrunk.data.batching import step_rng
from onetrunk.data.examples import LabelledText, Pair
from onetrunk.data.sources import read_classification, read_pairs
from onetrunk.errors import UserError
from onetrunk.families.base import Encode, Family, Objective
from onetrunk.families.mixture import Mixture
from onetrunk.metrics.scores import label_scores
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling, pool
from onetrunk.objectives.pairs import info_nce


class PairSettings(FamilySettings):
    """Stage-1 settings of the classification family."""

    temperature: float = Field(0.05, gt=0)
    """Of InfoNCE; lower pushes hard negatives further away."""


@dataclass(frozen=True)
class Labelled:
    """A prediction: the labels chosen (one unless multi-label) and every label's probability."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


class Classification(Family[LabelledText, Labelled]):
    """One label (or several) for a whole text."""

    name: ClassVar[str] = "tc"
    metric: ClassVar[str] = "accuracy"
    Settings: ClassVar[type[FamilySettings]] = PairSettings

    def objective(
        self, settings: PairSettings, encoder: Encoder, pooling: Pooling, seed: int
    ) -> Objective:
        """Contrastive training over the recipe's pair sources."""
        return PairObjective(Mixture.open(settings, read_pairs), settings, encoder, pooling, seed)

    def read(self, path: Path) -> list[LabelledText]:
        """Texts and labels from Parquet, JSONL or CSV."""
        return read_classification(path)

    def parse(self, text: str) -> LabelledText:
        """The text as it is."""
        return LabelledText(text)

    def text(self, example: LabelledText) -> str:
        """The text."""
        return example.text

    def labels_of(self, example: LabelledText) -> Iterable[str]:
        """Its labels."""
        return example.labels

    def check_single(self, examples: Sequence[LabelledText], where: str, multi_label: bool) -> None:
        """Unless ``multi_label``, every row has exactly one label."""
        for row, example in enumerate(examples, start=1):
            if not multi_label and len(example.labels) != 1:
                raise UserError(
                    f"{where}, row {row}: {len(example.labels)} labels {list(example.labels)}; "
                    "pass --multi-label if a text may have any number"
                )

    def classes(self, labels: Sequence[str]) -> int:
        """One a label."""
        return len(labels)

    def units(self, example: LabelledText, encoded: Encoded) -> list[int]:
        """The text as a whole is the one unit; its place is the first token."""
        return [0]

    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """One pooled vector a text."""
        return pool(states, mask, pooling)

    def targets(
        self,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
        multi_label: bool = False,
    ) -> Tensor:
        """``(1,)`` index of the label, or ``(1, C)`` zeros and ones."""
        chosen = [labels.index(label) for label in example.labels]
        if not multi_label:
            return torch.tensor(chosen)
        target = torch.zeros(1, len(labels))
        target[0, chosen] = 1.0
        return target

    def decode(
        self,
        logits: Tensor,
        example: LabelledText,
        units: Sequence[int],
        labels: Sequence[str],
        multi_label: bool = False,
    ) -> Labelled:
        """The most probable label, or every label with probability of at least one half."""
        (row,) = logits.float().cpu()
        probabilities = (row.sigmoid() if multi_label else row.softmax(-1)).tolist()
        if multi_label:
            chosen = [label for label, p in zip(labels, probabilities, strict=True) if p >= 0.5]
        else:
            chosen = [labels[int(row.argmax())]]
        return Labelled(tuple(chosen), dict(zip(labels, probabilities, strict=True)))

    def score(
        self, examples: Sequence[LabelledText], predictions: Sequence[Labelled]
    ) -> dict[str, float]:
        """Accuracy (all labels right, if multi-label), macro-F1 and micro-F1."""
        return label_scores(
            [example.labels for example in examples],
            [predicted.labels for predicted in predictions],
        )

    def render(self, example: LabelledText, prediction: Labelled) -> dict[str, Any]:
        """Chosen label(s), and probabilities from the highest down."""
        ranked = sorted(prediction.probabilities.items(), key=lambda item: -item[1])
        return {
            "labels": list(prediction.labels),
            "probabilities": {label: round(p, 4) for label, p in ranked},
        }


@dataclass(frozen=True)
class _PairBatch:
    queries: list[tuple[int, ...]]
    positives: list[tuple[int, ...]]


class PairObjective(Objective):
    """Draws a batch from one source at a time: its other pairs are then negatives of like kind."""

    def __init__(
        self,
        mixture: Mixture[Pair],
        settings: PairSettings,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> None:
        super().__init__()
        self.mixture, self.settings, self.seed = mixture, settings, seed
        self.tokenizer, self.pooling = encoder.tokenizer, pooling
        for corpus in mixture.corpora:
            if len(corpus.rows) < 2:
                raise UserError(f"pair source {corpus.name!r} has one row: a batch needs two")

    def draw(self, step: int) -> _PairBatch:
        """``batch_size`` pairs of one source in which no text occurs twice.

        A text that recurs would be its own negative, so a recurring pair is passed over; a source
        with too few distinct texts gives a smaller batch.
        """
        rng = step_rng(self.seed, step, Classification.name)
        (source,) = self.mixture.choose(rng, 1)
        rows = self.mixture.corpora[source].rows
        size = self.settings.batch_size
        candidates = rng.choice(len(rows), size=min(len(rows), 2 * size), replace=False)
        chosen: list[Pair] = []
        seen: set[str] = set()
        for index in candidates:
            pair = rows[int(index)]
            if len(chosen) < size and pair.query not in seen and pair.positive not in seen:
                chosen.append(pair)
                seen |= {pair.query, pair.positive}
        limit = self.settings.max_length
        queries = encode(self.tokenizer, [pair.query for pair in chosen], limit)
        positives = encode(self.tokenizer, [pair.positive for pair in chosen], limit)
        self.mixture.count(source, queries + positives)
        return _PairBatch([text.ids for text in queries], [text.ids for text in positives])

    def tokens(self, batch: _PairBatch) -> int:
        """Tokens of both sides."""
        return sum(map(len, batch.queries)) + sum(map(len, batch.positives))

    def loss(self, encode: Encode, batch: _PairBatch) -> Tensor:
        """Symmetric InfoNCE over pooled states."""
        size = len(batch.queries)
        rows, pooled = [], []
        for chunk in encode(batch.queries + batch.positives):
            rows += chunk.rows
            pooled.append(pool(chunk.states, chunk.mask, self.pooling))
        embedded = torch.cat(pooled)[torch.tensor(rows, device=pooled[0].device).argsort()]
        return info_nce(embedded[:size], embedded[size:], self.settings.temperature)

    def report(self) -> dict[str, Any]:
        """Sources and truncation."""
        return self.mixture.report()
