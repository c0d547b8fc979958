"""Stacked LoRA: many adapters on one encoder, each for a part of the batch.

The adapters of a linear map y = x W are stacked. An adapter's index in the stack is its slot.

    x (G·R, T, d_in) ─┬────────────── W ──────────────────────────────► + ─► y (G·R, T, d_out)
                      └─ group g: x A[slot_g] ─ (r) ─ B[slot_g] · s ───►┘

    A (n, d_in, r)    B (n, r, d_out)    s (n,) scaling    slots (G,), one for a group of R rows

The batch consists of G equal groups of R consecutive rows, and each group has one adapter. With
G = batch size every row has its own adapter, with G = 1 all rows have the same; both are the same
two batched matrix products. A pack of texts is one row. If the batch is a single pack
(``(1, N, D)``), groups may also be consecutive tokens, of different numbers.

Slot 0 is "none", the bare backbone: its A and B are zero. They stay zero in training, since the
gradient of each is a product with the other. For the same reason smaller ranks can be padded with
zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from onetrunk.errors import UserError, nearest
from onetrunk.model.architecture import INPUT_TARGETS
from onetrunk.model.encoder import Encoder
from onetrunk.model.lora import NONE, LoraAdapter, Place

_Group = tuple[int, float, int]
"""(slot, scaling, number of tokens)"""


class _Route(NamedTuple):
    """The active stack, and the arguments of :meth:`LoraStack.route`."""

    stack: LoraStack
    slots: Tensor
    tokens: Sequence[int] | None
    shared_input: int | None

    def select(self, stacked: Tensor) -> Tensor:
        """The slots' parts of ``(n, ...)``: ``(G, ...)``. Consecutive slots are not copied."""
        first, *_ = slots = self.slots.tolist()
        if slots == list(range(first, first + len(slots))):
            return stacked[first : first + len(slots)]
        return stacked[self.slots]


# This is a context variable, because two threads may run one encoder with different adapters at the
# same time, and an encoder may run inside the route of another encoder's stack.
_ROUTE: ContextVar[_Route | None] = ContextVar("onetrunk_lora_route", default=None)


class LoraStack(nn.Module):
    """Named adapters for the linear maps of an encoder.

    The maps get hooks, which are the same for all stacks. Inside :meth:`route` they add what the
    route's adapters compute; outside, the encoder behaves as if there were no stack. The encoder's
    own parameters keep their names. ``a`` and ``b`` hold one stacked parameter for each place.
    """

    scaling: Tensor

    def __init__(self, encoder: Encoder, adapters: Mapping[str, LoraAdapter]) -> None:
        super().__init__()
        if NONE in adapters:
            raise UserError(f"an adapter cannot be called {NONE!r}: that is the bare backbone")
        self.names = [NONE, *adapters]
        self._adapters = dict(adapters)
        self.rank = max((adapter.rank for adapter in adapters.values()), default=1)
        scaling = [1.0, *(adapter.scaling for adapter in adapters.values())]
        self.register_buffer("scaling", torch.tensor(scaling), persistent=False)
        self.a = nn.ParameterDict()
        self.b = nn.ParameterDict()
        # A dict of its own, since the linear maps are parts of the encoder, not of this module.
        self._place_of: dict[nn.Module, Place] = {}
        places = sorted({place for adapter in adapters.values() for place in adapter.matrices})
        for place in places:
            linear = encoder.linear(*place)
            a = torch.zeros(len(self.names), linear.in_features, self.rank)
            b = torch.zeros(len(self.names), self.rank, linear.out_features)
            for slot, adapter in enumerate(adapters.values(), start=1):
                if place in adapter.matrices:
                    a[slot, :, : adapter.rank], b[slot, : adapter.rank] = adapter.matrices[place]
            self.a[_key(place)], self.b[_key(place)] = nn.Parameter(a), nn.Parameter(b)
            self._place_of[linear] = place
            if _add_lora not in linear._forward_hooks.values():
                linear.register_forward_pre_hook(_drop_repeats)
                linear.register_forward_hook(_add_lora)
        self.to(encoder.device)

    def slot(self, name: str) -> int:
        """Index of an adapter. Raises :class:`UserError` with the nearest name if it is unknown."""
        try:
            return self.names.index(name)
        except ValueError:
            raise UserError(
                f"no adapter {name!r} in the stack; {nearest(name, self.names)}"
            ) from None

    def slots(self, names: Sequence[str]) -> Tensor:
        """Indices ``(G,)`` int64 of these adapters, on the CPU."""
        return torch.tensor([self.slot(name) for name in names])

    @contextmanager
    def route(
        self, slots: Tensor, tokens: Sequence[int] | None = None, shared_input: int | None = None
    ) -> Iterator[None]:
        """Inside the block, the encoder's batch is ``len(slots)`` groups, one for each slot.

        The groups have equally many rows. With ``tokens`` the batch is one pack instead, and group
        g is the next ``tokens[g]`` tokens of it. ``shared_input`` is the index of a layer whose
        input is the same for all groups: the products with that input are computed once.
        """
        token = _ROUTE.set(_Route(self, slots, tokens, shared_input))
        try:
            yield
        finally:
            _ROUTE.reset(token)

    @contextmanager
    def merged(self, name: str) -> Iterator[None]:
        """Inside the block, one adapter is merged into the encoder's weights, W + s · (A B)ᵀ.

        This trains encoder and adapter together. ``backward`` inside the block costs as much as
        without LoRA: the gradient of the merged weight is that of W, and when the block ends, it
        gives the gradients of A and B by two thin matrix products. All other slots are left alone.
        """
        slot, scaling = self.slot(name), self._adapters[name].scaling
        weights = [linear.get_parameter("weight") for linear in self._place_of]
        pairs = [(self.a[key], self.b[key]) for key in map(_key, self._place_of.values())]
        before = [(weight.data, weight.grad, weight.requires_grad) for weight in weights]
        for weight, (a, b) in zip(weights, pairs, strict=True):
            weight.data = torch.addmm(weight.data, b[slot].T, a[slot].T, alpha=scaling)
            weight.grad = None
            weight.requires_grad_()  # also in a frozen encoder: A and B need the gradient
        try:
            yield
            for weight, (a, b) in zip(weights, pairs, strict=True):
                if weight.grad is not None:
                    _add_gradient(a, slot, scaling * (weight.grad.T @ b[slot].T))
                    _add_gradient(b, slot, scaling * (a[slot].T @ weight.grad.T))
        finally:
            for weight, (data, gradient, trained) in zip(weights, before, strict=True):
                weight.data = data
                weight.requires_grad_(trained)
                if not trained or weight.grad is None:
                    weight.grad = gradient
                elif gradient is not None:
                    weight.grad += gradient

    def adapter(self, name: str) -> LoraAdapter:
        """A copy of one adapter as it is now, on the CPU, with its own rank and places."""
        if name == NONE:
            raise UserError(f"{NONE!r} is the bare backbone, not an adapter")
        slot, initial = self.slot(name), self._adapters[name]
        matrices = {}
        for place in initial.matrices:
            a = self.a[_key(place)][slot, :, : initial.rank].detach().cpu().clone()
            matrices[place] = (a, self.b[_key(place)][slot, : initial.rank].detach().cpu().clone())
        return LoraAdapter(initial.rank, initial.alpha, matrices, initial.rslora)

    def by_layer(self) -> Iterator[tuple[int, tuple[nn.Parameter, nn.Parameter]]]:
        """For each place its layer, and its stacked A and B."""
        for key, a in self.a.items():
            yield int(key.split("_")[1]), (a, self.b[key])

    def in_bf16(self) -> None:
        """Hold A and B in bf16 from here on, so that autocast need not cast them."""
        self.a.to(torch.bfloat16)
        self.b.to(torch.bfloat16)

    def has_shared_input(self, module: nn.Module, route: _Route) -> bool:
        """Whether a linear map has the same input for all groups of the route."""
        place = self._place_of.get(module)
        return place is not None and place[0] == route.shared_input and place[1] in INPUT_TARGETS

    def add(self, module: nn.Module, x: Tensor, y: Tensor, route: _Route) -> Tensor:
        """The output ``y`` of a linear map for ``x``, plus that of the route's adapters there."""
        place = self._place_of.get(module)
        if place is None:
            return y
        a, b = self.a[_key(place)], self.b[_key(place)]
        if route.tokens is not None:
            slots = route.slots.tolist()
            parts = zip(slots, self.scaling[slots].tolist(), route.tokens, strict=True)
            return _AddLora.apply(y, x, a, b, list(parts))
        shared = self.has_shared_input(module, route)
        groups = 1 if shared else len(route.slots)
        low = x.reshape(groups, -1, x.shape[-1]) @ route.select(a)  # (G, R·T, r)
        low = low * route.select(self.scaling)[:, None, None]
        grouped, b = y.view(groups, -1, y.shape[-1]), route.select(b)
        if shared:  # one y for all groups
            return torch.baddbmm(grouped, low, b).view(-1, *y.shape[1:])
        grouped.baddbmm_(low.to(y.dtype), b.to(y.dtype))  # in place: y has no other reader
        return y


def _drop_repeats(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    """Hook before a linear map: an input that all groups share is multiplied once."""
    route, (x,) = _ROUTE.get(), inputs
    if route is None or not route.stack.has_shared_input(module, route):
        return None
    return (x[: len(x) // len(route.slots)],)


def _add_lora(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Hook after a linear map: the output of the active adapters is added."""
    route, (x,) = _ROUTE.get(), inputs
    return output if route is None else route.stack.add(module, x, output, route)


class _AddLora(torch.autograd.Function):
    """y + x A B s for groups of tokens, each a (slot, s, number of tokens). It is written into y.

    It is one function, because a training step of a small app consists of little else: each of a
    layer's six maps would be a chain of eight operations over all tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: Sequence[_Group]
    ) -> Tensor:
        flat = x.flatten(0, -2).to(y.dtype)  # autocast's dtype, if it is on
        a, b = a.to(y.dtype), b.to(y.dtype)
        low = flat.new_empty(len(flat), a.shape[2])
        for (slot, scale, _), x_g, low_g, y_g in _split(groups, flat, low, y.flatten(0, -2)):
            torch.mm(x_g, a[slot], out=low_g)
            y_g.addmm_(low_g, b[slot], alpha=scale)
        ctx.groups = groups
        ctx.save_for_backward(flat, low, a, b)
        # y is changed, but not marked as dirty: it is a view, and its gradient would then be copied
        # four times. Nothing has read y before, and the gradient of its linear map does not use it.
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # A name with grad_ is the gradient of the loss with respect to what follows.
        (grad_y,) = gradients
        x, low, a, b = ctx.saved_tensors
        flat = grad_y.flatten(0, -2)
        grad_low = torch.empty_like(low)
        grad_x = None
        if ctx.needs_input_grad[1]:
            # Not a view of another tensor, since autograd may add to it.
            grad_x = x.new_empty(*grad_y.shape[:-1], x.shape[1])
        grad_a, grad_b = torch.zeros_like(a), torch.zeros_like(b)
        for (slot, scale, _), grad_y_g, x_g, low_g, grad_low_g in _split(
            ctx.groups, flat, x, low, grad_low
        ):
            torch.mm(grad_y_g, b[slot].T, out=grad_low_g).mul_(scale)
            if ctx.needs_input_grad[2]:
                grad_a[slot].addmm_(x_g.T, grad_low_g)
                grad_b[slot].addmm_(low_g.T, grad_y_g, alpha=scale)
        if grad_x is not None:
            for (slot, *_), grad_low_g, grad_x_g in _split(
                ctx.groups, grad_low, grad_x.flatten(0, -2)
            ):
                torch.mm(grad_low_g, a[slot].T, out=grad_x_g)
        return grad_y, grad_x, grad_a, grad_b, None


def _split(groups: Sequence[_Group], *tensors: Tensor) -> Iterator[Any]:
    """Each group with its part of each tensor."""
    parts = (tensor.split([tokens for _, _, tokens in groups]) for tensor in tensors)
    return zip(groups, *parts, strict=True)


@torch.no_grad()
def _add_gradient(stacked: nn.Parameter, slot: int, gradient: Tensor) -> None:
    if stacked.grad is None:
        stacked.grad = torch.zeros_like(stacked)
    stacked.grad[slot] += gradient


def _key(place: Place) -> str:
    """Name of a place in a ParameterDict, which allows no dots."""
    return f"layer_{place[0]}_{place[1]}"
