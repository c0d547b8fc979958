import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2, Entities

from onetrunk.data.iob import entities
from onetrunk.data.schemes import find_fault

exact = settings(derandomize=True, deadline=None, max_examples=200)

# Few types, so that continuing, changing and orphan tags are all common.
types = st.sampled_from(["PER", "LOC", "a-b", "日付"])
tags = st.one_of(st.just("O"), types.map("B-{}".format), types.map("I-{}".format))
taggings = st.lists(tags, max_size=12)


def strict(tagging: list[str]) -> list[tuple[int, int, str]]:
    return [(e.start, e.end, e.tag) for e in Entities([tagging], scheme=IOB2).entities[0]]


@exact
@given(taggings)
def test_entities_equal_seqeval_strict_iob2(tagging: list[str]) -> None:
    assert entities(tagging) == strict(tagging)


@exact
@given(st.lists(st.tuples(tags, tags), min_size=1, max_size=12))
def test_f1_from_entities_equals_seqeval(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = [list(side) for side in zip(*pairs, strict=True)]
    want = f1_score([gold], [predicted], mode="strict", scheme=IOB2, zero_division=0)
    a, b = set(entities(gold)), set(entities(predicted))
    assert (2 * len(a & b) / (len(a) + len(b)) if a or b else 0) == pytest.approx(want)


@exact
@given(taggings)
def test_valid_tags_and_entities_say_the_same(tagging: list[str]) -> None:
    rebuilt = ["O"] * len(tagging)
    for start, end, kind in entities(tagging):
        rebuilt[start:end] = [f"B-{kind}"] + [f"I-{kind}"] * (end - start - 1)
    assert (rebuilt == tagging) == (find_fault(tagging) is None)


@pytest.mark.parametrize(
    ("tagging", "phrase"),
    [
        ([], None),
        (["O", "B-PER", "I-PER", "B-PER", "B-LOC", "O"], None),
        (
            ["O", "O", "I-PER"],
            "tag 3 'I-PER' does not continue an entity; write B-PER to start one",
        ),
        (["B-LOC", "I-PER"], "tag 2 'I-PER' does not continue an entity; write B-PER to start one"),
        (["I-A\nB"], "tag 1 'I-A\\nB' does not continue an entity; write B-A\\nB to start one"),
        (["O", "X-PER", "I-PER"], "tag 2 'X-PER' is not O, B-type or I-type"),
    ],
)
def test_first_fault(tagging: list[str], phrase: str | None) -> None:
    fault = find_fault(tagging)
    assert (fault and fault[1]) == phrase


@pytest.mark.parametrize("tag", ["", "B", "I", "B-", "I-", "o", "O-PER", "BPER", "b-PER", "0"])
def test_not_a_tag(tag: str) -> None:
    index, why = find_fault([tag]) or (1, "")
    meant = {"o": "O", "0": "O", "b-PER": "B-PER"}.get(tag)
    hint = f"; did you mean {meant!r}?" if meant else ""
    assert (index, why) == (0, f"tag 1 {tag!r} is not O, B-type or I-type{hint}")


def test_find_fault_counts_from_zero() -> None:
    assert find_fault(["O", "X"]) == (1, "tag 2 'X' is not O, B-type or I-type")
    assert find_fault(["O"]) is None


def test_entities_ignores_what_is_no_iob2_tag() -> None:
    assert entities(["B-A", "X-A", "I-A", "B-", "I-", "B-B", "B"]) == [(0, 1, "A"), (5, 6, "B")]
