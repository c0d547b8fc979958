"""What the benchmarks of stage 1 share: scoring a backbone on tasks, and jobs that several workers
take from one list.

A job makes one file or folder. It is done if that is there, and taken if another process holds its
lock, so the same command may run several times at once, and again after a kill.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout

from onetrunk.adaptation.draws import Draw, draw_rows
from onetrunk.adaptation.fit import fit
from onetrunk.adaptation.task import AdaptSettings, Data
from onetrunk.apps.engine import Engine
from onetrunk.config import Recipe
from onetrunk.data.sources import find_file
from onetrunk.families import family as family_named
from onetrunk.model.backbone import Backbone
from onetrunk.storage import write_json

ROWS = 500
LIBRARIES = ("onetrunk", "torch", "transformers", "tokenizers", "safetensors", "numpy")
ENCODER = "all-MiniLM-L6-v2, already tuned for sentence embeddings"


def cell(
    loaded: Backbone,
    data: Path,
    kind: str,
    task: str,
    seed: int,
    adapters: Mapping[str, AdaptSettings],
) -> dict[str, Any]:
    """Fit apps on the same drawn rows of DATA/KIND/TASK and score them in one pass over its test
    set: by name of the app, its scores, seconds and trainable parameters."""
    family = family_named(kind)
    rows = drawn(data, kind, task, seed)
    test_file = find_file(data / kind / task, "test")
    test = family.read(test_file)
    apps = {name: fit(loaded, family, rows, settings) for name, settings in adapters.items()}
    start = time.perf_counter()
    engine = Engine(loaded, apps, "auto")
    scores = engine.score_all(list(apps), test, str(test_file))
    return {
        "test_rows": len(test),
        "test_seconds": round(time.perf_counter() - start, 1),
        **{
            name: {
                **{metric: round(value, 2) for metric, value in scores[name].items()},
                "fit_seconds": app.record["seconds"],
                "trainable_parameters": app.record["trainable_parameters"],
            }
            for name, app in apps.items()
        },
    }


def drawn(data: Path, kind: str, task: str, seed: int, rows: int = ROWS) -> Data:
    """So many training rows of DATA/KIND/TASK."""
    family = family_named(kind)
    every = family.read(find_file(data / kind / task, "train"))
    ids = draw_rows(every, family, Draw(rows=rows), seed, "")
    return Data(family.label_set(every), [every[row] for row in ids])


@dataclass(frozen=True)
class Job:
    """Something to make once ``needs`` is there."""

    path: Path
    make: Callable[[], None]
    needs: Path | None = None


def written(file: Path, make: Callable[[], Any]) -> Job:
    """A job whose result is a JSON file."""
    return Job(file, lambda: write_json(file, make()))


def work(jobs: Sequence[Job]) -> None:
    """Do what is neither done nor taken, in order, until everything is done."""
    while left := [job for job in jobs if not job.path.exists()]:
        if not any(_attempt(job) for job in left):
            time.sleep(5)  # all that is left is under way elsewhere, or waits for what is


def _attempt(job: Job) -> bool:
    if job.path.exists() or (job.needs is not None and not job.needs.exists()):
        return False
    job.path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(job.path.with_name(f".{job.path.name}.lock"), timeout=0):
            if not job.path.exists():
                job.make()
            return True
    except Timeout:
        return False


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
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in LIBRARIES},
        },
        "machine": {"cpu": platform.machine(), "threads": torch.get_num_threads()},
    }
