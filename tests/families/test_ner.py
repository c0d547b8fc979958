import itertools

import numpy as np
import pytest
import torch

from onetrunk.apps.windows import Examples
from onetrunk.data.notes import Notes
from onetrunk.data.rows import AnnotatedText, numbered
from onetrunk.data.words import words_of
from onetrunk.decoding import best_valid_path, tag_names
from onetrunk.families import family
from onetrunk.families.ner import Ner
from onetrunk.model.encoder import Encoder


@pytest.mark.parametrize("seed", range(30))
def test_decoding_is_the_best_of_all_valid_sequences(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = tag_names(["A", "B"])
    log_probs = np.log(rng.dirichlet(np.ones(len(names)), size=int(rng.integers(1, 6))))

    def valid(path: tuple[int, ...]) -> bool:
        before = "O"
        for tag in (names[i] for i in path):
            if tag[0] == "I" and before[2:] != tag[2:]:
                return False
            before = tag
        return True

    paths = itertools.product(range(len(names)), repeat=len(log_probs))
    best = max(
        (path for path in paths if valid(path)),
        key=lambda path: sum(log_probs[word, tag] for word, tag in enumerate(path)),
    )
    assert best_valid_path(log_probs).tolist() == list(best)


def test_decoding_no_words() -> None:
    assert best_valid_path(np.zeros((0, 3))).tolist() == []


def test_an_entity_that_the_tokenizer_deletes_counts_as_missed(tiny_encoder: Encoder) -> None:
    """Invariant: scored on all gold entities, not on those that units can stand for."""
    ner = Ner()
    text = "paris is in \ufffd"  # the tokenizer keeps nothing of the last
    row = AnnotatedText(text, ((0, 5, "X"), (12, 13, "X")))
    examples = Examples.prepare(ner, [row], tiny_encoder, 64)
    assert examples.units == [[(0, 5), (6, 8), (9, 11)]]
    logits = torch.zeros(3, 3)
    logits[0, 1] = logits[1:, 0] = 9.0  # B-X, O, O: right wherever the model can see
    predicted = ner.decode(logits, examples.units[0], ["X"])
    assert predicted.entities == [(0, 5, "X")]
    assert ner.score([row], [predicted]) == pytest.approx(
        {"f1": 200 / 3, "precision": 100.0, "recall": 50.0}
    )
    notes = Notes()
    examples.note_cut_entities(numbered("F"), notes)
    assert notes.lines() == [
        "entities that begin or end inside a unit, counted as missed: 1 (F, row 1: '\ufffd')"
    ]


def test_rendered_offsets_are_those_of_the_text() -> None:
    ner = family("ner")
    row = ner.parse("Ça va, New York?")
    tags = ["O", "O", "O", "B-LOC", "I-LOC", "O"]
    names = tag_names(["LOC"])
    logits = torch.tensor([[9.0 if name == tag else 0.0 for name in names] for tag in tags])
    prediction = ner.decode(logits, words_of(row.text), ["LOC"])
    (entity,) = ner.render(row, prediction)["entities"]
    assert (entity["start"], entity["end"], entity["text"]) == (7, 15, "New York")
    assert 0.9 < entity["score"] <= 1


def test_an_entity_has_every_unit_that_it_reaches_into() -> None:
    units = [(0, 4), (5, 9), (9, 10), (11, 15)]
    for entities, tags in (
        ([(0, 9, "X")], [1, 2, 0, 0]),
        ([(1, 3, "X"), (9, 12, "Y")], [1, 0, 3, 4]),
        ([(0, 2, "X"), (2, 4, "Y"), (5, 9, "Y")], [1, 3, 0, 0]),  # a unit has one tag
        ([(4, 5, "X")], [0, 0, 0, 0]),
    ):
        row = AnnotatedText(" " * 15, tuple(entities))
        assert Ner().targets(row, units, ["X", "Y"]).tolist() == tags
