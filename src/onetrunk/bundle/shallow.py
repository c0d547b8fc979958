"""A shallower trunk: some of the layers that no adapter touches are left out, and the others learn
to give the top what all of them gave.

The trunk that was is the teacher, and any text teaches (regression of hidden states: TinyBERT, Jiao
et al. 2020, arXiv 1909.10351, section 3.1). What stands above does not change, so apps stay as they
are; what they lose is measured as they are exported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import count, islice

import numpy as np
import torch
from torch import Tensor, nn

from onetrunk.data.alignment import encode_windows
from onetrunk.data.batching import TokenIds, shuffled_buckets
from onetrunk.errors import UserError
from onetrunk.model.backbone import Backbone
from onetrunk.model.encoder import Encoder
from onetrunk.model.precision import Precision, autocast, choose

STEPS, TEXTS, TOKENS = 1000, 64, 128
"""Of teaching: updates, texts of one, and tokens of a text's window at most."""
_RATE = 1e-3
_WARM_UP = 0.1


class Skipped(nn.Module):
    """Stands where a layer is left out, so that the others keep their numbers."""

    def forward(self, hidden: Tensor, *_: object, **__: object) -> Tensor:
        """``hidden`` as it came."""
        return hidden


def with_shallow_trunk(
    backbone: Backbone,
    k: int,
    layers: int,
    texts: Sequence[str],
    steps: int = STEPS,
    seed: int = 0,
    precision: Precision = "auto",
    progress: Callable[[int, int, float], None] = lambda done, total, error: None,
) -> Backbone:
    """The backbone with ``layers`` of the layers below its last ``k``; its fingerprint stays, so
    its apps fit.

    ``progress`` is told steps done, steps in all and what of the old trunk's output is missed yet,
    as a share of its variance. Raises :class:`UserError` without texts, or if there are no more
    layers than that.
    """
    below = backbone.encoder.depth - k
    if not 1 <= layers < below:
        raise UserError(
            f"a trunk of {layers} layers: the one of {backbone.encoder.source} has {below} below "
            f"the {k} that these apps adapt or read; give 1 to {below - 1}"
            if below > 1
            else f"the trunk has {below} layers below the {k} that these apps adapt or read: none "
            "can be left out"
        )
    windows = [
        window.ids
        for found in encode_windows(
            backbone.encoder.tokenizer, texts, min(TOKENS, backbone.encoder.max_length)
        )
        for window in found
    ]
    if not windows:
        raise UserError("there are no texts to teach a shallower trunk with")
    kept = {i * below // layers for i in range(layers)}  # spread evenly, from the first on
    student = _student(backbone.encoder, below, kept)
    _teach(student, backbone.encoder, below, windows, steps, seed, precision, progress)
    return replace(backbone, encoder=student)


def trunk_layers(encoder: Encoder, k: int) -> int:
    """How many layers below the last ``k`` are there."""
    return sum(not isinstance(layer, Skipped) for layer in encoder.layers[: encoder.depth - k])


def _student(encoder: Encoder, below: int, kept: set[int]) -> Encoder:
    """A copy with some of the layers of the trunk; all that is not trained is shared."""
    shared = [encoder.model.embeddings, *encoder.layers[below:]]
    model = deepcopy(encoder.model, {id(module): module for module in shared})
    student = replace(encoder, model=model)
    for number in set(range(below)) - kept:
        student.layers[number] = Skipped()
    return student


def _teach(
    student: Encoder,
    teacher: Encoder,
    below: int,
    windows: Sequence[TokenIds],
    steps: int,
    seed: int,
    precision: Precision,
    progress: Callable[[int, int, float], None],
) -> None:
    """Squared error of what leaves the trunk, over the variance of what should."""
    student.freeze()
    trained = [*student.layers[:below].parameters()]
    for parameter in trained:
        parameter.requires_grad_()
    optimizer = torch.optim.AdamW(trained, lr=_RATE, weight_decay=0.0, fused=True)
    warmup = max(1, int(steps * _WARM_UP))
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda s: min((s + 1) / warmup, (steps - s) / max(1, steps - warmup))
    )
    chosen = choose(precision, student.device, student.width)
    rng = np.random.default_rng(seed)
    lengths = list(map(len, windows))
    batches = (batch for _ in count() for batch in shuffled_buckets(lengths, TEXTS, rng))
    for step, batch in enumerate(islice(batches, steps), start=1):
        texts = [windows[i] for i in batch]
        sizes = list(map(len, texts))
        with torch.no_grad(), autocast(chosen, student.device):
            entering = teacher.embed_packed(texts)
            wanted = teacher.run_packed(entering, sizes, 0, below).float()
        with autocast(chosen, student.device):
            found = student.run_packed(entering, sizes, 0, below).float()
        loss = (found - wanted).square().mean() / wanted.var(0).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        progress(step, steps, loss.item())
    student.freeze()
