"""Stage 1 of the NER family: token states learn concept names, or a teacher's states, or both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from onetrunk.config import FamilySettings, Settings
from onetrunk.corpora.builder import CorpusBuilder
from onetrunk.corpora.mixture import Mixture
from onetrunk.corpora.tokenised import NerCorpus
from onetrunk.corpora.windows import OUTSIDE, SPECIAL
from onetrunk.data.batching import TokenIds, even_batches, shard, step_rng
from onetrunk.errors import UserError
from onetrunk.losses.concept import ConceptContrastive, synonyms
from onetrunk.losses.distill import Distillation
from onetrunk.prefinetuning.objectives.base import Chunk, Encode, Objective, Setup
from onetrunk.prefinetuning.objectives.concepts import concept_name, name_embeddings
from onetrunk.prefinetuning.objectives.teacher_states import DistillSettings, TeacherStates, Window
from onetrunk.processes import Processes

POOL = 8
"""Steps whose sentences are drawn together and divided by length. A step is faster if its sentences
are about equally long: attention takes them together, with little padding. And all steps have about
the same number of tokens, so that no step needs more memory than another."""


class ConceptSettings(Settings):
    """The concept-contrastive loss."""

    weight: float = Field(1.0, ge=0)
    """Factor on this loss; 0 leaves it out."""
    projection: int = Field(256, ge=1, le=100_000)
    """Width of the space in which token states are compared with concept names."""
    negatives: int = Field(256, ge=1, le=1_000_000)
    """The largest number of concepts of a closed corpus; its tokens are compared with all of them.
    A corpus with more concepts is open: each step draws this number of them, in addition to those
    that occur in the batch."""
    synonyms: float = Field(0.4, gt=0, le=1)
    """Concepts of an open corpus are not each other's negatives if their names are more alike than
    this (cosine after the mean of all names is subtracted). A closed corpus tells its own concepts
    apart. With MiniLM, 0.4 takes "person", "human" and "people" together, but not "country" and
    "city"."""
    temperature: float = Field(0.1, gt=0)
    """Cosines are divided by it. Lower is stricter."""
    bias: float = -5.0
    """Added to all logits. It is negative because most concepts are wrong for a token."""
    learn_temperature: bool = True
    """Whether ``temperature`` and ``bias`` are learned, from these values on."""


class NerSettings(FamilySettings):
    """Stage-1 settings of the NER family."""

    concept: ConceptSettings = ConceptSettings()
    """Learn the names of the entities' types."""
    distill: DistillSettings | None = None
    """Learn a teacher's states; None: there is no teacher."""


@dataclass(frozen=True)
class _NerBatch:
    """Windows of sentences, and the C concepts with which the global batch is compared."""

    windows: list[Window]
    ids: list[np.ndarray]
    labels: list[np.ndarray]  # for each token an index into concepts, OUTSIDE or SPECIAL
    concepts: np.ndarray  # (C,) ascending
    compared: np.ndarray  # (corpora, C) bool: the concepts for each corpus's tokens


class _BatchConcepts(NamedTuple):
    """The C concepts of a batch on the device. All chunks of the batch share them."""

    names: Tensor  # (C, P): projected names, with the graph of the projection
    leaf: Tensor  # the same without the graph: chunks add their gradients here
    compared: Tensor  # (corpora, C) bool
    synonyms: Tensor | None  # (C, C) bool: in open corpora not each other's negatives


class NerObjective(Objective):
    """Draws sentences from all corpora. A token is compared with concepts of its own corpus only.

    A concept that a corpus never annotates is unknown there, not negative.
    """

    Settings: ClassVar[type[FamilySettings]] = NerSettings
    settings: NerSettings
    mixture: Mixture[NerCorpus]

    def __init__(self, setup: Setup) -> None:
        super().__init__(setup)
        settings, encoder, builder = self.settings, setup.encoder, setup.builder
        corpora = self.mixture.corpora
        names_of_corpus = [list(map(concept_name, corpus.types)) for corpus in corpora]
        self.concepts = sorted({name for names in names_of_corpus for name in names})
        index = {name: i for i, name in enumerate(self.concepts)}
        # For each corpus the concept of each type. The negative labels SPECIAL (-2) and OUTSIDE
        # (-1) count from the end of the array, where each stands for itself.
        self._concept_of_type = [
            np.array([*(index[name] for name in names), SPECIAL, OUTSIDE])
            for names in names_of_corpus
        ]
        self.inventories = [np.unique(concepts[:-2]) for concepts in self._concept_of_type]
        self._open = np.array(
            [len(inventory) > settings.concept.negatives for inventory in self.inventories]
        )
        self._pool: tuple[int, list[list[Window]]] | None = None  # its number, the steps' sentences
        self.concept: ConceptContrastive | None = None
        self.distill: Distillation | None = None
        if settings.concept.weight:
            if not self.concepts:
                raise UserError(
                    "recipe: families.ner: no source holds an entity, so there is no concept to "
                    "learn; set concept.weight to 0 to distil alone"
                )
            self._names = name_embeddings(encoder, self.concepts, builder.notes, builder.progress)
            shape = settings.concept.model_dump(include={"projection", "temperature", "bias"})
            self.concept = ConceptContrastive(
                encoder.width, encoder.width, **shape, learned=settings.concept.learn_temperature
            )
        if settings.distill is not None:
            self._teacher_states = TeacherStates(settings.distill, corpora, encoder.device, builder)
            self.distill = Distillation(
                encoder.width, self._teacher_states.width,
                settings.distill.loss, settings.distill.relations,
            )  # fmt: skip
        if self.concept is None and self.distill is None:
            raise UserError(
                "recipe: families.ner: concept.weight is 0 and there is no distill: "
                "nothing is left to train on"
            )

    def prepare(self, builder: CorpusBuilder) -> Mixture[NerCorpus]:
        """Tagged sentences, with their texts if a teacher reads them."""
        settings, texts = self.settings, self.settings.distill is not None
        return Mixture.open(
            f"families.{self.family.name}.sources", settings.sources, settings.exponent,
            lambda source: builder.ner(source, settings.max_length, texts),
        )  # fmt: skip

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _NerBatch:
        """Sentences of like length, each from a corpus that is drawn by weight: ``batch_size`` on
        the average, more if they are short."""
        windows = self._windows(step)
        rng = step_rng(self.seed, step, self.family.name)
        corpora = self.mixture.corpora
        chosen = [corpus for corpus, _ in windows]
        for corpus in chosen:
            self.mixture.count(corpus)
        labels = [
            self._concept_of_type[corpus][corpora[corpus].labels(window)]
            for corpus, window in windows
        ]
        # Chosen from the global batch, so that all processes compare with the same concepts.
        concepts, compared = self._choose_concepts(rng, chosen, labels)
        part = shard(windows, rank, world)
        return _NerBatch(
            list(part),
            [corpora[corpus].tokens(window) for corpus, window in part],
            [
                np.where(concept < 0, concept, concepts.searchsorted(concept))
                for concept in shard(labels, rank, world)
            ],
            concepts,
            compared,
        )

    def _windows(self, step: int) -> list[Window]:
        """The sentences of a step: its part of those that are drawn for ``POOL`` steps."""
        pool, place = divmod(step, POOL)
        if self._pool is None or self._pool[0] != pool:
            rng = step_rng(self.seed, pool, f"{self.family.name} pool")
            windows = self.mixture.rows(rng, POOL * self.settings.batch_size)
            lengths = [len(self.mixture.corpora[corpus].tokens(row)) for corpus, row in windows]
            batches = even_batches(lengths, POOL, rng)
            self._pool = pool, [[windows[row] for row in rows] for rows in batches]
        return self._pool[1][place]

    def _choose_concepts(
        self, rng: np.random.Generator, corpora: Sequence[int], labels: Sequence[np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """``concepts`` and ``compared`` of a batch: ``corpora[i]`` is where row i comes from."""
        of_corpus = {}
        for corpus in sorted(set(corpora)):
            rows = [row for of_row, row in zip(corpora, labels, strict=True) if of_row == corpus]
            of_corpus[corpus] = candidates(
                self.inventories[corpus],
                np.concatenate(rows),
                self.settings.concept.negatives,
                rng,
            )
        concepts = np.unique(np.concatenate(list(of_corpus.values())))
        compared = np.zeros((len(self.inventories), len(concepts)), bool)
        for corpus, candidate in of_corpus.items():
            compared[corpus, concepts.searchsorted(candidate)] = True
        return concepts, compared

    def texts(self, batch: _NerBatch) -> list[TokenIds]:
        """The sentences."""
        return list(batch.ids)

    def parts(self, encode: Encode, batch: _NerBatch, processes: Processes) -> Iterator[Tensor]:
        """The mean over the tokens of the global batch, special ones left out; a part per chunk."""
        device = next(self.parameters()).device
        tokens = sum(int((labels != SPECIAL).sum()) for labels in batch.labels)
        total = processes.total(tokens, device)
        shared = None if self.concept is None else self._project(self.concept, batch, device)
        for chunk in encode(batch.ids):
            losses = []
            if self.concept is not None and shared is not None:
                loss = self._concept_loss(self.concept, shared, chunk, batch)
                losses.append(self.settings.concept.weight * loss)
            if self.distill is not None and self.settings.distill is not None:
                loss = self._distillation_loss(self.distill, chunk, batch)
                losses.append(self.settings.distill.weight * loss)
            yield torch.stack(losses).sum() / total
        if shared is not None and shared.leaf.grad is not None:
            shared.names.backward(shared.leaf.grad)

    def _project(
        self, loss: ConceptContrastive, batch: _NerBatch, device: torch.device
    ) -> _BatchConcepts:
        """Project the names of the batch's concepts once, for all its chunks."""
        frozen = torch.from_numpy(self._names.rows(batch.concepts)).to(device)
        names = loss.project(frozen)
        similar = None
        if self._open[batch.compared.any(1)].any():
            mean = torch.from_numpy(self._names.mean.copy()).to(device)
            similar = synonyms(frozen, mean, self.settings.concept.synonyms)
        compared = torch.from_numpy(batch.compared).to(device)
        return _BatchConcepts(names, names.detach().requires_grad_(), compared, similar)

    def _concept_loss(
        self, loss: ConceptContrastive, shared: _BatchConcepts, chunk: Chunk, batch: _NerBatch
    ) -> Tensor:
        """The concept loss of a chunk, summed over its tokens without the special ones."""
        device = chunk.states.device
        labels_of_row = [batch.labels[row] for row in chunk.rows]
        corpus_of_row = [batch.windows[row][0] for row in chunk.rows]
        labels = np.concatenate(labels_of_row)
        corpus = np.repeat(corpus_of_row, [len(row) for row in labels_of_row])
        real = labels != SPECIAL
        labels, corpus = labels[real], corpus[real]
        target = torch.from_numpy(labels).to(device)
        known = shared.compared[torch.from_numpy(corpus).to(device)]
        if shared.synonyms is not None:
            # Of two similar names neither is right or wrong for the other's tokens. Names of one
            # thing often differ a little ("city", "location"), and similarity is not transitive, so
            # they form no groups. A pair that is left out is one negative of hundreds; a wrong
            # positive would be learned.
            in_open_corpus = np.flatnonzero(self._open[corpus] & (labels != OUTSIDE))
            entity = torch.from_numpy(in_open_corpus).to(device)
            known[entity] &= ~shared.synonyms[target[entity]]
        tokens = chunk.mask.bool()
        tokens = tokens.masked_scatter(tokens, torch.from_numpy(real).to(device))
        return loss(chunk.states[tokens], target, known, shared.leaf)

    def _distillation_loss(self, loss: Distillation, chunk: Chunk, batch: _NerBatch) -> Tensor:
        """The distillation loss of a chunk, summed over tokens with a teacher state."""
        states, mask = self._teacher_states.states([batch.windows[row] for row in chunk.rows])
        tokens = chunk.mask.bool()
        teacher = states.new_zeros(*tokens.shape, states.shape[1])
        teacher[tokens] = states
        return loss(chunk.states, teacher, tokens.masked_scatter(tokens, mask))

    def report(self) -> dict[str, Any]:
        """The sources, the number of concepts that they name, and the teacher."""
        report = {**super().report(), "concepts": len(self.concepts)}
        if self.distill is not None:
            report["distill"] = self._teacher_states.record
        return report


def candidates(
    inventory: np.ndarray, present: np.ndarray, negatives: int, rng: np.random.Generator
) -> np.ndarray:
    """The concepts with which the tokens of a corpus are compared in one batch, ascending.

    Of a closed ``inventory`` these are all. Of an open one they are ``negatives`` drawn evenly, and
    those that are ``present`` in the batch (negative numbers there are no concepts). A concept that
    is present is compared with the batch's other tokens as often as it occurs, so the drawn ones
    are there for rare concepts. The loss is not scaled up to the whole inventory: a hundred
    thousand easy negatives would drown a token's one positive.
    """
    if len(inventory) <= negatives:
        return inventory
    drawn = rng.choice(len(inventory), negatives, replace=False, shuffle=False)
    return np.union1d(inventory[drawn], present[present >= 0])
