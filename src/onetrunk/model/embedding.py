"""Token embeddings that are gathered once for a batch, although several chunks read them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn


@contextmanager
def gathered(embedding: nn.Embedding, ids: Sequence[Sequence[int] | np.ndarray]) -> Iterator[None]:
    """Inside the block, ``embedding`` looks tokens of ``ids`` up in a table of only their rows.

    The gradient of a lookup is as large as its table. Each chunk of a batch would fill and add a
    gradient of ``(V, D)``, which is half of a small encoder's parameters. Here a chunk costs
    ``(unique tokens, D)``, and the gradient of ``(V, D)`` is filled once, when the block ends. So
    run ``backward`` inside the block. Values do not change.
    """
    unique = torch.from_numpy(np.unique(np.concatenate([np.asarray(row) for row in ids]))).long()
    row_of_token = torch.zeros(embedding.num_embeddings, dtype=torch.int64)
    row_of_token[unique] = torch.arange(len(unique))
    row_of_token = row_of_token.to(embedding.weight.device)
    rows = embedding(unique.to(row_of_token.device))
    table = rows.detach().requires_grad_(rows.requires_grad)

    def look_up(_module: nn.Module, inputs: tuple[Tensor], _output: Tensor) -> Tensor:
        return F.embedding(row_of_token[inputs[0]], table)

    hook = embedding.register_forward_hook(look_up)
    try:
        yield
        if table.grad is not None:
            rows.backward(table.grad)
    finally:
        hook.remove()
