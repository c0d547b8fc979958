"""Named entity recognition: concept-contrastive pre-finetuning, a token head, strict IOB2."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from onetrunk.config import FamilySettings
from onetrunk.data.alignment import Encoded, encode, window_units
from onetrunk.data.batching import TokenIds, by_length, pad, shard, step_rng
from onetrunk.data.corpora import OUTSIDE, SPECIAL, NerCorpus
from onetrunk.data.examples import TaggedText
from onetrunk.data.iob import entities
from onetrunk.data.notes import Notes
from onetrunk.data.sources import read_ner
from onetrunk.families.base import Encode, Family, Objective
from onetrunk.families.mixture import Mixture
from onetrunk.families.preparing import Preparing
from onetrunk.metrics.scores import entity_scores
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import Pooling, pool
from onetrunk.objectives.concept import ConceptContrastive
from onetrunk.processes import Processes

# What corpora abbreviate; a concept is embedded by the name a person would give it.
_ABBREVIATIONS = {
    "per": "person", "loc": "location", "org": "organization", "misc": "miscellaneous name",
    "geo": "geographical place", "gpe": "country, city or state", "tim": "time or date",
    "art": "artifact", "eve": "event", "nat": "natural phenomenon", "dob": "date of birth",
}  # fmt: skip


class NerSettings(FamilySettings):
    """Stage-1 settings of the NER family."""

    projection: int = Field(256, ge=1)
    """Width of the space in which token states meet concept names."""


@dataclass(frozen=True)
class Tagged:
    """A prediction: one IOB2 tag and its probability a word."""

    tags: list[str]
    scores: list[float]


class Ner(Family[TaggedText, Tagged]):
    """Entities in text, scored on words and whole entities."""

    name: ClassVar[str] = "ner"
    metric: ClassVar[str] = "f1"
    Settings: ClassVar[type[FamilySettings]] = NerSettings

    def objective(
        self,
        settings: NerSettings,
        preparing: Preparing,
        encoder: Encoder,
        pooling: Pooling,
        seed: int,
    ) -> Objective:
        """Concept-contrastive training over the recipe's corpora."""
        mixture = Mixture.open(settings, lambda source: preparing.ner(source, settings.max_length))
        return NerObjective(mixture, settings, encoder, seed)

    def read(self, path: Path, notes: Notes | None = None) -> list[TaggedText]:
        """Words and tags from any source of :func:`~onetrunk.data.sources.stream_ner`."""
        return read_ner(path, notes)

    def parse(self, text: str) -> TaggedText:
        """Split raw text into words."""
        return TaggedText.from_text(text)

    def text(self, example: TaggedText) -> str:
        """The sentence."""
        return example.text

    def labels_of(self, example: TaggedText) -> Iterable[str]:
        """The type of each entity."""
        return [tag[2:] for tag in example.tags if tag.startswith("B-")]

    def classes(self, labels: Sequence[str]) -> int:
        """O, and B- and I- of each type."""
        return 1 + 2 * len(labels)

    def units(self, example: TaggedText, windows: Sequence[Encoded]) -> list[list[int]]:
        """A word is represented by its first token, in the window that shows most around it."""
        return window_units(example.words, windows)

    def gather(
        self, states: Tensor, mask: Tensor, units: Sequence[Sequence[int]], pooling: Pooling
    ) -> Tensor:
        """The state of each visible word's first token."""
        where = [(row, at) for row, tokens in enumerate(units) for at in tokens if at >= 0]
        index = torch.tensor(where, dtype=torch.int64, device=states.device).view(-1, 2)
        return states[index[:, 0], index[:, 1]]

    def targets(
        self,
        example: TaggedText,
        units: Sequence[int],
        labels: Sequence[str],
        multi_label: bool = False,
    ) -> Tensor:
        """Index of each visible word's tag in ``tag_names(labels)``."""
        index = {tag: i for i, tag in enumerate(tag_names(labels))}
        tags = [index[tag] for tag, at in zip(example.tags, units, strict=True) if at >= 0]
        return torch.tensor(tags, dtype=torch.int64)

    def decode(
        self,
        logits: Tensor,
        example: TaggedText,
        units: Sequence[int],
        labels: Sequence[str],
        multi_label: bool = False,
    ) -> Tagged:
        """The most probable valid IOB2 sequence; words without a token are O with score 0."""
        log_probs = logits.float().log_softmax(-1).cpu().numpy()
        path = best_valid_path(log_probs)
        visible = iter(zip(path.tolist(), log_probs, strict=True))
        names, tags, scores = tag_names(labels), [], []
        for at in units:
            if at < 0:
                tags.append("O")
                scores.append(0.0)
            else:
                tag, row = next(visible)
                tags.append(names[tag])
                scores.append(float(np.exp(row[tag])))
        return Tagged(tags, scores)

    def score(
        self, examples: Sequence[TaggedText], predictions: Sequence[Tagged]
    ) -> dict[str, float]:
        """Strict entity-level precision, recall and micro-F1."""
        return entity_scores(
            [example.tags for example in examples], [predicted.tags for predicted in predictions]
        )

    def render(self, example: TaggedText, prediction: Tagged) -> dict[str, Any]:
        """Entities with character offsets; the score is that of the least certain word."""
        found = []
        for first, stop, kind in entities(prediction.tags):
            start, end = example.words[first][0], example.words[stop - 1][1]
            score = min(prediction.scores[first:stop])
            found.append(
                {
                    "start": start,
                    "end": end,
                    "text": example.text[start:end],
                    "type": kind,
                    "score": round(score, 4),
                }
            )
        return {"entities": found}


def tag_names(labels: Sequence[str]) -> list[str]:
    """Classes of a token head: O, then B- and I- of each type, so B is odd and its I one more."""
    return ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]


def best_valid_path(log_probs: np.ndarray) -> np.ndarray:
    """Most probable tag sequence in which every I-x follows B-x or I-x: ``(W, C)`` -> ``(W,)``.

    Invalid sequences are forbidden, not repaired: Viterbi search over the allowed transitions.
    """
    words, classes = log_probs.shape
    path = log_probs.argmax(-1)
    tag = np.arange(classes)
    inside = (tag > 0) & (tag % 2 == 0)
    allowed = ~inside | (tag[:, None] == tag) | (tag[:, None] == tag - 1)  # (from, to)
    starts = not words or not inside[path[0]]
    if starts and allowed[path[:-1], path[1:]].all():
        return path  # the unconstrained optimum is valid, hence optimal
    penalty = np.where(allowed, 0.0, -np.inf)
    best = np.where(inside, -np.inf, log_probs[0])
    back = np.zeros((words, classes), dtype=np.int64)
    for word in range(1, words):
        reach = best[:, None] + penalty
        back[word] = reach.argmax(0)
        best = reach.max(0) + log_probs[word]
    path[-1] = best.argmax()
    for word in range(words - 1, 0, -1):
        path[word - 1] = back[word, path[word]]
    return path


def concept_name(label: str) -> str:
    """A label as words: ``Restaurants_1.cityName`` -> ``restaurants 1 city name``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", label)
    words = re.sub(r"[^0-9A-Za-z]+", " ", spaced).lower().split()
    return " ".join(_ABBREVIATIONS.get(word, word) for word in words) or label


@dataclass(frozen=True)
class _NerBatch:
    ids: list[np.ndarray]
    concepts: list[np.ndarray]  # an index a token, OUTSIDE or SPECIAL
    corpus: list[int]


class NerObjective(Objective):
    """Draws sentences from all corpora; each token meets its own corpus's concepts only."""

    inventory: Tensor

    def __init__(
        self, mixture: Mixture[NerCorpus], settings: NerSettings, encoder: Encoder, seed: int
    ) -> None:
        super().__init__()
        self._mixture, self.settings, self.seed = mixture, settings, seed
        named = [list(map(concept_name, corpus.data.types)) for corpus in mixture.corpora]
        self.concepts = sorted({name for names in named for name in names})
        index = {name: i for i, name in enumerate(self.concepts)}
        # By corpus, the concept of each type; OUTSIDE and SPECIAL, at the end, stand for themselves
        # because negative numbers count from there.
        self._concept_of = [
            np.array([*(index[name] for name in names), SPECIAL, OUTSIDE]) for names in named
        ]
        # (corpora, C): which concepts each corpus annotates.
        annotated = [[name in set(names) for name in self.concepts] for names in named]
        self.register_buffer("inventory", torch.tensor(annotated), persistent=False)
        self.objective = ConceptContrastive(
            encoder.width, name_embeddings(encoder, self.concepts), settings.projection
        )

    @property
    def mixture(self) -> Mixture[NerCorpus]:
        """The corpora."""
        return self._mixture

    def draw(self, step: int, rank: int = 0, world: int = 1) -> _NerBatch:
        """``batch_size`` sentences, each from a corpus drawn by weight."""
        rng = step_rng(self.seed, step, Ner.name)
        corpora = [corpus.data for corpus in self.mixture.corpora]
        chosen = self.mixture.choose(rng, self.settings.batch_size)
        drawn = [(corpus, int(rng.integers(len(corpora[corpus])))) for corpus in chosen]
        own = shard(drawn, rank, world)
        for corpus in chosen:
            self.mixture.count(corpus)
        return _NerBatch(
            [corpora[corpus].tokens(row) for corpus, row in own],
            [self._concept_of[corpus][corpora[corpus].labels(row)] for corpus, row in own],
            [corpus for corpus, _ in own],
        )

    def texts(self, batch: _NerBatch) -> list[TokenIds]:
        """The sentences."""
        return list(batch.ids)

    def parts(self, encode: Encode, batch: _NerBatch, processes: Processes) -> Iterator[Tensor]:
        """Mean over the real tokens (special ones left out) of the batch, a part a chunk."""
        device = self.inventory.device
        own = sum(int((concept != SPECIAL).sum()) for concept in batch.concepts)
        total = processes.total(own, device)
        names = self.objective.names()
        shared = names.detach().requires_grad_()
        for chunk in encode(batch.ids):
            width = chunk.mask.shape[1]
            concept = torch.full((len(chunk.rows), width), SPECIAL, dtype=torch.int64)
            for i, row in enumerate(chunk.rows):
                concept[i, : len(batch.concepts[row])] = torch.from_numpy(batch.concepts[row])
            concept = concept.to(device)
            real = concept != SPECIAL
            corpora = torch.tensor([batch.corpus[row] for row in chunk.rows], device=device)
            annotated = self.inventory[corpora[:, None].expand(-1, width)[real]]
            yield self.objective(chunk.states[real], concept[real], annotated, shared) / total
        if shared.grad is not None:
            names.backward(shared.grad)

    def report(self) -> dict[str, Any]:
        """Sources, and how many concepts they name."""
        return {**self.mixture.report(), "concepts": len(self.concepts)}


@torch.no_grad()
def name_embeddings(encoder: Encoder, names: Sequence[str]) -> Tensor:
    """Mean-pooled, normalised embeddings of names by the encoder as it is now: ``(C, D)``."""
    out = torch.zeros(len(names), encoder.width)
    encoded = encode(encoder.tokenizer, names, max_length=32)
    for rows in by_length([len(text.ids) for text in encoded], 64):
        ids, mask = pad([encoded[row].ids for row in rows], encoder.tokenizer.pad_token_id)
        ids, mask = ids.to(encoder.device), mask.to(encoder.device)
        out[rows] = pool(encoder.states(ids, mask), mask).cpu()
    return torch.nn.functional.normalize(out, dim=-1)
