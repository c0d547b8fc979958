"""Code that several benchmarks share: tasks in the data folder, scores of apps on them, the parts
of a result. The work itself is done by :mod:`onetrunk.benchmark`."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from onetrunk.adaptation.settings import AdaptSettings, Data
from onetrunk.benchmark.cells import CellId
from onetrunk.benchmark.jobs import Job
from onetrunk.benchmark.measure import AppPlan, TaskRows, draw_data, measure, read_task
from onetrunk.benchmark.suite import BenchmarkTask, DrawnRows, Files
from onetrunk.benchmark.versions import versions
from onetrunk.config import Recipe
from onetrunk.model.backbone import Backbone
from onetrunk.model.precision import bf16_speedup
from onetrunk.storage import read_json, write_json

ROWS = 500
ENCODER = "all-MiniLM-L6-v2, already tuned for sentence embeddings"


def read(data: Path, family: str, task: str) -> TaskRows:
    """The rows of DATA/FAMILY/TASK."""
    files = Files(folder=str(data / family / task))
    return read_task(BenchmarkTask(name=task, family=family, data=files))


def drawn(data: Path, family: str, task: str, seed: int, rows: int = ROWS) -> Data:
    """Training rows of DATA/FAMILY/TASK, drawn at random."""
    return draw_data(read(data, family, task), DrawnRows(rows=rows), seed)


def scores_of(
    backbone: Backbone,
    data: Path,
    family: str,
    task: str,
    adapters: Mapping[str, AdaptSettings],
    rows: int = ROWS,
) -> dict[str, Any]:
    """Fit apps on drawn rows of DATA/FAMILY/TASK and score them in one pass over its test set.

    Returns the size and seconds of the pass, and by name of the app its scores, seconds of fitting
    and trainable parameters. The seed of an app's settings draws its rows.
    """
    draw = DrawnRows(rows=rows)
    plans = {
        CellId("", task, draw.name, name, 0, settings.seed): AppPlan(draw, settings)
        for name, settings in adapters.items()
    }
    (cells,) = measure(backbone, read(data, family, task), plans)
    return {
        "test_rows": cells[0].test_rows,
        "test_seconds": round(cells[0].test_seconds, 1),
        **{
            cell.id.adapter: {
                **{metric: round(value, 2) for metric, value in cell.scores.items()},
                "fit_seconds": cell.fit_seconds,
                "trainable_parameters": cell.trainable_parameters,
            }
            for cell in cells
        },
    }


def bf16_worth_trying() -> bool:
    """False where a product alone takes more than twice as long in bf16: on a processor without
    bf16 instructions a training of a peer would take an hour."""
    return bf16_speedup("cpu") > 0.5


def file_job(path: Path, make: Callable[[], object], needs: Path | None = None) -> Job:
    """A job that makes a file or folder, once ``needs`` is there."""
    lock = path.with_name(f".{path.name}.lock")
    return Job(lock, path.exists, make, needs.exists if needs else lambda: True)


def json_job(path: Path, make: Callable[[], Any], needs: Path | None = None) -> Job:
    """A job whose result is written as JSON, once ``needs`` is there."""
    return file_job(path, lambda: write_json(path, make()), needs)


class Parts:
    """The parts of a result by name: a JSON file for each in ``runs`` while work goes on, one file
    of all of them in ``results`` afterwards. The file of a single part counts first."""

    def __init__(self, name: str, root: Path = Path()) -> None:
        self.folder = root / "runs" / name / "parts"
        self.packed = root / "results" / f"{name}-parts.json"
        self._packed = read_json(self.packed, "parts") if self.packed.exists() else {}

    def __contains__(self, name: str) -> bool:
        return name in self._packed or self._file(name).exists()

    def __getitem__(self, name: str) -> Any:
        file = self._file(name)
        return read_json(file, "parts") if file.exists() else self._packed[name]

    def job(self, name: str, make: Callable[[], Any], needs: Path | None = None) -> Job:
        """A job that makes a part, once ``needs`` is there."""
        return replace(json_job(self._file(name), make, needs), done=lambda: name in self)

    def pack(self) -> None:
        """Write all parts into one file."""
        files = self.folder.glob("*.json")
        names = sorted({*self._packed, *(file.name.removesuffix(".json") for file in files)})
        self._packed = {name: self[name] for name in names}
        write_json(self.packed, self._packed)

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def public(recipe: Recipe) -> dict[str, Any]:
    """A recipe with names in place of this machine's paths."""
    content: dict[str, Any] = json.loads(recipe.model_dump_json())
    for settings in content["families"].values():
        for source in [*settings.get("sources", []), *settings.get("labelled", [])]:
            source["path"] = _name(source["path"])
    if content["decontaminate"]:
        against = content["decontaminate"]["against"]
        content["decontaminate"]["against"] = [_name(path) for path in against]
    return content


def _name(path: str) -> str:
    return "/".join(Path(path).parts[-2:])


def environment() -> dict[str, Any]:
    """Versions and machine, for a result."""
    machine = {"cpu": platform.machine(), "threads": torch.get_num_threads()}
    return {"versions": versions(), "machine": machine}
