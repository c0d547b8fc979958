from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.data.alignment import (
    encode,
    encode_windows,
    first_tokens,
    window_stride,
    window_units,
)
from onetrunk.data.rows import Span, TaggedText

exact = settings(derandomize=True, deadline=None, max_examples=150)

TEXTS = {
    "plain": "call mum in new york, now!",
    "long words": "antidisestablishmentarianism xyzzyplugh",
    "emoji": "call 😀 mum 👩‍👩‍👧 👍🏽 now 🇫🇷!",
    "combining marks": "cafe\u0301 nai\u0308ve e\u0301\u0302\u0303 o\u0327k",
    "precomposed": "café naïve Ångström İstanbul ſtraße ﬁne",
    "zero width": "new\u200byork mu\u200dm \u200b \u200d a\u200cb\ufeff",
    "soft hyphen": "in\u00adto the\u00ad \u00ad end",
    "right to left": "שלום new מרחבא مرحبا يور",
    "cjk": "日本語abc北京に行く。東京",
    "controls": "a\x00b\tc\nd\r\n\x7fe \ufffd f",
    "no-break": "new\u00a0york\u3000paris",
    "only marks": "\u0301\u0301",
    "empty": "",
    "blank": " \t ",
}


def brute_force(words: Any, offsets: Any) -> list[int]:
    """The first token that shares a character with the word."""
    return [
        next(
            (i for i, (a, b) in enumerate(offsets) if max(a, start) < min(b, end)),
            -1,
        )
        for start, end in words
    ]


@pytest.mark.parametrize("max_length", [64, 9, 4, 2])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_first_token_overlaps_its_word(tiny_tokenizer: Any, text: str, max_length: int) -> None:
    (encoded,) = encode(tiny_tokenizer, [text], max_length)
    words = TaggedText.from_text(text).words
    found = first_tokens(words, encoded.offsets)
    assert found == brute_force(words, encoded.offsets)
    assert len(found) == len(words)
    for (start, end), at in zip(words, found, strict=True):
        overlapping = [
            i for i, (a, b) in enumerate(encoded.offsets) if a < end and start < b and a < b
        ]
        assert at == (overlapping[0] if overlapping else -1)
        if at >= 0:
            assert encoded.ids[at] not in tiny_tokenizer.convert_tokens_to_ids(["[CLS]", "[SEP]"])


@pytest.mark.parametrize("name", ["plain", "emoji", "precomposed", "right to left", "cjk"])
def test_every_visible_word_of_a_short_text_has_a_token(tiny_tokenizer: Any, name: str) -> None:
    (encoded,) = encode(tiny_tokenizer, [TEXTS[name]], 512)
    words = TaggedText.from_text(TEXTS[name]).words
    assert len(words) > 2
    assert -1 not in first_tokens(words, encoded.offsets)


@exact
@given(st.text(st.sampled_from("ab Zé\u0301日שم\u200b\u200d😀👍🏽.\u00ad'\t"), max_size=25))
def test_first_tokens_equal_a_search_on_any_text(text: str) -> None:
    words = TaggedText.from_text(text).words
    for offsets in (_characters(text), _pairs(text)):
        assert first_tokens(words, offsets) == brute_force(words, offsets)


def _characters(text: str) -> list[Span]:
    """Tokens of one character, special ones around them, white space left out."""
    return [(0, 0), *((i, i + 1) for i, c in enumerate(text) if not c.isspace()), (0, 0)]


def _pairs(text: str) -> list[Span]:
    """Tokens of two characters, some of them across words, and empty ones between."""
    spans = [span for i in range(0, len(text), 2) for span in ((i, i), (i, min(i + 2, len(text))))]
    return [(0, 0), *spans, (0, 0)]


@st.composite
def _intervals(draw: Any, empty: bool) -> list[Span]:
    """Ascending, disjoint spans with gaps."""
    at, spans = 0, []
    for gap, size in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(not empty, 4)))):
        spans.append((at + gap, at + gap + size))
        at += gap + size
    return spans


@exact
@given(_intervals(empty=False), _intervals(empty=True))
def test_first_tokens_equal_a_search_on_any_spans(words: list[Span], offsets: list[Span]) -> None:
    assert first_tokens(words, offsets) == brute_force(words, offsets)


def test_tokens_that_share_a_span_count_once() -> None:
    # A byte-level tokenizer gives the parts of one character the same span.
    assert first_tokens([(0, 1), (1, 3)], [(0, 0), (0, 1), (0, 1), (0, 1), (1, 3)]) == [1, 4]


def test_one_token_may_cover_two_words() -> None:
    assert first_tokens([(0, 2), (2, 4), (5, 6)], [(0, 0), (0, 4), (5, 6)]) == [1, 1, 2]


def test_truncated_words_have_no_token(tiny_tokenizer: Any) -> None:
    text = "new york paris river bank"
    (encoded,) = encode(tiny_tokenizer, [text], 5)
    assert first_tokens(TaggedText.from_text(text).words, encoded.offsets) == [1, 2, 3, -1, -1]


def test_encode_keeps_specials_and_offsets(tiny_tokenizer: Any) -> None:
    text = "New york mumq"
    (encoded,) = encode(tiny_tokenizer, [text], 64)
    names = tiny_tokenizer.convert_ids_to_tokens(list(encoded.ids))
    assert names == ["[CLS]", "new", "york", "mum", "##q", "[SEP]"]
    assert encoded.offsets == ((0, 0), (0, 3), (4, 8), (9, 12), (12, 13), (0, 0))
    assert not encoded.truncated


@pytest.mark.parametrize(
    ("max_length", "truncated"), [(3, True), (5, True), (6, False), (7, False), (64, False)]
)
def test_truncated_says_that_text_was_lost(
    tiny_tokenizer: Any, max_length: int, truncated: bool
) -> None:
    (encoded,) = encode(tiny_tokenizer, ["new york paris river"], max_length)
    assert encoded.truncated == truncated
    assert len(encoded.ids) == min(max_length, 6)
    assert encoded.ids[-1] == tiny_tokenizer.sep_token_id


def test_rows_do_not_depend_on_each_other(tiny_tokenizer: Any) -> None:
    texts = list(TEXTS.values())
    together = encode(tiny_tokenizer, texts, 12)
    assert together == [encode(tiny_tokenizer, [text], 12)[0] for text in texts]
    assert any(row.truncated for row in together)
    assert not all(row.truncated for row in together)
    assert encode(tiny_tokenizer, [], 12) == []


def test_empty_text_is_its_special_tokens(tiny_tokenizer: Any) -> None:
    (encoded,) = encode(tiny_tokenizer, [""], 12)
    assert encoded.ids == (tiny_tokenizer.cls_token_id, tiny_tokenizer.sep_token_id)
    assert not encoded.truncated


def test_lone_surrogates_do_not_crash(tiny_tokenizer: Any) -> None:
    # JSON can carry half a surrogate pair: "\ud83d" is valid there and no Unicode text.
    (encoded,) = encode(tiny_tokenizer, ["new \ud83d york"], 12)
    words = TaggedText.from_text("new \ud83d york").words
    found = first_tokens(words, encoded.offsets)
    assert found[0] == 1
    assert encoded.offsets[found[-1]] == (6, 10)


def test_threads_may_truncate_one_tokenizer_to_different_lengths(tiny_tokenizer: Any) -> None:
    faults: list[str] = []

    def work(length: int) -> None:
        for _ in range(60):
            try:
                rows = encode(tiny_tokenizer, ["new york " * 40] * 4, length)
            except RuntimeError as error:
                faults.append(str(error))
            else:
                faults.extend(f"{length}: {len(r.ids)}" for r in rows if len(r.ids) != length)

    threads = [threading.Thread(target=work, args=(length,)) for length in (10, 20, 30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []


# Windows


@exact
@given(
    st.lists(st.sampled_from(["new", "york", "mumq", "日本", "x\u200by", "\u200b"]), max_size=60),
    st.integers(6, 20),
)
def test_every_word_is_read_once_and_in_order(
    tiny_tokenizer: Any, words: list[str], max_length: int
) -> None:
    row = TaggedText.from_words(words)
    (windows,) = encode_windows(tiny_tokenizer, [row.text], max_length)
    (whole,) = encode(tiny_tokenizer, [row.text], 10_000)
    units = window_units(row.words, windows)
    assert all(len(window.ids) <= max_length for window in windows)
    seen = [
        (word, window, at)
        for window, tokens in enumerate(units)
        for word, at in enumerate(tokens)
        if at >= 0
    ]
    # The same words as in one window that holds everything, each by its first token there.
    alone = {
        w: whole.offsets[at]
        for w, at in enumerate(first_tokens(row.words, whole.offsets))
        if at >= 0
    }
    assert {word: windows[window].offsets[at] for word, window, at in seen} == alone
    assert [word for word, _, _ in seen] == sorted(alone)  # once each; windows keep the order


def test_a_word_is_read_where_it_has_most_around_it(tiny_tokenizer: Any) -> None:
    words = ["new"] * 30
    row = TaggedText.from_words(words)
    (windows,) = encode_windows(tiny_tokenizer, [row.text], 18)
    shared, step = window_stride(18), 16 - window_stride(18)
    assert shared == 4
    assert [window.offsets[1][0] for window in windows] == [0, 4 * step, 8 * step]
    first, second, third = (
        [at >= 0 for at in tokens] for tokens in window_units(row.words, windows)
    )
    assert first == [True] * (step + 2) + [False] * (30 - step - 2)  # half of what is shared
    assert second == [False] * (step + 2) + [True] * step + [False] * (30 - 2 * step - 2)
    assert third == [False] * (2 * step + 2) + [True] * (30 - 2 * step - 2)
