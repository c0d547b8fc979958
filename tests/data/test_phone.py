"""The embedded corpus: reproducible, sound, and without a template on both sides of a split."""

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

from onetrunk.data import phone
from onetrunk.data.phone import NER_APPS, TC_APPS, Sizes, drawing
from onetrunk.data.phone import templates as words
from onetrunk.data.phone.__main__ import main
from onetrunk.data.phone.values import ValueMaker, make_fakers
from onetrunk.data.phone.writer import Row
from onetrunk.data.rows import TaggedText
from onetrunk.errors import UserError

SMALL = Sizes(ner_pretrain=90, pairs=80, app_train=60, app_validation=30, app_test=40)
HELD = ("validation", "test")


@pytest.fixture(scope="module")
def drawn():
    return drawing.draw(0, Sizes())


@pytest.fixture(scope="module")
def corpus():
    return phone.generate(0, Sizes())


@pytest.fixture(scope="module")
def small():
    return phone.generate(3, SMALL)


def training_rows(drawn):
    yield from drawn.ner_pretrain
    yield from itertools.chain.from_iterable(drawn.pairs.values())
    for splits in drawn.apps.values():
        yield from splits["train"]


def held_rows(drawn, splits=HELD):
    for app in drawn.apps.values():
        for split in splits:
            yield from app[split]


def skeleton(text, values):
    """The text with a placeholder for every slot's value, in a normal form."""
    at, kept = 0, []
    for value in values:
        kept += [text[at : value.start], " _ "]
        at = value.end
    return normal("".join([*kept, text[at:]]))


def normal(text):
    return " ".join(re.findall(r"[a-z0-9]+|_", re.sub(r"\ba an?\b|\ban\b", "a", text.lower())))


def template_skeletons(template):
    """Every skeleton a template can have: one for each combination of its choices."""
    parts = re.split(r"\[([^\]]*)\]", template)
    options = [part.split("|") if at % 2 else [part] for at, part in enumerate(parts)]
    return {normal(re.sub(r"\{\w+\}", " _ ", "".join(o))) for o in itertools.product(*options)}


def templates_by_split():
    train = [*words.WEAK, *itertools.chain.from_iterable(itertools.chain(*words.PAIRS.values()))]
    train = [line.removeprefix("> ") for line in train]
    splits = {"train": train, "validation": [], "test": []}
    for app in (*words.NER.values(), *words.TC["intent"].values(), *words.TC["spam"].values()):
        for split, templates in app.items():
            splits[split] += templates
    return splits


def test_the_same_seed_gives_the_same_corpus(small):
    assert phone.generate(3, SMALL) == small
    assert phone.generate(4, SMALL) != small


def test_another_process_gives_the_same_corpus(small):
    code = (
        "from onetrunk.data import phone;"
        f"c = phone.generate(3, phone.{SMALL!r});"
        "import hashlib; print(hashlib.sha256(repr(c).encode()).hexdigest())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == hashlib.sha256(repr(small).encode()).hexdigest()


def test_one_size_changes_no_other_part(small):
    other = phone.generate(3, dataclasses.replace(SMALL, ner_pretrain=20, app_train=90))
    assert other.ner_pretrain == small.ner_pretrain[:20]
    assert other.pairs == small.pairs
    for app in NER_APPS:
        assert other.ner[app]["test"] == small.ner[app]["test"]
    for app in TC_APPS:
        assert other.tc[app]["test"] == small.tc[app]["test"]


def test_sizes_are_as_asked(corpus):
    assert len(corpus.ner_pretrain) == 6000
    assert sum(map(len, corpus.pairs.values())) == 6000
    for app in (*(corpus.ner[a] for a in NER_APPS), *(corpus.tc[a] for a in TC_APPS)):
        assert {split: len(rows) for split, rows in app.items()} == {
            "train": 400,
            "validation": 150,
            "test": 400,
        }


def test_no_template_is_in_two_splits(drawn):
    used = {
        "train": {t for row in training_rows(drawn) for t in row.templates},
        "validation": {t for row in held_rows(drawn, ["validation"]) for t in row.templates},
        "test": {t for row in held_rows(drawn, ["test"]) for t in row.templates},
    }
    assert not used["train"] & (used["validation"] | used["test"])
    frames = {
        *words.OPENINGS["held"],
        *words.CLOSINGS["held"],
        *words.FILLERS["held"],
        *words.COMMAND_OPENINGS["held"],
        *words.COMMAND_CLOSINGS["held"],
    }
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


def test_no_held_skeleton_or_text_occurs_in_training_data(drawn):
    train, texts = set(), set()
    for row in training_rows(drawn):
        train.add(skeleton(row.text, row.values))
        texts.add(row.text.casefold())
        if row.positive:
            train.add(skeleton(row.positive, row.positive_values))
            texts.add(row.positive.casefold())
    for row in held_rows(drawn):
        assert skeleton(row.text, row.values) not in train
        assert row.text.casefold() not in texts
    validation, test = (
        {row.text.casefold() for row in held_rows(drawn, [split])} for split in HELD
    )
    assert not validation & test


def test_some_values_are_held_out(drawn):
    def values(rows, kind):
        return {r.text[v.start : v.end].lower() for r in rows for v in r.values if v.kind == kind}

    for kind in ("dish", "event", "song", "place"):
        new = values(held_rows(drawn, ["test"]), kind) - values(training_rows(drawn), kind)
        assert new, kind
        assert values(held_rows(drawn, ["test"]), kind) - new, kind


def test_tags_are_sound_iob2_on_word_spans(corpus):
    rows = [*corpus.ner_pretrain]
    for app in NER_APPS:
        for split in words.SPLITS:
            rows += corpus.ner[app][split]
    for row in rows:
        assert row.words == TaggedText.from_text(row.text).words
        assert len(row.tags) == len(row.words) > 0
        before = "O"
        for tag in row.tags:
            assert tag == "O" or tag[:2] in ("B-", "I-")
            if tag.startswith("I-"):
                assert before[1:] == tag[1:]
            before = tag


def test_entities_are_the_values_that_were_filled_in(drawn, corpus):
    for made, row in zip(drawn.ner_pretrain, corpus.ner_pretrain, strict=True):
        starts = [
            start for (start, _), tag in zip(row.words, row.tags, strict=True) if tag[0] == "B"
        ]
        tagged = [value for value in made.values if value.kind in words.CONCEPTS]
        assert starts == [value.start for value in tagged]
        ends = {end for _, end in row.words}
        assert all(value.end in ends for value in tagged)


def concepts(rows):
    return {tag[2:] for row in rows for tag in row.tags if tag != "O"}


def test_weak_data_has_many_concepts_and_empty_messages(corpus):
    assert len(concepts(corpus.ner_pretrain)) >= 20
    empty = sum(set(row.tags) == {"O"} for row in corpus.ner_pretrain)
    assert 0.03 < empty / len(corpus.ner_pretrain) < 0.3


def test_every_label_of_a_test_is_in_its_train(corpus, small):
    for made in (corpus, small):
        for app in NER_APPS:
            assert concepts(made.ner[app]["test"]) <= concepts(made.ner[app]["train"])
        for app in TC_APPS:
            train, test = ({r.labels for r in made.tc[app][s]} for s in ("train", "test"))
            assert test == train
    assert concepts(corpus.ner["calendar"]["test"]) == {
        "event",
        "date",
        "time",
        "place",
        "attendee",
    }
    assert len({row.labels for row in corpus.tc["intent"]["train"]}) == 12


def test_templates_are_many():
    assert sum("{" in template for template in words.WEAK) >= 60
    for app in (*words.NER.values(), *words.TC["spam"].values()):
        assert len(app["train"]) >= 12
        assert len(app["test"]) >= 8
    for splits in words.TC["intent"].values():
        assert len(splits["train"]) >= 5
        assert len(splits["test"]) >= 3
    assert all(len(groups) >= 25 for groups in words.PAIRS.values())


def test_every_slot_has_values(drawn):
    values = ValueMaker(random.Random(0), make_fakers(), held=True)
    for template in itertools.chain(*templates_by_split().values()):
        assert template.count("{") == len(re.findall(r"\{[a-z]+\d?\}", template))
        for kind in re.findall(r"\{([a-z]+)\d?\}", template):
            assert values.make(kind).strip()
    untagged = {"number", "order", "task", "saying", "phrase", "language", "lamp"}
    weak = {kind for t in words.WEAK for kind in re.findall(r"\{([a-z]+)\d?\}", t)}
    assert not weak & untagged


def test_nothing_is_there_twice(corpus):
    parts = [[row.text for row in corpus.ner_pretrain]]
    parts += [[r.text for r in rows] for app in corpus.ner.values() for rows in app.values()]
    parts += [[r.text for r in rows] for app in corpus.tc.values() for rows in app.values()]
    parts += [[(p.query, p.positive) for p in pairs] for pairs in corpus.pairs.values()]
    for part in parts:
        assert len(set(part)) == len(part)
    for pairs in corpus.pairs.values():
        assert all(pair.query.casefold() != pair.positive.casefold() for pair in pairs)


def test_parquet_round_trip_and_an_existing_folder_is_refused(tmp_path, small):
    out = tmp_path / "phone"
    phone.write(out, 3, SMALL)
    table = pq.read_table(out / "pre_ner/phone/train.parquet").to_pylist()
    assert [tuple(row["ner_tags"]) for row in table] == [row.tags for row in small.ner_pretrain]
    assert [row["tokens"] for row in table] == [
        [row.text[start:end] for start, end in row.words] for row in small.ner_pretrain
    ]
    for app in NER_APPS:
        for split in words.SPLITS:
            file = out / "ner" / app / f"{split}.parquet"
            assert pq.read_schema(file).names == ["tokens", "ner_tags"]
            assert len(pq.read_table(file)) == len(small.ner[app][split])
    for app in TC_APPS:
        for split in words.SPLITS:
            table = pq.read_table(out / "tc" / app / f"{split}.parquet").to_pylist()
            rows = [(row.text, row.labels[0]) for row in small.tc[app][split]]
            assert [(row["text"], row["label"]) for row in table] == rows
    for source, pairs in small.pairs.items():
        table = pq.read_table(out / "pre_pairs" / source / "train.parquet").to_pylist()
        assert table == [{"query": p.query, "positive": p.positive} for p in pairs]

    with pytest.raises(UserError, match="already exists"):
        phone.write(out, 3, SMALL)
    phone.write(out, 4, Sizes(5, 5, 5, 5, 5), overwrite=True)
    assert len(pq.read_table(out / "pre_ner/phone/train.parquet")) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["phone"]


def test_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(phone.write, "__defaults__", (0, Sizes(4, 8, 12, 12, 12), False))
    main([str(tmp_path / "out"), "--seed", "2"])
    assert "pre_pairs/reply/train.parquet: 2 rows" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path / "out")])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_without_faker_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(UserError, match=re.escape("pip install onetrunk[phone]")):
        phone.generate(0, SMALL)


def test_more_rows_than_the_templates_can_yield_is_an_error():
    with pytest.raises(UserError, match="distinct rows"):
        drawing._distinct(2, [itertools.repeat("x")], lambda text: Row(text, (), ()), "x")
