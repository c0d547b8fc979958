"""The labelled texts nearest to a state, for heads that are blended with what those vote for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from scipy.sparse import csr_array
from torch import Tensor

from onetrunk.errors import UserError

NEIGHBOURS = "neighbours.safetensors"
_DTYPES = {
    "keys": torch.float16,
    "rows": torch.int32,
    "columns": torch.int32,
    "values": torch.float32,
    "shift": torch.float32,
}


@dataclass
class Neighbours:
    """N labelled states and their votes over C outputs, sparse."""

    keys: Tensor
    """``(N, D)`` float16, of length one."""
    soft_targets: csr_array
    """``(N, C)`` float32: what each votes for."""
    count: int
    """How many of the nearest vote."""
    temperature: float
    """A neighbour's vote weighs exp(cosine / temperature)."""
    share: float
    """Of the votes in the blend, the rest is the head's; above 0 and below 1."""
    shift: Tensor
    """``(C,)``, added to the blended logits."""

    @classmethod
    def of(
        cls, states: Tensor, soft_targets: Tensor, count: int, temperature: float, share: float
    ) -> Neighbours:
        """From states ``(N, D)`` and ballots ``(N, C)``."""
        keys = F.normalize(states.float(), dim=-1).half()
        sparse = csr_array(soft_targets.float().numpy())
        return cls(keys, sparse, count, temperature, share, torch.zeros(soft_targets.shape[1]))

    def similarities(self, states: Tensor) -> Tensor:
        """Cosines ``(U, N)`` of states ``(U, D)``, as exact as the keys are kept."""
        return F.normalize(states.float(), dim=-1) @ self.keys.T.to(states.device, torch.float32)

    def votes(self, states: Tensor) -> Tensor:
        """States ``(U, D)`` -> mean votes ``(U, C)`` of the nearest."""
        cosines, nearest = self.similarities(states).topk(min(self.count, len(self.keys)))
        return count_votes(self.soft_targets, cosines, nearest, self.temperature)

    def tensors(self) -> dict[str, Tensor]:
        """What is kept in a file, by name."""
        votes = self.soft_targets.tocoo()
        return {
            "keys": self.keys.contiguous(),
            "rows": torch.from_numpy(votes.row.astype(np.int32)),
            "columns": torch.from_numpy(votes.col.astype(np.int32)),
            "values": torch.from_numpy(votes.data.astype(np.float32)),
            "shift": self.shift,
        }


def count_votes(
    soft_targets: csr_array, cosines: Tensor, nearest: Tensor, temperature: float
) -> Tensor:
    """Ballots ``(N, C)``, cosines and indices of neighbours ``(U, K)`` -> mean votes ``(U, C)``.

    A neighbour whose cosine is -inf has no vote.
    """
    units, count = nearest.shape
    weights = (cosines / temperature).softmax(-1).cpu().numpy().ravel()
    ends = np.arange(0, units * count + 1, count)
    chosen = csr_array(
        (weights, nearest.cpu().numpy().ravel(), ends), (units, soft_targets.shape[0])
    )
    return torch.from_numpy((chosen @ soft_targets).toarray()).to(cosines.device)


def save_neighbours(found: Neighbours, folder: Path) -> dict[str, float]:
    """Write the tensors; returns the numbers that :func:`load_neighbours` wants beside them."""
    save_file(found.tensors(), folder / NEIGHBOURS)
    return {"count": found.count, "temperature": found.temperature, "share": found.share}


def load_neighbours(
    folder: Path, numbers: dict[str, float], classes: int, width: int
) -> Neighbours:
    """Read the neighbours of an app with ``classes`` outputs over states of ``width``.

    Raises :class:`UserError` if they are missing, damaged or of another shape.
    """
    path = folder / NEIGHBOURS
    try:
        tensors = load_file(path)
        count, temperature = int(numbers["count"]), float(numbers["temperature"])
        share = float(numbers["share"])
    except FileNotFoundError:
        raise UserError(f"{folder} has no {NEIGHBOURS}, which its app.json speaks of") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder}: the neighbours in app.json are damaged: {error}") from None
    found = {name: tensor.dtype for name, tensor in tensors.items()}
    if found != _DTYPES:
        raise UserError(f"{path} is damaged: it holds {found}, expected {_DTYPES}")
    keys, rows, columns = tensors["keys"], tensors["rows"], tensors["columns"]
    if (
        keys.ndim != 2
        or keys.shape[1] != width
        or not len(keys)
        or tensors["shift"].shape != (classes,)
        or not rows.shape == columns.shape == tensors["values"].shape
        or bool(((rows < 0) | (rows >= len(keys)) | (columns < 0) | (columns >= classes)).any())
    ):
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        raise UserError(f"{path} does not fit {classes} outputs over states of {width}: {shapes}")
    if not (count > 0 and temperature > 0 and 0 < share < 1):
        raise UserError(f"{folder}: the neighbours in app.json are damaged: {numbers}")
    places = (rows.numpy(), columns.numpy())
    soft_targets = csr_array((tensors["values"].numpy(), places), (len(keys), classes))
    return Neighbours(keys, soft_targets, count, temperature, share, tensors["shift"])
