"""The corpus: how many rows each part has, from which templates, and how they lie on disk."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk import kinds
from onetrunk.data.iob import cut_at_spans
from onetrunk.data.rows import AnnotatedText
from onetrunk.data.words import words_of
from onetrunk.demo import words
from onetrunk.demo.values import make_fakers
from onetrunk.demo.writer import Row, Writer
from onetrunk.errors import UserError
from onetrunk.storage import atomic_folder, refuse_existing


@dataclass(frozen=True)
class Sizes:
    """Numbers of rows: ``app_*`` of each of the four apps, ``pairs`` of all sources together."""

    pre_ner: int = 6000
    pairs: int = 6000
    app_train: int = 400
    app_validation: int = 150
    app_test: int = 400


DEFAULT_SIZES = Sizes()


@dataclass(frozen=True)
class Corpus:
    """The rows of every part: ``pairs[source]`` and ``apps[app][split]``."""

    pre_ner: list[Row]
    pairs: dict[str, list[Row]]
    apps: dict[str, dict[str, list[Row]]]


def make_corpus(seed: int = 0, sizes: Sizes = DEFAULT_SIZES) -> Corpus:
    """Make the corpus; the same ``(seed, sizes)`` gives the same corpus in every process.

    Each part has its own stream of random numbers, so changing one size leaves the other parts
    as they were. Raises :class:`UserError` if Faker is not installed, or if the templates cannot
    yield as many distinct rows as ``sizes`` asks for.
    """
    fakers = make_fakers()

    def writer_of(part: str, held: bool = False) -> Writer:
        return Writer(random.Random(f"{seed}/{part}"), fakers, held)

    writer = writer_of("pre_ner")
    weak_rows = _endless(writer.rng, writer.message, words.WEAK_NER)
    pre_ner = _distinct(sizes.pre_ner, [weak_rows], "pre_ner")

    pairs = {}
    for i, source in enumerate(words.SOURCES):
        size = sizes.pairs // len(words.SOURCES) + (i < sizes.pairs % len(words.SOURCES))
        writer = writer_of(source)
        write_pair = partial(writer.pair, typed=source in ("paraphrase", "reply"))
        pair_rows = _endless(writer.rng, write_pair, words.PAIRS[source])
        pairs[source] = _distinct(size, [pair_rows], source)

    apps: dict[str, dict[str, list[Row]]] = {}
    for app in (*words.NER_APPS, *words.TC_APPS):
        apps[app] = {}
        for split in words.SPLITS:
            part = f"{app}/{split}"
            writer = writer_of(part, held=split != "train")
            streams = _app_streams(writer, app, split)
            apps[app][split] = _distinct(getattr(sizes, f"app_{split}"), streams, part)
            writer.rng.shuffle(apps[app][split])
    return Corpus(pre_ner, pairs, apps)


def _app_streams(writer: Writer, app: str, split: str) -> list[Iterator[Row]]:
    """Endless rows of an app: one stream per label, or a single one for an NER app."""
    if app in words.NER_APPS:
        return [_endless(writer.rng, writer.message, words.NER[app][split])]
    write = writer.command if app == "intent" else partial(writer.message, second=False)
    return [
        _endless(writer.rng, write, splits[split], label) for label, splits in words.TC[app].items()
    ]


def _endless(
    rng: random.Random, write: Callable[[Any], Row], templates: Sequence[Any], label: str = ""
) -> Iterator[Row]:
    """Yield a row of each template in random order, then again in another: all equally often."""
    while True:
        for template in rng.sample(templates, len(templates)):
            yield replace(write(template), label=label)


def _distinct(size: int, streams: Sequence[Iterator[Row]], part: str) -> list[Row]:
    """Take rows from the streams in turn until there are ``size``, none of them twice."""
    seen: set[tuple[str, str]] = set()
    rows: list[Row] = []
    repeats = 0
    while len(rows) < size:
        row = next(streams[len(rows) % len(streams)])
        key = (row.text.casefold(), row.positive.casefold())
        if key not in seen:
            seen.add(key)
            rows.append(row)
            repeats = 0
        elif (repeats := repeats + 1) > 2000:
            raise UserError(f"{part}: no more than about {len(rows)} distinct rows, {size} asked")
    return rows


def annotated(row: Row, part: str) -> AnnotatedText:
    """The values of a row of part "pre_ner" or of an NER app as entities, by
    ``words.CONCEPTS[part]``."""
    concepts = words.CONCEPTS[part]
    spans = [(v.start, v.end, concepts[v.kind]) for v in row.values if v.kind in concepts]
    return AnnotatedText(row.text, tuple(sorted(spans)))


def write_corpus(
    folder: Path, seed: int = 0, sizes: Sizes = DEFAULT_SIZES, overwrite: bool = False
) -> None:
    """Write the corpus as Parquet files below ``folder``, and a recipe and a suite that read them.

    ``pre_ner/phone`` and ``ner/<app>`` have columns ``tokens`` and ``ner_tags``,
    ``pre_pairs/<source>`` has ``query`` and ``positive``, ``tc/<app>`` has ``text`` and ``label``;
    the stage-1 recipe is ``recipe.yaml``, the benchmark ``suite.yaml``. The folder appears whole or
    not at all. Raises :class:`UserError` if it exists, is not empty, and ``overwrite`` is false.
    """
    folder = Path(folder)
    refuse_existing(folder, overwrite, kinds.CORPUS)  # before the work, not after it
    corpus = make_corpus(seed, sizes)
    with atomic_folder(folder, overwrite, kinds.CORPUS) as beside:
        for name, records in _files(corpus):
            target = beside / f"{name}.parquet"
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(records), target, compression="zstd")
        for name in ("recipe.yaml", "suite.yaml"):
            (beside / name).write_text(words.read_text(name), encoding="utf-8")


def _files(corpus: Corpus) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Yield the name of every file and its rows."""
    yield "pre_ner/phone/train", [_ner_record(row, "pre_ner") for row in corpus.pre_ner]
    for source, rows in corpus.pairs.items():
        records = [{"query": row.text, "positive": row.positive} for row in rows]
        yield f"pre_pairs/{source}/train", records
    for app, splits in corpus.apps.items():
        for split, rows in splits.items():
            if app in words.NER_APPS:
                yield f"ner/{app}/{split}", [_ner_record(row, app) for row in rows]
            else:
                yield f"tc/{app}/{split}", [{"text": r.text, "label": r.label} for r in rows]


def _ner_record(row: Row, part: str) -> dict[str, Any]:
    entities = annotated(row, part).entities
    tokens, tags = cut_at_spans(row.text, words_of(row.text), entities)
    return {"tokens": tokens, "ner_tags": tags}
