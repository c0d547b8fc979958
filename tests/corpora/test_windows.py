"""The texts that windows keep for a teacher, and labels of more types than 16 bits count."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onetrunk.corpora import tokenised as corpora
from onetrunk.corpora.store import Prepared, Writer
from onetrunk.corpora.tokenised import NerCorpus, write_ner
from onetrunk.corpora.windows import OUTSIDE, SPECIAL
from onetrunk.data.alignment import encode_windows
from onetrunk.data.rows import AnnotatedText

TEXTS = [
    "new york",
    "\u200bcall mum in new york playing \U0001f600 music, e\u0301 日本 x\u200by! " * 3,
    "\u200b",
    "met \ud83d mum",
    "a" * 30,
]


def corpus(
    folder: Path, tokenizer: Any, rows: list[AnnotatedText], texts: bool = True
) -> NerCorpus:
    writer = Writer(folder)
    writer.close(write_ner(rows, tokenizer, 12, writer, texts=texts))
    return NerCorpus("a", Prepared.open(folder))


@pytest.mark.parametrize("chunk", [2, 100])
def test_a_window_has_its_part_of_the_text(
    tmp_path: Path, tiny_tokenizer: Any, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(corpora, "CHUNK", chunk)
    rows = [AnnotatedText(text) for text in TEXTS]
    made = corpus(tmp_path, tiny_tokenizer, rows)
    windows = encode_windows(tiny_tokenizer, TEXTS, 12)
    assert len(windows[1]) > 3
    flat = [(text, window) for text, own in zip(TEXTS, windows, strict=True) for window in own]
    assert len(made) == len(made.texts) == len(made.offsets) == len(flat)
    for (text, window), own, spans in zip(flat, made.texts, made.offsets, strict=True):
        assert spans.dtype == np.int32
        assert len(spans) == len(window.ids)
        for (start, end), (first, after) in zip(spans.tolist(), window.offsets, strict=True):
            assert own[start:end] == text[first:after]
            assert end <= len(own)
        visible = [(start, end) for start, end in window.offsets if start < end]
        assert own == (text[visible[0][0] : visible[-1][1]] if visible else "")


def test_texts_are_kept_only_if_they_are_wanted(tmp_path: Path, tiny_tokenizer: Any) -> None:
    row = AnnotatedText.from_words(["new", "york"], ["O", "O"])
    made = corpus(tmp_path, tiny_tokenizer, [row], texts=False)
    assert set(made.store.arrays) == {"tokens", "labels", "starts"}


def test_a_corpus_may_have_more_types_than_16_bits_count(
    tmp_path: Path, tiny_tokenizer: Any
) -> None:
    types = [f"c{i}" for i in range(40_000)]
    rows = [
        AnnotatedText.from_words(["a"] * 8, [f"B-{kind}" for kind in types[at : at + 8]])
        for at in range(0, len(types), 8)
    ]
    made = corpus(tmp_path, tiny_tokenizer, rows, texts=False)
    assert made.types == types
    labels = np.concatenate([made.labels(window) for window in range(len(made))])
    assert labels[labels != SPECIAL].tolist() == list(range(40_000))
    assert OUTSIDE not in labels
