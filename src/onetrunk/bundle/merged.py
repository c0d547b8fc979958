"""One app as one plain ONNX model, for a device that needs no other app beside it.

Its LoRA (or its primary LoRA) is merged into the weights, so ONNX Runtime runs it as it runs any
encoder. Several such models share nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import torch

from onetrunk import __version__
from onetrunk.apps.app import App
from onetrunk.apps.engine import Engine
from onetrunk.bundle import layout
from onetrunk.bundle.contents import Precision, bundled_app, model_bytes, tokenizer_bytes
from onetrunk.bundle.exported import Exported
from onetrunk.bundle.graph import whole_graph
from onetrunk.bundle.parity import difference
from onetrunk.bundle.sessions import session
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.padding import pad
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
    refuse_existing(out, overwrite)
    bundled = bundled_app(name, app, backbone)
    if bundled.neighbours is not None:
        raise UserError(
            f"app {name} asks labelled neighbours, which one plain model cannot: write a bundle"
        )
    content = merged_model(backbone, app, precision)
    pad_id = int(backbone.encoder.tokenizer.pad_token_id)
    model = _Model(content, pad_id, bundled.per_word)
    engine = Engine(backbone, {name: app})
    exported = Exported(out, {MODEL: len(content)}, difference(engine, model))
    exported.check_parity(precision)
    with atomic_folder(out, overwrite) as folder:
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
    with merged_lora(backbone, app):
        model = whole_graph(
            backbone.encoder, backbone.pooling, weight, bias, app.family.per_word, app.head_layers
        )
    return model_bytes(model, precision)


@contextmanager
def merged_lora(backbone: Backbone, app: App) -> Iterator[None]:
    """Inside the block, the encoder's weights hold the app's LoRA, or its primary LoRA."""
    encoder = backbone.encoder
    adapter = app.adapter or backbone.primary_loras.get(app.family_of_primary)
    stack = LoraStack(encoder, {"app": adapter} if adapter else {})
    try:
        with torch.no_grad(), stack.merged("app") if adapter else nullcontext():
            yield
    finally:
        encoder.freeze()  # merging, which is made for training, unfreezes it


class _Model:
    """The model, with the method ``logits`` of a runtime."""

    def __init__(self, content: bytes, pad_id: int, per_token: bool) -> None:
        self._session = session(content, 0, MODEL)
        self._pad_id, self._per_token = pad_id, per_token

    def logits(
        self,
        names: Sequence[str],
        ids: Sequence[Sequence[int]],
        units: Sequence[Sequence[int]],
    ) -> dict[str, list[np.ndarray]]:
        """Of its one app, ``(u, C)`` of each window."""
        padded, mask = (array.numpy() for array in pad(ids, self._pad_id))
        feeds = {"input_ids": padded, "attention_mask": mask}
        (logits,) = self._session.run(["logits"], feeds)
        if not self._per_token:
            return {names[0]: [*logits[:, None]]}
        tokens = [[token for token in row if token >= 0] for row in units]
        return {names[0]: [part[places] for part, places in zip(logits, tokens, strict=True)]}
