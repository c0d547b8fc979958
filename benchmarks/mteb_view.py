"""A second view: MTEB's few-shot protocol, by the ``mteb`` library's own evaluator.

    pip install mteb
    python benchmarks/mteb_view.py DATA BACKBONE... [--tasks banking77 ...] [--threads 1]
        [--out results/mteb.json]

BACKBONE: folders that ``onetrunk prefinetune`` wrote, or an encoder. Texts are frozen embeddings:
the mean of the last states under the classification's primary LoRA, where there is one. ``mteb``
draws 8 rows a label ten times, fits a logistic regression on each and scores the test set; the data
are DATA's, not the hub's, so numbers are not those of its leaderboard.
"""

from __future__ import annotations

import argparse
import json
from importlib.metadata import version
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from datasets import Dataset, DatasetDict
from mteb.abstasks.classification import AbsTaskClassification
from mteb.abstasks.task_metadata import TaskMetadata
from mteb.models.abs_encoder import AbsEncoder

from embedding import embed
from onetrunk.data.sources import find_file
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE
from onetrunk.storage import write_json
from shared import environment

TASKS = ("sst2", "trec6", "subj", "cr", "banking77", "sms_spam", "tweeteval_emotion",
         "tweeteval_offensive", "stackoverflow20", "clinc150")  # fmt: skip


class Frozen(AbsEncoder):  # type: ignore[misc]
    """A backbone as ``mteb`` wants an encoder."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone
        self.primary = "tc" if "tc" in backbone.primary_loras else NONE

    def encode(self, inputs: Any, **_: Any) -> np.ndarray:
        texts = [text for batch in inputs for text in batch["text"]]
        return embed(self.backbone, texts, self.primary)


def task_of(name: str, folder: Path) -> AbsTaskClassification:
    """A local data set as a task of ``mteb``."""
    splits = {split: pq.read_table(find_file(folder, split)) for split in ("train", "test")}
    labels = sorted({label for table in splits.values() for label in table["label"].to_pylist()})
    number = {label: i for i, label in enumerate(labels)}
    data = DatasetDict(
        {
            split: Dataset.from_dict(
                {
                    "text": table["text"].to_pylist(),
                    "label": [number[label] for label in table["label"].to_pylist()],
                }
            )
            for split, table in splits.items()
        }
    )

    class Local(AbsTaskClassification):  # type: ignore[misc]
        metadata = TaskMetadata(
            name=f"Local{name}", description=f"{name}, local copy", type="Classification",
            dataset={"path": f"local/{name}", "revision": "local"}, eval_langs=["eng-Latn"],
            main_score="accuracy",
        )  # fmt: skip

        def load_data(self, **_: Any) -> None:
            self.dataset, self.data_loaded = data, True

    return Local()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("backbones", nargs="+")
    parser.add_argument("--tasks", nargs="*", default=TASKS)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--out", type=Path, default=Path("results/mteb.json"))
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    tasks = {name: task_of(name, options.data / "tc" / name) for name in options.tasks}
    scores: dict[str, dict[str, Any]] = {}
    for name in options.backbones:
        encoder = Frozen(Backbone.load(name))
        by_task = scores[Path(name).name] = {}
        for task, local in tasks.items():
            (result_of_task,) = local.evaluate(
                encoder, "test", encode_kwargs={"batch_size": 256}
            ).values()
            draws = [100 * draw["accuracy"] for draw in result_of_task["scores_per_experiment"]]
            by_task[task] = {"accuracy": round(mean(draws), 2), "sd": round(stdev(draws), 2)}
            print(name, task, by_task[task], flush=True)
        by_task["mean"] = round(mean(each["accuracy"] for each in by_task.values()), 2)
    result = {
        "what": "8 rows a label, 10 draws, logistic regression on frozen embeddings, local copies",
        "scores": scores,
        "mteb": version("mteb"),
        **environment(),
    }
    write_json(options.out, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
