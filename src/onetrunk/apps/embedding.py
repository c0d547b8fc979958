"""Embeddings of whole texts, as the text classification family sees them."""

from collections.abc import Sequence

import numpy as np
import torch

from onetrunk.apps.top import CHUNK_TOKENS, Top
from onetrunk.apps.windows import Examples
from onetrunk.data.batching import by_tokens
from onetrunk.data.rows import LabelledText
from onetrunk.families.classification import Classification
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.heads import pool
from onetrunk.model.lora import NONE
from onetrunk.model.lora_stack import LoraStack
from onetrunk.model.packing import unpack
from onetrunk.model.precision import Chosen


@torch.inference_mode()
def embed(
    backbone: Backbone, encoder: Encoder, precision: Chosen, texts: Sequence[str]
) -> np.ndarray:
    """Pooled last states under the family's task-primary LoRA, if there is one: ``(N, D)`` float32.

    They are not normalised. A text that is longer than the encoder's window has the mean over its
    windows. ``encoder`` is the backbone's, or its copy for ``precision`` bf16.
    """
    name = Classification.name
    loras = {name: backbone.primary_loras[name]} if name in backbone.primary_loras else {}
    stack = LoraStack(encoder, loras)
    if precision == "bf16":
        stack.in_bf16()
    slots = stack.slots([name if loras else NONE])
    top = Top(encoder, stack, encoder.depth, precision)
    rows = [LabelledText(text) for text in texts]
    examples = Examples.prepare(Classification(), rows, encoder, encoder.max_length)
    vectors = [torch.empty(0)] * len(examples.encoded)
    for windows in by_tokens(examples.lengths, CHUNK_TOKENS):
        ids = [examples.encoded[window].ids for window in windows]
        lengths = list(map(len, ids))
        with stack.route(slots):
            states = top.run(top.below(ids)[None], lengths, 1)
        padded, mask = unpack(states[0], lengths)
        pooled = pool(padded, mask, backbone.pooling).cpu()
        for window, vector in zip(windows, pooled.split(1), strict=True):
            vectors[window] = vector
    embeddings = np.empty((len(texts), encoder.width), np.float32)
    for row, (_, of_windows, _) in enumerate(examples.joined(vectors)):
        embeddings[row] = of_windows.mean(0).numpy()
    return embeddings
