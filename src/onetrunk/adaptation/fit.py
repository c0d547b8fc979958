"""Train apps on the frozen backbone.

A linear app is a convex problem, solved to the end. A LoRA app starts from its family's primary
LoRA, then trains LoRA and head by AdamW. For entities it starts from the linear app's head: a head
that already fits does not distort the LoRA with the gradients of a random one (Kumar et al. 2022,
arXiv 2202.10054). For one label a text it starts from a head of zeros: few rows are fitted by a
solved head at once, and the LoRA learns nothing from them.
"""

import time
from dataclasses import replace
from typing import Any

from torch import nn

from onetrunk.adaptation.settings import DEFAULTS, AdaptSettings, Data
from onetrunk.adaptation.task import AppTask
from onetrunk.adaptation.training import AppTrainer
from onetrunk.apps.app import App
from onetrunk.apps.top import Top
from onetrunk.data.notes import Notes
from onetrunk.data.rows import numbered
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE, LoraAdapter
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.precision import choose
from onetrunk.progress import Progress, silent

_APP = "app"
"""The slot of the LoRA that is trained."""


def fit(
    backbone: Backbone,
    family: Family[Any, Any],
    data: Data,
    settings: AdaptSettings = DEFAULTS,
    progress: Progress = silent,
    judged: bool = False,
) -> App:
    """Train an app. The backbone is frozen by this call; its weights are not changed.

    ``App.record`` holds rows, seconds, trainable parameters, and epochs, validation score and mean
    loss of each epoch where there are any; with ``judged`` also the score of a linear app of few
    rows by cross-validation (:meth:`AppTask.solve_head`), which takes five more solutions.

    Raises :class:`UserError` if there is nothing to learn: no rows, fewer than two classes, or no
    word that the tokenizer keeps.
    """
    start = time.perf_counter()
    backbone.encoder.freeze()
    precision = choose(settings.precision, backbone.encoder.device, backbone.encoder.width)
    if precision == "bf16":
        backbone = replace(backbone, encoder=backbone.encoder.in_bf16())
    task = AppTask(backbone, family, data, settings, slot_of(backbone, family, settings))
    notes = Notes()
    task.train.note_cut_entities(numbered("the training rows"), notes)
    task.validation.note_cut_entities(numbered("the validation rows"), notes)
    notes.log()
    is_lora = settings.adapter == "lora"
    if is_lora:
        loras = {_APP: _initial(task)}
    else:
        loras = {name: backbone.primary_loras[name] for name in {task.slot} - {NONE}}
    stack = LoraStack(backbone.encoder, loras)
    top = Top(backbone.encoder, stack, task.k, precision)
    task.read(top, cache=settings.cache and is_lora)
    head, solution = task.start_head(judged)
    details = solution
    if is_lora:
        trainer = AppTrainer(task, top, head)
        trainer.train(progress)
        details = trainer.record()
    app = _app(task, head, stack.adapter(_APP) if is_lora else None)
    if settings.neighbours:
        app.neighbours = task.neighbours(head, solution["l2"])
    task.calibrate(app)
    seconds = round(time.perf_counter() - start, 2)
    app.record = _record(task, app, seconds, {"precision": precision, **details})
    if settings.neighbours and app.neighbours is None:
        app.record["neighbours"] = None  # asked for, and not better
    return app


def slot_of(backbone: Backbone, family: Family[Any, Any], settings: AdaptSettings) -> str:
    """The adapter that an app's states are computed under."""
    if settings.adapter == "lora":
        return _APP
    return family.family_of_primary if family.family_of_primary in backbone.primary_loras else NONE


def _initial(task: AppTask) -> LoraAdapter:
    """The primary LoRA, extended downwards by fresh layers where the app asks for more."""
    settings, encoder = task.settings, task.backbone.encoder
    primary = task.backbone.primary_loras.get(task.family.family_of_primary)
    if primary is None:
        return LoraAdapter.fresh(encoder, task.k, settings.rank, settings.alpha, seed=settings.seed)
    fresh = LoraAdapter.fresh(
        encoder, task.k, primary.rank, primary.alpha, primary.targets, settings.seed,
        primary.rslora,
    )  # fmt: skip
    return replace(fresh, matrices={**fresh.matrices, **primary.matrices})


def _app(task: AppTask, head: nn.Linear, adapter: LoraAdapter | None) -> App:
    return App(
        family=task.family,
        labels=task.data.labels,
        head=head.requires_grad_(False),
        adapter=adapter,
        family_of_primary=NONE if adapter else task.slot,
        max_length=task.max_length,
        fingerprint=task.backbone.fingerprint,
        head_layers=task.trunk.head_layers,
    )


def _record(task: AppTask, app: App, seconds: float, details: dict[str, Any]) -> dict[str, Any]:
    return {
        "strategy": task.backbone.record.get("strategy"),
        "train_rows": len(task.data.train),
        "unlabelled_rows": len(task.data.unlabelled),
        "validation_rows": len(task.data.validation),
        "train_long": task.train.long,
        "seed": task.settings.seed,
        "trainable_parameters": _trainable(app, task.backbone.encoder.depth - task.k),
        "seconds": seconds,
        **details,
    }


def _trainable(app: App, first_layer: int) -> int:
    lora = app.adapter.matrices.items() if app.adapter else []
    return sum(p.numel() for p in app.head.parameters()) + sum(
        a.numel() + b.numel() for (layer, _), (a, b) in lora if layer >= first_layer
    )
