import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from onetrunk.adapt.features import Examples
from onetrunk.data.corpora import SPECIAL
from onetrunk.data.examples import TaggedText
from onetrunk.families import family
from onetrunk.families.ner import (
    Ner,
    NerObjective,
    NerSettings,
    best_valid_path,
    concept_name,
    tag_names,
)
from onetrunk.families.preparing import Preparing
from onetrunk.model.encoder import Encoder


def objective(corpora: Path, encoder: Encoder, seed: int = 0) -> NerObjective:
    settings = NerSettings(
        sources=[{"path": str(corpora / "pre_ner" / name)} for name in "ab"], batch_size=8
    )
    made = Ner().objective(settings, Preparing(encoder.tokenizer), encoder, "mean", seed)
    assert isinstance(made, NerObjective)
    return made


def lists(made: NerObjective, step: int, **part: int) -> list[Any]:
    batch = made.draw(step, **part)
    rows = zip(batch.ids, batch.concepts, batch.corpus, strict=True)
    return [(ids.tolist(), concepts.tolist(), corpus) for ids, concepts, corpus in rows]


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
    """Invariant: scored on the full gold sentence, not on what was left of it."""
    ner = Ner()
    words = ["paris", "is", "in", "\u200b"]  # the tokenizer keeps nothing of the last
    row = TaggedText.from_words(words, ["B-X", "O", "O", "B-X"])
    examples = Examples.prepare(ner, [row], tiny_encoder, 64)
    assert examples.units == [[1, 2, 3, -1]]
    logits = torch.zeros(3, 3)
    logits[0, 1] = logits[1:, 0] = 9.0  # B-X, O, O: right wherever the model can see
    predicted = ner.decode(logits, row, examples.units[0], ["X"])
    assert predicted.tags == ["B-X", "O", "O", "O"]
    assert ner.score([row], [predicted]) == pytest.approx(
        {"f1": 200 / 3, "precision": 100.0, "recall": 50.0}
    )


def test_rendered_offsets_are_those_of_the_text() -> None:
    ner = family("ner")
    row = ner.parse("Ça va, New York?")
    tags = ["O", "O", "O", "B-LOC", "I-LOC", "O"]
    names = tag_names(["LOC"])
    logits = torch.tensor([[9.0 if name == tag else 0.0 for name in names] for tag in tags])
    prediction = ner.decode(logits, row, list(range(6)), ["LOC"])
    (entity,) = ner.render(row, prediction)["entities"]
    assert (entity["start"], entity["end"], entity["text"]) == (7, 15, "New York")
    assert 0.9 < entity["score"] <= 1


def test_targets_and_logits_skip_words_without_a_token() -> None:
    row = TaggedText.from_words(["a", "b", "c"], ["B-X", "I-X", "O"])
    assert Ner().targets(row, [1, -1, 3], ["X"]).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("PER", "person"),
        ("Restaurants_1.cityName", "restaurants 1 city name"),
        ("contact.name", "contact name"),
        ("日付", "日付"),
    ],
)
def test_concept_names(label: str, name: str) -> None:
    assert concept_name(label) == name


def test_batches_depend_on_seed_and_step_alone(corpora: Path, tiny_encoder: Encoder) -> None:
    one, other = objective(corpora, tiny_encoder), objective(corpora, tiny_encoder)
    one.draw(0)
    assert lists(one, 3) == lists(other, 3)
    assert lists(one, 3) != lists(one, 4)
    assert lists(one, 3) != lists(objective(corpora, tiny_encoder, seed=1), 3)
    assert lists(one, 3)[1::3] == lists(other, 3, rank=1, world=3)


def test_tokens_meet_only_the_concepts_of_their_corpus(
    corpora: Path, tiny_encoder: Encoder
) -> None:
    made = objective(corpora, tiny_encoder)
    assert made.concepts == ["contact name", "geographical place", "location", "person"]
    assert made.inventory.tolist() == [[False, False, True, True], [True, True, False, False]]
    batch = made.draw(0)
    for corpus, concepts, ids in zip(batch.corpus, batch.concepts, batch.ids, strict=True):
        assert len(concepts) == len(ids)
        assert concepts[0] == concepts[-1] == SPECIAL
        used = {concept for concept in concepts.tolist() if concept >= 0}
        assert used
        assert all(made.inventory[corpus, concept] for concept in used)
