"""Tokenised corpora against the tokenizer called row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onetrunk.corpora import tokenised as corpora
from onetrunk.corpora.store import Prepared, Writer
from onetrunk.corpora.tokenised import (
    NerCorpus,
    PairCorpus,
    tokenizer_sha256,
    write_ner,
    write_pairs,
)
from onetrunk.corpora.windows import OUTSIDE, SPECIAL
from onetrunk.data.alignment import encode, encode_windows
from onetrunk.data.rows import AnnotatedText, Pair

exact = settings(derandomize=True, deadline=None, max_examples=30)
words = st.sampled_from(["new", "york", "mumq", "日本", "x\u200by", "\u200b", "😀👍🏽", "e\u0301"])
tags = st.sampled_from(["O", "O", "B-per", "B-loc"])
sentences = st.lists(st.lists(st.tuples(words, tags), min_size=1, max_size=20), max_size=8)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "CHUNK", 3)


def store(tmp: Path, write: Any, *arguments: Any) -> Prepared:
    for file in tmp.glob("*"):
        file.unlink()
    writer = Writer(tmp)
    writer.close(write(*arguments, writer))
    return Prepared.open(tmp)


def reference(row: AnnotatedText, offsets: Any, types: list[str]) -> list[int]:
    """Token by token: the type of the first entity that it shares a character with."""
    labels = []
    for start, end in offsets:
        label = OUTSIDE
        for first, after, kind in row.entities:
            if start < end and max(start, first) < min(end, after):
                label = types.index(kind)
                break
        labels.append(label)
    return labels


@exact
@given(sentences)
def test_sentences(tmp_path_factory: Any, tiny_tokenizer: Any, made: list[Any]) -> None:
    rows = [AnnotatedText.from_words(*zip(*pairs, strict=True)) for pairs in made]
    corpus = NerCorpus("a", store(_folder(tmp_path_factory), write_ner, rows, tiny_tokenizer, 12))
    seen = 0
    long = 0
    for row, windows in zip(
        rows, encode_windows(tiny_tokenizer, [row.text for row in rows], 12), strict=True
    ):
        long += len(windows) > 1
        for window in windows:
            assert corpus.tokens(seen).tolist() == list(window.ids)
            want = reference(row, window.offsets, corpus.types)
            want[0] = want[-1] = SPECIAL
            assert corpus.labels(seen).tolist() == want
            seen += 1
    assert len(corpus) == seen
    assert corpus.store.record["rows"] == len(rows)
    assert corpus.store.record["long"] == long


@exact
@given(
    st.lists(
        st.tuples(
            st.lists(words, max_size=9).map(" ".join),
            st.lists(words, max_size=9).map(" ".join),
            st.lists(words, max_size=2),
        ),
        max_size=8,
    )
)
def test_pairs(tmp_path_factory: Any, tiny_tokenizer: Any, made: list[Any]) -> None:
    rows = [Pair(query, positive, tuple(negatives)) for query, positive, negatives in made]
    corpus = PairCorpus("a", store(_folder(tmp_path_factory), write_pairs, rows, tiny_tokenizer, 8))
    assert len(corpus) == len(rows)
    cut = 0
    known: dict[tuple[int, ...], int] = {}
    for i, row in enumerate(rows):
        texts = [row.query, row.positive, *row.negatives]
        want = encode(tiny_tokenizer, texts, 8)
        assert [corpus.tokens(text).tolist() for text in corpus.texts(i)] == [
            list(one.ids) for one in want
        ]
        assert [corpus.truncated(text) for text in corpus.texts(i)] == [o.truncated for o in want]
        cut += sum(one.truncated for one in want)
        for text, one in zip(corpus.texts(i), want, strict=True):
            assert known.setdefault(one.ids, corpus.identity(text)) == corpus.identity(text)
    assert len(set(known.values())) == len(known)
    assert corpus.store.record["cut"] == cut


def _folder(factory: Any) -> Path:
    folder: Path = factory.getbasetemp() / "store"
    folder.mkdir(exist_ok=True)
    return folder


def test_rows_are_read_as_they_are_needed(tmp_path: Path, tiny_tokenizer: Any) -> None:
    """No more than four chunks of a stream are held, however long it is."""
    written = []

    class Counting(Writer):
        def append(self, name: str, values: np.ndarray) -> None:
            super().append(name, values)
            if name == "pairs":
                written.append(int(values[-1]) // 2)

    def stream() -> Any:
        for i in range(60):
            assert i < written[-1] + (corpora.AHEAD + 2) * corpora.CHUNK
            yield Pair(f"call {i}", "met")

    write_pairs(stream(), tiny_tokenizer, 8, Counting(tmp_path))
    assert written == list(range(0, 61, 3))


def test_the_tokenizer_is_known_by_what_it_does(
    tiny_tokenizer: Any, tiny_encoder_folder: Any
) -> None:
    from transformers import AutoTokenizer

    before = tokenizer_sha256(tiny_tokenizer)
    encode(tiny_tokenizer, ["new york"], 5)
    assert tokenizer_sha256(tiny_tokenizer) == before
    loaded = AutoTokenizer.from_pretrained(tiny_encoder_folder("bert"))
    assert tokenizer_sha256(loaded) == before
    loaded.backend_tokenizer.normalizer = None
    assert tokenizer_sha256(loaded) != before


def test_types_are_numbered_as_they_come(tmp_path: Path, tiny_tokenizer: Any) -> None:
    rows = [
        AnnotatedText.from_words([word], [f"B-{word}"]) for word in ("york", "new", "york", "mum")
    ]
    corpus = NerCorpus("a", store(tmp_path, write_ner, rows, tiny_tokenizer, 12))
    assert corpus.types == ["york", "new", "mum"]
    assert [corpus.labels(i)[1] for i in range(4)] == [0, 1, 0, 2]
    assert [len(corpus.tokens(i)) for i in range(4)] == [3, 3, 3, 3]
    assert corpus.tokens(0).dtype == np.int32


def test_entities_without_a_token_are_listed(tmp_path: Path, tiny_tokenizer: Any) -> None:
    """The tokenizer deletes zero-width characters; one is an entity, one is not."""
    rows = [AnnotatedText.from_words(["new", "york"], ["O", "O"])] * 4
    rows += [AnnotatedText.from_words(["\u200b", "new", "\u200b"], ["O", "B-loc", "B-loc"])]
    writer = Writer(tmp_path)
    write_ner(rows, tiny_tokenizer, 12, writer)
    assert writer.notes.lines() == ["entities that no token stands for: 1 (row 5: '\\u200b')"]
