"""One app as one plain ONNX model: for who needs no other app beside it.

Its LoRA (or its primary LoRA) is merged into the weights, so any ONNX Runtime runs it as it runs
any encoder; many of them share nothing.
"""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from onetrunk import __version__
from onetrunk.adapt.app import App
from onetrunk.adapt.features import Examples
from onetrunk.bundle import layout
from onetrunk.bundle.export import PARITY, Exported, Precision, bundled_app
from onetrunk.bundle.graph import whole_graph
from onetrunk.bundle.parity import hostile_texts
from onetrunk.bundle.quantize import quantize
from onetrunk.bundle.runtime import session
from onetrunk.engine import Engine
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora import LoraStack
from onetrunk.storage import atomic_folder, refuse_existing, write_json

MODEL, RECORD = "model.onnx", "app.json"


def export_merged(
    backbone: Backbone,
    name: str,
    app: App,
    out: Path,
    precision: Precision = "fp32",
    overwrite: bool = False,
) -> Exported:
    """Write ``model.onnx``, ``tokenizer.json`` and ``app.json`` of one app.

    The model takes ids and mask ``(B, T)`` and gives ``logits``: ``(B, C)`` of texts, or
    ``(B, T, C)`` of tokens, of which a word's first counts. Raises :class:`UserError`, and leaves
    nothing behind, if the app cannot be exported or the logits of fp32 are not PyTorch's.
    """
    refuse_existing(out, overwrite)
    bundled = bundled_app(name, app, backbone)
    per_token = bundled.family in layout.PER_WORD
    content = merged_model(backbone, app, precision)
    with Engine(backbone, {name: app}) as engine:
        found = Exported({MODEL: len(content)}, _difference(engine, name, content, per_token))
    if precision == "fp32" and found.difference > PARITY:
        raise UserError(
            f"the exported graph does not compute what PyTorch does: logits differ by up to "
            f"{found.difference:.1e} standard deviations; nothing was written"
        )
    backend = backbone.encoder.tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    with atomic_folder(out, overwrite) as folder:
        (folder / MODEL).write_bytes(content)
        (folder / layout.TOKENIZER).write_text(backend.to_str(), encoding="utf-8")
        write_json(
            folder / RECORD,
            {
                "onetrunk": __version__,
                "family": bundled.family,
                "labels": bundled.labels,
                "max_length": bundled.max_length,
                "pad_id": int(backbone.encoder.tokenizer.pad_token_id),
                "logits": "of tokens" if per_token else "of texts",
                "precision": precision,
                "backbone": backbone.fingerprint,
                "difference_from_pytorch": round(found.difference, 7),
            },
        )
    return found


def merged_model(backbone: Backbone, app: App, precision: Precision) -> bytes:
    """The model alone."""
    encoder, adapter = backbone.encoder, app.adapter or backbone.primary.get(app.primary)
    weight, bias = (p.detach().cpu().numpy() for p in (app.head.weight, app.head.bias))
    per_token = app.family.name in layout.PER_WORD
    stack = LoraStack(encoder, {"app": adapter} if adapter else {})
    try:
        with torch.no_grad(), stack.merged("app") if adapter else nullcontext():
            model = whole_graph(encoder, backbone.pooling, weight, bias, per_token, app.reads)
    finally:
        stack.detach()
        encoder.freeze()  # merging is for training, too
    content: bytes = (quantize(model) if precision == "int8" else model).SerializeToString()
    return content


def _difference(engine: Engine, name: str, content: bytes, per_token: bool) -> float:
    """Largest difference of a logit from PyTorch's, in standard deviations of logits."""
    app, run = engine.apps[name], session(content, 0, MODEL)
    encoder, rows = engine.backbone.encoder, [app.family.parse(text) for text in hostile_texts(64)]
    examples = Examples.prepare(app.family, rows, encoder, app.max_length)
    ours: list[Any] = []
    theirs: list[Any] = []
    for first in range(0, len(examples.encoded), 32):
        windows = range(first, min(first + 32, len(examples.encoded)))
        ids, mask = examples.batch(windows, encoder)
        units = [examples.units[window] for window in windows]
        wanted = engine.logits([name], ids, mask, {app.family.name: units})[name]
        feeds = {"input_ids": ids.cpu().numpy(), "attention_mask": mask.cpu().numpy()}
        (logits,) = run.run(["logits"], feeds)
        if per_token:
            places = [(row, at) for row, tokens in enumerate(units) for at in tokens if at >= 0]
            logits = logits[tuple(np.array(places, int).reshape(-1, 2).T)]
        ours.append(logits)
        theirs.append(wanted.cpu().numpy())
    answers = np.concatenate(theirs)
    gap = np.abs(np.concatenate(ours) - answers).max(initial=0.0)
    return float(gap / max(float(answers.std()), 1e-6))
