"""Supervised multi-task pre-finetuning on labelled sets of any family, with a linear head per set.

This follows Muppet (Aghajanyan et al. 2021, arXiv 2101.11038): every batch holds rows of several
sets, and the loss of a set is divided by the logarithm of its number of classes. So a random guess
costs 1 in every set, and sets with many classes do not outweigh those with few. The heads are
thrown away after stage 1.
"""

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
from onetrunk.prefinetuning.objectives.base import Encode, Objective, Setup
from onetrunk.prefinetuning.objectives.labelled import LabelledCorpus, labelled_corpus
from onetrunk.processes import Processes


@dataclass(frozen=True)
class _Batch:
    """Rows of labelled sets: the set of each row, its token ids, its units and their targets."""

    sets: list[int]
    ids: list[np.ndarray]
    units: list[np.ndarray]
    targets: list[np.ndarray]


class SupervisedObjective(Objective):
    """Draws rows of all labelled sets of a family. Each set has a head of its own."""

    settings: FamilySettings
    mixture: Mixture[LabelledCorpus]

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        corpora = self.mixture.corpora
        self.classes = [self.family.classes(corpus.labels) for corpus in corpora]
        for corpus, classes in zip(corpora, self.classes, strict=True):
            if classes < 2:
                raise UserError(
                    f"labelled set {corpus.name!r} has one class: nothing to tell apart"
                )
        width = setup.encoder.width
        self.heads = nn.ModuleList(nn.Linear(width, classes) for classes in self.classes)

    def prepare(self, builder: CorpusBuilder) -> Mixture[LabelledCorpus]:
        """The sets under ``families.NAME.labelled`` in the recipe."""
        settings = self.settings
        return Mixture.open(
            f"families.{self.family.name}.labelled", settings.labelled, settings.exponent,
            lambda source: labelled_corpus(self.family, builder, source, settings.max_length),
        )  # fmt: skip

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _Batch:
        """``batch_size`` rows, each from a set that is drawn by weight."""
        rng = step_rng(self.seed, step, self.family.name)
        corpora = self.mixture.corpora
        rows = self.mixture.rows(rng, self.settings.batch_size)
        for corpus, row in rows:
            self.mixture.count(corpus, truncated=int(corpora[corpus].truncated(row)))
        part = shard(rows, rank, world)
        return _Batch(
            [corpus for corpus, _ in part],
            [corpora[corpus].tokens(row) for corpus, row in part],
            [corpora[corpus].units(row) for corpus, row in part],
            [corpora[corpus].targets(row) for corpus, row in part],
        )

    def texts(self, batch: _Batch) -> list[TokenIds]:
        """The rows' texts."""
        return list(batch.ids)

    def parts(self, encode: Encode, batch: _Batch, processes: Processes) -> Iterator[Tensor]:
        """The mean of cross-entropy / log(classes) over the units of the global batch; a part per
        chunk.

        Every unit counts the same, whatever the length of its sentence. So the loss of a batch is
        the sum of its sets' losses, each weighted by the set's share of the units.
        """
        device = next(self.parameters()).device
        total = processes.total(sum(map(len, batch.targets)), device)
        for chunk in encode(batch.ids):
            units = [batch.units[row].tolist() for row in chunk.rows]
            inputs = self.family.gather(chunk.states, chunk.mask, units, self.pooling)
            targets = np.concatenate([batch.targets[row] for row in chunk.rows])
            sets = np.repeat([batch.sets[row] for row in chunk.rows], [*map(len, units)])
            losses = []
            for number in np.unique(sets).tolist():
                units_of_set = np.flatnonzero(sets == number)
                logits = self.heads[number](inputs[torch.from_numpy(units_of_set).to(device)])
                target = torch.from_numpy(targets[units_of_set]).to(device, torch.int64)
                loss = F.cross_entropy(logits, target, reduction="sum")
                losses.append(loss / math.log(self.classes[number]))
            yield torch.stack(losses).sum() / total

    def report(self) -> dict[str, Any]:
        """The labelled sets, what was drawn of each, and its number of classes."""
        report = super().report()
        for source, classes in zip(report["sources"], self.classes, strict=True):
            source["classes"] = classes
        return report
