"""``training.jsonl``: a line of JSON for every step."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from onetrunk.errors import UserError
from onetrunk.model.backbone import RECORD
from onetrunk.prefinetuning.loop import StepRecord
from onetrunk.storage import read_json, write_text

LOG = "training.jsonl"


def write_log(path: Path, records: Sequence[StepRecord]) -> None:
    """Write records; :func:`read_log` gives back the same numbers."""
    write_text(path, "".join(map(_line, records)))


def read_log(path: Path, steps: int) -> list[StepRecord]:
    """The records of steps 0 … ``steps`` - 1; what comes after them may be torn.

    Raises :class:`UserError` if one of them is missing or damaged.
    """
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n") if path.exists() else []
    records = []
    for number in range(steps):
        try:
            record = StepRecord(**json.loads(lines[number]))
        except (IndexError, TypeError, ValueError):
            record = None
        if record is None or record.step != number:
            raise UserError(f"{path}, line {number + 1}: step {number} is missing or damaged")
        records.append(record)
    return records


def read_conflicts(backbones: Mapping[str, Path]) -> dict[str, list[StepRecord]]:
    """By name, the log of each backbone folder that is there and whose families' gradients met."""
    found = {}
    for name, folder in backbones.items():
        if (folder / LOG).exists():
            records = read_log(folder / LOG, read_json(folder / RECORD, "a backbone")["steps"])
            if records and records[0].cosines:
                found[name] = records
    return found


class Log:
    """The log of a run that is under way: cut back to ``records``, then a line a step."""

    def __init__(self, path: Path, records: Sequence[StepRecord]) -> None:
        write_log(path, records)
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: StepRecord) -> None:
        """Append a step; it survives this process."""
        self._file.write(_line(record))
        self._file.flush()

    def sync(self) -> None:
        """See that what was written survives the machine, too."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(record: StepRecord) -> str:
    return json.dumps(asdict(record)) + "\n"
