"""Train apps on the frozen backbone.

A linear app is a convex problem, solved to the end. A LoRA app starts from its family's primary
LoRA, then trains LoRA and head by AdamW. For entities it starts from the linear app's head: a head
that already fits does not distort the LoRA with the gradients of a random one (Kumar et al. 2022,
arXiv 2202.10054). For one label a text it starts from a head of zeros: few rows are fitted by a
solved head at once, and the LoRA learns nothing from them.
"""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from onetrunk.adaptation.task import DEFAULTS, AdaptSettings, AppTask, Data
from onetrunk.adaptation.training import AppTrainer, train
from onetrunk.apps.app import App
from onetrunk.apps.top import Top
from onetrunk.data.notes import Notes
from onetrunk.data.rows import numbered
from onetrunk.errors import UserError
from onetrunk.families.base import Family
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import NONE, LoraAdapter
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.precision import Chosen, choose
from onetrunk.progress import Progress, silent

Wanted = tuple[Family[Any, Any], Data, AdaptSettings]
"""What an app is to be made from."""


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
    return fit_together(backbone, {"app": (family, data, settings)}, progress, judged)["app"]


def fit_together(
    backbone: Backbone,
    wanted: Mapping[str, Wanted],
    progress: Progress = silent,
    judged: bool = False,
) -> dict[str, App]:
    """Train several apps side by side: each as :func:`fit` does, but in shared passes.

    Faster than one after another where batches are small. ``seconds`` in the records is the time
    of all. Raises :class:`UserError` also if they want different precisions.
    """
    start = time.perf_counter()
    backbone.encoder.freeze()
    precision = _precision(backbone, wanted)
    if precision == "bf16":
        backbone = replace(backbone, encoder=backbone.encoder.in_bf16())
    tasks = {
        name: AppTask(backbone, family, data, settings, slot_of(backbone, name, family, settings))
        for name, (family, data, settings) in wanted.items()
    }
    notes = Notes()
    for name, task in tasks.items():
        of_app = "" if len(tasks) == 1 else f" of {name}"
        task.train.note_cut_entities(numbered(f"the training rows{of_app}"), notes)
        task.validation.note_cut_entities(numbered(f"the validation rows{of_app}"), notes)
    notes.log()
    fresh_loras = {t.slot: _initial(t) for t in tasks.values() if t.settings.adapter == "lora"}
    read = {t.slot for t in tasks.values()} & set(backbone.primary_loras)
    stack = LoraStack(
        backbone.encoder,
        {**{name: backbone.primary_loras[name] for name in sorted(read)}, **fresh_loras},
    )
    top = Top(backbone.encoder, stack, max(task.k for task in tasks.values()), precision)
    for task in tasks.values():
        task.read(top, cache=task.settings.cache and task.slot in fresh_loras)
    started = {name: task.start_head(judged) for name, task in tasks.items()}
    trainers = {
        name: AppTrainer(task, top, started[name][0])
        for name, task in tasks.items()
        if task.slot in fresh_loras
    }
    train(list(trainers.values()), top, progress)
    seconds = round(time.perf_counter() - start, 2)
    apps = {}
    for name, task in tasks.items():
        head, details = started[name]
        adapter = stack.adapter(task.slot) if name in trainers else None
        app = apps[name] = _app(task, head, adapter)
        if task.settings.neighbours:
            app.neighbours = task.neighbours(head, details["l2"])
        task.calibrate(app)
        details = trainers[name].record() if name in trainers else details
        app.record = _record(task, app, seconds, {"precision": precision, **details})
        if task.settings.neighbours and app.neighbours is None:
            app.record["neighbours"] = None  # asked for, and not better
    return apps


def _precision(backbone: Backbone, wanted: Mapping[str, Wanted]) -> Chosen:
    asked = {settings.precision for _, _, settings in wanted.values()}
    if len(asked) > 1:
        raise UserError(f"apps trained together share a precision, not {sorted(asked)}")
    return choose(asked.pop(), backbone.encoder.device, backbone.encoder.width)


def slot_of(
    backbone: Backbone, name: str, family: Family[Any, Any], settings: AdaptSettings
) -> str:
    """The adapter that an app's states are computed under."""
    if settings.adapter == "lora":
        return f"app:{name}"
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
