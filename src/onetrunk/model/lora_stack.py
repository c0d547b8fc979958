"""Stacked LoRA: many adapters on one encoder, a slot for each part of the batch.

For a linear map y = x W and adapters a = 0 … n-1 in one stack,

    x (G·R, T, d_in) ─┬────────────── W ──────────────────────────────► + ─► y (G·R, T, d_out)
                      └─ group g: x A[slot_g] ─ (r) ─ B[slot_g] · s ───►┘

    A (n, d_in, r)    B (n, r, d_out)    s (n,) scaling    slots (G,), one a group of R rows

The batch is G equal groups of R consecutive rows; a group uses one adapter. G = batch size gives
a slot to every row, G = 1 one adapter to all; both are the same two batched matrix products. A pack
of texts is a row, too. In one pack (``(1, N, D)``) groups may also be so many tokens each.
Slot 0 is "none": its A and B are zero, and stay so, since the gradient of each is a product with
the other. Shorter ranks are padded with zeros for the same reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from onetrunk.errors import UserError, nearest
from onetrunk.model.encoder import ENTERED, Encoder
from onetrunk.model.lora import NONE, LoraAdapter, Place

_Group = tuple[int, float, int]
"""(slot, scaling, number of tokens)"""


class _Route(NamedTuple):
    """Which stack is active, with which slots ``(G,)``, for how many tokens each, and what all of
    them share: see :meth:`LoraStack.route`."""

    stack: LoraStack
    slots: Tensor
    tokens: Sequence[int] | None
    entering: int | None

    def own(self, stacked: Tensor) -> Tensor:
        """The slots' parts of ``(n, ...)``: ``(G, ...)``, not copied if they are neighbours."""
        first, *_ = slots = self.slots.tolist()
        if slots == list(range(first, first + len(slots))):
            return stacked[first : first + len(slots)]
        return stacked[self.slots]


# A context variable, not an attribute: two threads may run one encoder with different adapters at
# the same time, and one encoder may run while another one's adapters are on.
_ROUTE: ContextVar[_Route | None] = ContextVar("onetrunk_lora_route", default=None)


class LoraStack(nn.Module):
    """Named adapters for an encoder's linear maps.

    The maps get hooks, the same for all stacks, which ask :meth:`route` for what to add. Outside it
    the encoder behaves as if there were no stack, and its own parameters keep their names. ``a``
    and ``b`` hold one stacked parameter a place.
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
        self._place_of: dict[nn.Module, Place] = {}  # maps are the encoder's, not parts of this
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
                linear.register_forward_pre_hook(_take_once)
                linear.register_forward_hook(_add_lora)
        self.to(encoder.device)

    def slot(self, name: str) -> int:
        """Index of a named adapter. Raises :class:`UserError` with the nearest name if unknown."""
        try:
            return self.names.index(name)
        except ValueError:
            raise UserError(
                f"no adapter {name!r} in the stack; {nearest(name, self.names)}"
            ) from None

    def slots(self, names: Sequence[str]) -> Tensor:
        """Slot indices ``(G,)`` int64 of named adapters, on the CPU."""
        return torch.tensor([self.slot(name) for name in names])

    @contextmanager
    def route(
        self, slots: Tensor, tokens: Sequence[int] | None = None, entering: int | None = None
    ) -> Iterator[None]:
        """Inside the block, the encoder's batch is ``len(slots)`` groups, each with its own slot:
        of equally many rows, or of so many ``tokens`` each, which are then all there are.

        ``entering``: a layer that the same enters for every group. Its products with what enters
        are computed once.
        """
        token = _ROUTE.set(_Route(self, slots, tokens, entering))
        try:
            yield
        finally:
            _ROUTE.reset(token)

    @contextmanager
    def merged(self, name: str) -> Iterator[None]:
        """Inside, the encoder runs with one adapter merged into its weights, W + s · (A B)ᵀ.

        For training both: ``backward`` inside the block costs what it costs without LoRA, since
        the gradient of the merged weight is that of W, and gives those of A and B by two thin
        products as the block ends. Every other slot is left alone.
        """
        slot, scaling = self.slot(name), self._adapters[name].scaling
        weights = [linear.get_parameter("weight") for linear in self._place_of]
        places = [(key, self.a[key]) for key in map(_key, self._place_of.values())]
        before = [(weight.data, weight.grad, weight.requires_grad) for weight in weights]
        for weight, (key, a) in zip(weights, places, strict=True):
            weight.data = torch.addmm(weight.data, self.b[key][slot].T, a[slot].T, alpha=scaling)
            weight.grad = None
            weight.requires_grad_()  # also that of a frozen encoder: A and B need it
        try:
            yield
            for weight, (key, a) in zip(weights, places, strict=True):
                if weight.grad is not None:
                    b = self.b[key]
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
        """A copy of one slot as it stands now (CPU), at its own rank and places."""
        if name == NONE:
            raise UserError(f"{NONE!r} is the bare backbone, not an adapter")
        slot, initial = self.slot(name), self._adapters[name]
        matrices = {}
        for place in initial.matrices:
            a = self.a[_key(place)][slot, :, : initial.rank].detach().cpu().clone()
            matrices[place] = (a, self.b[_key(place)][slot, : initial.rank].detach().cpu().clone())
        return LoraAdapter(initial.rank, initial.alpha, matrices, initial.rslora)

    def by_layer(self) -> Iterator[tuple[int, tuple[nn.Parameter, nn.Parameter]]]:
        """Each place's layer and its stacked A and B."""
        for key, a in self.a.items():
            yield int(key.split("_")[1]), (a, self.b[key])

    def in_bf16(self) -> None:
        """Hold A and B in bf16 from here on, so that autocast has nothing to cast."""
        self.a.to(torch.bfloat16)
        self.b.to(torch.bfloat16)

    def entered_by_all(self, module: nn.Module, route: _Route) -> bool:
        """Whether a map reads what is the same for every group of the route."""
        place = self._place_of.get(module)
        return place is not None and place[0] == route.entering and place[1] in ENTERED

    def add(self, module: nn.Module, x: Tensor, y: Tensor, route: _Route) -> Tensor:
        """A map's output ``y`` for ``x``, plus what the route's adapters have at this place."""
        place = self._place_of.get(module)
        if place is None:
            return y
        a, b = self.a[_key(place)], self.b[_key(place)]
        if route.tokens is not None:
            slots = route.slots.tolist()
            parts = zip(slots, self.scaling[slots].tolist(), route.tokens, strict=True)
            return _AddLora.apply(y, x, a, b, list(parts))
        once = self.entered_by_all(module, route)
        groups = 1 if once else len(route.slots)
        low = x.reshape(groups, -1, x.shape[-1]) @ route.own(a)  # (G, R·T, r)
        low = low * route.own(self.scaling)[:, None, None]
        grouped, b = y.view(groups, -1, y.shape[-1]), route.own(b)
        if once:
            return torch.baddbmm(grouped, low, b).view(-1, *y.shape[1:])
        grouped.baddbmm_(low.to(y.dtype), b.to(y.dtype))  # in place: there is no sum of its own
        return y


def _take_once(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor] | None:
    """Hook before a linear map: what all groups have in common is multiplied once."""
    route, (x,) = _ROUTE.get(), inputs
    if route is None or not route.stack.entered_by_all(module, route):
        return None
    return (x[: len(x) // len(route.slots)],)


def _add_lora(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """Hook after a linear map: the active adapters' part is added."""
    route, (x,) = _ROUTE.get(), inputs
    return output if route is None else route.stack.add(module, x, output, route)


class _AddLora(torch.autograd.Function):
    """y + x A B s for groups of tokens, each a (slot, s, number of tokens); written into y.

    In one piece because a small app's step consists of little else: six maps a layer, each of which
    would be a chain of eight operations over all tokens.
    """

    @staticmethod
    def forward(
        ctx: Any, y: Tensor, x: Tensor, a: Tensor, b: Tensor, groups: Sequence[_Group]
    ) -> Tensor:
        flat = x.flatten(0, -2).to(y.dtype)  # autocast's, if that is on
        a, b = a.to(y.dtype), b.to(y.dtype)
        low = flat.new_empty(len(flat), a.shape[2])
        for (slot, scale, _), x_of, low_of, y_of in _split(groups, flat, low, y.flatten(0, -2)):
            torch.mm(x_of, a[slot], out=low_of)
            y_of.addmm_(low_of, b[slot], alpha=scale)
        ctx.groups = groups
        ctx.save_for_backward(flat, low, a, b)
        # Not marked as dirty: a map's output is a view, whose gradient would then be copied four
        # times. Nobody has seen y, and its map's gradient does not ask for it.
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        x, low, a, b = ctx.saved_tensors
        flat = gradient.flatten(0, -2)
        to_low = torch.empty_like(low)
        to_x = None
        if ctx.needs_input_grad[1]:
            to_x = x.new_empty(*gradient.shape[:-1], x.shape[1])  # no view: autograd may add to it
        to_a, to_b = torch.zeros_like(a), torch.zeros_like(b)
        for (slot, scale, _), y_of, x_of, low_of, to_low_of in _split(
            ctx.groups, flat, x, low, to_low
        ):
            torch.mm(y_of, b[slot].T, out=to_low_of).mul_(scale)
            if ctx.needs_input_grad[2]:
                to_a[slot].addmm_(x_of.T, to_low_of)
                to_b[slot].addmm_(low_of.T, y_of, alpha=scale)
        if to_x is not None:
            for (slot, *_), to_low_of, to_x_of in _split(ctx.groups, to_low, to_x.flatten(0, -2)):
                torch.mm(to_low_of, a[slot].T, out=to_x_of)
        return gradient, to_x, to_a, to_b, None


def _split(groups: Sequence[_Group], *tensors: Tensor) -> Iterator[Any]:
    """Each group beside its tokens of each tensor."""
    parts = (tensor.split([tokens for _, _, tokens in groups]) for tensor in tensors)
    return zip(groups, *parts, strict=True)


@torch.no_grad()
def _add_gradient(stacked: nn.Parameter, slot: int, gradient: Tensor) -> None:
    if stacked.grad is None:
        stacked.grad = torch.zeros_like(stacked)
    stacked.grad[slot] += gradient


def _key(place: Place) -> str:
    """Name of a place inside a ParameterDict (which forbids dots)."""
    return f"layer_{place[0]}_{place[1]}"
