"""The trainings that are compared: onetrunk's, and each peer's in a given configuration."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch

from peers.matrix_products import MatrixProducts
from peers.timing import Timing, peak_mib

Way = dict[str, Any]
"""A configuration of a peer: ``bf16``, ``workers``, ``attention``, ``compile``, ``grouped`` and
``dropout``."""


def onetrunk(recipe: Any, warmup: int, steps: int, products: bool) -> dict[str, Any]:
    """A stage-1 run as it is."""
    from onetrunk.prefinetuning.loop import Trainer

    trainer, timing = Trainer(recipe), Timing(warmup)
    for step in range(warmup + steps):
        record = trainer.step(step)
        timing.end(record.tokens, record.padded)
    result = timing.summary() | {"precision": trainer.precision}
    if products:
        with MatrixProducts() as seen:
            for step in range(warmup, warmup + steps):
                trainer.step(step)
        result |= timing.summary(seen)
    return result


def gradient(
    recipe: Any, graph_tokens: int | None, file: Path, plain: Path | None
) -> dict[str, Any]:
    """One gradient of a batch of pairs, and how it differs from the one in ``plain``.

    ``graph_tokens``: the number of tokens whose graphs are kept; None: the recipe's default.
    """
    from safetensors.torch import load_file, save_file

    from onetrunk.prefinetuning.loop import Trainer

    if graph_tokens is not None:
        recipe.families["tc"]["graph_tokens"] = graph_tokens
    trainer = Trainer(recipe)
    start = time.perf_counter(), time.process_time()
    _, tokens = trainer.backward("tc", 0)
    result = {
        "seconds": time.perf_counter() - start[0],
        "cpu_seconds": time.process_time() - start[1],
        "tokens": tokens,
        "graph_tokens": trainer.objectives["tc"].settings.graph_tokens,
        "peak_mib": peak_mib(),
    }
    gradients = {name: p.grad for name, p in trainer.shared.items() if p.grad is not None}
    save_file(gradients, file)
    if plain is not None:
        reference = load_file(plain)
        largest = max(float(gradient.abs().max()) for gradient in reference.values())
        apart = max(float((gradients[name] - reference[name]).abs().max()) for name in reference)
        result["largest_difference_over_largest_gradient"] = apart / largest
    return result


def pairs(folder: Path, way: Way, warmup: int, steps: int, products: bool) -> dict[str, Any]:
    """sentence-transformers: symmetric InfoNCE, the batches of the workload in their order."""
    from datasets import Dataset
    from sentence_transformers import (
        SentenceTransformer,
        SentenceTransformerTrainer,
        SentenceTransformerTrainingArguments,
    )
    from sentence_transformers.base.sampler import DefaultBatchSampler
    from sentence_transformers.sentence_transformer.losses import MultipleNegativesRankingLoss
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    class InOrder(DefaultBatchSampler):
        def __iter__(self) -> Any:
            size = self.batch_size
            yield from ([*range(i, i + size)] for i in range(0, len(self.sampler), size))

    work = json.loads((folder / "tc.json").read_text())
    rows = Dataset.from_dict(work["columns"])

    def trainer(arguments: dict[str, Any], callback: Any) -> Any:
        encoder = Transformer(
            str(folder / "encoder"),
            model_kwargs={"attn_implementation": way["attention"], "dtype": torch.float32},
            config_kwargs=dropout(way["dropout"]),
            max_seq_length=work["max_length"],
        )
        width = encoder.auto_model.config.hidden_size
        model = SentenceTransformer(modules=[encoder, Pooling(width, "mean")], device="cpu")
        loss = MultipleNegativesRankingLoss(
            model, scale=20.0, directions=("query_to_doc", "doc_to_query"),
            partition_mode="per_direction",
        )  # fmt: skip
        settings = SentenceTransformerTrainingArguments(batch_sampler=InOrder, **arguments)
        return counting(SentenceTransformerTrainer, callback.timing)(
            model, settings, train_dataset=rows, loss=loss, callbacks=[callback]
        )

    return trained(trainer, work["batch_size"], way, warmup, steps, products)


def ner(folder: Path, way: Way, warmup: int, steps: int, products: bool) -> dict[str, Any]:
    """Hugging Face Trainer: a token classifier over the workload's concepts, its sentences."""
    from datasets import Dataset
    from transformers import (
        AutoModelForTokenClassification,
        AutoTokenizer,
        DataCollatorForTokenClassification,
        Trainer,
        TrainingArguments,
    )

    work = json.loads((folder / "ner.json").read_text())
    columns = work["columns"]
    rows = Dataset.from_dict({**columns, "length": list(map(len, columns["input_ids"]))})
    tokenizer = AutoTokenizer.from_pretrained(folder / "encoder")

    def trainer(arguments: dict[str, Any], callback: Any) -> Any:
        model = AutoModelForTokenClassification.from_pretrained(
            folder / "encoder", num_labels=work["classes"], dtype=torch.float32,
            attn_implementation=way["attention"], **dropout(way["dropout"]),
        )  # fmt: skip
        strategy = "group_by_length" if way["grouped"] else "sequential"
        settings = TrainingArguments(train_sampling_strategy=strategy, **arguments)
        return counting(Trainer, callback.timing)(
            model, settings, train_dataset=rows, callbacks=[callback],
            processing_class=tokenizer,
            data_collator=DataCollatorForTokenClassification(tokenizer),
        )  # fmt: skip

    return trained(trainer, work["batch_size"], way, warmup, steps, products)


def dropout(rate: float) -> dict[str, float]:
    """The dropout settings of a BERT configuration."""
    return {"hidden_dropout_prob": rate, "attention_probs_dropout_prob": rate}


def counting(trainer: type, timing: Timing) -> type:
    """A trainer that tells what it trains on."""

    class Counting(trainer):  # type: ignore[misc]
        def training_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            timing.see(inputs)
            return super().training_step(model, inputs, *args, **kwargs)

    return Counting


def trained(
    make: Callable[[dict[str, Any], Any], Any],
    size: int,
    way: Way,
    warmup: int,
    steps: int,
    products: bool,
) -> dict[str, Any]:
    """Train with transformers' Trainer, and once more to see the matrix products."""
    from transformers import TrainerCallback
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()

    class Watch(TrainerCallback):
        def __init__(self, seen: MatrixProducts | None = None) -> None:
            self.timing, self.seen, self.inside = Timing(warmup), seen, ExitStack()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.timing.end()
            if self.seen is not None and len(self.timing.ends) == warmup:
                self.inside.enter_context(self.seen)

        def on_train_end(self, *_: Any, **__: Any) -> None:
            self.inside.close()

    with tempfile.TemporaryDirectory() as out:
        arguments = {
            "output_dir": out,
            "per_device_train_batch_size": size,
            "max_steps": warmup + steps,
            "learning_rate": 1e-4,
            "weight_decay": 0.01,
            "optim": "adamw_torch_fused",
            "bf16": way["bf16"],
            "use_cpu": True,
            "torch_compile": way["compile"],
            "dataloader_num_workers": way["workers"],
            "dataloader_pin_memory": False,
            "logging_strategy": "no",
            "save_strategy": "no",
            "report_to": "none",
            "disable_tqdm": True,
            "seed": 0,
        }
        watch = Watch()
        make(arguments, watch).train()
        result = watch.timing.summary()
        if products:
            seen = MatrixProducts()
            make(arguments, Watch(seen)).train()
            result |= watch.timing.summary(seen)
    return result
