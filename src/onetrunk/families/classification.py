"""Text classification: InfoNCE on weak pairs, mean pooling, a sequence head."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from onetrunk.config import FamilySettings
from onetrunk.data.alignment import Encoded
from onetrunk.data.batching import TokenIds, shard, step_rng
from onetrunk.data.corpora import PairCorpus
from onetrunk.data.examples import LabelledText
from onetrunk.data.notes import Notes
from onetrunk.data.sources import read_classification
from onetrunk.errors import UserError
from onetrunk.families.base import Encode, Family, Objective
from onetrunk.families.mixture import Mixture
from onetrunk.families.preparing import Preparing
from onetrunk.metrics.scores import label_scores
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling, pool
from onetrunk.objectives.pairs import info_nce
from onetrunk.processes import Processes


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
        self,
        settings: PairSettings,
        preparing: Preparing,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> Objective:
        """Contrastive training over the recipe's pair sources."""
        mixture = Mixture.open(
            settings, lambda source: preparing.pairs(source, settings.max_length)
        )
        return PairObjective(mixture, settings, pooling, seed)

    def read(self, path: Path, notes: Notes | None = None) -> list[LabelledText]:
        """Texts and labels from :func:`~onetrunk.data.sources.stream_classification`."""
        return read_classification(path, notes)

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

    def units(self, example: LabelledText, windows: Sequence[Encoded]) -> list[list[int]]:
        """Each window as a whole is a unit; its place is the first token."""
        return [[0] for _ in windows]

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
        """The most probable label, or every label with probability of at least one half.

        A text of several windows is judged by the mean of their logits.
        """
        row = logits.float().mean(0).cpu()
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
    queries: list[np.ndarray]
    positives: list[np.ndarray]
    negatives: list[np.ndarray]


class PairObjective(Objective):
    """Draws a batch from one source at a time: its other pairs are then negatives of like kind."""

    def __init__(
        self, mixture: Mixture[PairCorpus], settings: PairSettings, pooling: Pooling, seed: int
    ) -> None:
        super().__init__()
        self._mixture, self.settings, self.seed = mixture, settings, seed
        self.pooling = pooling
        for corpus in mixture.corpora:
            if len(corpus.data) < 2:
                raise UserError(f"pair source {corpus.name!r} has one row: a batch needs two")

    @property
    def mixture(self) -> Mixture[PairCorpus]:
        """The sources."""
        return self._mixture

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _PairBatch:
        """``batch_size`` pairs of one source in which no text occurs twice.

        A text that recurs would be its own negative, so a recurring pair is passed over; a source
        with too few distinct texts gives a smaller batch. Explicit negatives come along.
        """
        rng = step_rng(self.seed, step, Classification.name)
        (source,) = self.mixture.choose(rng, 1)
        corpus = self.mixture.corpora[source].data
        size = self.settings.batch_size
        candidates = rng.choice(len(corpus), size=min(len(corpus), 2 * size), replace=False)
        chosen: list[range] = []
        seen: set[int] = set()
        for pair in candidates.tolist():
            texts = corpus.texts(pair)
            identities = {corpus.identity(text) for text in texts}
            if len(chosen) < size and seen.isdisjoint(identities):
                chosen.append(texts)
                seen |= identities
        own = shard(chosen, rank, world)
        everyone = [text for texts in chosen for text in texts]
        self.mixture.count(source, len(everyone), sum(map(corpus.truncated, everyone)))
        return _PairBatch(
            [corpus.tokens(texts[0]) for texts in own],
            [corpus.tokens(texts[1]) for texts in own],
            [corpus.tokens(text) for texts in own for text in texts[2:]],
        )

    def texts(self, batch: _PairBatch) -> list[TokenIds]:
        """Queries, positives, negatives."""
        return [*batch.queries, *batch.positives, *batch.negatives]

    def parts(self, encode: Encode, batch: _PairBatch, processes: Processes) -> Iterator[Tensor]:
        """Symmetric InfoNCE over pooled states, whole: every process computes it on all rows."""
        size = len(batch.queries)
        rows, pooled = [], []
        for chunk in encode(self.texts(batch)):
            rows += chunk.rows
            pooled.append(pool(chunk.states, chunk.mask, self.pooling))
        embedded = torch.cat(pooled)[torch.tensor(rows, device=pooled[0].device).argsort()]
        queries, positives, negatives = (
            processes.gather(part)
            for part in (embedded[:size], embedded[size : 2 * size], embedded[2 * size :])
        )
        loss = info_nce(queries, positives, self.settings.temperature, negatives)
        # The whole gradient (of this process's rows), but one share of the value.
        yield loss - loss.detach() * (1 - 1 / processes.world)

    def report(self) -> dict[str, Any]:
        """Sources and truncation."""
        return self.mixture.report()
