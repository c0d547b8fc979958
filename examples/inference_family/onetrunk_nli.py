"""Sentence-pair inference as a task family: does the second text follow from the first?

A pair is one text, ``premise => hypothesis``, which the encoder reads as a whole. So apps of this
family share the pass through the trunk with other apps, and nothing in onetrunk knows about pairs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from onetrunk.config import FamilySettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.corpora.tokenised import PairCorpus
from onetrunk.data.alignment import Encoded
from onetrunk.data.batching import TokenIds, shard, step_rng
from onetrunk.data.notes import Notes
from onetrunk.data.rows import Span
from onetrunk.data.sources import stream_columns
from onetrunk.data.units import Units, first_tokens
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.model.heads import Pooling, pool
from onetrunk.prefinetuning.objectives.base import Encode, Objective, Setup
from onetrunk.processes import Processes

SEPARATOR = " => "


class InferenceSettings(FamilySettings):
    """Sources are pairs: ``query`` entails ``positive`` and does not entail ``negatives``."""

    shorter: float = Field(0.75, gt=0, le=1)
    """A hypothesis with fewer tokens than this share of its premise's does not entail it."""


@dataclass(frozen=True)
class TextPair:
    """Premise and hypothesis as one text, the start of the hypothesis in it, and the label."""

    text: str
    start: int
    label: str = ""


@dataclass(frozen=True)
class Judgement:
    """A label and the labels' probabilities; none if the tokenizer deletes the whole hypothesis."""

    label: str | None
    probabilities: dict[str, float]


class Inference(Family[TextPair, Judgement]):
    """Pairs of texts. Each has one label: entailed or not, or any others."""

    name: ClassVar[str] = "nli"
    metric: ClassVar[str] = "balanced_accuracy"

    def read(self, path: Path, notes: Notes | None = None) -> list[TextPair]:
        """Rows with the columns ``premise``, ``hypothesis`` and ``label``."""
        rows = stream_columns(path, ("premise", "hypothesis", "label"), notes)
        return [TextPair(a + SEPARATOR + b, len(a + SEPARATOR), label) for a, b, label in rows]

    def parse(self, text: str) -> TextPair:
        """Raises UserError for a text that is not ``premise => hypothesis``."""
        premise, separator, _ = text.partition(SEPARATOR)
        if not separator:
            raise UserError(f"{text!r} is no pair of texts: write premise{SEPARATOR}hypothesis")
        return TextPair(text, len(premise + SEPARATOR))

    def text(self, example: TextPair) -> str:
        """Both texts."""
        return example.text

    def labels_of(self, example: TextPair) -> Iterable[str]:
        """The label."""
        return [example.label]

    def classes(self, labels: Sequence[str]) -> int:
        """One for each label."""
        return len(labels)

    def units(self, example: TextPair, windows: Sequence[Encoded]) -> Units:
        """A pair has one unit: the first token of its hypothesis. Of several windows, the pair is
        read in the one that shows most text around that token. There is no unit if the tokenizer
        deletes the hypothesis."""
        hypothesis = [(example.start, len(example.text))]
        tokens = first_tokens(hypothesis, windows)
        return Units(hypothesis if any(tokens) else [], tokens)

    def gather(
        self, states: Tensor, mask: Tensor, tokens: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """The difference between the two sides of each pair that is read here."""
        windows = [window for window, of_window in enumerate(tokens) if of_window]
        first = torch.tensor([tokens[window][0] for window in windows], device=states.device)
        return difference(states[windows], mask[windows], first)

    def targets(self, example: TextPair, units: Sequence[Span], labels: Sequence[str]) -> Tensor:
        """``(1,)`` index of the label; ``(0,)`` where the pair is not read."""
        return torch.tensor([labels.index(example.label)] * len(units)).long()

    def decode(self, logits: Tensor, units: Sequence[Span], labels: Sequence[str]) -> Judgement:
        """The most probable label."""
        if not len(logits):
            return Judgement(None, {})
        row = dict(zip(labels, logits[0].float().softmax(-1).tolist(), strict=True))
        return Judgement(max(row, key=row.__getitem__), row)

    def score(
        self, examples: Sequence[TextPair], predictions: Sequence[Judgement]
    ) -> dict[str, float]:
        """Accuracy, and its mean over the labels: of rare and frequent ones alike."""
        gold = np.array([example.label for example in examples])
        right = gold == np.array([predicted.label for predicted in predictions])
        by_label = [right[gold == label].mean() for label in np.unique(gold)]
        return {
            "balanced_accuracy": 100 * float(np.mean(by_label)),
            "accuracy": 100 * float(right.mean()),
        }

    def render(self, example: TextPair, prediction: Judgement) -> dict[str, Any]:
        """Label and probabilities, in the form of the classification family."""
        labels = [] if prediction.label is None else [prediction.label]
        rounded = {label: round(p, 4) for label, p in prediction.probabilities.items()}
        return {"labels": labels, "probabilities": rounded}


def difference(states: Tensor, mask: Tensor, first: Tensor) -> Tensor:
    """|mean state of the premise - mean state of the hypothesis| of B pairs.

    States ``(B, T, D)`` and mask ``(B, T)`` -> ``(B, D)``. The hypothesis of each pair starts at
    token ``first (B,)``. Conneau et al. 2017 take the difference of two embeddings in this way;
    here each side has also seen the other.
    """
    hypothesis = mask * (torch.arange(mask.shape[1], device=mask.device) >= first[:, None])
    return (pool(states, mask - hypothesis) - pool(states, hypothesis)).abs()


class _Pair(NamedTuple):
    premise: int  # which text of the corpus
    hypothesis: int
    truth: float
    weight: float  # 1 for a true pair; its false pairs together have 1, too


@dataclass(frozen=True)
class _Batch:
    """Pairs, their token ids, and the token at which each hypothesis starts."""

    pairs: list[_Pair]
    ids: list[np.ndarray]
    first: list[int]


class InferenceObjective(Objective):
    """Binary cross-entropy of true and false pairs.

    A source's pair is true. False are: its negatives, or without any the most similar hypothesis of
    another premise; and the reversed pair, if the premise says more than the hypothesis.
    """

    Settings: ClassVar[type[FamilySettings]] = InferenceSettings
    settings: InferenceSettings
    mixture: Mixture[PairCorpus]

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        encoder = setup.encoder
        self.scorer = nn.Linear(encoder.width, 1)
        between = encoder.tokenizer(SEPARATOR.strip(), add_special_tokens=False)["input_ids"]
        self.separator = np.array(between, np.int32)

    def prepare(self, builder: CorpusBuilder) -> Mixture[PairCorpus]:
        """The recipe's pair sources."""
        settings = self.settings
        return Mixture.open(
            f"families.{self.family.name}.sources", settings.sources, settings.exponent,
            lambda source: builder.pairs(source, settings.max_length),
        )  # fmt: skip

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _Batch:
        """``batch_size`` pairs of one source, each with its false pairs."""
        rng = step_rng(self.seed, step, Inference.name)
        (source,) = self.mixture.choose(rng, 1)
        corpus = self.mixture.corpora[source]
        size = min(len(corpus), self.settings.batch_size)
        drawn = [list(corpus.texts(row)) for row in rng.choice(len(corpus), size, False).tolist()]
        groups = [
            [_Pair(texts[0], texts[1], 1, 1), *self._false(corpus, texts, drawn)] for texts in drawn
        ]
        cut = [any(map(corpus.truncated, pair[:2])) for group in groups for pair in group]
        self.mixture.count(source, len(cut), sum(cut))
        part = [pair for group in shard(groups, rank, world) for pair in group]
        left = [np.append(corpus.tokens(pair.premise)[:-1], self.separator) for pair in part]
        right = [corpus.tokens(pair.hypothesis)[1:] for pair in part]
        ids = [np.append(*sides) for sides in zip(left, right, strict=True)]
        return _Batch(part, ids, list(map(len, left)))

    def _false(self, corpus: PairCorpus, texts: list[int], drawn: list[list[int]]) -> list[_Pair]:
        premise, hypothesis, *negatives = texts
        premise_tokens = set(corpus.tokens(premise).tolist())

        def similarity(text: int) -> float:
            tokens = set(corpus.tokens(text).tolist())
            return len(tokens & premise_tokens) / len(tokens | premise_tokens)

        identity = corpus.identity(premise)
        others = [other[1] for other in drawn if corpus.identity(other[0]) != identity]
        false = [(premise, text) for text in negatives or sorted(others, key=similarity)[-1:]]
        most = self.settings.shorter * len(corpus.tokens(premise))
        if len(corpus.tokens(hypothesis)) < most:
            false.append((hypothesis, premise))
        return [_Pair(*pair, truth=0, weight=1 / len(false)) for pair in false]

    def texts(self, batch: _Batch) -> list[TokenIds]:
        """The pairs."""
        return list(batch.ids)

    def parts(self, encode: Encode, batch: _Batch, processes: Processes) -> Iterator[Tensor]:
        """The weighted mean over all pairs of the global batch; a part per chunk."""
        device = self.scorer.weight.device
        total = processes.total(sum(pair.weight for pair in batch.pairs), device)
        for chunk in encode(batch.ids):
            pairs = [batch.pairs[row] for row in chunk.rows]
            first = torch.tensor([batch.first[row] for row in chunk.rows], device=device)
            truth, weight = torch.tensor([pair[2:] for pair in pairs], device=device).float().T
            score = self.scorer(difference(chunk.states, chunk.mask, first)).squeeze(-1)
            loss = F.binary_cross_entropy_with_logits(score, truth, weight, reduction="sum")
            yield loss / total
