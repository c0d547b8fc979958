import re
from collections.abc import Iterator
from itertools import product

import pytest
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data import iob
from onetrunk.data.schemes import SCHEMES, Converter, bare, detect, find_fault, to_iob2
from onetrunk.errors import UserError

exact = settings(derandomize=True, deadline=None, max_examples=300)

TYPES = ("PER", "LOC", "a-b", "日付")
REFERENCE = {
    "iob1": seqeval.scheme.IOB1,
    "iob2": seqeval.scheme.IOB2,
    "bioes": seqeval.scheme.IOBES,
    "bilou": seqeval.scheme.BILOU,
}
LETTERS = {"iob2": "BIIB", "bioes": "BIES", "bilou": "BILU", "bmes": "BMES"}

# Runs of words: how many, and the type or none.
runs = st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["", *TYPES])), max_size=8)


def written(sentence: list[tuple[int, str]], scheme: str) -> list[str]:
    tags: list[str] = []
    before = ""
    for length, kind in sentence:
        if not kind:
            tags += ["O"] * length
        elif scheme == "iob1":
            tags += [f"{'B' if kind == before else 'I'}-{kind}", *[f"I-{kind}"] * (length - 1)]
        else:
            first, inner, last, only = LETTERS[scheme]
            middle = [f"{inner}-{kind}"] * (length - 2)
            ends = [f"{first}-{kind}", *middle, f"{last}-{kind}"]
            tags += ends if length > 1 else [f"{only}-{kind}"]
        before = kind
    return tags


def at(item: int) -> str:
    return f"F:{item + 1}"


@exact
@given(runs, st.sampled_from(SCHEMES))
def test_converted_entities_equal_seqevals(sentence: list[tuple[int, str]], scheme: str) -> None:
    tags = written(sentence, scheme)
    found = seqeval.scheme.Entities([tags], scheme=REFERENCE[scheme]).entities[0]
    assert find_fault(tags, scheme) is None
    assert iob.entities(to_iob2(tags, scheme)) == [(e.start, e.end, e.tag) for e in found]


@exact
@given(runs, st.sampled_from([*SCHEMES, "bmes"]))
def test_every_scheme_is_found_and_converted(sentence: list[tuple[int, str]], scheme: str) -> None:
    tags = written(sentence, scheme)
    converter = Converter()
    assert converter.convert(tags, at) == written(sentence, "iob2")
    some = any(kind for _, kind in sentence)
    assert converter.scheme == (scheme.replace("bmes", "bioes") if some else None)


def sentences(length: int) -> Iterator[list[tuple[int, str]]]:
    """Every way to cut so many words into runs of "", X and Y."""
    if not length:
        yield []
    for first in range(1, length + 1):
        for kind in ("", "X", "Y"):
            for rest in sentences(length - first):
                yield [(first, kind), *rest]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_valid_is_exactly_what_can_be_written(scheme: str) -> None:
    alphabet = ["O", *(f"{letter}-{kind}" for letter in "BIESLU" for kind in "XY")]
    for length in (1, 2, 3):
        can_be_written = {tuple(written(sentence, scheme)) for sentence in sentences(length)}
        every = product(alphabet, repeat=length)
        assert {tags for tags in every if not find_fault(tags, scheme)} == can_be_written


@exact
@given(st.lists(st.tuples(runs, st.sampled_from(SCHEMES)), min_size=2, max_size=4))
def test_two_schemes_never_pass(mixed: list[tuple[list[tuple[int, str]], str]]) -> None:
    converter = Converter()
    shown: set[str] = set()
    for sentence, scheme in mixed:
        tags = written(sentence, scheme)
        if any(kind for _, kind in sentence):
            shown.add(scheme)
        if len(shown) > 1:
            with pytest.raises(UserError, match="write all tags in one scheme"):
                converter.convert(tags, at)
            return
        assert converter.convert(tags, at) == written(sentence, "iob2")


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (["O"], None),
        (["O", "B-A"], ("iob2", 1)),
        (["B-A", "I-A", "B-A"], ("iob2", 0)),
        (["O", "I-A", "B-A"], ("iob1", 1)),
        (["B-A", "I-A", "E-A"], ("bioes", 2)),
        (["B-A", "M-A", "E-A"], ("bioes", 1)),
        (["B-A", "E-B"], ("iob2", 0)),
        (["O", "U-A"], ("bilou", 1)),
        (["B-A", "L-A"], ("bilou", 1)),
        (["S-A"], ("bioes", 0)),
        (["X"], ("iob2", 0)),
        ([""], ("iob2", 0)),
    ],
)
def test_detect(tags: list[str], found: tuple[str, int] | None) -> None:
    assert detect(tags) == found


@pytest.mark.parametrize(
    ("scheme", "tags", "message"),
    [
        ("iob2", ["I-A"], "F:1: tag 1 'I-A' does not continue an entity; write B-A to start one"),
        ("iob1", ["B-A"], "F:1: tag 1 'B-A' follows no entity of its type; IOB1 writes I-A"),
        ("iob1", ["I-A", "E-A"], "F:2: tag 2 'E-A' is not O, B-type or I-type"),
        ("bioes", ["B-A", "O"], "F:1: tag 1 'B-A' leaves its entity without an end"),
        ("bioes", ["B-A", "I-A"], "F:2: tag 2 'I-A' leaves its entity without an end"),
        ("bioes", ["O", "E-A"], "F:2: tag 2 'E-A' does not continue an entity"),
        ("bioes", ["L-A"], "F:1: tag 1 'L-A' is not O, B-type, I-type, E-type or S-type"),
        ("bilou", ["S-A"], "F:1: tag 1 'S-A' is not O, B-type, I-type, L-type or U-type"),
        ("bilou", ["U-"], "F:1: tag 1 'U-' is not O, B-type, I-type, L-type or U-type"),
    ],
)
def test_a_given_scheme_is_held_to(scheme: str, tags: list[str], message: str) -> None:
    with pytest.raises(UserError) as caught:
        Converter(scheme).convert(tags, at)
    assert str(caught.value) == message


def test_unknown_scheme() -> None:
    with pytest.raises(UserError, match=r"scheme 'bio' is unknown; did you mean 'bilou'\? valid"):
        Converter("bio")


@pytest.mark.parametrize(
    ("tag", "meant"),
    [("B_PER", "B-PER"), ("i:x", "I-x"), ("PER-B", "B-PER"), ("0", "O"), ("-", None),
     ("b-A-B", "B-A-B"),
     ("PER", None), ("X-A", None), ("B-", None), ("O-PER", None)],
)  # fmt: skip
def test_tags_that_are_nearly_right(tag: str, meant: str | None) -> None:
    with pytest.raises(UserError) as caught:
        Converter("iob2").convert([tag], at)
    assert str(caught.value).partition("; did you mean ")[2] == (f"{meant!r}?" if meant else "")


@pytest.mark.parametrize("tag", ["B-PER|B-LOC", "I-A,I-B", "B-A; I-B", "S-A#B-B", "B-A/I-B"])
def test_tags_that_join_several(tag: str) -> None:
    with pytest.raises(UserError, match=f"F:2: tag 2 '{re.escape(tag)}' joins several tags; write"):
        Converter().convert(["O", tag], at)
    for one in ("B-R&D", "B-person/group", "B-A|B", "B-a-b", "B-x/I"):
        assert Converter().convert([one], at) == [one]


@pytest.mark.parametrize("tag", ["B-A ", " B-A", "B- A", "B-A\u00a0", "B-A\u200b", "B-\u2009A"])
def test_white_space_makes_no_other_type(tag: str) -> None:
    """Readers of text files leave it out; in a list it was written, and is refused."""
    assert bare(tag) == "B-A"
    with pytest.raises(UserError) as caught:
        Converter().convert(["O", tag], at)
    why = f"tag 2 {tag!a} has white space or invisible characters; write 'B-A'"
    assert str(caught.value) == f"F:2: {why}"
    for same in ("B-A B", "O", "B-", "", "x", "B-New\u200bYork"):
        assert bare(same) == same


def test_a_type_in_two_spellings() -> None:
    with pytest.raises(UserError) as caught:
        Converter().convert(["B-PER", "I-Per"], at)
    assert str(caught.value) == "F:2: tag 2 'I-Per' follows a 'PER': write it in one way"
