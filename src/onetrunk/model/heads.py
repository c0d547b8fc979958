"""Pooling of token states, and linear heads on disk."""

from pathlib import Path
from typing import Literal

import safetensors
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from onetrunk.errors import UserError

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
    tensors = {"weight": head.weight.detach().cpu(), "bias": head.bias.detach().cpu()}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, folder / HEAD)


def load_head(folder: Path, classes: int, width: int) -> nn.Linear:
    """Read a head with ``classes`` outputs for states of size ``width``.

    Raises :class:`UserError` if the file is missing or damaged, or if the head has another shape. A
    head is never initialised at random.
    """
    path = folder / HEAD
    try:
        tensors = load_file(path)
    except FileNotFoundError:
        raise UserError(f"{folder} has no {HEAD}; refusing to use a random head") from None
    except safetensors.SafetensorError as error:
        raise UserError(f"{path} is damaged: {error}") from None
    shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if shapes != {"weight": (classes, width), "bias": (classes,)}:
        raise UserError(
            f"{path} holds {shapes}, expected weight {(classes, width)} and bias {(classes,)}"
        )
    return linear_head(tensors["weight"], tensors["bias"])


def linear_head(weight: Tensor, bias: Tensor) -> nn.Linear:
    """A frozen head of weights ``(C, D)`` and biases ``(C,)``."""
    head = nn.Linear(weight.shape[1], weight.shape[0])
    head.weight.data.copy_(weight)
    head.bias.data.copy_(bias)
    return head.requires_grad_(False)
