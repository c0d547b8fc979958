"""Pooling of token states, and linear heads on disk, which are read without PyTorch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

from onetrunk.errors import UserError
from onetrunk.storage import regular_size

if TYPE_CHECKING:
    from torch import Tensor, nn

Pooling = Literal["mean", "cls"]
HEAD = "head.safetensors"


def pool(states: Tensor, attention_mask: Tensor, pooling: Pooling = "mean") -> Tensor:
    """One vector for each text: ``(B, T, D)`` and mask ``(B, T)`` -> ``(B, D)``.

    ``mean`` averages all tokens under the mask, special tokens included, as sentence-transformers
    does. So the vector of an empty text is the mean of its special tokens. ``cls`` takes the first
    token.
    """
    if pooling == "cls":
        return states[:, 0]
    mask = attention_mask.unsqueeze(-1).to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1)


def save_head(head: nn.Linear, folder: Path) -> None:
    """Write a head's ``weight (C, D)`` and ``bias (C,)`` as safetensors."""
    arrays = {"weight": head.weight.detach().cpu(), "bias": head.bias.detach().cpu()}
    save_file({name: array.contiguous().numpy() for name, array in arrays.items()}, folder / HEAD)


def read_head(folder: Path, classes: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``(C, D)`` and biases ``(C,)`` of a head with ``classes`` outputs for states of size
    ``width``.

    Raises :class:`UserError` if the file is missing or damaged, or if the head has another shape. A
    head is never initialised at random.
    """
    path = folder / HEAD
    try:
        regular_size(path)
        arrays = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{folder} has no {HEAD}; refusing to use a random head") from None
    except (safetensors.SafetensorError, KeyError) as error:
        raise UserError(f"{path} is damaged: {error}") from None
    shapes = {name: array.shape for name, array in arrays.items()}
    if shapes != {"weight": (classes, width), "bias": (classes,)}:
        raise UserError(
            f"{path} holds {shapes}, expected weight {(classes, width)} and bias {(classes,)}"
        )
    return arrays["weight"], arrays["bias"]


def load_head(folder: Path, classes: int, width: int) -> nn.Linear:
    """:func:`read_head` for PyTorch."""
    import torch

    return linear_head(*map(torch.from_numpy, read_head(folder, classes, width)))


def linear_head(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A frozen head of weights ``(C, D)`` and biases ``(C,)``."""
    from torch import nn

    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.weight.data.copy_(weight)
    head.bias.data.copy_(bias)
    return head.requires_grad_(False)
