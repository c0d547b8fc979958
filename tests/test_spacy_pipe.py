"""Apps in a spaCy pipeline answer as the runtime does, whatever the text holds."""

from __future__ import annotations

import pickle
import random
import warnings
from pathlib import Path
from typing import Any

import pytest
import spacy
from spacy import displacy
from spacy.language import Language
from spacy.tokens import Doc

import onetrunk
import onetrunk.spacy_pipe  # registers the factory, as the entry point does where it is installed
from onetrunk.errors import UserError

FOLDER = Path(__file__).parent / "fixtures" / "format-0.1"
BUNDLE = str(FOLDER / "bundle")
TEXTS = ["ann met mum in new york", "call dora", "play music 😀, now!", ""]
PIECES = (
    "ann", "new york", "mum", "👩‍👩‍👧", "e\u0301", "שָׁלוֹם", "مرحبا", "日本語", "\u200b", "\u202e",
    "a\u0308b", "🇫🇷", "'s", "--", "\t", "\n", "  ", "dora", "...", "½", "ﬁ", "\ufeff",
    "no.1", "x@y.z",
)  # fmt: skip


def hostile(count: int) -> list[str]:
    draw = random.Random(0)
    glue = ("", " ", " ", " ")
    return [
        "".join(piece + draw.choice(glue) for piece in draw.choices(PIECES, k=draw.randint(0, 12)))
        for _ in range(count)
    ]


@pytest.fixture
def nlp() -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("onetrunk", config={"model": BUNDLE})
    return nlp


def answers(doc: Doc) -> dict[str, Any]:
    found: dict[str, Any] = doc._.onetrunk
    return found


def without_scores(found: Any) -> Any:
    """Answers without probabilities, whose last digit depends on what shares a batch."""
    if isinstance(found, dict):
        numbers = ("score", "probabilities", "value")
        return {key: without_scores(one) for key, one in found.items() if key not in numbers}
    return [*map(without_scores, found)] if isinstance(found, list) else found


@pytest.mark.filterwarnings("ignore:.*inside a token")
def test_answers_are_those_of_the_runtime(nlp: Language) -> None:
    texts = hostile(500)
    expected = onetrunk.load(BUNDLE).predict(texts)
    docs = list(nlp.pipe(texts, batch_size=37))
    assert [without_scores(answers(doc)) for doc in docs] == [
        without_scores(result["apps"]) for result in expected
    ]
    exact = total = 0
    for doc in docs:
        for app in ("calendar", "place"):
            entities = answers(doc)[app]["entities"]
            assert len(entities) == len(doc.spans[app])
            assert doc.spans[app].attrs["scores"] == [entity["score"] for entity in entities]
            for span, entity in zip(doc.spans[app], entities, strict=True):
                assert span.label_ == entity["type"]
                assert span.start_char <= entity["start"] < entity["end"] <= span.end_char
                exact += (span.start_char, span.end_char) == (entity["start"], entity["end"])
                total += 1
    assert total > 500
    assert exact > 0.5 * total


def test_where_answers_go(nlp: Language) -> None:
    doc = nlp(TEXTS[0])
    found = onetrunk.load(BUNDLE).predict(TEXTS[0])["apps"]
    assert answers(doc) == found
    for app in ("intent", "flags"):
        for label, probability in found[app]["probabilities"].items():
            assert doc.cats[f"{app}/{label}"] == probability
    assert answers(doc)["stars"] == found["stars"]
    assert repr(nlp.get_pipe("onetrunk")) == f"OnetrunkPipe('onetrunk': {BUNDLE})"
    spans = {(span.start_char, span.end_char, span.label_) for span in doc.ents}
    entities = [entity for app in ("calendar", "place") for entity in found[app]["entities"]]
    assert spans <= {(entity["start"], entity["end"], entity["type"]) for entity in entities}
    assert spans
    assert '<mark class="entity"' in displacy.render(doc, style="ent")


def test_one_app_of_labels_has_plain_categories() -> None:
    nlp = spacy.blank("en")
    nlp.add_pipe("onetrunk", config={"model": BUNDLE, "apps": ["intent"]})
    doc = nlp(TEXTS[1])
    assert answers(doc).keys() == {"intent"}
    assert doc.cats == answers(doc)["intent"]["probabilities"]
    assert not doc.ents


def test_earlier_entities_give_way_where_they_overlap(nlp: Language) -> None:
    new = {(ent.start, ent.end) for ent in nlp(TEXTS[0]).ents}
    ruler = nlp.add_pipe("entity_ruler", before="onetrunk")
    ruler.add_patterns([{"label": "RULE", "pattern": word} for word in TEXTS[0].split()])  # type: ignore[attr-defined]
    doc = nlp(TEXTS[0])
    by_rule = {ent.start for ent in doc.ents if ent.label_ == "RULE"}
    covered = {token for start, end in new for token in range(start, end)}
    assert {(ent.start, ent.end) for ent in doc.ents if ent.label_ != "RULE"} == new
    assert by_rule == set(range(len(doc))) - covered


def test_an_entity_inside_a_token_is_counted() -> None:
    nlp = spacy.blank("en")
    nlp.tokenizer = lambda text: Doc(nlp.vocab, [text], [False])
    nlp.add_pipe("onetrunk", config={"model": BUNDLE, "apps": ["calendar"]})
    with pytest.warns(UserWarning, match=r"2 of 2 entities begin or end inside a token"):
        doc = nlp(TEXTS[0])
    assert [span.text for span in doc.spans["calendar"]] == [doc.text, doc.text]
    assert [ent.text for ent in doc.ents] == [doc.text]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spacy.blank("en")("no component, no warning")


def test_app_folders_on_their_backbone() -> None:
    nlp = spacy.blank("en")
    folders = [str(FOLDER / "apps" / app) for app in ("calendar", "intent")]
    pipe = nlp.add_pipe("onetrunk", config={"model": folders})
    expected = onetrunk.load(*folders).predict(TEXTS)
    assert [answers(doc) for doc in nlp.pipe(TEXTS)] == [result["apps"] for result in expected]
    with pytest.raises(UserError, match=r"saved with a bundle.*onetrunk export"):
        pipe.to_disk("anywhere")  # type: ignore[attr-defined]


def test_a_saved_pipeline_is_complete(nlp: Language, tmp_path: Path) -> None:
    nlp.to_disk(tmp_path / "pipeline")
    nlp.to_disk(tmp_path / "pipeline")  # again, over itself
    moved = (tmp_path / "pipeline").rename(tmp_path / "moved")
    loaded = spacy.load(moved)
    assert [answers(doc) for doc in loaded.pipe(TEXTS)] == [answers(doc) for doc in nlp.pipe(TEXTS)]


def test_other_processes_and_disabled_components(nlp: Language) -> None:
    in_processes = [answers(doc) for doc in nlp.pipe(TEXTS, n_process=2)]
    expected = [answers(doc) for doc in nlp.pipe(TEXTS)]
    assert without_scores(in_processes) == without_scores(expected)
    with pytest.raises(ValueError, match="ran before this process was forked"):
        list(nlp.pipe(TEXTS, n_process=2))
    copy = pickle.loads(pickle.dumps(nlp.get_pipe("onetrunk")))
    assert answers(copy(nlp.make_doc(TEXTS[0]))) == expected[0]
    with nlp.select_pipes(disable="onetrunk"):
        assert nlp(TEXTS[0])._.onetrunk is None


def test_what_is_refused(nlp: Language, monkeypatch: pytest.MonkeyPatch) -> None:
    for config, message in (
        ({}, "has no model: name a bundle"),
        ({"model": "fone"}, "fone"),
        ({"model": BUNDLE, "apps": ["intend"]}, "did you mean 'intent'"),
    ):
        wrong = spacy.blank("en")
        wrong.add_pipe("onetrunk", config=config)
        with pytest.raises(UserError, match=message):
            wrong("text")
    monkeypatch.setattr("onetrunk.bundle.runtime.MAX_CHARACTERS", 20)
    failed: list[str] = []
    nlp.set_error_handler(lambda name, pipe, docs, error: failed.append(f"{name}: {error}"))
    assert [doc.text for doc in nlp.pipe(TEXTS)] == [TEXTS[1], TEXTS[2], TEXTS[3]]
    assert len(failed) == 1
    assert "23 characters; at most 20" in failed[0]
