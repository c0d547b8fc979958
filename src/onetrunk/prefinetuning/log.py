"""``training.jsonl``: the log of a run, with a line of JSON for every step."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from onetrunk.errors import UserError
from onetrunk.model.backbone import RECORD
from onetrunk.storage import read_json, write_text

LOG = "training.jsonl"


@dataclass(frozen=True)
class StepRecord:
    """What one step did. ``losses``, ``gradient_norms`` and ``cosines`` are those before the
    families' factors."""

    step: int
    losses: dict[str, float]
    gradient_norm: float
    """Norm, before clipping, of the combined gradient of backbone, LoRAs and objectives."""
    tokens: int
    padded: int
    """Positions that went through the encoder: tokens and padding."""
    seconds: float
    weights: dict[str, float] = field(default_factory=dict)
    """By family: the factor on its gradient of the backbone."""
    gradient_norms: dict[str, list[float]] = field(default_factory=dict)
    """By family: norm of its gradient of the backbone's embeddings, then of each layer."""
    cosines: dict[str, list[float]] = field(default_factory=dict)
    """By pair of families ``a|b``: cosine of their gradients, of embeddings and layers as above."""


def write_log(path: Path, records: Sequence[StepRecord]) -> None:
    """Write records. :func:`read_log` returns the same numbers."""
    write_text(path, "".join(map(_line, records)))


def read_log(path: Path, steps: int) -> list[StepRecord]:
    """The records of steps 0 … ``steps`` - 1. Lines after them are not read and may be torn.

    Raises :class:`UserError` if one of these records is missing or damaged.
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
    """By name, the log of each of these backbone folders.

    Left out are folders that do not exist, and runs that measured no conflict.
    """
    logs = {}
    for name, folder in backbones.items():
        if (folder / LOG).exists():
            records = read_log(folder / LOG, read_json(folder / RECORD, "a backbone")["steps"])
            if records and records[0].cosines:
                logs[name] = records
    return logs


class Log:
    """The log of a run in progress. It starts with ``records`` and gets a line for every step."""

    def __init__(self, path: Path, records: Sequence[StepRecord]) -> None:
        write_log(path, records)
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: StepRecord) -> None:
        """Append a step. It is kept even if this process is killed."""
        self._file.write(_line(record))
        self._file.flush()

    def sync(self) -> None:
        """Make sure that what was written is kept even if the machine fails."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _line(record: StepRecord) -> str:
    return json.dumps(asdict(record)) + "\n"
