"""One app as one plain ONNX model, for a device that needs no other app beside it.

Its LoRA (or its primary LoRA) is merged into the weights, so ONNX Runtime runs it as it runs any
encoder. Several such models share nothing.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from onetrunk import __version__, kinds
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.bundle import layout
from onetrunk.bundle.contents import Precision, bundled_app, model_bytes, tokenizer_bytes
from onetrunk.bundle.exported import Exported
from onetrunk.bundle.graph import whole_graph
from onetrunk.bundle.parity import OneModel, difference
from onetrunk.bundle.sessions import session
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.lora import LoraAdapter
from onetrunk.model.lora_stack import LoraStack
from onetrunk.storage import atomic_folder, refuse_existing, write_json

MODEL, RECORD = "model.onnx", "app.json"


def export_merged(
    backbone: Backbone,
    name: str,
    app: App,
    out: str | Path,
    precision: Precision = "fp32",
    overwrite: bool = False,
) -> Exported:
    """Write ``model.onnx``, ``tokenizer.json`` and ``app.json`` of one app.

    The model takes ids and mask ``(B, T)`` and gives ``logits``: ``(B, C)`` of texts, or
    ``(B, T, C)`` of tokens; a word's logits are those of its first token. Raises
    :class:`UserError`, and leaves nothing behind, if the app cannot be exported or the logits of
    fp32 are not PyTorch's.
    """
    out = Path(out)
    refuse_existing(out, overwrite, kinds.MERGED)
    layout.check_name(name)
    bundled = bundled_app(name, app, backbone)
    if bundled.neighbours is not None:
        raise UserError(
            f"app {name} asks labelled neighbours, which one plain model cannot: write a bundle"
        )
    content = merged_model(backbone, app, precision)
    pad_id = int(backbone.encoder.tokenizer.pad_token_id)
    runs = session(content, 0, MODEL)

    def run(ids: Tensor, mask: Tensor) -> np.ndarray:
        feeds = {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
        return np.asarray(runs.run(["logits"], feeds)[0])

    model, engine = OneModel(run, pad_id, bundled.per_word), Engine(backbone, {name: app})
    exported = Exported(out, {MODEL: len(content)}, difference(engine, model), precision)
    exported.check_parity()
    with atomic_folder(out, overwrite, kinds.MERGED) as folder:
        (folder / MODEL).write_bytes(content)
        (folder / layout.TOKENIZER).write_bytes(tokenizer_bytes(backbone.encoder))
        write_json(
            folder / RECORD,
            {
                "onetrunk": __version__,
                "family": bundled.family,
                "decoder": bundled.decoder,
                "labels": bundled.labels,
                "none_below": bundled.none_below,
                "max_length": bundled.max_length,
                "pad_id": pad_id,
                "logits": "of tokens" if bundled.per_word else "of texts",
                "precision": precision,
                "backbone": backbone.fingerprint,
                "difference_from_pytorch": round(exported.difference, 7),
            },
        )
    return exported


def merged_model(backbone: Backbone, app: App, precision: Precision) -> bytes:
    """The model alone, for an app of a family with a decoder."""
    weight, bias = (p.detach().cpu().numpy() for p in (app.head.weight, app.head.bias))
    with merged_lora(backbone.encoder, adapter_of(backbone, app)):
        model = whole_graph(
            backbone.encoder, backbone.pooling, weight, bias, app.family.per_word, app.head_layers
        )
    return model_bytes(model, precision)


def adapter_of(backbone: Backbone, app: App) -> LoraAdapter | None:
    """The LoRA that an app runs under: its own, or its primary LoRA."""
    return app.adapter or backbone.primary_loras.get(app.family_of_primary)


@contextmanager
def merged_lora(encoder: Encoder, adapter: LoraAdapter | None) -> Iterator[None]:
    """Inside the block, the encoder's weights hold the LoRA, if there is one."""
    stack = LoraStack(encoder, {"app": adapter} if adapter else {})
    try:
        with torch.no_grad(), stack.merged("app") if adapter else nullcontext():
            yield
    finally:
        encoder.freeze()  # merging, which is made for training, unfreezes it
