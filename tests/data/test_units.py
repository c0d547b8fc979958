"""What is true of units for any text and any tokens."""

from __future__ import annotations

import re
from itertools import chain, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from onetrunk.bundle.parity import hostile_texts
from onetrunk.data.alignment import encode, encode_windows, window_stride
from onetrunk.data.rows import Entity, Span
from onetrunk.data.units import in_characters, in_units, unit_spans, units_of
from onetrunk.data.words import words_of

exact = settings(
    derandomize=True,
    deadline=None,
    max_examples=300,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SPACE = re.compile(r"\s")
texts = st.text(
    st.sampled_from(
        "abZé_1\u0301日本か\u3099한น่שם\u0651\u200b\u200d\u00ad\ufe0f\ufffd\ue000😀👍🏽🇳.@-:' \t\x1c"
    ),
    max_size=25,
)


@st.composite
def texts_with_tokens(draw: Any) -> tuple[str, list[Span]]:
    """A text, and tokens at any characters of it: some empty, some that share characters."""
    text = draw(texts)
    edges = st.lists(st.integers(0, len(text)), max_size=30)
    starts = sorted(draw(edges))
    ends = sorted(draw(edges))
    return text, sorted((min(a, b), max(a, b)) for a, b in zip(starts, ends, strict=False))


@pytest.fixture(scope="module")
def bytes_tokenizer() -> Tokenizer:
    """Tokens are bytes, so those of one character have the same span; no special tokens."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {byte: i for i, byte in enumerate([*alphabet, "Ġn", "ew"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("Ġ", "n"), ("e", "w")]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return tokenizer


def share(one: Span, other: Span) -> bool:
    """Whether two spans have a character in common."""
    return max(one[0], other[0]) < min(one[1], other[1])


def check(text: str, tokens: list[Span]) -> list[Span]:
    """The units, of which everything that makes them units is true."""
    words, units = words_of(text), unit_spans(text, tokens)
    # They ascend and do not overlap; each is whole words.
    assert all(start < end for start, end in units)
    assert all(before[1] <= after[0] for before, after in pairwise(units))
    members = [[word for word in words if share(word, unit)] for unit in units]
    assert [(of_unit[0][0], of_unit[-1][1]) for of_unit in members] == units
    # Each has a token; one that reaches into a word is of one unit.
    assert all(any(share(unit, token) for token in tokens) for unit in units)
    for token in tokens:
        if any(share(word, token) for word in words):
            assert sum(share(unit, token) for unit in units) == 1
    # They are no longer than that: words with tokens are of one unit only if they share one.
    with_tokens = [word for word in words if any(share(word, token) for token in tokens)]
    for one, other in pairwise(with_tokens):
        together = any(share(one, unit) and share(other, unit) for unit in units)
        assert together == any(share(one, token) and share(other, token) for token in tokens)
    # No white space parts a word without a token from the rest of its unit.
    for one, other in chain.from_iterable(map(pairwise, members)):
        assert {one, other} <= set(with_tokens) or not SPACE.search(text, one[1], other[0])
    # Only such a word is of no unit, and only if white space parts it from all units.
    left_out = [word for word in words if not any(share(word, unit) for unit in units)]
    assert not set(left_out) & set(with_tokens)
    for start, end in left_out:
        gaps = [(stop, start) for _, stop in units if stop <= start]
        gaps += [(end, first) for first, _ in units if first >= end]
        assert all(SPACE.search(text, *gap) for gap in gaps)
    return units


@exact
@given(texts_with_tokens())
def test_units_of_any_tokens(drawn: tuple[str, list[Span]]) -> None:
    text, tokens = drawn
    check(text, tokens)


@exact
@given(texts)
def test_units_of_tokenizers(tiny_tokenizer: Any, bytes_tokenizer: Any, text: str) -> None:
    for tokenizer in (tiny_tokenizer, bytes_tokenizer):
        (encoded,) = encode(tokenizer, [text], 10_000)
        check(text, list(encoded.offsets))


def test_units_of_hostile_texts(tiny_tokenizer: Any, bytes_tokenizer: Any) -> None:
    every = hostile_texts(200)
    for tokenizer in (tiny_tokenizer, bytes_tokenizer):
        for text, encoded in zip(every, encode(tokenizer, every, 10_000), strict=True):
            check(text, list(encoded.offsets))


@exact
@given(
    st.text("abcdefxyz", min_size=2, max_size=12),
    st.lists(st.sampled_from("\u00ad\u200b\u2060\ufeff\u200c\u200d\ufe0f"), min_size=1, max_size=3),
    st.data(),
)
def test_invisible_characters_do_not_divide_a_word(
    tiny_tokenizer: Any, word: str, invisible: list[str], data: Any
) -> None:
    at = data.draw(st.integers(1, len(word) - 1))
    changed = word[:at] + "".join(invisible) + word[at:]
    text = f"in {changed}, now"
    (encoded,) = encode(tiny_tokenizer, [text], 64)
    units = unit_spans(text, encoded.offsets)
    assert [text[start:end] for start, end in units] == ["in", changed, ",", "now"]


@pytest.mark.parametrize(
    ("text", "tokens", "units"),
    [
        ("日本語文", [(0, 2), (2, 4)], ["日本", "語文"]),
        ("日本語文", [(0, 1), (1, 3), (3, 4)], ["日", "本語", "文"]),
        (" new york", [(0, 4), (4, 9)], ["new", "york"]),  # the space is the token's
        ("new york", [(0, 8)], ["new york"]),
        ("a.b", [(0, 2), (1, 3)], ["a.b"]),  # a chain of tokens that share characters
        ("é!", [(0, 0), (0, 1), (0, 1), (1, 2), (0, 0)], ["é", "!"]),  # bytes of one character
        ("a \ufffd b", [(0, 1), (4, 5)], ["a", "b"]),
        ("a\ufffd b", [(0, 1), (3, 4)], ["a\ufffd", "b"]),
        ("a \ufffdb", [(0, 1), (3, 4)], ["a", "\ufffdb"]),
        ("a \ufffd\ue000b", [(0, 1), (4, 5)], ["a", "\ufffd\ue000b"]),
        ("\ufffd \ufffdb", [(3, 4)], ["\ufffdb"]),
        ("\ufffd", [(0, 0)], []),
        ("", [], []),
    ],
)
def test_units_by_hand(text: str, tokens: list[Span], units: list[str]) -> None:
    assert [text[start:end] for start, end in unit_spans(text, tokens)] == units


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("call mum, now!", ["call", "mum", ",", "now", "!"]),
        ("ann@b-c.org 9:45!!", ["ann@b-c.org", "9:45", "!!"]),
        ("cafe\u0301 nai\u0308ve", ["cafe\u0301", "nai\u0308ve"]),
        ("日本abc北", ["日", "本", "abc", "北"]),
        ("שלום new", ["שלום", "new"]),
        ("\u200bnew\u200b york\u00ad", ["new", "york"]),
        ("new\u00a0york\u3000paris", ["new", "york", "paris"]),
        ("mu\x00m", ["mu\x00m"]),  # BERT drops the character, and reads "mum"
        ("\u0301\u0301", []),
        (" \t ", []),
    ],
)
def test_units_of_bert(tiny_tokenizer: Any, text: str, units: list[str]) -> None:
    (encoded,) = encode(tiny_tokenizer, [text], 64)
    assert [text[start:end] for start, end in unit_spans(text, encoded.offsets)] == units


# Windows


@exact
@given(
    st.lists(
        st.sampled_from(
            ["new ", "york", " mumq", "日本", "x\u200by", "\u200b", "\ufffd", "😀", " "]
        ),
        max_size=60,
    ).map("".join),
    st.integers(6, 20),
)
def test_every_unit_is_read_once_and_in_order(
    tiny_tokenizer: Any, bytes_tokenizer: Any, text: str, max_length: int
) -> None:
    """The same units as in one window that holds everything, each by its first token there."""
    for tokenizer in (tiny_tokenizer, bytes_tokenizer):
        (windows,) = encode_windows(tokenizer, [text], max_length)
        assert all(len(window.ids) <= max_length for window in windows)
        whole = encode(tokenizer, [text], 10_000)
        spans, tokens = units_of(text, windows)
        alone = units_of(text, whole)
        assert list(spans) == list(alone.spans) == unit_spans(text, whole[0].offsets)
        assert len(tokens) == len(windows)
        read = [
            (window.offsets[at], window.ids[at])
            for window, of_window in zip(windows, tokens, strict=True)
            for at in of_window
        ]
        assert read == [(whole[0].offsets[at], whole[0].ids[at]) for at in alone.tokens[0]]
        assert all(map(share, spans, (offsets for offsets, _ in read)))


def test_a_unit_is_read_where_it_has_most_around_it(tiny_tokenizer: Any) -> None:
    text = " ".join(["new"] * 30)
    (windows,) = encode_windows(tiny_tokenizer, [text], 18)
    shared, step = window_stride(18), 16 - window_stride(18)
    assert shared == 4
    assert [window.offsets[1][0] for window in windows] == [0, 4 * step, 8 * step]
    first, second, third = units_of(text, windows).tokens
    assert first == [*range(1, step + 3)]  # half of what is shared
    assert second == [*range(3, step + 3)]
    assert third == [*range(3, 30 - 2 * step + 1)]


# Entities


@st.composite
def spans_with_ranges(draw: Any) -> tuple[list[Span], list[Entity]]:
    """Units with gaps, and entities of them that do not overlap."""
    sizes = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 4)), max_size=12))
    edges = [0, *chain.from_iterable(sizes)]
    places = [sum(edges[: n + 1]) for n in range(len(edges))]
    spans = [*zip(places[1::2], places[2::2], strict=True)]
    cuts = sorted(draw(st.lists(st.integers(0, len(spans)), max_size=8)))
    pairs = [(first, stop) for first, stop in zip(cuts[::2], cuts[1::2], strict=False)]
    kinds = st.sampled_from(["loc", "per"])
    return spans, [(first, stop, draw(kinds)) for first, stop in pairs if first < stop]


@exact
@given(spans_with_ranges())
def test_entities_at_borders_of_units_come_back(drawn: tuple[list[Span], list[Entity]]) -> None:
    spans, ranges = drawn
    entities = in_characters(ranges, spans)
    assert in_units(entities, spans) == ranges
    assert in_characters(in_units(entities, spans), spans) == entities


@exact
@given(spans_with_ranges(), st.lists(st.integers(0, 40), max_size=8).map(sorted))
def test_entities_have_the_units_that_they_share_a_character_with(
    drawn: tuple[list[Span], list[Entity]], edges: list[int]
) -> None:
    spans, _ = drawn
    pairs = zip(edges[::2], edges[1::2], strict=False)
    entities = [(start, end, "loc") for start, end in pairs if start < end]
    taken: set[int] = set()
    expected = []
    for start, end, kind in entities:
        shared = [n for n, span in enumerate(spans) if share(span, (start, end)) and n not in taken]
        taken.update(shared)
        if shared:
            expected.append((shared[0], shared[-1] + 1, kind))
    assert in_units(entities, spans) == expected
