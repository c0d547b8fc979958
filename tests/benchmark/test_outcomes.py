"""Packed outcomes hold what scores need."""

from typing import Any

import numpy as np
import pytest

from onetrunk.benchmark.outcomes import Outcomes, outcomes_of, pack, unpack
from onetrunk.data.rows import AnnotatedText, LabelledText
from onetrunk.decoding import Entities, Labelled
from onetrunk.families import family

TAGS = ["O", "B-a", "I-a", "B-b", "I-b"]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.array([[0, 255], [3, 1], [2, 2]]), "u1"),
        (np.array([[256, 0, 7]]), "u2"),
        (np.array([65536]), "u4"),
        (np.zeros((0, 3), int), "u1"),
        (np.random.default_rng(0).integers(0, 1 << 32, (40, 3)), "u4"),
    ],
)
def test_a_round_trip(values: np.ndarray, kind: str) -> None:
    packed = pack(values)
    assert packed["dtype"] == kind
    back = unpack(packed)
    assert back.dtype == np.int64
    assert back.shape == values.shape
    assert (back == values).all()


def test_what_cannot_be_packed_or_unpacked() -> None:
    for value in (-1, 1 << 32):
        with pytest.raises(ValueError, match="does not fit"):
            pack(np.array([value]))
    good = pack(np.arange(6).reshape(2, 3))
    bad: list[dict[str, Any]] = [
        {"data": good["data"][:-4]}, {"data": "§"}, {"dtype": "O"}, {"shape": [7]}
    ]  # fmt: skip
    for change in bad:
        with pytest.raises(ValueError, match=r"damaged|ASCII|of type|reshape"):
            unpack(good | change)


def tagged(rng: np.random.Generator, words: int) -> tuple[list[str], list[str]]:
    gold, predicted = (rng.choice(TAGS, words, p=[0.4, 0.2, 0.1, 0.2, 0.1]) for _ in range(2))
    return gold.tolist(), np.where(rng.random(words) < 0.6, gold, predicted).tolist()


def test_scores_from_outcomes_are_the_familys() -> None:
    rng = np.random.default_rng(0)
    pairs = [tagged(rng, words) for words in rng.integers(1, 9, 60)]
    rows = [AnnotatedText.from_words(["w"] * len(gold), gold) for gold, _ in pairs]
    answered = [AnnotatedText.from_words(["w"] * len(tags), tags).entities for _, tags in pairs]
    found = [Entities(list(entities), [0.5] * len(entities)) for entities in answered]
    labels = ["x", "y", "z", "never"]
    texts = [LabelledText("t", (str(rng.choice(labels[:3])),)) for _ in range(50)]
    answers = [Labelled((str(rng.choice(labels[:3])),), {}) for _ in range(50)]
    cases: list[tuple[str, list[Any], list[Any], list[str]]] = [
        ("ner", rows, found, ["a", "b"]), ("tc", texts, answers, labels)
    ]  # fmt: skip
    for name, examples, predictions, classes in cases:
        outcomes = outcomes_of(family(name), examples, predictions, classes)
        assert outcomes is not None
        back = Outcomes.from_json(outcomes.as_json())
        assert back.scores() == outcomes.scores() == family(name).score(examples, predictions)
        # Any resample, too: that is what they are for.
        chosen = rng.integers(0, len(examples), 30)
        expected = family(name).score(
            [examples[i] for i in chosen], [predictions[i] for i in chosen]
        )
        assert back.take(chosen).scores() == expected


def test_nothing_is_packed_for_other_predictions() -> None:
    kind = family("tc")
    several = [LabelledText("t", ("a", "b"))]
    assert outcomes_of(kind, several, [Labelled(("a",), {})], ["a", "b"]) is None
    assert outcomes_of(kind, several, [0.5], ["a", "b"]) is None


@pytest.mark.parametrize(
    "change", [{"kind": "words"}, {"shape": [2, 3]}, {"labels": ["a"]}, {"data": None}]
)
def test_damaged_outcomes_are_refused(change: dict[str, Any]) -> None:
    content = Outcomes("labels", np.array([[0, 1], [1, 1], [0, 0]]), ["a", "b"]).as_json()
    Outcomes.from_json(content)
    with pytest.raises((ValueError, KeyError, TypeError)):
        Outcomes.from_json(content | change)
