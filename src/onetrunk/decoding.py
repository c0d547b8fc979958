"""From logits to answers, with numpy alone: task families and the device's runtime share this.

Logits are ``(u, C)`` float32: one row for each unit of a text. A unit is a word
(:mod:`onetrunk.data.units`), or a window of a whole text.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

import numpy as np

from onetrunk.data.iob import entities
from onetrunk.data.rows import Entity, Span
from onetrunk.data.units import in_characters
from onetrunk.data.words import is_blank
from onetrunk.errors import UserError


@dataclass(frozen=True)
class Entities:
    """The entities of a text, in order, and the probability of each one's least certain unit."""

    entities: list[Entity]
    scores: list[float]


@dataclass(frozen=True)
class Labelled:
    """The chosen labels (one unless multi-label) and the probability of every label."""

    labels: tuple[str, ...]
    probabilities: dict[str, float]
    abstained: bool = False
    """Whether no label is given because none is sure enough, or because the text is empty."""


@dataclass(frozen=True)
class Decoder:
    """How the logits of one kind of app become predictions, and predictions become JSON."""

    per_word: bool
    """Whether units are words, read at their first token; else a unit is a whole, pooled window."""
    classes: Callable[[Sequence[str]], int]
    """``labels -> C``: the number of outputs of a head."""
    decode: Callable[[np.ndarray, Sequence[Span], Sequence[str]], Any]
    """``(logits, units, labels) -> prediction`` for one text. ``units`` are the characters of each
    unit; decoders of whole texts do not look at them."""
    render: Callable[[str, Any], dict[str, Any]]
    """``(text, prediction) -> JSON``"""
    blend: Callable[[np.ndarray, np.ndarray, float], np.ndarray] | None = None
    """``(logits, votes, share) -> logits (U, C)``, in which the votes of labelled neighbours have
    ``share`` and the head's answer has the rest. None: such apps have no neighbours."""
    abstains: bool = True
    """Whether its answers have probabilities, so that :func:`abstain` can leave some out."""


def softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + e⁻ˣ), without overflow."""
    return np.exp(-np.logaddexp(0, -logits))


def tag_names(labels: Sequence[str]) -> list[str]:
    """Classes of a token head: O, then B- and I- of each type. Every B is odd, its I follows it."""
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


def decode_entities(logits: np.ndarray, units: Sequence[Span], labels: Sequence[str]) -> Entities:
    """The entities of the most probable valid IOB2 sequence."""
    if not logits.argmax(-1).any():  # O everywhere, as in most texts
        return Entities([], [])
    log_probs = logits - np.logaddexp.reduce(logits, -1, keepdims=True)
    path = best_valid_path(log_probs)
    probabilities = np.exp(log_probs[np.arange(len(path)), path]).tolist()
    names = tag_names(labels)
    ranges = entities([names[tag] for tag in path.tolist()])
    return Entities(
        in_characters(ranges, units),
        [min(probabilities[first:stop]) for first, stop, _ in ranges],
    )


def decode_nested(logits: np.ndarray, units: Sequence[Span], labels: Sequence[str]) -> Entities:
    """Each type by itself: three columns of ``(u, 3 types)`` are its O, B and I. Of entities that
    begin together the longest comes first."""
    scored: list[tuple[Entity, float]] = []
    for number, label in enumerate(labels):
        of_type = decode_entities(logits[:, 3 * number : 3 * number + 3], units, [label])
        scored += zip(of_type.entities, of_type.scores, strict=True)
    scored.sort(key=lambda pair: (pair[0][0], -pair[0][1], pair[0][2]))
    return Entities([entity for entity, _ in scored], [score for _, score in scored])


def decode_label(logits: np.ndarray, units: Sequence[Span], labels: Sequence[str]) -> Labelled:
    """The most probable label by the mean logits of a text's windows."""
    mean = logits.mean(0)
    probabilities = dict(zip(labels, softmax(mean).tolist(), strict=True))
    return Labelled((labels[int(mean.argmax())],), probabilities)


def decode_labels(logits: np.ndarray, units: Sequence[Span], labels: Sequence[str]) -> Labelled:
    """Every label whose probability is at least one half by the mean logits of the windows."""
    probabilities = dict(zip(labels, sigmoid(logits.mean(0)).tolist(), strict=True))
    chosen = tuple(label for label, p in probabilities.items() if p >= 0.5)
    return Labelled(chosen, probabilities)


def decode_rating(logits: np.ndarray, units: Sequence[Span], labels: Sequence[str]) -> float:
    """The mean value of a text's windows, kept between the two ``labels``, the scale's ends."""
    low, high = map(float, labels)
    return low + (high - low) * min(1.0, max(0.0, float(logits.mean())))


def render_entities(text: str, prediction: Entities) -> dict[str, Any]:
    """Entities with character offsets; the score is that of the least certain unit."""
    scored = zip(prediction.entities, prediction.scores, strict=True)
    return {
        "entities": [
            {"start": start, "end": end, "text": text[start:end], "type": kind}
            | {"score": round(score, 4)}
            for (start, end, kind), score in scored
        ]
    }


def render_labels(text: str, prediction: Labelled) -> dict[str, Any]:
    """Chosen labels, and all probabilities from the highest down."""
    ranked = sorted(prediction.probabilities.items(), key=itemgetter(1), reverse=True)
    rounded = np.round([p for _, p in ranked], 4).tolist()  # several times as fast as one by one
    return {
        "labels": list(prediction.labels),
        "probabilities": {label: p for (label, _), p in zip(ranked, rounded, strict=True)},
        **({"abstained": True} if prediction.abstained else {}),
    }


def render_rating(text: str, prediction: float) -> dict[str, Any]:
    """The value."""
    return {"value": round(prediction, 4)}


def abstain(decoder: str | None, text: str, prediction: Any, none_below: float | None) -> Any:
    """A prediction without the answers that are less probable than ``none_below``, and without any
    label if the text is empty; the probabilities stay. ``decoder`` is the app's."""
    least = none_below or 0.0
    if isinstance(prediction, Entities):
        scored = zip(prediction.entities, prediction.scores, strict=True)
        sure = [(entity, score) for entity, score in scored if score >= least]
        return Entities([entity for entity, _ in sure], [score for _, score in sure])
    if isinstance(prediction, Labelled):
        is_empty, of_labels = is_blank(text), prediction.probabilities
        labels = () if is_empty else prediction.labels
        labels = tuple(label for label in labels if of_labels[label] >= least)
        # That no label applies is an answer, too, if there may be any number of them.
        abstained = is_empty or (decoder == "tc" and not labels)
        return replace(prediction, labels=labels, abstained=abstained)
    return prediction


def check_none_below(value: Any, where: str = "") -> None:
    """Raise :class:`UserError` unless it is None or a number from 0 to 1."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (is_number and 0 <= value <= 1):
        meant = f"; did you mean {value / 100:g}?" if is_number and 1 < value <= 100 else ""
        raise UserError(f"{where}none_below is {value!r}, not a number from 0 to 1{meant}")


def blend_label(logits: np.ndarray, votes: np.ndarray, share: float) -> np.ndarray:
    """Log probabilities of the mean of the head's probabilities and the votes."""
    return np.log(np.maximum((1 - share) * softmax(logits) + share * votes, 1e-9))


def blend_labels(logits: np.ndarray, votes: np.ndarray, share: float) -> np.ndarray:
    """Log odds of the mean of each label's probability and its votes."""
    mixed = np.clip((1 - share) * sigmoid(logits) + share * votes, 1e-6, 1 - 1e-6)
    return np.log(mixed / (1 - mixed))


def blend_rating(logits: np.ndarray, votes: np.ndarray, share: float) -> np.ndarray:
    """The mean of the head's value and the neighbours'."""
    return (1 - share) * logits + share * votes


DECODERS: Mapping[str, Decoder] = {
    "ner": Decoder(True, lambda labels: 1 + 2 * len(labels), decode_entities, render_entities),
    "nested-ner": Decoder(True, lambda labels: 3 * len(labels), decode_nested, render_entities),
    "tc": Decoder(False, len, decode_label, render_labels, blend_label),
    "multi-label": Decoder(False, len, decode_labels, render_labels, blend_labels),
    "rating": Decoder(False, lambda labels: 1, decode_rating, render_rating, blend_rating, False),
}
"""All decoders, each by the name of the built-in family that uses it."""
