"""Overlap with evaluation sets, on generated text, against an all-pairs reference."""

from __future__ import annotations

import json
from itertools import count, islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.contamination.index import (
    KINDS,
    EvaluationIndex,
    Overlap,
    OverlapSettings,
    normalised_words,
    shingles,
)
from onetrunk.contamination.removal import SourceReport, decontaminate, decontamination_report
from onetrunk.errors import UserError

WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in ("a", "eri", "ou") for c in "lmnrst"]
QUOTED = "She said: “don't take the 10:30 train, it's always late!”"
TOKENISED = "she said : “ do n't take the 10:30 train , it 's always late ! ”"


def sentences(seed: int, number: int, low: int = 8, high: int = 16) -> list[list[str]]:
    """Sentences of distinct words."""
    rng = np.random.default_rng(seed)
    return [
        [WORDS[i] for i in rng.permutation(len(WORDS))[: rng.integers(low, high)]]
        for _ in range(number)
    ]


def index_of(*texts: str, name: str = "set/test", **settings: float) -> EvaluationIndex:
    index = EvaluationIndex(OverlapSettings(**settings))
    index.add(name, texts)
    return index


def found(index: EvaluationIndex, text: str) -> Overlap:
    (overlap,) = index.check([text])
    assert overlap is not None
    return overlap


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (QUOTED, "exact"),
        (QUOTED + " ", "normalised"),
        (QUOTED.upper(), "normalised"),
        (TOKENISED, "normalised"),
        (QUOTED.replace("a", "ａ"), "normalised"),  # full width
        (QUOTED.replace("always", "rarely"), "near"),
        (TOKENISED.replace("always", "rarely"), "near"),
        ("And then, as ever, " + TOKENISED + " she did .", "contained"),
    ],
)
def test_ways_to_overlap(text: str, kind: str) -> None:
    index = index_of("Nothing to see here, nothing at all, walk on.", QUOTED)
    overlap = found(index, text)
    assert (overlap.kind, overlap.evaluation_set, overlap.row) == (kind, "set/test", 1)
    assert (overlap.similarity == 1) == (kind in ("exact", "normalised"))


def test_scripts() -> None:
    index = index_of(
        "我们明天早上八点在车站见面",
        "मैं कल सुबह आठ बजे आऊंगा",
        "Straße nach Österreich ist heute gesperrt",
    )
    assert found(index, "我们明天早上九点在车站见面").kind == "near"
    assert found(index, "我们，明天早上八点，在车站见面。").kind == "normalised"
    assert index.check(["मैं कल सुबह आठ बजे आऊंगी"]) == [None]  # marks count; six words: identity only
    assert found(index, "STRASSE NACH O\u0308STERREICH IST HEUTE GESPERRT").kind == "normalised"


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("พรุ่งนี้ฉันจะไปเชียงใหม่", "พรุ่งนี้ฉันจะไปเชียงรายกับแม่"),
        ("내일서울에서만나요", "내일서울에서만나자"),
        ("明日東京で会いましょう", "明日東京で会いますか"),
        ("မနက်ဖြန်ရန်ကုန်သွားမယ်", "မနက်ဖြန်ရန်ကုန်သွားမလား"),
    ],
)
def test_scripts_without_spaces_between_words(text: str, changed: str) -> None:
    index = index_of(text)
    assert index.sets["set/test"]["too_short"] == 0
    assert found(index, f"« {text} »").kind == "normalised"
    assert found(index, f"abc {text}{text[:3]} def").kind == "contained"
    assert found(index_of(changed, threshold=0.6), text).kind == "near"


@pytest.mark.parametrize(
    "text", ["yes", "Thank you!", "10:30 am", "", "…", "👍👍👍👍👍", "four words, not five"]
)
def test_short_texts_are_no_leak(text: str) -> None:
    index = index_of(text)
    assert index.check([text]) == [None]
    assert index.sets["set/test"]["too_short"] == 1
    assert index.check([f"{text} and so on and so forth until the very end"]) == [None]


def test_between_five_and_eight_words_only_identity_counts() -> None:
    index = index_of("one two three four five")
    assert found(index, "one two three four five").kind == "exact"
    assert found(index, "One, two, three, four, five!").kind == "normalised"
    assert index.check(["one two three four six"]) == [None]
    assert index.check(["zero one two three four five six seven eight"]) == [None]
    wide = index_of("one two three four five", near_words=5)
    assert found(wide, "zero one two three four five six seven eight").kind == "contained"


def test_contained_is_whole_words_the_longest_first() -> None:
    short, long = " ".join(WORDS[:9]), " ".join(WORDS[:12])
    index = index_of(short, long)
    overlap = found(index, f"so {long} and more of the same")
    assert (overlap.kind, overlap.row) == ("contained", 1)
    assert overlap.similarity == pytest.approx(12 / 18)
    assert found(index, f"so {short} and more of the same, and more, and more").row == 0
    assert index.check([f"so{short}and more of the same, and more, and more"]) == [None]


def test_one_changed_word_is_always_found() -> None:
    """Every place of sentences of eight words and more: this tests threshold and hashing."""
    originals = sentences(0, 300)
    index = index_of(*map(" ".join, originals))
    changed = [
        (row, " ".join([*words[:at], "changed", *words[at + 1 :]]))
        for row, words in enumerate(originals)
        for at in range(len(words))
    ]
    overlaps = index.check([text for _, text in changed])
    missed = [at for at, overlap in enumerate(overlaps) if overlap is None]
    assert len(missed) <= len(changed) / 1000
    assert all(
        o.kind == "near" and o.row == row
        for (row, _), o in zip(changed, overlaps, strict=True)
        if o
    )


def test_near_agrees_with_all_pairs() -> None:
    """Each word replaced with probability 0.2: similarities on both sides of the threshold."""
    originals = sentences(1, 200)
    rng = np.random.default_rng(2)
    mutated = [
        [WORDS[rng.integers(len(WORDS))] if rng.random() < 0.1 else w for w in s] for s in originals
    ]
    index = index_of(*map(" ".join, originals))
    sets = [shingles(words) for words in originals]
    above = 0
    for words, overlap in zip(mutated, index.check(list(map(" ".join, mutated))), strict=True):
        own = shingles(words)
        best = max(len(own & other) / len(own | other) for other in sets)
        above += 0.65 <= best < 1
        assert (overlap.similarity if overlap else 0) == (best if best >= 0.65 else 0)
    assert 40 < above < 160


def test_unrelated_texts_are_kept() -> None:
    index = index_of(*map(" ".join, sentences(3, 2000)))
    assert not any(index.check(list(map(" ".join, sentences(4, 2000)))))


@settings(derandomize=True, max_examples=50, deadline=None)
@given(st.lists(st.text(st.characters(codec=None), max_size=40), max_size=8), st.text(max_size=40))
def test_any_text_is_judged_and_found_in_itself(texts: list[str], other: str) -> None:
    index = EvaluationIndex(OverlapSettings(min_words=1, near_words=2))
    index.add("a", texts)
    for text, overlap in zip(texts, index.check(texts), strict=True):
        words = normalised_words(text)
        assert (overlap is not None and overlap.kind == "exact") == bool(words)
    assert index.check([other]) == index.check([other, *texts])[:1]


def test_bulk_equals_single_and_sets_can_be_added_later() -> None:
    texts = list(map(" ".join, sentences(5, 40)))
    index = index_of(*texts[:20], name="a")
    index.add("b", (text.upper() for text in texts[10:30]))
    overlaps = index.check(texts)
    assert overlaps == [index.check([text])[0] for text in texts]
    assert [o and (o.kind, o.evaluation_set, o.also_in) for o in overlaps] == (
        [("exact", "a", ())] * 10 + [("exact", "a", ("b",))] * 10
        + [("normalised", "b", ())] * 10 + [None] * 10
    )  # fmt: skip


def test_decontaminate_a_pair_overlaps_if_either_side_does() -> None:
    held_out = list(map(" ".join, sentences(6, 30)))
    index = index_of(*held_out, "short one", name="toy/test")
    clean = list(map(" ".join, sentences(7, 9000)))
    pairs = [(clean[i], clean[i + 1]) for i in range(0, 9000, 2)]
    pairs[3] = ("yes", held_out[4])
    pairs[4200] = (held_out[5].upper(), clean[0])
    pairs[4499] = (f"well {held_out[6]} indeed", held_out[7])
    source = SourceReport()
    kept = list(decontaminate(pairs, lambda pair: pair, index, source))
    assert kept == [pair for at, pair in enumerate(pairs) if at not in (3, 4200, 4499)]
    assert (source.rows, source.texts, source.too_short) == (4500, 9000, 1)
    assert source.removed == {"exact": 2, "normalised": 1, "contained": 0, "near": 0}
    assert source.by_evaluation_set == {"toy/test": 3}
    assert [(e["row"], e["evaluation_row"]) for e in source.examples] == [
        (3, 4),
        (4200, 5),
        (4499, 7),
    ]


def test_rows_without_texts_and_no_rows() -> None:
    index, report = index_of(*map(" ".join, sentences(8, 3))), SourceReport()
    assert list(decontaminate([(), ()], lambda row: row, index, report)) == [(), ()]
    assert list(decontaminate([], lambda row: row, index, report)) == []
    assert (report.rows, report.texts) == (2, 0)
    empty = EvaluationIndex()
    assert empty.check(["one two three four five six seven eight"]) == [None]
    empty.add("none", [])
    assert empty.sets["none"]["rows"] == 0


def test_rows_stream() -> None:
    """An endless source is read a chunk at a time."""
    index = index_of(QUOTED)
    rows = (f"row number {at} of a source that never ends" for at in count())
    assert len(list(islice(decontaminate(rows, lambda r: [r], index, SourceReport()), 10))) == 10


def test_report_counts_every_set_and_holds_no_text() -> None:
    texts = list(map(" ".join, sentences(9, 20)))
    index = index_of(*texts, name="a/test")
    index.add("a_copy/test", texts)
    report = SourceReport()
    near = [text.replace(text.split()[2], "changed") for text in texts[:8]]
    rows = [*texts[:5], *map(str.upper, texts[5:7]), *near]
    assert list(decontaminate(rows, lambda r: [r], index, report)) == []
    written = json.loads(json.dumps(decontamination_report(index, {"s": report})))
    source = written["sources"]["s"]
    assert source["removed"] == {"exact": 5, "normalised": 2, "contained": 0, "near": 8}
    assert list(source["removed"]) == list(KINDS)
    assert source["by_evaluation_set"] == {"a/test": 15, "a_copy/test": 15}
    assert [e["kind"] for e in source["examples"]] == ["exact"] * 3 + ["normalised"] * 2 + [
        "near"
    ] * 3
    assert written["settings"]["threshold"] == 0.65
    assert set(written["versions"]) >= {"onetrunk", "rensa", "unicode"}
    hashes = {s["sha256"] for s in written["evaluation_sets"].values()}
    assert len(hashes) == 1
    words = set(" ".join(texts).split())
    assert not words & set(normalised_words(json.dumps(written)))


def test_hash_tells_sets_apart() -> None:
    def sha(*texts: str) -> str:
        return index_of(*texts).sets["set/test"]["sha256"]

    assert sha("a b", "c") == sha("a b", "c")
    assert (
        len({sha("a b", "c"), sha("c", "a b"), sha("a", "b c"), sha("a b"), sha("a b", "c", "")})
        == 5
    )


def test_wrong_use() -> None:
    index = index_of(QUOTED)
    with pytest.raises(UserError, match="'set/test' was added before"):
        index.add("set/test", [])
    with pytest.raises(UserError, match=r"threshold 0\.3 is not between"):
        OverlapSettings(threshold=0.3)
    with pytest.raises(UserError, match="min_words 9 and near_words 8"):
        OverlapSettings(min_words=9)
