"""From finished shards to the files of the output folder."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from onetrunk.data.iob import cut_at_spans
from onetrunk.data.words import runs_of, visible
from onetrunk.label.base import Entity
from onetrunk.label.job import Job
from onetrunk.label.report import Tally, write_report
from onetrunk.storage import ANYTHING, atomic_folder

NO_WORDS = "the text has no words"
BLANK = "entities of white space, dropped"
_FILES = ("failed.jsonl", "report.json", "report.md", "types.png", "train.parquet")
_STRINGS = pa.list_(pa.string())
_SCHEMA = pa.schema({"source_row": pa.int64(), "tokens": _STRINGS, "ner_tags": _STRINGS})


def write_output(job: Job, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the files that :func:`onetrunk.label.run.label` promises, and return the report.

    Each source row is in exactly one of ``train.parquet`` and ``failed.jsonl``. The files are made
    in the work folder and then moved, ``train.parquet`` last.
    """
    tally = Tally()
    staging = job.folder / "output"
    with atomic_folder(staging, True, ANYTHING) as folder:
        with (
            (folder / "failed.jsonl").open("w", encoding="utf-8") as failed,
            pq.ParquetWriter(folder / "train.parquet", _SCHEMA) as writer,
        ):
            for shard in job.shards:
                columns: dict[str, list[Any]] = {name: [] for name in _SCHEMA.names}
                for row in job.read(shard):
                    entities, blank = trimmed(row.text, row.answer.entities)
                    tokens, tags = cut_at_spans(row.text, runs_of(row.text), entities)
                    counts = {**row.answer.counts, BLANK: blank}
                    tally.add(row.text, len(tokens), entities, counts, row.answer.error)
                    error = row.answer.error or ("" if tokens else NO_WORDS)
                    if error:
                        record = {"source_row": row.source_row, "error": error, "text": row.text}
                        failed.write(json.dumps(record, ensure_ascii=False) + "\n")
                        continue
                    columns["source_row"].append(row.source_row)
                    columns["tokens"].append(tokens)
                    columns["ner_tags"].append(tags)
                writer.write_table(pa.Table.from_pydict(columns, schema=_SCHEMA))
        if not tally.failed and not tally.without_words:
            (folder / "failed.jsonl").unlink()
        report = {**about, **tally.as_json()}
        write_report(report, folder)
    for name in _FILES:
        if (staging / name).exists():
            (staging / name).replace(job.out / name)
        else:
            (job.out / name).unlink(missing_ok=True)  # of an earlier run
    staging.rmdir()
    return report


def trimmed(text: str, entities: Sequence[Entity]) -> tuple[list[Entity], int]:
    """Cut white space off the ends of entities; also return how many were nothing else."""
    trimmed = [
        Entity(*visible(text, start, end), type)
        for start, end, type in entities
        if text[start:end].strip()
    ]
    return trimmed, len(entities) - len(trimmed)
