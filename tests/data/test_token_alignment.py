"""Student and teacher tokens paired by the characters they share."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from onetrunk.data.alignment import align_tokens, chain_offsets, encode
from onetrunk.data.rows import Span
from onetrunk.errors import UserError

exact = settings(derandomize=True, deadline=None, max_examples=150)

LINES = ["call mum in new york now", "the river bank is in paris, play music!", "ann met bob"] * 5
TEXTS = {
    "plain": "call mum  in new york, now!",
    "emoji": "call 😀 mum 👩‍👩‍👧 👍🏽 now 🇫🇷!",
    "combining marks": "cafe\u0301 nai\u0308ve e\u0301\u0302\u0303 o\u0327k",
    "compatibility": "ﬁne ½ ﷺ Å ① ſt",
    "zero width": "new\u200byork mu\u200dm \u200b \u200d a\u200cb\ufeff",
    "right to left": "שלום new مرحبا يور",
    "cjk": "日本語abc北京に行く。東京",
    "controls": "a\x00b\tc\nd\r\n\x7fe \ufffd f",
    "only marks": "\u0301\u0301",
    "half a pair": "call \ud83d mum",
    "empty": "",
    "blank": " \t ",
}

Pairs = dict[tuple[int, int], float]


def paired(student: Any, teacher: Any) -> Pairs:
    pairs = align_tokens(student, teacher)
    found = list(zip(pairs.student.tolist(), pairs.teacher.tolist(), strict=True))
    assert found == sorted(set(found))
    return dict(zip(found, pairs.weight.tolist(), strict=True))


def laid_out(offsets: list[Span]) -> list[tuple[Fraction, Fraction]]:
    """Tokens laid one behind the other, each as long as its shares of the characters it covers."""
    covering: dict[int, int] = {}
    for start, end in offsets:
        for character in range(start, end):
            covering[character] = covering.get(character, 0) + 1
    at, extents = Fraction(0), []
    for start, end in offsets:
        if start < end:
            at = max(at, Fraction(start))
        begin = at
        at += sum((Fraction(1, covering[c]) for c in range(start, end)), Fraction(0))
        extents.append((begin, at))
        if start < end:
            assert start <= begin < at <= end  # a token's share lies inside the token
    return extents


def brute_force(student: list[Span], teacher: list[Span]) -> Pairs:
    theirs = laid_out(teacher)
    pairs: Pairs = {}
    for i, (start, end) in enumerate(laid_out(student)):
        shared = {
            j: min(end, stop) - max(start, begin)
            for j, (begin, stop) in enumerate(theirs)
            if min(end, stop) > max(start, begin)
        }
        for j, characters in shared.items():
            pairs[i, j] = float(characters / sum(shared.values()))
    return pairs


@st.composite
def _offsets(draw: Any, disjoint: bool) -> list[Span]:
    """Ascending spans with gaps, special tokens anywhere, and characters of several tokens."""
    spans: list[Span] = []
    start = end = 0
    for ahead, size, special in draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.booleans()), max_size=12)
    ):
        start = end + ahead if disjoint else start + ahead
        end = max(start + size, end)
        spans += [(0, 0)] * special + [(start, end)]
    return spans


@exact
@given(_offsets(disjoint=True), _offsets(disjoint=True))
def test_disjoint_tokens_are_weighted_by_the_characters_they_share(
    student: list[Span], teacher: list[Span]
) -> None:
    expected: Pairs = {}
    for i, (start, end) in enumerate(student):
        shared = {j: min(end, b) - max(start, a) for j, (a, b) in enumerate(teacher)}
        total = sum(size for size in shared.values() if size > 0)
        expected |= {(i, j): size / total for j, size in shared.items() if size > 0}
    assert paired(student, teacher) == expected


@exact
@given(_offsets(disjoint=False), _offsets(disjoint=False))
def test_any_tokens_equal_a_search_in_fractions(student: list[Span], teacher: list[Span]) -> None:
    expected = brute_force(student, teacher)
    found = paired(student, teacher)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-9)


@exact
@given(_offsets(disjoint=False))
def test_equal_offsets_pair_each_token_with_itself_alone(offsets: list[Span]) -> None:
    assert paired(offsets, offsets) == {
        (i, i): 1.0 for i, (start, end) in enumerate(offsets) if start < end
    }


@exact
@given(st.lists(st.tuples(_offsets(disjoint=False), _offsets(disjoint=False)), max_size=5))
def test_chained_texts_are_aligned_each_for_itself(
    texts: list[tuple[list[Span], list[Span]]],
) -> None:
    sizes = [max((end for side in text for _, end in side), default=0) for text in texts]
    students, teachers = [s for s, _ in texts], [t for _, t in texts]
    expected: Pairs = {}
    for number, (student, teacher) in enumerate(texts):
        i0, j0 = sum(map(len, students[:number])), sum(map(len, teachers[:number]))
        expected |= {(i0 + i, j0 + j): w for (i, j), w in paired(student, teacher).items()}
    found = paired(chain_offsets(students, sizes), chain_offsets(teachers, sizes))
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, abs=1e-9)


def test_the_bytes_of_a_character_share_it_in_order() -> None:
    emoji = (5, 6)
    assert paired([emoji], [(0, 4), *[emoji] * 4]) == {(0, j): 0.25 for j in range(1, 5)}
    assert paired([emoji] * 2, [emoji] * 4) == {
        (0, 0): 0.5, (0, 1): 0.5, (1, 2): 0.5, (1, 3): 0.5,
    }  # fmt: skip
    assert paired([emoji] * 4, [emoji]) == {(i, 0): 1.0 for i in range(4)}


def test_a_leading_space_inside_the_offsets_or_not_changes_nothing() -> None:
    with_space, without = [(0, 0), (0, 4), (4, 8), (0, 0)], [(0, 0), (0, 4), (5, 8), (0, 0)]
    assert paired(with_space, without) == paired(without, with_space)
    assert paired(with_space, without) == {(1, 1): 1.0, (2, 2): 1.0}


def test_no_tokens() -> None:
    assert paired([], [(0, 1)]) == paired([(0, 1)], []) == paired([(0, 0)], [(0, 0)]) == {}
    assert chain_offsets([], []).shape == (0, 2)


def test_offsets_that_go_back_are_an_error() -> None:
    with pytest.raises(UserError, match=r"token 2 at characters \(1, 2\) comes after"):
        align_tokens([(0, 1)], [(0, 0), (2, 3), (1, 2)])


def test_offsets_of_another_text_are_an_error() -> None:
    with pytest.raises(UserError, match="text 1: a token ends at character 5 of 4"):
        chain_offsets([[(0, 4)], [(0, 5)]], [4, 4])


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.WordPieceTrainer(vocab_size=70, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    return tokenizer


def _bytes(trim: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=290,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "</s>"],
        show_progress=False,
    )
    tokenizer.train_from_iterator(LINES, trainer)
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 1), ("<s>", 0), trim_offsets=trim, add_prefix_space=True
    )
    return tokenizer


def _unigram() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=50, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


TOKENIZERS: dict[str, Callable[[], Tokenizer]] = {
    "wordpiece": _wordpiece,
    "bytes": lambda: _bytes(trim=True),
    "bytes with spaces": lambda: _bytes(trim=False),
    "unigram": _unigram,
}


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, PreTrainedTokenizerFast]:
    return {
        name: PreTrainedTokenizerFast(tokenizer_object=make()) for name, make in TOKENIZERS.items()
    }


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
@pytest.mark.parametrize("teacher", TOKENIZERS)
@pytest.mark.parametrize("student", TOKENIZERS)
def test_real_tokenizers_equal_the_search(
    tokenizers: dict[str, Any], student: str, teacher: str, text: str
) -> None:
    for student_length, teacher_length in ((64, 64), (64, 5), (5, 64)):
        (ours,) = encode(tokenizers[student], [text], student_length)
        (theirs,) = encode(tokenizers[teacher], [text], teacher_length)
        expected = brute_force(list(ours.offsets), list(theirs.offsets))
        found = paired(ours.offsets, theirs.offsets)
        assert found.keys() == expected.keys()
        assert found == pytest.approx(expected, abs=1e-9)
        for i, j in found:  # a pair has a character in common
            (a, b), (c, d) = ours.offsets[i], theirs.offsets[j]
            assert max(a, c) < min(b, d)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_is_aligned_with_itself(tokenizers: dict[str, Any], name: str) -> None:
    for encoded in encode(tokenizers[name], list(TEXTS.values()), 64):
        offsets = np.array(encoded.offsets, dtype=np.int64).reshape(-1, 2)
        visible = np.flatnonzero(offsets[:, 0] < offsets[:, 1]).tolist()
        assert paired(offsets, offsets) == {(i, i): 1.0 for i in visible}


def test_what_the_teacher_was_cut_off_from_has_no_pair(tokenizers: dict[str, Any]) -> None:
    text = "call mum in new york now"
    (ours,) = encode(tokenizers["wordpiece"], [text], 64)
    (theirs,) = encode(tokenizers["bytes"], [text], 6)
    read = max(end for _, end in theirs.offsets)
    assert 0 < read < len(text)
    covered = {i for i, _ in paired(ours.offsets, theirs.offsets)}
    assert covered == {i for i, (a, b) in enumerate(ours.offsets) if a < b and a < read}
