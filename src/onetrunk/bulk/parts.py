"""The part of the output that answers one partition: written by a worker, read back on a resume."""

from __future__ import annotations

import io
import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from onetrunk.bulk.columns import ERROR, TEXT, decoders_of
from onetrunk.bulk.columns_of_json import fitted
from onetrunk.bulk.files import OutputFolder
from onetrunk.bulk.partitions import Partition
from onetrunk.bulk.writers import Parquet
from onetrunk.bundle.layout import MANIFEST
from onetrunk.data.formats.table import reason
from onetrunk.data.notes import Notes
from onetrunk.data.strict_json import NOT_FINITE
from onetrunk.errors import UserError
from onetrunk.opening import load

if TYPE_CHECKING:
    import pyarrow as pa

    from onetrunk.apps.engine import Engine
    from onetrunk.bundle.runtime import Runtime

_KEY = "onetrunk"
"""In a part's metadata: what :class:`Outcome` holds, and of which run it is."""


@dataclass(frozen=True)
class Outcome:
    """What came of a partition."""

    number: int
    rows: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    """How many rows could not be answered, by reason."""
    seconds: float = 0.0
    not_finite: int = 0
    """How many numbers in JSON were NaN or infinite, and are null."""
    fault: str = ""
    """Why there is no part; empty if there is."""


@dataclass(frozen=True)
class Task:
    """What every worker needs to know."""

    model: tuple[Path, ...]
    """A bundle, or app folders."""
    backbone: str | None
    out: OutputFolder
    columns: pa.Schema
    run: str
    """A hash of the model, the inputs and the settings."""
    bundle: Mapping[str, bytes] | None = None
    """The files of a bundle, for machines that do not have its folder."""


def part_name(number: int) -> str:
    """The file of a partition."""
    return f"part-{number:06d}.parquet"


class Answerer:
    """A model on one thread, that answers partitions."""

    def __init__(self, task: Task, model: Engine | Runtime | None = None) -> None:
        """Raises :class:`UserError` if the model of the task, unless it is given, cannot be
        loaded."""
        self._task = task
        self._model = model or load_model(task.model, task.backbone, task.bundle)
        self._decoders = decoders_of(self._model)

    def answer(self, partition: Partition) -> Outcome:
        """Write the part of a partition. What prevents it is in the result, not raised."""
        start = time.perf_counter()
        try:
            return self._answer(partition, start)
        except UserError as error:
            return Outcome(partition.number, fault=str(error))
        except Exception as error:  # of a store, whose library has exceptions of its own
            return Outcome(partition.number, fault=f"{partition}: {_named(error)}")

    def _answer(self, partition: Partition, start: float) -> Outcome:
        texts, content = partition.texts(), io.BytesIO()
        rows, failed, notes = 0, Counter[str](), Notes()
        columns = self._task.columns
        with closing(Parquet(content, [texts], self._decoders, notes, columns)) as writer:
            for block in texts.blocks():
                results = _results(self._model, block.texts)
                writer.write(fitted(block, columns, notes), results)
                rows += len(results)
                failed.update(reason_of(one[ERROR], texts.name) for one in results if ERROR in one)
            if partition.source.file.is_parquet and rows != partition.rows:
                raise UserError(f"{partition}: it has {rows:,} rows now; it has changed")
            seconds = round(time.perf_counter() - start, 3)
            nulls = notes.found[NOT_FINITE].count if notes.found else 0
            outcome = Outcome(partition.number, rows, dict(failed), seconds, nulls)
            about = {
                "run": self._task.run,
                "partition": str(partition),
                "failed": outcome.failed,
                "seconds": seconds,
                "not_finite": nulls,
            }
            writer.describe({_KEY: json.dumps(about)})
        self._task.out.write(part_name(partition.number), content.getvalue())
        return outcome


def read_outcome(out: OutputFolder, number: int, run: str) -> Outcome:
    """What came of a partition whose part is there. Raises :class:`UserError` if the part is of
    another run, or damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    name = part_name(number)
    try:
        with out.open(name) as opened:
            metadata = pq.read_metadata(opened)
        about = json.loads(metadata.metadata[_KEY.encode()])
    except (pa.ArrowException, KeyError, ValueError):
        about = {}
    if about.get("run") != run:
        raise UserError(
            f"{out.name}/{name} is no part of this run: choose another folder, or delete the file"
        )
    return Outcome(
        number,
        metadata.num_rows,
        about["failed"],
        about["seconds"],
        about.get("not_finite", 0),  # parts of older versions do not say it
    )


def load_model(
    folders: Sequence[Path], backbone: str | None, bundle: Mapping[str, bytes] | None = None
) -> Engine | Runtime:
    """App folders, or a bundle by its folder or its files, to run on one thread. Raises
    :class:`UserError` as :func:`onetrunk.opening.load` does."""
    if bundle is None and not (folders[0] / MANIFEST).exists():
        import torch

        torch.set_num_threads(1)
        return load(*folders, backbone=backbone)
    from onetrunk.bundle.runtime import Runtime

    if bundle is None:
        return Runtime(folders[0], threads=1)
    with TemporaryDirectory() as name:
        for path, content in bundle.items():
            (Path(name) / path).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / path).write_bytes(content)
        return Runtime(name, threads=1)


def reason_of(error: str, source: str) -> str:
    """An error of a row without its place and its values, so that equal reasons can be counted.

    >>> reason_of("a.jsonl:7: 'text' is 3 (int), not a string", "a.jsonl")
    "'text' is … (int), not a string"
    """
    what = re.sub(r"^(:\d+|, row \d[\d,]*)?:? ", "", error.removeprefix(source))
    what = re.split("; (?:did you mean|valid:|columns:)", what)[0]
    what = re.sub(r"\bis .*( \(\w+\), not )", r"is …\1", what, flags=re.DOTALL)
    return re.sub(r"(?<![\w-])(0x[0-9a-f]+|\d[\d,.]*)", "…", what)[:120]


def _results(model: Engine | Runtime, texts: Sequence[str | UserError]) -> list[dict[str, Any]]:
    """Of each text the answers, or an error. What a library raises is the error of one row, too."""
    try:
        return list(model.stream(texts))
    except Exception:
        return [_result(model, text) for text in texts]


def _result(model: Engine | Runtime, text: str | UserError) -> dict[str, Any]:
    try:
        return next(model.stream([text]))
    except Exception as error:
        return {TEXT: text if isinstance(text, str) else None, ERROR: _named(error)}


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {reason(error)}"
