"""A LoRA and a head trained by PEFT and Hugging Face's Trainer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import AutoModel, Trainer, TrainingArguments
from transformers.utils import logging

from onetrunk.adaptation.linear_app import targets_by_window
from onetrunk.adaptation.settings import AdaptSettings
from onetrunk.apps.windows import Examples
from onetrunk.model.padding import pad

SETTINGS = AdaptSettings()
IGNORED = -100


class Tagger(nn.Module):
    """A PEFT encoder under a linear head: on the mean of all tokens, or on every token."""

    def __init__(self, encoder: nn.Module, width: int, classes: int, pooled: bool) -> None:
        super().__init__()
        self.encoder, self.head, self.pooled = encoder, nn.Linear(width, classes), pooled

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor) -> Any:
        states = self.encoder(input_ids=input_ids, attention_mask=attention_mask)[0]
        if self.pooled:
            mask = attention_mask.unsqueeze(-1).to(states.dtype)
            states = (states * mask).sum(1) / mask.sum(1)
        logits = self.head(states).float()
        loss = nn.functional.cross_entropy(
            logits.flatten(0, -2), labels.flatten(), ignore_index=IGNORED
        )
        return {"loss": loss, "logits": logits}


def train(folder: Path, backbone: Any, family: Any, data: Any, job: dict[str, Any]) -> nn.Linear:
    """Train on ``data``; leaves the adapter in ``folder`` and returns the head.

    ``job``: ``way`` (``bf16``, ``attention``), ``epochs`` and, if they are not onetrunk's,
    ``rates``: ``lora_lr`` and ``head_lr``. The rest is as onetrunk has it.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    settings = replace(SETTINGS, **job.get("rates", {}))
    encoder, pooled = backbone.encoder, family.name == "tc"
    rows = _rows(encoder, family, data, pooled)
    torch.manual_seed(0)
    bare = AutoModel.from_pretrained(
        folder / "encoder", attn_implementation=job["way"]["attention"], dtype=torch.float32
    )
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(encoder.architecture.targets.values()),
        layers_to_transform=list(range(encoder.depth - backbone.k, encoder.depth)),
        layers_pattern=encoder.architecture.layers.rsplit(".", 1)[-1],
    )
    model = Tagger(get_peft_model(bare, config), encoder.width, family.classes(data.labels), pooled)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    steps = -(-len(rows) // settings.batch_size) * job["epochs"]
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.encoder.parameters() if p.requires_grad],
             "lr": settings.lora_lr},
            {"params": list(model.head.parameters()), "lr": settings.head_lr},
        ],
        weight_decay=0.0, fused=True,
    )  # fmt: skip
    warmup = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warmup, (steps - s) / max(1, steps - warmup))
    )
    arguments = TrainingArguments(
        output_dir=str(folder / "out"), per_device_train_batch_size=settings.batch_size,
        num_train_epochs=job["epochs"], max_grad_norm=1.0, bf16=job["way"]["bf16"], use_cpu=True,
        train_sampling_strategy="group_by_length", dataloader_pin_memory=False,
        logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True, seed=0,
        remove_unused_columns=False,
    )  # fmt: skip

    def collate(batch: list[dict[str, Any]]) -> dict[str, Tensor]:
        ids, mask = pad([row["input_ids"] for row in batch], encoder.tokenizer.pad_token_id)
        if pooled:
            labels = torch.tensor([row["labels"][0] for row in batch])
        else:
            labels, _ = pad([row["labels"] for row in batch], IGNORED)
        return {"input_ids": ids, "attention_mask": mask, "labels": labels}

    Trainer(
        model, arguments, train_dataset=rows, data_collator=collate,
        optimizers=(optimizer, schedule),
    ).train()  # fmt: skip
    model.encoder.save_pretrained(folder)
    return model.head.requires_grad_(False)


def _rows(encoder: Any, family: Any, data: Any, pooled: bool) -> list[dict[str, Any]]:
    """Token ids and labels of each text, as short as onetrunk's windows."""
    examples = Examples.prepare(family, data.train, encoder, SETTINGS.max_length)
    rows = []
    targets = targets_by_window(family, examples, data.labels)
    for encoded, tokens, of_window in zip(examples.encoded, examples.tokens, targets, strict=True):
        ids = list(encoded.ids)
        labels = of_window.tolist() if pooled else [IGNORED] * len(ids)
        if not pooled:
            for at, target in zip(tokens, of_window.tolist(), strict=True):
                labels[at] = target
        rows.append({"input_ids": ids, "labels": labels, "length": len(ids)})
    return rows
