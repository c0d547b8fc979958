"""Token ids of several texts as one padded batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from onetrunk.data.batching import TokenIds


def pad(rows: Sequence[TokenIds], pad_id: int) -> tuple[Tensor, Tensor]:
    """Right-pad token ids: B rows -> input_ids ``(B, T)`` and attention_mask ``(B, T)``, int64."""
    width = max(map(len, rows))
    input_ids = torch.full((len(rows), width), pad_id)
    mask = torch.zeros(len(rows), width, dtype=torch.int64)
    for i, row in enumerate(rows):
        input_ids[i, : len(row)] = torch.from_numpy(np.array(row, np.int64))
        mask[i, : len(row)] = 1
    return input_ids, mask
