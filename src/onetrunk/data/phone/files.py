"""The corpus on disk: Parquet files in the columns of the real data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.data.phone.corpus import PhoneCorpus, generate
from onetrunk.data.phone.drawing import DEFAULT_SIZES, Sizes
from onetrunk.data.rows import TaggedText
from onetrunk.storage import atomic_folder, refuse_existing


def write(
    folder: Path, seed: int = 0, sizes: Sizes = DEFAULT_SIZES, overwrite: bool = False
) -> None:
    """Write the corpus below ``folder`` as Parquet, in the columns of the real data.

    ``pre_ner/phone`` and ``ner/<app>`` have ``tokens, ner_tags``; ``pre_pairs/<source>`` has
    ``query, positive``; ``tc/<app>`` has ``text, label``. The folder appears whole or not at all.
    Raises :class:`UserError` if it exists, is not empty, and ``overwrite`` is false.
    """
    folder = Path(folder)
    refuse_existing(folder, overwrite)  # before the work, not after it
    corpus = generate(seed, sizes)
    with atomic_folder(folder, overwrite) as beside:
        for name, columns in _files(corpus):
            target = beside / name
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table(columns), target, compression="zstd")


def _files(corpus: PhoneCorpus) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "pre_ner/phone/train.parquet", _ner_columns(corpus.ner_pretrain)
    for source, pairs in corpus.pairs.items():
        yield (
            f"pre_pairs/{source}/train.parquet",
            {
                "query": pa.array([pair.query for pair in pairs], pa.string()),
                "positive": pa.array([pair.positive for pair in pairs], pa.string()),
            },
        )
    for app, splits in corpus.ner.items():
        for split, sentences in splits.items():
            yield f"ner/{app}/{split}.parquet", _ner_columns(sentences)
    for app, texts in corpus.tc.items():
        for split, rows in texts.items():
            yield (
                f"tc/{app}/{split}.parquet",
                {
                    "text": pa.array([row.text for row in rows], pa.string()),
                    "label": pa.array([row.labels[0] for row in rows], pa.string()),
                },
            )


def _ner_columns(rows: Sequence[TaggedText]) -> dict[str, Any]:
    strings = pa.list_(pa.string())
    tokens = [[row.text[start:end] for start, end in row.words] for row in rows]
    return {
        "tokens": pa.array(tokens, strings),
        "ner_tags": pa.array([list(row.tags) for row in rows], strings),
    }
