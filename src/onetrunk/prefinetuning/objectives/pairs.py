"""Stage 1 of the classification family: InfoNCE on weak text pairs, in batches of any size."""

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
from onetrunk.model.heads import pool
from onetrunk.prefinetuning.objectives.base import Encode, Objective, Setup
from onetrunk.processes import Processes

LEARNED = (0.01, 1.0)
"""A learned temperature stays between these. The lower one is that of CLIP (Radford et al. 2021,
arXiv 2103.00020)."""


class PairSettings(FamilySettings):
    """Stage-1 settings of the classification family."""

    temperature: float = Field(0.05, gt=0)
    """Temperature of InfoNCE. A lower one pushes hard negatives further away."""
    learn_temperature: bool = False
    """Whether ``temperature`` is learned, from this value on."""
    symmetric: bool = True
    """Whether positives choose their query, too. False suits pairs whose queries all look alike."""
    dimensions: list[int] = Field([])
    """Smaller widths at which truncated embeddings shall work as well (Matryoshka)."""
    query_prefix: str = ""
    """Put before each query, as in E5: ``"query: "``. Later uses must do the same."""
    passage_prefix: str = ""
    """Put before positives and negatives, as in E5: ``"passage: "``."""
    graph_tokens: int = Field(8192, ge=0, le=10**9)
    """Number of tokens, in a process's part of a batch, whose activations are kept for the
    gradient. Texts beyond it are encoded twice. The gradient is the same; a higher number takes
    more memory and less time."""


@dataclass(frozen=True)
class _PairBatch:
    """Token ids of the texts; row i of the queries and of the positives are a pair."""

    queries: list[np.ndarray]
    positives: list[np.ndarray]
    negatives: list[np.ndarray]
    identities: np.ndarray  # (2N + M,) int64, of all texts in this order


class PairObjective(Objective):
    """Draws each batch from one source, so that a pair's negatives are texts of the same kind."""

    Settings: ClassVar[type[FamilySettings]] = PairSettings
    settings: PairSettings
    mixture: Mixture[PairCorpus]
    log_scale: Tensor
    """Minus the logarithm of the temperature: a parameter if it is learned."""

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        settings, name, width = self.settings, self.family.name, setup.encoder.width
        for corpus in self.mixture.corpora:
            if len(corpus) < 2:
                raise UserError(f"pair source {corpus.name!r} has one row: a batch needs two")
        for dimension in settings.dimensions:
            if not 1 <= dimension <= width:
                raise UserError(
                    f"recipe: families.{name}.dimensions: {dimension} is not within the "
                    f"encoder's width, 1 … {width}"
                )
        low, high = LEARNED
        if settings.learn_temperature and not low <= settings.temperature <= high:
            raise UserError(
                f"recipe: families.{name}.temperature: {settings.temperature} is not "
                f"within {low} … {high}, where a learned one stays"
            )
        self.width = width
        log_scale = torch.tensor(-math.log(settings.temperature))
        if settings.learn_temperature:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)

    def prepare(self, builder: CorpusBuilder) -> Mixture[PairCorpus]:
        """Text pairs with the recipe's prefixes."""
        settings = self.settings
        prefixes = (settings.query_prefix, settings.passage_prefix)
        return Mixture.open(
            f"families.{self.family.name}.sources", settings.sources, settings.exponent,
            lambda source: builder.pairs(source, settings.max_length, prefixes),
        )  # fmt: skip

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _PairBatch:
        """``batch_size`` pairs of one source. No query or positive occurs in two of them.

        A query that occurs twice has two positives, and each of them would count as a negative of
        the other pair. So the second pair is passed over, and a source with too few distinct texts
        gives a smaller batch. Explicit negatives may occur several times: the loss masks those that
        are no negatives.
        """
        rng = step_rng(self.seed, step, self.family.name)
        (source,) = self.mixture.choose(rng, 1)
        corpus = self.mixture.corpora[source]
        size = self.settings.batch_size
        candidates = rng.choice(len(corpus), size=min(len(corpus), 2 * size), replace=False)
        pairs: list[range] = []
        used: set[int] = set()
        for candidate in candidates.tolist():
            texts = corpus.texts(candidate)
            identities = {corpus.identity(text) for text in texts[:2]}
            if used.isdisjoint(identities):
                pairs.append(texts)
                used |= identities
            if len(pairs) == size:
                break
        all_texts = [text for texts in pairs for text in texts]
        self.mixture.count(source, len(all_texts), sum(map(corpus.truncated, all_texts)))
        part = shard(pairs, rank, world)
        queries, positives = [texts[0] for texts in part], [texts[1] for texts in part]
        negatives = [text for texts in part for text in texts[2:]]
        identity_of_text = [corpus.identity(text) for text in (*queries, *positives, *negatives)]
        return _PairBatch(
            [corpus.tokens(text) for text in queries],
            [corpus.tokens(text) for text in positives],
            [corpus.tokens(text) for text in negatives],
            np.array(identity_of_text, np.int64),
        )

    def texts(self, batch: _PairBatch) -> list[TokenIds]:
        """Queries, positives, negatives."""
        return [*batch.queries, *batch.positives, *batch.negatives]

    def parts(self, encode: Encode, batch: _PairBatch, processes: Processes) -> Iterator[Tensor]:
        """InfoNCE over pooled states, in one part: each process computes it on the rows of all."""
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
        # The gradient (of this process's rows) is whole; of the value, each process has a share.
        yield loss - loss.detach() * (1 - 1 / processes.world)
        cache.backward()

    def _temperature(self, processes: Processes) -> float | Tensor:
        if not self.settings.learn_temperature:
            return self.settings.temperature
        with torch.no_grad():  # a clamp inside the graph would have no gradient beyond its ends
            self.log_scale.clamp_(*sorted(-math.log(limit) for limit in LEARNED))
        return (-processes.replicated(self.log_scale)).exp()

    def report(self) -> dict[str, Any]:
        """The sources, and how embeddings are to be made and compared."""
        return {
            **super().report(),
            "temperature": round(math.exp(-self.log_scale.item()), 4),
            "query_prefix": self.settings.query_prefix,
            "passage_prefix": self.settings.passage_prefix,
            "dimensions": sorted({*self.settings.dimensions, self.width}),
        }
