"""A labelling run: from texts and a labeler to a folder of training rows and its report.

Texts are read twice, once to count them and to know them again, once to label them, and never
held in memory together. Shards are saved as they are finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from onetrunk.cli.console import progress_bar
from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.label.base import Labeler, Unfinished
from onetrunk.label.compare import Sample, compare
from onetrunk.label.job import Job, Labelled, only_one, refuse_foreign
from onetrunk.label.merge import merge

SHARD_ROWS = 500
Texts = Callable[[Notes | None], Iterator[str]]
"""Reads the texts from the start, and notes what it repairs and finds odd if it is to."""


@dataclass(frozen=True)
class Source:
    """Texts, how many there are, and a hash of all of them in order."""

    texts: Texts
    rows: int
    digest: str
    notes: Notes


def survey(texts: Texts) -> Source:
    """Read all texts once. Raises UserError if one cannot be read or there are none."""
    notes = Notes()
    digest = xxhash.xxh3_128()
    rows = 0
    for text in texts(notes):
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little"))  # where one ends and the next begins
        digest.update(data)
        rows += 1
    if not rows:
        raise UserError("there are no texts to label")
    return Source(texts, rows, digest.hexdigest(), notes)


def label(
    source: Source,
    labeler: Labeler,
    out: Path,
    against: Sample | None = None,
    shard_rows: int = SHARD_ROWS,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Label all texts, or go on where a run into ``out`` stopped; return the report.

    Writes ``train.parquet`` (``source_row``, ``tokens``, ``ner_tags``), ``failed.jsonl`` (every
    source row that is not in it, and why), ``report.json``, ``report.md`` and ``types.png``.
    Texts that failed are tried again when a finished run is repeated.

    Raises UserError if ``out`` holds something else or another process writes it, and
    :class:`~onetrunk.label.base.Unfinished`, saying how to go on, if the labeler stops early.
    """
    if not overwrite:
        refuse_foreign(out)
    with only_one(out):
        job = Job(out, source.rows, shard_rows)
        job.begin({"labeler": labeler.fingerprint, "texts": source.digest}, overwrite)
        pending = job.pending()
        if job.damaged:
            source.notes.add("damaged shards labelled again", str(job.folder), job.damaged)
        try:
            _label_pending(source, labeler, job, pending)
            agreement = compare(job.labelled(), job.rows, against) if against else None
        except Unfinished as stop:
            left = sum(map(len, job.pending().values()))
            raise Unfinished(
                f"{stop}; {job.rows - left:,} of {job.rows:,} texts are saved in {out}: the same "
                "command goes on"
            ) from None
        about = {"labeler": labeler.fingerprint, "input_notes": source.notes.as_json()}
        return merge(job, {**about, "agreement": agreement} if agreement else about)


def _label_pending(
    source: Source, labeler: Labeler, job: Job, pending: Mapping[int, Collection[int]]
) -> None:
    asked: deque[tuple[int, str]] = deque()

    def texts() -> Iterator[str]:
        for row, text in enumerate(source.texts(None)):
            if row in pending.get(row // job.shard_rows, ()):
                asked.append((row, text))
                yield text

    left = sum(map(len, pending.values()))
    if not left:
        return
    answered = failed = retries = 0
    done: list[Labelled] = []
    with progress_bar() as bar, closing(labeler.label(texts())) as answers:
        task = bar.add_task("label", total=job.rows, completed=job.rows - left, note="")
        for answer in answers:
            row, text = asked.popleft()
            done.append(Labelled(row, text, answer))
            shard = row // job.shard_rows
            if len(done) == len(pending[shard]):  # answers come in order: all are of this shard
                job.write(shard, done)
                done = []
            answered += 1
            failed += bool(answer.error)
            retries += sum(n for what, n in answer.counts.items() if what.startswith("retries"))
            note = f"{failed:,} failed, {retries:,} retries" if failed or retries else ""
            bar.update(task, advance=1, note=note)
    if answered != left:
        raise UserError("the input changed while it was labelled: start again with --overwrite")
