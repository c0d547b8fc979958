"""From logits to answers, with numpy alone: what every engine and the device's runtime share.

Logits are ``(u, C)`` float32, the rows of one text's units (words, or windows of a whole text).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onetrunk.data.iob import entities
from onetrunk.data.rows import Entity, Span


@dataclass(frozen=True)
class Tagged:
    """One IOB2 tag and its probability a word."""

    tags: list[str]
    scores: list[float]


@dataclass(frozen=True)
class Nested:
    """Entities that may overlap, in order, and the probability of each one's least certain word."""

    entities: list[Entity]
    scores: list[float]


@dataclass(frozen=True)
class Labelled:
    """The labels chosen (one unless multi-label) and every label's probability."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ), without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


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


def decode_tags(logits: np.ndarray, units: Sequence[int], labels: Sequence[str]) -> Tagged:
    """The most probable valid IOB2 sequence.

    ``units[word]`` is -1 for a word without a row of logits: it is O with score 0.
    """
    log_probs = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    path = best_valid_path(log_probs)
    probabilities = np.exp(log_probs[np.arange(len(path)), path])
    names = tag_names(labels)
    found = zip([names[tag] for tag in path.tolist()], probabilities.tolist(), strict=True)
    tagged = [next(found) if at >= 0 else ("O", 0.0) for at in units]
    return Tagged([tag for tag, _ in tagged], [score for _, score in tagged])


def decode_nested(logits: np.ndarray, units: Sequence[int], labels: Sequence[str]) -> Nested:
    """Each type by itself: three columns of ``(u, 3 types)`` are its O, B and I."""
    found = []
    for at, label in enumerate(labels):
        tagged = decode_tags(logits[:, 3 * at : 3 * at + 3], units, [label])
        for first, stop, kind in entities(tagged.tags):
            found.append(((first, stop, kind), min(tagged.scores[first:stop])))
    found.sort()
    return Nested([entity for entity, _ in found], [score for _, score in found])


def decode_label(logits: np.ndarray, labels: Sequence[str]) -> Labelled:
    """The most probable label; a text of several windows is judged by the mean of their logits."""
    row = logits.mean(0)
    probabilities = dict(zip(labels, softmax(row).tolist(), strict=True))
    return Labelled((labels[int(row.argmax())],), probabilities)


def decode_labels(logits: np.ndarray, labels: Sequence[str]) -> Labelled:
    """Every label with a probability of at least one half."""
    probabilities = sigmoid(logits.mean(0)).tolist()
    chosen = tuple(label for label, p in zip(labels, probabilities, strict=True) if p >= 0.5)
    return Labelled(chosen, dict(zip(labels, probabilities, strict=True)))


def decode_rating(logits: np.ndarray, labels: Sequence[str]) -> float:
    """The value between the scale's ends, which are the two ``labels``; of several windows, their
    mean."""
    low, high = map(float, labels)
    return low + (high - low) * min(1.0, max(0.0, float(logits.mean())))


def render_tags(text: str, words: Sequence[Span], found: Tagged) -> dict[str, Any]:
    """Entities with character offsets; the score is that of the least certain word."""
    scored = [
        ((first, stop, kind), min(found.scores[first:stop]))
        for first, stop, kind in entities(found.tags)
    ]
    return {"entities": [_entity(text, words, *one) for one in scored]}


def render_nested(text: str, words: Sequence[Span], found: Nested) -> dict[str, Any]:
    """Entities with character offsets, the outer before the inner."""
    scored = sorted(
        zip(found.entities, found.scores, strict=True),
        key=lambda one: (one[0][0], -one[0][1], one[0][2]),
    )
    return {"entities": [_entity(text, words, *one) for one in scored]}


def _entity(text: str, words: Sequence[Span], entity: Entity, score: float) -> dict[str, Any]:
    first, stop, kind = entity
    start, end = words[first][0], words[stop - 1][1]
    found = {"start": start, "end": end, "text": text[start:end], "type": kind}
    return found | {"score": round(score, 4)}


def render_labels(found: Labelled) -> dict[str, Any]:
    """Chosen label(s), and probabilities from the highest down."""
    ranked = sorted(found.probabilities.items(), key=lambda item: -item[1])
    return {
        "labels": list(found.labels),
        "probabilities": {label: round(p, 4) for label, p in ranked},
    }


def render_rating(value: float) -> dict[str, Any]:
    """The value."""
    return {"value": round(value, 4)}
