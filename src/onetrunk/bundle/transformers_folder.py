"""An app as a standard model folder of transformers: its LoRA merged, its tags in the config."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import AutoConfig, AutoModelForTokenClassification

from onetrunk import kinds
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.bundle.merged import adapter_of, merged_lora
from onetrunk.bundle.parity import OneModel, difference
from onetrunk.decoding import tag_names
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.loading import quiet
from onetrunk.model.tokenizer import save_tokenizer
from onetrunk.storage import atomic_folder

LARGEST_DIFFERENCE = 1e-4
"""Logits of the folder and of the engine may differ by so many standard deviations."""


def export_transformers(
    backbone: Backbone, name: str, app: App, out: str | Path, overwrite: bool = False
) -> None:
    """Write a folder that ``transformers.pipeline("token-classification", out)`` answers with.

    Its logits of a token are the app's. The app answers for words and reads the first token of
    each, so ask the pipeline for ``aggregation_strategy="first"``.

    Raises :class:`UserError`, and writes nothing, for an app that no standard head expresses.
    """
    app.check(backbone, name)
    if reason := why_not(app):
        raise UserError(f"app {name} has no equal in transformers: {reason}")
    with atomic_folder(Path(out), overwrite, kinds.ENCODER) as folder:
        model = _model(backbone, app)

        @torch.no_grad()
        def run(ids: Tensor, mask: Tensor) -> np.ndarray:
            return np.asarray(model(input_ids=ids, attention_mask=mask).logits.numpy())

        pad_id = int(backbone.encoder.tokenizer.pad_token_id)
        read = OneModel(run, pad_id, per_token=True)
        found = difference(Engine(backbone, {name: app}), read)
        if not found <= LARGEST_DIFFERENCE:
            raise UserError(f"app {name}: the folder's logits would differ by {found:.2g}")
        with quiet():
            model.save_pretrained(folder)
        save_tokenizer(backbone.encoder.tokenizer, folder)


def why_not(app: App) -> str:
    """Why no standard head of transformers expresses an app exactly; empty if one does."""
    if app.family.decoder in ("tc", "multi-label", "rating"):
        return (
            "its heads for whole texts put a layer with a bend between text and classes. Write a "
            "bundle, or one ONNX model (--merged)"
        )
    if app.family.decoder != "ner":
        return f"it has no head for family {app.family.name!r}. Write a bundle"
    if app.head_layers != 1:
        return (
            f"the head reads the states of {app.head_layers} layers, and a standard one reads the "
            "last. Train the app again with --head-layers 1, or write a bundle"
        )
    if app.neighbours is not None:
        return "the app asks labelled neighbours. Train it again without, or write a bundle"
    if app.none_below is not None:
        return "a pipeline cannot leave out unsure answers. Train the app again without none_below"
    return ""


def _model(backbone: Backbone, app: App) -> Any:
    """A token classifier with the merged weights."""
    encoder, tags = backbone.encoder, tag_names(app.labels)
    config = AutoConfig.for_model(**encoder.model.config.to_dict())
    config.id2label = dict(enumerate(tags))
    config.label2id = {tag: number for number, tag in enumerate(tags)}
    config.name_or_path = ""
    model = AutoModelForTokenClassification.from_config(config)
    with merged_lora(encoder, adapter_of(backbone, app)):
        weights = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    inner = getattr(model, model.base_model_prefix)
    places = inner.state_dict()
    if missing := places.keys() - weights.keys():
        raise UserError(f"this encoder has no {sorted(missing)[0]}, which transformers expects")
    inner.load_state_dict({name: weights[name] for name in places})
    with torch.no_grad():
        model.classifier.weight.copy_(app.head.weight)
        model.classifier.bias.copy_(app.head.bias)
    return model.eval()
