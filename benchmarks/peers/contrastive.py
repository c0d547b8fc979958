"""A classifier by SetFit (Tunstall et al. 2022): the encoder learns from pairs of texts, then
logistic regression from its embeddings."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from typing import Any

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments

from onetrunk.decoding import Labelled
from onetrunk.model.place import locate_model


def load(encoder: str) -> Any:
    """A model that has learnt nothing yet."""
    return SetFitModel.from_pretrained(locate_model(encoder, "encoder"))


def train(model: Any, rows: Sequence[Any], iterations: int) -> float:
    """Train one epoch of ``2 * iterations`` pairs a row; returns the seconds."""
    table = {"text": [row.text for row in rows], "label": [row.labels[0] for row in rows]}
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, batch_size=16, num_epochs=1, num_iterations=iterations,
            report_to="none", show_progress_bar=False, save_strategy="no",
        )  # fmt: skip
        start = time.perf_counter()
        Trainer(model=model, args=arguments, train_dataset=Dataset.from_dict(table)).train()
        return time.perf_counter() - start


def predict(model: Any, rows: Sequence[Any]) -> list[Labelled]:
    """What it answers to rows."""
    answers = model.predict([row.text for row in rows])
    return [Labelled((str(answer),), {}) for answer in answers]
