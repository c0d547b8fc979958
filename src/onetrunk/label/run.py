"""A labelling run: from texts and a labeler to a folder of training rows and a report.

The texts are read twice, first to count and hash them and then to label them, so they need not fit
into memory. Shards are saved when they are finished.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xxhash

from onetrunk.data.notes import Notes
from onetrunk.errors import UserError
from onetrunk.label.base import Labeler, Unfinished
from onetrunk.label.compare import Sample, compare
from onetrunk.label.job import Job, LabelledRow, open_job
from onetrunk.label.output import write_output
from onetrunk.progress import Progress, silent

SHARD_ROWS = 500
Texts = Callable[[Notes | None], Iterator[str]]
"""Reads the texts from the start; notes what it finds odd, if it gets :class:`Notes`."""


@dataclass(frozen=True)
class Source:
    """Texts, their number, a hash of all of them in order, and what reading them noted."""

    texts: Texts
    rows: int
    digest: str
    notes: Notes


def survey(texts: Texts) -> Source:
    """Read all texts once. Raises UserError if one cannot be read or there are none."""
    notes, digest, rows = Notes(), xxhash.xxh3_128(), 0
    for text in texts(notes):
        encoded = text.encode()
        digest.update(len(encoded).to_bytes(8, "little"))  # ["ab", "c"] is not ["a", "bc"]
        digest.update(encoded)
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
    progress: Progress = silent,
) -> dict[str, Any]:
    """Label all texts, or continue where a run into ``out`` stopped; return the report.

    Writes ``train.parquet`` (``source_row``, ``tokens``, ``ner_tags``), ``failed.jsonl`` (each
    source row that became no training row, and why), ``report.json``, ``report.md`` and
    ``types.png``. To repeat a finished run is to try its failed texts again.

    Raises UserError if ``out`` holds something else or another process writes it, and
    :class:`~onetrunk.label.base.Unfinished`, saying how to go on, if the labeler stops early.
    """
    about = {"labeler": labeler.fingerprint, "texts": source.digest}
    with open_job(out, about, source.rows, shard_rows, overwrite) as job:
        try:
            _label_pending(source, labeler, job, progress)
            agreement = compare(job.labelled(), job.rows, against) if against else None
        except Unfinished as stop:
            pending = sum(map(len, job.pending().values()))
            raise Unfinished(
                f"{stop}; {job.rows - pending:,} of {job.rows:,} texts are saved in {out}: the "
                "same command goes on"
            ) from None
        facts = {"labeler": labeler.fingerprint, "input_notes": source.notes.as_json()}
        report = write_output(job, {**facts, "agreement": agreement} if agreement else facts)
    source.notes.log()
    return report


def _label_pending(source: Source, labeler: Labeler, job: Job, progress: Progress) -> None:
    pending = job.pending()
    if job.damaged:
        source.notes.add("damaged shards labelled again", str(job.folder), job.damaged)
    labelled = job.rows - sum(map(len, pending.values()))
    progress("label", labelled, job.rows)
    if not pending:
        return
    in_work: deque[tuple[int, str]] = deque()

    def texts() -> Iterator[str]:
        for row, text in enumerate(source.texts(None)):
            if row in pending.get(row // job.shard_rows, ()):
                in_work.append((row, text))
                yield text

    failed = retries = 0
    rows: list[LabelledRow] = []
    with closing(labeler.label(texts())) as answers:
        for answer in answers:
            rows.append(LabelledRow(*in_work.popleft(), answer))
            shard = rows[0].source_row // job.shard_rows
            if len(rows) == len(pending[shard]):  # answers come in order: all are of this shard
                job.write(shard, rows)
                rows = []
            labelled += 1
            failed += bool(answer.error)
            retries += sum(n for name, n in answer.counts.items() if name.startswith("retries"))
            troubles = f", {failed:,} failed, {retries:,} retries" if failed or retries else ""
            progress(f"label{troubles}", labelled, job.rows)
    if labelled != job.rows:
        raise UserError("the input changed while it was labelled: start again with --overwrite")
