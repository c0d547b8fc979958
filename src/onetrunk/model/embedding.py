"""One gather of token embeddings for a whole batch, however many chunks read it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def gathered(embedding: nn.Embedding, ids: Sequence[Sequence[int] | np.ndarray]) -> Iterator[None]:
    """Inside, ``embedding`` looks the tokens of ``ids`` up in a table of just their rows.

    The gradient of a lookup is as large as what it looks up in. A batch that runs in several chunks
    would fill and add a ``(V, D)`` gradient for each of them, half of a small encoder's parameters;
    here chunks cost ``(unique tokens, D)``, and ``(V, D)`` is filled once, as the block ends: run
    ``backward`` inside. Values are the same.
    """
    unique = torch.from_numpy(np.unique(np.concatenate([np.asarray(row) for row in ids]))).long()
    place = torch.zeros(embedding.num_embeddings, dtype=torch.int64)
    place[unique] = torch.arange(len(unique))
    place = place.to(embedding.weight.device)
    rows = embedding(unique.to(place.device))
    table = rows.detach().requires_grad_(rows.requires_grad)

    def look_up(_module: nn.Module, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
        return F.embedding(place[inputs[0]], table)

    hook = embedding.register_forward_hook(look_up)
    try:
        yield
        if table.grad is not None:
            rows.backward(table.grad)
    finally:
        hook.remove()
