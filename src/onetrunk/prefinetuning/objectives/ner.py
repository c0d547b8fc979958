"""Stage 1 of the NER family: weak corpora, tokens against concept names and against a teacher."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, Field
from torch import Tensor

from onetrunk.config import FamilySettings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.corpora.tokenised import NerCorpus
from onetrunk.corpora.windows import OUTSIDE, SPECIAL
from onetrunk.data.batching import TokenIds, shard, step_rng
from onetrunk.errors import UserError
from onetrunk.losses.concept import ConceptContrastive, synonyms
from onetrunk.losses.distill import Distillation
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling
from onetrunk.prefinetuning.objectives.base import Chunk, Encode, Objective
from onetrunk.prefinetuning.objectives.concepts import concept_name, name_embeddings
from onetrunk.prefinetuning.objectives.teacher_states import DistillSettings, TeacherStates, Window
from onetrunk.processes import Processes


class ConceptSettings(BaseModel, extra="forbid", allow_inf_nan=False):
    """The concept-contrastive loss."""

    weight: float = Field(1.0, ge=0)
    """Factor on this loss; 0 leaves it out."""
    projection: int = Field(256, ge=1)
    """Width of the space in which token states meet concept names."""
    negatives: int = Field(256, ge=1)
    """A corpus with up to so many concepts is closed: its tokens meet all of them. Of a larger one,
    which is open, each step draws so many, besides the concepts that occur in the batch."""
    synonyms: float = Field(0.4, gt=0, le=1)
    """Concepts of an open corpus whose names are more alike than this (cosine around the mean of
    all names) are not each other's negatives. A closed corpus tells its own concepts apart. With
    MiniLM, 0.4 takes "person", "human" and "people" together, but not "country" and "city"."""
    temperature: float = Field(0.1, gt=0)
    """Cosines are divided by it. Lower is stricter."""
    bias: float = -5.0
    """Added to all logits: most concepts are not a token's."""
    learn_temperature: bool = True
    """Whether ``temperature`` and ``bias`` are only where learning them starts."""


class NerSettings(FamilySettings):
    """Stage-1 settings of the NER family."""

    concept: ConceptSettings = ConceptSettings()
    distill: DistillSettings | None = None


@dataclass(frozen=True)
class _NerBatch:
    windows: list[Window]
    ids: list[np.ndarray]
    concepts: list[np.ndarray]  # of each token: an index into ``met``, OUTSIDE or SPECIAL
    met: np.ndarray  # (C,) ascending: the concepts that some token of the global batch meets
    annotated: np.ndarray  # (corpora, C) bool: those that each corpus's tokens meet


class _Shared(NamedTuple):
    """What all chunks of a batch share, on the device."""

    names: Tensor  # (C, P)
    leaf: Tensor  # the same, cut off: chunks leave their gradient here
    annotated: Tensor  # (corpora, C) bool
    alike: Tensor | None  # (C, C) bool: what is not each other's negative in an open corpus


class NerObjective(Objective):
    """Draws sentences from all corpora; each token meets concepts of its own corpus only."""

    Settings: ClassVar[type[FamilySettings]] = NerSettings

    def __init__(
        self,
        mixture: Mixture[NerCorpus],
        settings: NerSettings,
        encoder: Encoder,
        seed: int,
        builder: CorpusBuilder,
    ) -> None:
        super().__init__()
        self._mixture, self.settings, self.seed = mixture, settings, seed
        corpora = [corpus.data for corpus in mixture.corpora]
        named = [list(map(concept_name, corpus.types)) for corpus in corpora]
        self.concepts = sorted({name for names in named for name in names})
        index = {name: i for i, name in enumerate(self.concepts)}
        # By corpus, the concept of each type; OUTSIDE and SPECIAL, at the end, stand for themselves
        # because negative numbers count from there.
        self._concept_of = [
            np.array([*(index[name] for name in names), SPECIAL, OUTSIDE]) for names in named
        ]
        # What a corpus never annotates is unknown there, not negative.
        self.inventories = [np.unique(of_type[:-2]) for of_type in self._concept_of]
        self._open = np.array([len(own) > settings.concept.negatives for own in self.inventories])
        self.concept: ConceptContrastive | None = None
        self.distill: Distillation | None = None
        if settings.concept.weight:
            if not self.concepts:
                raise UserError(
                    "recipe: families.ner: no source holds an entity, so there is no concept to "
                    "learn; set concept.weight to 0 to distil alone"
                )
            self._names = name_embeddings(
                encoder, self.concepts, builder.notes,
                lambda done: builder.watch("concept names", done),
            )  # fmt: skip
            shape = settings.concept.model_dump(include={"projection", "temperature", "bias"})
            self.concept = ConceptContrastive(
                encoder.width, encoder.width, **shape, learned=settings.concept.learn_temperature
            )
        if settings.distill is not None:
            self._teacher_states = TeacherStates(
                settings.distill, corpora, encoder.device, builder.notes
            )
            self.distill = Distillation(
                encoder.width, self._teacher_states.width,
                settings.distill.loss, settings.distill.relations,
            )  # fmt: skip
        if self.concept is None and self.distill is None:
            raise UserError(
                "recipe: families.ner: concept.weight is 0 and there is no distill: "
                "nothing is left to train on"
            )

    @classmethod
    def open(
        cls, family: str, settings: NerSettings, builder: CorpusBuilder, encoder: Encoder,
        pooling: Pooling, seed: int,
    ) -> NerObjective:  # fmt: skip
        """Concept-contrastive training, distillation or both, over the recipe's corpora."""
        mixture = Mixture.open(
            f"families.{family}.sources", settings.sources, settings.exponent,
            lambda source: builder.ner(source, settings.max_length, settings.distill is not None),
        )  # fmt: skip
        return cls(mixture, settings, encoder, seed, builder)

    @property
    def mixture(self) -> Mixture[NerCorpus]:
        """The corpora."""
        return self._mixture

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _NerBatch:
        """``batch_size`` sentences, each from a corpus drawn by weight."""
        rng = step_rng(self.seed, step, "ner")
        corpora = [corpus.data for corpus in self.mixture.corpora]
        chosen = self.mixture.choose(rng, self.settings.batch_size)
        drawn = [(corpus, int(rng.integers(len(corpora[corpus])))) for corpus in chosen]
        for corpus in chosen:
            self.mixture.count(corpus)
        concepts = [self._concept_of[corpus][corpora[corpus].labels(row)] for corpus, row in drawn]
        # From the whole batch, so that every process's tokens meet the same concepts.
        met, annotated = self._met(rng, [corpus for corpus, _ in drawn], concepts)
        own = shard(drawn, rank, world)
        return _NerBatch(
            list(own),
            [corpora[corpus].tokens(row) for corpus, row in own],
            [
                np.where(concept < 0, concept, met.searchsorted(concept))
                for concept in shard(concepts, rank, world)
            ],
            met,
            annotated,
        )

    def _met(
        self, rng: np.random.Generator, corpora: Sequence[int], concepts: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """``met`` and ``annotated`` of a batch whose rows come from ``corpora``."""
        of_corpus = {}
        for corpus in sorted(set(corpora)):
            rows = [own for at, own in zip(corpora, concepts, strict=True) if at == corpus]
            of_corpus[corpus] = candidates(
                self.inventories[corpus],
                np.concatenate(rows),
                self.settings.concept.negatives,
                rng,
            )
        met = np.unique(np.concatenate(list(of_corpus.values())))
        annotated = np.zeros((len(self.inventories), len(met)), bool)
        for corpus, own in of_corpus.items():
            annotated[corpus, met.searchsorted(own)] = True
        return met, annotated

    def texts(self, batch: _NerBatch) -> list[TokenIds]:
        """The sentences."""
        return list(batch.ids)

    def parts(self, encode: Encode, batch: _NerBatch, processes: Processes) -> Iterator[Tensor]:
        """Mean over the real tokens (special ones left out) of the batch, a part a chunk."""
        device = next(self.parameters()).device
        own = sum(int((concept != SPECIAL).sum()) for concept in batch.concepts)
        total = processes.total(own, device)
        shared = None if self.concept is None else self._share(self.concept, batch, device)
        for chunk in encode(batch.ids):
            losses = []
            if self.concept is not None and shared is not None:
                loss = self._concept_loss(self.concept, shared, chunk, batch)
                losses.append(self.settings.concept.weight * loss)
            if self.distill is not None and self.settings.distill is not None:
                loss = self._distillation(self.distill, chunk, batch)
                losses.append(self.settings.distill.weight * loss)
            yield torch.stack(losses).sum() / total
        if shared is not None and shared.leaf.grad is not None:
            shared.names.backward(shared.leaf.grad)

    def _share(self, loss: ConceptContrastive, batch: _NerBatch, device: torch.device) -> _Shared:
        frozen = torch.from_numpy(self._names.rows(batch.met)).to(device)
        names = loss.project(frozen)
        alike = None
        if self._open[batch.annotated.any(1)].any():
            mean = torch.from_numpy(self._names.mean.copy()).to(device)
            alike = synonyms(frozen, mean, self.settings.concept.synonyms)
        annotated = torch.from_numpy(batch.annotated).to(device)
        return _Shared(names, names.detach().requires_grad_(), annotated, alike)

    def _concept_loss(
        self, loss: ConceptContrastive, shared: _Shared, chunk: Chunk, batch: _NerBatch
    ) -> Tensor:
        """The concept loss of a chunk, summed over its real tokens."""
        device = chunk.states.device
        concepts = [batch.concepts[row] for row in chunk.rows]
        corpora = [batch.windows[row][0] for row in chunk.rows]
        concept = np.concatenate(concepts)
        corpus = np.repeat(corpora, [len(row) for row in concepts])
        real = concept != SPECIAL
        concept, corpus = concept[real], corpus[real]
        inside = torch.from_numpy(np.flatnonzero(self._open[corpus] & (concept != OUTSIDE)))
        target = torch.from_numpy(concept).to(device)
        known = shared.annotated[torch.from_numpy(corpus).to(device)]
        if shared.alike is not None:
            # Neither is right nor wrong for the other: names of one thing are often not exactly
            # that ("city", "location"), and likeness is not transitive, so no group of them is.
            # Leaving a pair out costs one negative of hundreds; a false positive would be learned.
            inside = inside.to(device)
            known[inside] &= ~shared.alike[target[inside]]
        present = chunk.mask.bool()
        kept = present.masked_scatter(present, torch.from_numpy(real).to(device))
        return loss(chunk.states[kept], target, known, shared.leaf)

    def _distillation(self, loss: Distillation, chunk: Chunk, batch: _NerBatch) -> Tensor:
        """The distillation loss of a chunk, summed over the tokens that the teacher knows."""
        states, mask = self._teacher_states.states([batch.windows[row] for row in chunk.rows])
        present = chunk.mask.bool()
        teacher = states.new_zeros(*present.shape, states.shape[1])
        teacher[present] = states
        return loss(chunk.states, teacher, present.masked_scatter(present, mask))

    def report(self) -> dict[str, Any]:
        """Sources, how many concepts they name, and the teacher."""
        report = {**self.mixture.report(), "concepts": len(self.concepts)}
        return (
            report if self.distill is None else {**report, "distill": self._teacher_states.record}
        )


def candidates(
    inventory: np.ndarray, present: np.ndarray, negatives: int, rng: np.random.Generator
) -> np.ndarray:
    """The concepts that a corpus's tokens meet in one batch, ascending.

    A closed inventory whole; of an open one ``negatives`` drawn evenly, and those ``present``
    (negative numbers stand for none). Concepts of the batch meet its other tokens as often as they
    occur, so what is drawn is for the rare ones. The loss is not scaled up to the whole inventory:
    a hundred thousand easy negatives would drown a token's one positive.
    """
    if len(inventory) <= negatives:
        return inventory
    drawn = rng.choice(len(inventory), negatives, replace=False, shuffle=False)
    return np.union1d(inventory[drawn], present[present >= 0])
