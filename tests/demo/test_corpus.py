"""The demo's corpus: reproducible, sound, and without a template on both sides of a split."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import os
import random
import re
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from onetrunk.config import load_recipe
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.words import words_of
from onetrunk.demo import corpus as demo_corpus
from onetrunk.demo import words
from onetrunk.demo.corpus import Sizes, annotated, make_corpus, write_corpus
from onetrunk.demo.values import ValueMaker, make_fakers
from onetrunk.demo.words import NER_APPS, TC_APPS
from onetrunk.demo.writer import Row
from onetrunk.errors import UserError

SMALL = Sizes(pre_ner=90, pairs=80, app_train=60, app_validation=30, app_test=40)
HELD = ("validation", "test")


@pytest.fixture(scope="module")
def corpus():
    return make_corpus(0)


@pytest.fixture(scope="module")
def small():
    return make_corpus(3, SMALL)


def training_rows(corpus):
    yield from corpus.pre_ner
    yield from itertools.chain.from_iterable(corpus.pairs.values())
    for splits in corpus.apps.values():
        yield from splits["train"]


def held_rows(corpus, splits=HELD):
    for app in corpus.apps.values():
        for split in splits:
            yield from app[split]


def skeleton(text, values):
    """The text with a placeholder for every slot's value, in a normal form."""
    at, parts = 0, []
    for value in values:
        parts += [text[at : value.start], " _ "]
        at = value.end
    return normal("".join([*parts, text[at:]]))


def normal(text):
    return " ".join(re.findall(r"[a-z0-9]+|_", re.sub(r"\ba an?\b|\ban\b", "a", text.lower())))


def template_skeletons(template):
    """Every skeleton a template can have: one for each combination of its choices."""
    parts = re.split(r"\[([^\]]*)\]", template)
    options = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
    return {normal(re.sub(r"\{\w+\}", " _ ", "".join(o))) for o in itertools.product(*options)}


def templates_by_split():
    train = [
        *words.WEAK_NER,
        *itertools.chain.from_iterable(itertools.chain(*words.PAIRS.values())),
    ]
    train = [line.removeprefix("> ") for line in train]
    splits = {"train": train, "validation": [], "test": []}
    for app in (*words.NER.values(), *words.TC["intent"].values(), *words.TC["spam"].values()):
        for split, templates in app.items():
            splits[split] += templates
    return splits


def test_the_same_seed_gives_the_same_corpus(small):
    assert make_corpus(3, SMALL) == small
    assert make_corpus(4, SMALL) != small


def test_another_process_gives_the_same_corpus(small):
    code = (
        "from onetrunk.demo.corpus import Sizes, make_corpus;"
        f"c = make_corpus(3, {SMALL!r});"
        "import hashlib; print(hashlib.sha256(repr(c).encode()).hexdigest())"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.strip() == hashlib.sha256(repr(small).encode()).hexdigest()


def test_one_size_changes_no_other_part(small):
    other = make_corpus(3, dataclasses.replace(SMALL, pre_ner=20, app_train=90))
    assert other.pre_ner == small.pre_ner[:20]
    assert other.pairs == small.pairs
    for app in (*NER_APPS, *TC_APPS):
        assert other.apps[app]["test"] == small.apps[app]["test"]


def test_sizes_are_as_asked(corpus):
    assert len(corpus.pre_ner) == 6000
    assert sum(map(len, corpus.pairs.values())) == 6000
    assert set(corpus.apps) == {"calendar", "contact", "intent", "spam"}
    for app in corpus.apps.values():
        assert {split: len(rows) for split, rows in app.items()} == {
            "train": 400,
            "validation": 150,
            "test": 400,
        }


def test_no_template_is_in_two_splits(corpus):
    used = {
        "train": {t for row in training_rows(corpus) for t in row.templates},
        "validation": {t for row in held_rows(corpus, ["validation"]) for t in row.templates},
        "test": {t for row in held_rows(corpus, ["test"]) for t in row.templates},
    }
    assert not used["train"] & (used["validation"] | used["test"])
    assert set(words.FRAMES) == {
        "openings",
        "closings",
        "fillers",
        "command_openings",
        "command_closings",
    }
    frames = {frame for parts in words.FRAMES.values() for frame in parts["held"]}
    assert used["validation"] & used["test"] <= frames


def test_no_held_skeleton_is_part_of_a_training_template():
    splits = templates_by_split()
    train = [s for t in splits["train"] for s in template_skeletons(t)]
    for split, other in (("validation", "test"), ("test", "validation")):
        held = [s for t in splits[split] for s in template_skeletons(t)]
        others = {s for t in splits[other] for s in template_skeletons(t)}
        assert not set(held) & others
        leaks = [(h, t) for h in held for t in train if f" {h} " in f" {t} "]
        assert not leaks


def test_no_held_skeleton_or_text_occurs_in_training_data(corpus):
    train, texts = set(), set()
    for row in training_rows(corpus):
        train.add(skeleton(row.text, row.values))
        texts.add(row.text.casefold())
        if row.positive:
            train.add(skeleton(row.positive, row.positive_values))
            texts.add(row.positive.casefold())
    for row in held_rows(corpus):
        assert skeleton(row.text, row.values) not in train
        assert row.text.casefold() not in texts
    validation, test = (
        {row.text.casefold() for row in held_rows(corpus, [split])} for split in HELD
    )
    assert not validation & test


def test_some_values_are_held_out(corpus):
    def values(rows, kind):
        return {r.text[v.start : v.end].lower() for r in rows for v in r.values if v.kind == kind}

    for kind in ("dish", "event", "song", "place"):
        new = values(held_rows(corpus, ["test"]), kind) - values(training_rows(corpus), kind)
        assert new, kind
        assert values(held_rows(corpus, ["test"]), kind) - new, kind


def annotated_rows(rows, part):
    return [annotated(row, part) for row in rows]


def test_entities_are_whole_words(corpus):
    rows = annotated_rows(corpus.pre_ner, "pre_ner")
    for app in NER_APPS:
        for split in words.SPLITS:
            rows += annotated_rows(corpus.apps[app][split], app)
    for row in rows:
        starts, ends = (set(edges) for edges in zip(*words_of(row.text), strict=True))
        assert all(start in starts and end in ends for start, end, _ in row.entities)


def test_entities_are_the_values_that_were_filled_in(corpus):
    concepts = words.CONCEPTS["pre_ner"]
    for row in corpus.pre_ner:
        assert list(annotated(row, "pre_ner").entities) == [
            (value.start, value.end, concepts[value.kind])
            for value in row.values
            if value.kind in concepts
        ]


def concepts(rows):
    return {kind for row in rows for _, _, kind in row.entities}


def concepts_of_app(corpus, app, split):
    return concepts(annotated_rows(corpus.apps[app][split], app))


def test_weak_data_has_many_concepts_and_empty_messages(corpus):
    rows = annotated_rows(corpus.pre_ner, "pre_ner")
    assert len(concepts(rows)) >= 20
    empty = sum(not row.entities for row in rows)
    assert 0.03 < empty / len(rows) < 0.3


def test_every_label_of_a_test_is_in_its_train(corpus, small):
    for any_corpus in (corpus, small):
        for app in NER_APPS:
            train, test = (concepts_of_app(any_corpus, app, split) for split in ("train", "test"))
            assert test <= train
        for app in TC_APPS:
            train, test = (
                {row.label for row in any_corpus.apps[app][split]} for split in ("train", "test")
            )
            assert test == train
    assert concepts_of_app(corpus, "calendar", "test") == {
        "event",
        "date",
        "time",
        "place",
        "attendee",
    }
    assert len({row.label for row in corpus.apps["intent"]["train"]}) == 12


def test_templates_are_many():
    assert sum("{" in template for template in words.WEAK_NER) >= 60
    for app in (*words.NER.values(), *words.TC["spam"].values()):
        assert len(app["train"]) >= 12
        assert len(app["test"]) >= 8
    for splits in words.TC["intent"].values():
        assert len(splits["train"]) >= 5
        assert len(splits["test"]) >= 3
    assert all(len(groups) >= 25 for groups in words.PAIRS.values())


def test_every_slot_has_values():
    values = ValueMaker(random.Random(0), make_fakers(), held=True)
    for template in itertools.chain(*templates_by_split().values()):
        assert template.count("{") == len(re.findall(r"\{[a-z]+\d?\}", template))
        for kind in re.findall(r"\{([a-z]+)\d?\}", template):
            assert values.make(kind).strip()
    untagged = {"number", "order", "task", "saying", "phrase", "language", "lamp"}
    weak = {kind for t in words.WEAK_NER for kind in re.findall(r"\{([a-z]+)\d?\}", t)}
    assert not weak & untagged


def test_nothing_is_there_twice(corpus):
    parts = [[row.text for row in corpus.pre_ner]]
    parts += [[row.text for row in rows] for app in corpus.apps.values() for rows in app.values()]
    parts += [[(row.text, row.positive) for row in rows] for rows in corpus.pairs.values()]
    for part in parts:
        assert len(set(part)) == len(part)
    for rows in corpus.pairs.values():
        assert all(row.text.casefold() != row.positive.casefold() for row in rows)


def test_parquet_round_trip_and_an_existing_folder_is_refused(tmp_path, small):
    out = tmp_path / "phone"
    write_corpus(out, 3, SMALL)
    parts = [("pre_ner/phone/train", "pre_ner", small.pre_ner)]
    parts += [
        (f"ner/{app}/{split}", app, small.apps[app][split])
        for app in NER_APPS
        for split in words.SPLITS
    ]
    for name, part, rows in parts:
        table = pq.read_table(out / f"{name}.parquet")
        assert table.schema.names == ["tokens", "ner_tags"]
        for record, row in zip(table.to_pylist(), annotated_rows(rows, part), strict=True):
            assert record["tokens"] == [row.text[start:end] for start, end in words_of(row.text)]
            back = AnnotatedText.from_words(record["tokens"], record["ner_tags"])
            assert [(back.text[a:b].replace(" ", ""), kind) for a, b, kind in back.entities] == [
                (row.text[a:b].replace(" ", ""), kind) for a, b, kind in row.entities
            ]
    for app in TC_APPS:
        for split in words.SPLITS:
            table = pq.read_table(out / "tc" / app / f"{split}.parquet").to_pylist()
            rows = [{"text": row.text, "label": row.label} for row in small.apps[app][split]]
            assert table == rows
    for source, rows in small.pairs.items():
        table = pq.read_table(out / "pre_pairs" / source / "train.parquet").to_pylist()
        assert table == [{"query": row.text, "positive": row.positive} for row in rows]

    with pytest.raises(UserError, match="already exists"):
        write_corpus(out, 3, SMALL)
    write_corpus(out, 4, Sizes(5, 5, 5, 5, 5), overwrite=True)
    assert len(pq.read_table(out / "pre_ner/phone/train.parquet")) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["phone"]


def test_the_recipe_reads_the_corpus(tmp_path):
    write_corpus(tmp_path / "phone", 3, Sizes(5, 8, 5, 5, 5))
    recipe = load_recipe(tmp_path / "phone" / "recipe.yaml")
    paths = [source["path"] for family in recipe.families.values() for source in family["sources"]]
    files = {str(file.parent) for file in (tmp_path / "phone").glob("pre_*/*/train.parquet")}
    assert sorted(paths) == sorted(files)
    assert len(paths) == 5


def test_without_faker_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(UserError, match=re.escape("Faker: pip install 'onetrunk[demo]'")):
        make_corpus(0, SMALL)


def test_more_rows_than_the_templates_can_yield_is_an_error():
    with pytest.raises(UserError, match="distinct rows"):
        demo_corpus._distinct(2, [itertools.repeat(Row("x", (), ()))], "x")
