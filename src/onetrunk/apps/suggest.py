"""Which texts to label next: those that an app is unsure about, and that differ from each other.

Of texts without labels, the most uncertain are candidates. From them, rows are taken one by one:
each time the one that is farthest from those taken so far, times its uncertainty (greedy k-center,
Sener & Savarese 2018, Active learning for convolutional neural networks, section 4, with weights).
Uncertainty alone would take many copies of one hard question.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onetrunk.apps.engine import Engine
from onetrunk.data.batching import STREAM_TEXTS, in_turn
from onetrunk.losses.head import TAGS
from onetrunk.progress import Progress, silent

CANDIDATES = 5
"""Candidates for each wanted row: the 50 most uncertain texts for 10 rows."""


@dataclass(frozen=True)
class Suggestion:
    """A text to label: its row, counted from one, and what the app answers now."""

    row: int
    text: str
    certainty: float
    """From 0 to 1; of NER that of the least certain word."""
    answer: dict[str, Any]


def suggest(
    engine: Engine, name: str, texts: Sequence[str], rows: int, progress: Progress = silent
) -> list[Suggestion]:
    """``rows`` texts to label for an app, in the order in which to label them.

    Texts that occur more than once count once, empty ones not at all. Raises
    :class:`~onetrunk.errors.UserError` for an unknown app.
    """
    family = engine.app(name).family
    first_rows: dict[str, int] = {}
    for row, text in enumerate(texts):
        if text.strip():
            first_rows.setdefault(text, row)
    distinct = list(first_rows)
    unsure: list[float] = []
    certain: list[float] = []
    for batch in in_turn(distinct, STREAM_TEXTS):
        examples = [family.parse(text) for text in batch]
        probabilities = engine.unit_probabilities(name, examples)
        of_units = [
            uncertainties(of_text.values.numpy(), family.decoder) for of_text in probabilities
        ]
        unsure += [float(of_text.sum()) for of_text in of_units]
        certain += [1 - float(of_text.max(initial=0)) for of_text in of_units]
        progress("reading the texts", len(unsure), len(distinct))
    candidates = np.argsort(-np.array(unsure), kind="stable")[: CANDIDATES * rows]
    embeddings = engine.embed([distinct[place] for place in candidates])
    weights = np.array(unsure)[candidates]
    chosen = [int(candidates[place]) for place in spread_out(embeddings, weights, rows)]
    answers = engine.predict([distinct[place] for place in chosen], [name])
    return [
        Suggestion(
            first_rows[distinct[place]] + 1,
            distinct[place],
            round(certain[place], 4),
            answer["apps"][name],
        )
        for place, answer in zip(chosen, answers, strict=True)
    ]


def uncertainties(probabilities: np.ndarray, decoder: str | None) -> np.ndarray:
    """How unsure an app is about each unit of a text, from 0 to 1, by its probabilities ``(u, C)``.

    Of a choice between classes: 1 minus the difference between the two most probable ones
    (margin). Of independent labels: 1 for a probability of one half, 0 for 0 or 1; the most
    uncertain label counts. A rating has none: all texts count the same. The uncertainty of a text
    is the sum over its units.
    """
    if decoder == "multi-label":
        nearest: np.ndarray = 1 - 2 * np.abs(probabilities - 0.5).min(1, initial=0.5)
        return nearest
    if decoder == "nested-ner":
        probabilities = probabilities.reshape(-1, TAGS)
    if probabilities.shape[1] < 2:
        return np.ones(len(probabilities))
    ordered = np.sort(probabilities, axis=1)
    margin: np.ndarray = 1 - (ordered[:, -1] - ordered[:, -2])
    return margin


def spread_out(embeddings: np.ndarray, weights: np.ndarray, count: int) -> list[int]:
    """Places of ``count`` rows of ``(N, D)``: first the one of greatest weight, then always the one
    with the greatest weight times distance from those before."""
    count = min(count, len(embeddings))
    if not count:
        return []
    units = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    chosen = [int(weights.argmax())]
    nearest = np.full(len(units), np.inf)
    while len(chosen) < count:
        nearest = np.minimum(nearest, 1 - units @ units[chosen[-1]])
        worth = weights * nearest
        worth[chosen] = -np.inf
        chosen.append(int(worth.argmax()))
    return chosen
