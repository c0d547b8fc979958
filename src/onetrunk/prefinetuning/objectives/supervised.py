"""Supervised multi-task pre-finetuning: labelled sets of any family, a linear head a set.

After Muppet (Aghajanyan et al. 2021, arXiv 2101.11038): every batch holds rows of several sets, and
each set's loss is divided by the logarithm of its number of classes, so that sets with many classes
do not outweigh those with few: a guess costs 1 everywhere. The heads are not kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onetrunk.config import FamilySettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.data.batching import TokenIds, shard, step_rng
from onetrunk.errors import UserError
from onetrunk.families import family as family_named
from onetrunk.families.base import Family
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.prefinetuning.objectives.base import Encode, Objective
from onetrunk.prefinetuning.objectives.labelled import LabelledCorpus, labelled_corpus
from onetrunk.processes import Processes


@dataclass(frozen=True)
class _Batch:
    sets: list[int]
    ids: list[np.ndarray]
    units: list[np.ndarray]
    targets: list[np.ndarray]


class SupervisedObjective(Objective):
    """Draws rows of all labelled sets of a family; each set's units go through its own head."""

    def __init__(
        self,
        family: Family[Any, Any],
        mixture: Mixture[LabelledCorpus],
        settings: FamilySettings,
        width: int,
        pooling: Pooling,
        seed: int,
    ) -> None:
        super().__init__()
        self.family, self._mixture, self.settings = family, mixture, settings
        self.pooling, self.seed = pooling, seed
        self.classes = [family.classes(corpus.data.labels) for corpus in mixture.corpora]
        for corpus, classes in zip(mixture.corpora, self.classes, strict=True):
            if classes < 2:
                raise UserError(
                    f"labelled set {corpus.name!r} has one class: nothing to tell apart"
                )
        self.heads = nn.ModuleList(nn.Linear(width, classes) for classes in self.classes)

    @classmethod
    def open(
        cls,
        family: str,
        settings: FamilySettings,
        builder: CorpusBuilder,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> SupervisedObjective:
        """Prepare the family's labelled sets, ``families.NAME.labelled`` in the recipe.

        Raises :class:`UserError` if there are none, for a bad one, or one with a single class.
        """
        return cls.of(family_named(family), settings, builder, encoder, pooling, seed)

    @classmethod
    def of(
        cls,
        family: Family[Any, Any],
        settings: FamilySettings,
        builder: CorpusBuilder,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> SupervisedObjective:
        """:meth:`open` for a family that has no name of its own among the families."""
        mixture = Mixture.open(
            f"families.{family.name}.labelled", settings.labelled, settings.exponent,
            lambda source: labelled_corpus(family, builder, source, settings.max_length),
        )  # fmt: skip
        return cls(family, mixture, settings, encoder.width, pooling, seed)

    @property
    def mixture(self) -> Mixture[LabelledCorpus]:
        """The labelled sets."""
        return self._mixture

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _Batch:
        """``batch_size`` rows, each from a set drawn by weight."""
        rng = step_rng(self.seed, step, self.family.name)
        corpora = [corpus.data for corpus in self.mixture.corpora]
        chosen = self.mixture.choose(rng, self.settings.batch_size)
        drawn = [(corpus, int(rng.integers(len(corpora[corpus])))) for corpus in chosen]
        for corpus, row in drawn:
            self.mixture.count(corpus, truncated=int(corpora[corpus].truncated(row)))
        own = shard(drawn, rank, world)
        return _Batch(
            [corpus for corpus, _ in own],
            [corpora[corpus].tokens(row) for corpus, row in own],
            [corpora[corpus].units(row) for corpus, row in own],
            [corpora[corpus].targets(row) for corpus, row in own],
        )

    def texts(self, batch: _Batch) -> list[TokenIds]:
        """The rows' texts."""
        return list(batch.ids)

    def parts(self, encode: Encode, batch: _Batch, processes: Processes) -> Iterator[Tensor]:
        """Mean over the units of the global batch of cross-entropy / log(classes), a part a chunk.

        Every unit counts the same (a word as much as another, whatever the length of its sentence),
        so a batch is the sum of its sets' losses, each by its share of the units.
        """
        device = next(self.parameters()).device
        total = processes.total(sum(map(len, batch.targets)), device)
        for chunk in encode(batch.ids):
            units = [batch.units[row].tolist() for row in chunk.rows]
            inputs = self.family.gather(chunk.states, chunk.mask, units, self.pooling)
            targets = np.concatenate([batch.targets[row] for row in chunk.rows])
            sets = np.repeat([batch.sets[row] for row in chunk.rows], [len(at) for at in units])
            losses = []
            for number in np.unique(sets).tolist():
                of_set = np.flatnonzero(sets == number)
                logits = self.heads[number](inputs[torch.from_numpy(of_set).to(device)])
                target = torch.from_numpy(targets[of_set]).to(device, torch.int64)
                summed = F.cross_entropy(logits, target, reduction="sum")
                losses.append(summed / math.log(self.classes[number]))
            yield torch.stack(losses).sum() / total

    def report(self) -> dict[str, Any]:
        """The labelled sets, what was drawn of each, and its classes."""
        report = self.mixture.report()
        for source, classes in zip(report["sources"], self.classes, strict=True):
            source["classes"] = classes
        return report
