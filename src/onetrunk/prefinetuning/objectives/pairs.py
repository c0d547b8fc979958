"""Stage 1 of the classification family: InfoNCE on weak pairs, in batches of any size."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from onetrunk.config import FamilySettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.corpora.tokenised import PairCorpus
from onetrunk.data.batching import TokenIds, shard, step_rng
from onetrunk.errors import UserError
from onetrunk.losses.gradcache import GradientCache
from onetrunk.losses.info_nce import info_nce
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling, pool
from onetrunk.prefinetuning.objectives.base import Encode, Objective
from onetrunk.processes import Processes

LEARNED = (0.01, 1.0)
"""A learned temperature stays between these; the lower is CLIP's (Radford et al. 2021, arXiv
2103.00020)."""


class PairSettings(FamilySettings):
    """Stage-1 settings of the classification family."""

    temperature: float = Field(0.05, gt=0)
    """Of InfoNCE; lower pushes hard negatives further away."""
    learn_temperature: bool = False
    """Whether ``temperature`` is only where learning it starts."""
    symmetric: bool = True
    """Whether positives choose their query too; False suits pairs whose queries all look alike."""
    dimensions: list[int] = Field([])
    """Widths at which embeddings cut short shall serve too (Matryoshka), besides the whole."""
    query_prefix: str = ""
    """Put before each query, as in E5: ``"query: "``. Whoever embeds queries later does so too."""
    passage_prefix: str = ""
    """Put before positives and negatives, as in E5: ``"passage: "``."""
    graph_tokens: int = Field(8192, ge=0)
    """Tokens of a process's part of a batch whose activations are kept for the gradient; what a
    larger one has beyond is encoded twice. The gradient is the same: more takes memory, less time.
    """


@dataclass(frozen=True)
class _PairBatch:
    queries: list[np.ndarray]
    positives: list[np.ndarray]
    negatives: list[np.ndarray]
    identities: np.ndarray  # int64, of all texts in this order


class PairObjective(Objective):
    """Draws a batch from one source at a time: its other pairs are then negatives of like kind."""

    Settings: ClassVar[type[FamilySettings]] = PairSettings
    log_scale: Tensor
    """Of similarities: minus the logarithm of the temperature, a parameter if it is learned."""

    def __init__(
        self,
        family: str,
        mixture: Mixture[PairCorpus],
        settings: PairSettings,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> None:
        super().__init__()
        self.family, self.settings, self.seed = family, settings, seed
        self._mixture, self.pooling, self.width = mixture, pooling, encoder.width
        for corpus in mixture.corpora:
            if len(corpus.data) < 2:
                raise UserError(f"pair source {corpus.name!r} has one row: a batch needs two")
        for dimension in settings.dimensions:
            if not 1 <= dimension <= self.width:
                raise UserError(
                    f"recipe: families.{family}.dimensions: {dimension} is not within the "
                    f"encoder's width, 1 … {self.width}"
                )
        low, high = LEARNED
        if settings.learn_temperature and not low <= settings.temperature <= high:
            raise UserError(
                f"recipe: families.{family}.temperature: {settings.temperature} is not within "
                f"{low} … {high}, where a learned one stays"
            )
        log_scale = torch.tensor(-math.log(settings.temperature))
        if settings.learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)

    @classmethod
    def open(
        cls, family: str, settings: PairSettings, builder: CorpusBuilder, encoder: Encoder,
        pooling: Pooling, seed: int,
    ) -> PairObjective:  # fmt: skip
        """Contrastive training over the recipe's pair sources."""
        prefixes = (settings.query_prefix, settings.passage_prefix)
        mixture = Mixture.open(
            f"families.{family}.sources", settings.sources, settings.exponent,
            lambda source: builder.pairs(source, settings.max_length, prefixes),
        )  # fmt: skip
        return cls(family, mixture, settings, encoder, pooling, seed)

    @property
    def mixture(self) -> Mixture[PairCorpus]:
        """The sources."""
        return self._mixture

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _PairBatch:
        """``batch_size`` pairs of one source; no text is a query or positive in two of them.

        A query that recurs has several positives, and each would count as wrong for the other, so
        such a pair is passed over; a source with too few distinct texts gives a smaller batch.
        Explicit negatives come along and may recur: the loss masks those that are none.
        """
        rng = step_rng(self.seed, step, self.family)
        (source,) = self.mixture.choose(rng, 1)
        corpus = self.mixture.corpora[source].data
        size = self.settings.batch_size
        candidates = rng.choice(len(corpus), size=min(len(corpus), 2 * size), replace=False)
        chosen: list[range] = []
        seen: set[int] = set()
        for pair in candidates.tolist():
            texts = corpus.texts(pair)
            identities = {corpus.identity(text) for text in texts[:2]}
            if seen.isdisjoint(identities):
                chosen.append(texts)
                seen |= identities
            if len(chosen) == size:
                break
        everyone = [text for texts in chosen for text in texts]
        self.mixture.count(source, len(everyone), sum(map(corpus.truncated, everyone)))
        own = shard(chosen, rank, world)
        queries, positives = [texts[0] for texts in own], [texts[1] for texts in own]
        negatives = [text for texts in own for text in texts[2:]]
        identities_of = [corpus.identity(text) for text in (*queries, *positives, *negatives)]
        return _PairBatch(
            [corpus.tokens(text) for text in queries],
            [corpus.tokens(text) for text in positives],
            [corpus.tokens(text) for text in negatives],
            np.array(identities_of, np.int64),
        )

    def texts(self, batch: _PairBatch) -> list[TokenIds]:
        """Queries, positives, negatives."""
        return [*batch.queries, *batch.positives, *batch.negatives]

    def parts(self, encode: Encode, batch: _PairBatch, processes: Processes) -> Iterator[Tensor]:
        """InfoNCE over pooled states, whole: every process computes it on the rows of all."""
        texts = self.texts(batch)

        def embed() -> Iterator[tuple[list[int], Tensor]]:
            for chunk in encode(texts):
                yield chunk.rows, pool(chunk.states, chunk.mask, self.pooling)

        device = self.log_scale.device
        cache = GradientCache(
            embed, list(map(len, texts)), self.settings.graph_tokens, self.width, device
        )
        sides = [len(batch.queries), len(batch.positives), len(batch.negatives)]
        queries, positives, negatives = map(processes.gather, cache.embeddings.split(sides))
        identities = torch.from_numpy(batch.identities).to(device).split(sides)
        loss = info_nce(
            queries, positives, self._temperature(processes), negatives,
            identities=torch.cat(list(map(processes.gather, identities))),
            symmetric=self.settings.symmetric, dimensions=self.settings.dimensions,
        )  # fmt: skip
        # The whole gradient (of this process's rows), but one share of the value.
        yield loss - loss.detach() * (1 - 1 / processes.world)
        cache.backward()

    def _temperature(self, processes: Processes) -> float | Tensor:
        if not self.settings.learn_temperature:
            return self.settings.temperature
        with torch.no_grad():  # a clamp in the graph would have no gradient to come back by
            self.log_scale.clamp_(*sorted(-math.log(end) for end in LEARNED))
        return (-processes.replicated(self.log_scale)).exp()

    def report(self) -> dict[str, Any]:
        """Sources and truncation, and how embeddings are to be made and compared."""
        return {
            **self.mixture.report(),
            "temperature": round(math.exp(-self.log_scale.item()), 4),
            "query_prefix": self.settings.query_prefix,
            "passage_prefix": self.settings.passage_prefix,
            "dimensions": sorted({*self.settings.dimensions, self.width}),
        }
