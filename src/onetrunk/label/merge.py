"""From finished shards to the files of the output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.data.rows import TaggedText
from onetrunk.label.base import Entity
from onetrunk.label.job import Job, whole_file
from onetrunk.label.report import Tally, write_report

NO_WORDS = "the text has no words"
BLANK = "entities of white space, dropped"
_SCHEMA = pa.schema(
    {
        "source_row": pa.int64(),
        "tokens": pa.list_(pa.string()),
        "ner_tags": pa.list_(pa.string()),
    }
)


def merge(job: Job, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write everything that :func:`onetrunk.label.run.label` promises; return the report.

    Each source row is in exactly one of ``train.parquet`` and ``failed.jsonl``: a text without
    an answer is not a text without entities. ``train.parquet`` takes its name last.
    """
    train, failures = job.out / "train.parquet", job.out / "failed.jsonl"
    tally = Tally()
    with whole_file(train) as training_rows:
        with (
            whole_file(failures) as beside,
            beside.open("w", encoding="utf-8") as failed,
            pq.ParquetWriter(training_rows, _SCHEMA) as writer,
        ):
            for number in job.shards:
                rows: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
                for one in job.read(number):
                    entities, blank = trimmed(one.text, one.answer.entities)
                    tagged = TaggedText.from_spans(one.text, entities)
                    tally.count({**one.answer.counts, BLANK: blank})
                    error = one.answer.error or ("" if tagged.words else NO_WORDS)
                    if error:
                        tally.fail(error == NO_WORDS)
                        failure = {"source_row": one.source_row, "error": error, "text": one.text}
                        failed.write(json.dumps(failure, ensure_ascii=False) + "\n")
                        continue
                    tally.add(tagged, entities)
                    rows["source_row"].append(one.source_row)
                    rows["tokens"].append([one.text[a:b] for a, b in tagged.words])
                    rows["ner_tags"].append(list(tagged.tags))
                writer.write_table(pa.Table.from_pydict(rows, schema=_SCHEMA))
        if not tally.failed and not tally.without_words:
            failures.unlink()
        report = {**about, **tally.as_json()}
        write_report(report, job.out)
    return report


def trimmed(text: str, entities: Sequence[Entity]) -> tuple[list[Entity], int]:
    """Entities without white space at their ends, and how many were nothing else."""
    kept = []
    for start, end, kind in entities:
        part = text[start:end]
        if part.strip():
            blanks = len(part) - len(part.lstrip()), len(part) - len(part.rstrip())
            kept.append(Entity(start + blanks[0], end - blanks[1], kind))
    return kept, len(entities) - len(kept)
